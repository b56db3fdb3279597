"""Module paths of before the packages still lead to what they held, and say where it is now."""

from __future__ import annotations

import importlib
import pkgutil
import subprocess
import sys
import warnings

import pytest

from congeal_floors.moved_modules import BECAME_PACKAGES, MOVED


@pytest.mark.parametrize("old", sorted(MOVED))
def test_an_old_path_is_the_module_at_its_new_place_and_says_so(old: str) -> None:
    sys.modules.pop(old, None)
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        module = importlib.import_module(old)
    said = [str(one.message) for one in caught if one.category is DeprecationWarning]
    assert f"{old} is {MOVED[old]} now; the old path goes with the next release." in said
    assert module is importlib.import_module(MOVED[old])
    assert module.__name__ == MOVED[old]


def test_a_module_inside_an_old_package_is_found_too() -> None:
    importlib.import_module("congeal.transfer.formats")
    sys.modules.pop("congeal.exchange.tps", None)
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        module = importlib.import_module("congeal.exchange.tps")
    assert any("congeal.transfer.formats.tps now" in str(one.message) for one in caught)
    assert module is importlib.import_module("congeal.transfer.formats.tps")


def test_a_package_with_the_name_of_a_module_gives_what_that_held() -> None:
    from congeal.transfer import points

    with pytest.warns(DeprecationWarning, match=r"congeal\.transfer\.points\.transfer now"):
        from congeal.transfer import transfer
    assert transfer is points.transfer


@pytest.mark.parametrize("package", sorted(BECAME_PACKAGES))
def test_a_module_of_a_package_is_imported_without_what_the_former_module_held(package: str) -> None:
    """Whichever module it is, and however new."""
    place = importlib.import_module(package).__path__
    names = [info.name for info in pkgutil.iter_modules(place)]
    former = BECAME_PACKAGES[package]
    script = (
        "import importlib, sys, warnings; warnings.simplefilter('error')\n"
        "import congeal_floors\n"
        f"package = importlib.import_module({package!r}); before = {former!r} in sys.modules\n"
        f"[hasattr(package, name) for name in {names!r}]\n"
        f"assert before == ({former!r} in sys.modules)"
    )
    subprocess.run([sys.executable, "-c", script], check=True)


@pytest.mark.parametrize("package", sorted(BECAME_PACKAGES))
def test_what_a_former_module_never_held_is_no_attribute(package: str) -> None:
    module = importlib.import_module(package)
    with pytest.raises(AttributeError, match="no attribute 'nothing_of_this_name'"):
        module.nothing_of_this_name  # noqa: B018


def test_a_path_that_never_was_is_not_found() -> None:
    with pytest.raises(ModuleNotFoundError, match=r"congeal\.never_there"):
        importlib.import_module("congeal.never_there")
