from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path

import pyarrow.parquet as pq
import pytest
from sample_runs import units

from congeal.results.schema.parquet_files import encode_table
from congeal.results.schema.tables import IMAGES
from infra.errors import UserError
from infra.ledger.sealed_text import opened_text, sealed_text
from infra.storage.location import Location
from tasks.maintenance.verify import verify


@pytest.fixture
def destination(finished: Path, tmp_path: Path) -> Path:
    shutil.copytree(finished / "destination", tmp_path / "out")
    return tmp_path / "out"


def check(destination: Path, *, deep: bool = True) -> list[str]:
    faults: list[str] = verify(Location.parse(destination), deep=deep)["faults"]
    return faults


def output(destination: Path, stage: str, name: str) -> Path:
    return next(path for unit in units(destination, [stage]) for path in unit.rglob(name))


def rewrite(path: Path, data: bytes) -> None:
    """Replace an output and make its marker say that this is what was written."""
    import hashlib

    from infra.ledger.commits import digest

    path.write_bytes(data)
    folder = path.parent
    marker_path = folder.parent / "_commit.json"
    marker = json.loads(opened_text(marker_path.read_bytes())[0])
    marker["outputs"][path.name] = {"bytes": len(data), "sha256": hashlib.sha256(data).hexdigest()}
    marker["content"] = digest(
        sorted((name, entry["sha256"]) for name, entry in marker["outputs"].items()), length=16
    )
    marker_path.write_bytes(sealed_text(marker))
    folder.rename(folder.parent / marker["content"])


def test_a_finished_run_is_sound(finished: Path) -> None:
    facts = verify(Location.parse(finished / "destination"))
    assert facts["faults"] == []
    assert facts["units"] == len(units(finished / "destination"))
    assert facts["files"] > facts["units"]


def truncate(path: Path) -> None:
    path.write_bytes(path.read_bytes()[:-3])


@pytest.mark.parametrize(
    ("stage", "name", "harm", "words"),
    [
        ("catalog", "catalog.parquet", truncate, "bytes instead of"),
        ("features", "zarr.json", Path.unlink, "is missing"),
        ("clusters", "members.parquet", truncate, "bytes instead of"),
        ("atlases", "aligned.png", Path.unlink, "is missing"),
        ("index", "correspondences.parquet", truncate, "bytes instead of"),
    ],
)
def test_what_is_not_as_it_was_written_is_named(
    destination: Path, stage: str, name: str, harm: Callable[[Path], None], words: str
) -> None:
    path = output(destination, stage, name)
    harm(path)
    faults = check(destination, deep=False)
    assert len(faults) == 1
    assert words in faults[0]
    assert str(path) in faults[0]


def test_a_flipped_bit_is_found_by_its_checksum(destination: Path) -> None:
    path = next(path for path in units(destination, ["atlases"])[0].rglob("c/0/0") if path.is_file())
    data = bytearray(path.read_bytes())
    data[len(data) // 2] ^= 1
    path.write_bytes(data)
    assert check(destination, deep=False) == []
    (fault,) = check(destination)
    assert str(path) in fault
    assert "SHA-256" in fault


@pytest.mark.parametrize("content", [None, b"{}"])
def test_a_marker_that_is_gone_or_damaged_is_named(destination: Path, content: bytes | None) -> None:
    unit = units(destination, ["clusters"])[0]
    (unit / "_commit.json").unlink()
    if content is not None:
        (unit / "_commit.json").write_bytes(content)
    (fault,) = check(destination)
    assert unit.name in fault


def test_a_reference_to_nothing_is_named(destination: Path) -> None:
    path = next(path for path in destination.glob("stages/index/*/*/*/images.parquet"))
    table = pq.read_table(path).to_pylist()
    for row in table:
        if row["uri"] == "a/1.png":
            row["cluster_id"] = "c0000000"
            image_id = row["image_id"]
    import pyarrow as pa

    rewrite(path, encode_table(pa.Table.from_pylist(table, schema=IMAGES), IMAGES))
    faults = check(destination)
    assert any("cluster c0000000, which the table clusters does not have" in fault for fault in faults)
    assert any(f"alignments has the image {image_id}" in fault for fault in faults)


def test_another_schema_is_named(destination: Path) -> None:
    path = next(path for path in destination.glob("stages/index/*/*/*/clusters.parquet"))
    other = next(path for path in destination.glob("stages/index/*/*/*/alignments.parquet"))
    rewrite(path, other.read_bytes())
    (fault,) = check(destination)
    assert "does not hold the table clusters" in fault


@pytest.mark.parametrize("content", [None, b"{}"])
def test_the_list_of_the_tables_is_of_the_current_version(destination: Path, content: bytes | None) -> None:
    place = destination / "published/tables.json"
    if content is None:
        place.unlink()
    else:
        place.write_bytes(content)
    (fault,) = check(destination)
    assert "published/tables.json does not name the files of the current version: run again." in fault
    # An older version has no such list: it is not asked for.
    assert verify(Location.parse(destination), version="1")["faults"] == []


def test_nothing_published(tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"Nothing is published in .*congeal run"):
        verify(Location.parse(tmp_path))
