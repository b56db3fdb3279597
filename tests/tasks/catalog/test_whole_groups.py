"""Whole groups of known ones, for a sample in which sets are as large as they are."""

from __future__ import annotations

from pathlib import Path

from congeal.settings import CatalogSettings
from infra.storage.location import Location
from tasks.catalog.listed_groups import whole_groups
from tasks.catalog.source_listing import Survey

SIZES = {"a": 9, "b": 2, "c": 5, "d": 4}


def taken(folder: Path, method: str, most: int) -> dict[str, int]:
    """How many images of each folder are taken."""
    for name, count in SIZES.items():
        (folder / name).mkdir(parents=True, exist_ok=True)
        for number in range(count):
            (folder / name / f"{number}.jpg").write_bytes(b"x")
    with Survey(Location.parse(folder), CatalogSettings()) as survey:
        found = whole_groups(survey, method, most)
        survey.rest()
    assert found is not None
    return {name: sum(path.startswith(f"{name}/") for path in found) for name in SIZES}


def test_large_and_small_ones_are_taken_whole(tmp_path: Path) -> None:
    assert taken(tmp_path, "folder", 12) == {"a": 9, "b": 2, "c": 0, "d": 0}
    assert taken(tmp_path, "folder", 100) == SIZES


def test_of_one_that_is_too_large_a_part_is_taken(tmp_path: Path) -> None:
    assert taken(tmp_path, "folder", 6) == {"a": 6, "b": 0, "c": 0, "d": 0}


def test_where_groups_are_not_known_there_are_none(tmp_path: Path) -> None:
    (tmp_path / "a.jpg").write_bytes(b"x")
    with Survey(Location.parse(tmp_path), CatalogSettings()) as survey:
        assert whole_groups(survey, "auto", 10) is None
        survey.rest()
