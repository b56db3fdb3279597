"""What `congeal` exports: by name, documented, imported on first use."""

from __future__ import annotations

import ast
import subprocess
import sys
from pathlib import Path

import pytest

import congeal

HEAVY = {
    "torch", "timm", "numpy", "PIL", "scipy", "pandas", "pyarrow", "duckdb", "zarr", "fsspec", "prefect",
    "dask", "infra", "beartype", "jaxtyping", "pydantic",
}  # fmt: skip


def python(code: str) -> str:
    done = subprocess.run(
        [sys.executable, "-W", "error", "-c", code], capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    return done.stdout.strip()


def test_importing_congeal_is_cheap() -> None:
    """Of what it needs later, nothing is imported."""
    assert python(f"import sys, congeal; print(sorted({HEAVY!r} & set(sys.modules)))") == "[]"


def test_images_are_aligned_without_storage() -> None:
    stores = {"pandas", "pyarrow", "duckdb", "zarr", "fsspec", "prefect", "dask", "infra", "tasks", "flows"}
    code = f"import sys, congeal; congeal.align_images; print(sorted({stores!r} & set(sys.modules)))"
    assert python(code) == "[]"


def test_opening_a_collection_loads_no_reader_of_arrays_and_no_database() -> None:
    """Only what asks for maps, or in SQL, waits for these to be imported."""
    later = {"torch", "timm", "zarr", "duckdb", "prefect", "dask", "PIL"}
    code = f"import sys, congeal; congeal.open; print(sorted({later!r} & set(sys.modules)))"
    assert python(code) == "[]"


def test_a_star_import_leaves_the_built_in_open_alone() -> None:
    code = (
        "from congeal import *; import builtins, congeal; "
        "print(open is builtins.open, congeal.open is not open, callable(congeal.open), align.__name__)"
    )
    assert python(code) == "True True True align"


@pytest.mark.parametrize("name", [*congeal.__all__, "open"])
def test_every_name_is_there_and_says_what_it_is(name: str) -> None:
    found = getattr(congeal, name)
    assert name in dir(congeal)
    if name != "__version__":
        assert found.__name__ == name
        assert len(found.__doc__ or "") > 20


def test_type_checkers_see_the_names_that_are_there() -> None:
    tree = ast.parse(Path(congeal.__file__).read_text())
    typed = {
        alias.name
        for node in ast.walk(tree)
        if isinstance(node, ast.If)
        for inner in node.body
        if isinstance(inner, ast.ImportFrom)
        for alias in inner.names
    }
    assert typed | {"__version__"} == {*congeal.__all__, "open"} == {*congeal._HOMES, "__version__"}


def test_an_unknown_name_is_an_attribute_error() -> None:
    with pytest.raises(AttributeError, match="module 'congeal' has no attribute 'align_image'"):
        _ = congeal.align_image
