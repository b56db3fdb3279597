"""A report on a collection that has grown: places stay, and only what has changed is made again."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pyarrow.parquet as pq
import pytest
import report_reader
from sample_runs import folder, picture, run, tiny

from infra.storage.location import Location
from tasks.report.report_key import manifest_of
from tasks.report.tidy import tidy


def places(home: Path) -> dict[str, tuple[float, float]]:
    facts = report_reader.index(home)
    rows = pq.read_table(home / facts["map"]["parquet"]).to_pylist()
    return {row["uri"]: (row["x"], row["y"]) for row in rows}


def units(home: Path) -> set[str]:
    return {str(path.parent) for path in home.rglob("_commit.json")}


@pytest.fixture(scope="module")
def grown(tmp_path_factory: pytest.TempPathFactory, weights: Path) -> tuple[Any, Any, Path]:
    home = tmp_path_factory.mktemp("grown")
    source, destination = home / "source", home / "out"
    folder(source, {f"a/{seed}.png": picture(0, seed) for seed in range(5)})
    run(source, destination, tiny(weights))
    before = places(destination / "report"), units(destination / "report")
    folder(source, {f"a/{seed}.png": picture(0, seed) for seed in (5, 6)})
    run(source, destination, tiny(weights))
    return before, (places(destination / "report"), units(destination / "report")), destination


def test_places_stay_when_the_collection_grows(grown: Any) -> None:
    (before, _), (after, _), destination = grown
    assert len(after) == len(before) + 2
    assert {name: after[name] for name in before} == before
    assert np.isfinite(np.array(list(after.values()))).all()
    facts = report_reader.index(destination / "report")
    assert (facts["version"], facts["map"]["fitted"], facts["map"]["placed"]) == (2, 5, 2)


def test_whoever_has_the_earlier_page_open_keeps_its_files(grown: Any) -> None:
    (_, before), (_, after), destination = grown
    assert before < after
    folder = Location.parse(destination / "report")
    assert tidy(folder, manifest_of(folder)["named"]) == []  # young


def test_what_no_page_names_goes_when_it_is_old(grown: Any, tmp_path: Path) -> None:
    import shutil
    from datetime import timedelta

    _, _, destination = grown
    home = Path(shutil.copytree(destination / "report", tmp_path / "report"))
    place = Location.parse(home)
    named = manifest_of(place)["named"]
    gone = tidy(place, named, timedelta(seconds=-60))
    assert gone
    assert not set(gone) & set(named)
    facts = report_reader.index(home)
    report_reader.members(home, facts, 0)
    for path in (facts["map"]["parquet"], *facts["sheets"]["path"], *facts["wall"]["path"]):
        assert (home / path).is_file()
