"""A destination made by an earlier commit is opened, asked, verified and grown by this one.

What may differ from what that commit answered: columns that have come since (null, or known from what is
stored), what a column is said to mean, and the columns in NEW_MEANING. What may not: ids, points and maps.
"""

from __future__ import annotations

import hashlib
import re
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import old_destination
import pandas as pd
import pytest

import congeal
from congeal.errors import CongealError
from congeal.settings import load_settings
from flows.runs.prepare import prepare
from flows.runs.stages import everything
from infra.compute.progress import Progress
from infra.errors import UserError
from infra.storage.location import Location
from tasks.maintenance.prune import prune
from tasks.maintenance.status import status
from tasks.maintenance.verify import verify

pytestmark = [pytest.mark.slow, pytest.mark.timeout(1800)]

# Columns whose value is told anew where an old table is read.
NEW_MEANING = {("images", "outlier")}
KEYS = {
    "images": ["uri"],
    "clusters": ["cluster_id"],
    "alignments": ["image_id"],
    "correspondences": ["cluster_id", "image_id", "point_id"],
}
# These change with every version; all else that is there stays.
POINTERS = ("congeal.json", "backbone.json", "published/current.json", "published/tables.json", "working/")


@pytest.fixture(scope="module")
def old(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with source, destination and answers; to be read only."""
    if not old_destination.history():
        pytest.skip(f"there is no git history with {old_destination.COMMIT} here")
    home: Path = tmp_path_factory.mktemp("old")
    old_destination.make(home)
    return home


def answer(old: Path, name: str) -> pd.DataFrame:
    return pd.read_parquet(old / "answers" / f"{name}.parquet")


def same(found: pd.DataFrame, expected: pd.DataFrame) -> None:
    """The same values, whatever type a column has."""
    assert len(found) == len(expected)
    for name in expected.columns:
        one, other = found[name].reset_index(drop=True), expected[name].reset_index(drop=True)
        if pd.api.types.is_float_dtype(other):
            np.testing.assert_allclose(one.astype(float), other.astype(float), rtol=1e-6, err_msg=name)
        else:
            missing = other.isna()
            assert (one.isna() == missing).all(), name
            assert one[~missing].astype(str).tolist() == other[~missing].astype(str).tolist(), name


@pytest.mark.parametrize("table", list(KEYS))
def test_its_tables_say_what_they_said(old: Path, table: str) -> None:
    found = congeal.open(old / "destination").table(table).sort_values(KEYS[table])
    expected = answer(old, table).sort_values(KEYS[table])
    kept = [name for name in expected.columns if (table, name) not in NEW_MEANING]
    same(found, expected[kept])


def test_its_maps_are_the_same(old: Path) -> None:
    collection = congeal.open(old / "destination")
    rows = answer(old, "images")
    images = rows.loc[rows["cluster_id"].notna(), "image_id"]
    assert len(images) >= old_destination.THEN
    for image_id in images:
        maps = collection.maps(image_id)
        with np.load(old / "answers" / f"{image_id}.npz") as expected:
            for name in expected.files:
                np.testing.assert_array_equal(getattr(maps, name), expected[name])


def test_what_is_carried_arrives_where_it_did(old: Path) -> None:
    collection = congeal.open(old / "destination")
    points = [[40.0, 30.0], [60.0, 50.0], [50.0, 70.0]]
    fits = answer(old, "alignments").query("not outlier")["image_id"]
    rows = answer(old, "images").sort_values("uri")
    rows = rows[rows["image_id"].isin(fits)]
    carried = [path.stem.removeprefix("transfer-") for path in (old / "answers").glob("transfer-*.parquet")]
    assert carried
    for cluster in carried:
        first = rows.loc[rows["cluster_id"] == cluster, "uri"].iloc[0]
        same(collection.transfer(first, points, "all"), answer(old, f"transfer-{cluster}"))
        marked = collection.landmarks(points, first)
        same(marked, answer(old, f"landmarks-{cluster}"))
        # Of so few images there may be none, or their maps bear none: then a sentence says so.
        refused = ""
        try:
            assert collection.shapes(marked) is not None
        except (CongealError, UserError) as error:
            refused = str(error)
        assert "\n" not in refused


def test_it_is_asked_in_sql(old: Path) -> None:
    collection = congeal.open(old / "destination")
    counted = collection.sql("SELECT status, count(*) AS n FROM images GROUP BY status")
    assert counted["n"].sum() == len(answer(old, "images"))
    found = collection.sql(
        "SELECT c.cluster_id, c.status, count(*) AS n FROM clusters c JOIN alignments a USING (cluster_id) "
        "JOIN correspondences p USING (cluster_id, image_id) GROUP BY ALL"
    )
    assert found["n"].sum() == len(answer(old, "correspondences"))


def test_every_version_of_it_is_sound(old: Path) -> None:
    place = Location.parse(old / "destination")
    for version in (None, "1", "2"):
        assert verify(place, version=version)["faults"] == []
    facts = status(place)
    assert facts["versions"][0].startswith("0" * 5) or len(facts["versions"]) == 2
    assert all(stage["missing"] == stage["damaged"] == 0 for stage in facts["stages"])
    assert congeal.open(old / "destination", version="1").publication.number == 1


def test_pruning_would_take_the_version_before(old: Path) -> None:
    before = contents(old / "destination")
    facts = prune(Location.parse(old / "destination"), older_than=0, dry_run=True)
    assert len(facts["kept_versions"]) == len(facts["removed_versions"]) == 1
    assert contents(old / "destination") == before


def contents(place: Path) -> dict[str, str]:
    return {
        path.relative_to(place).as_posix(): hashlib.sha256(path.read_bytes()).hexdigest()
        for path in sorted(place.rglob("*"))
        if path.is_file()
    }


def moved(old: Path, home: Path) -> Path:
    """A copy of source and destination, the one naming the other."""
    for name in ("source", "destination"):
        shutil.copytree(old / name, home / name)
    for version in (home / "destination").glob("published/versions/*.json"):
        version.write_text(version.read_text().replace(f"file://{old}", f"file://{home}"))
    return home


def grown(home: Path) -> dict[str, Any]:
    settings = load_settings(None, list(old_destination.SETTINGS), environ={})
    job = prepare(str(home / "source"), str(home / "destination"), settings)
    with job.survey:
        return everything(job, Progress(quiet=True))


def test_it_grows(old: Path, tmp_path: Path) -> None:
    home = moved(old, tmp_path)
    before = contents(home / "destination")
    old_destination.add_images(home / "source", old_destination.SINCE)
    facts = grown(home)
    new = len(old_destination.KINDS) * (old_destination.SINCE - old_destination.THEN)
    made = {row["stage"]: row for row in facts["stages"]}
    assert made["features"]["items_made"] == new
    # Nothing that was there is lost or another.
    after = contents(home / "destination")
    kept = {path: found for path, found in before.items() if not path.startswith(POINTERS)}
    assert after.items() >= kept.items()
    place = Location.parse(home / "destination")
    for version in (None, "1", "2"):
        assert verify(place, version=version)["faults"] == []
    collection = congeal.open(home / "destination")
    assert collection.publication.number == 3
    images, was = collection.images.set_index("uri"), answer(old, "images").set_index("uri")
    assert len(images) == len(was) + new
    for column in ("image_id", "cluster_id", "width", "height"):
        theirs = images.loc[was.index, column].astype(object)
        assert (
            theirs.where(theirs.notna(), None).tolist()
            == was[column].astype(object).where(was[column].notna(), None).tolist()
        )
    # The points of the images that were there have not moved.
    points = collection.correspondences().set_index(KEYS["correspondences"])
    expected = answer(old, "correspondences").set_index(KEYS["correspondences"])
    pd.testing.assert_frame_equal(points.loc[expected.index, ["x", "y"]], expected[["x", "y"]])
    for image_id in was.loc[was["cluster_id"].notna(), "image_id"]:
        with np.load(old / "answers" / f"{image_id}.npz") as maps:
            np.testing.assert_array_equal(collection.maps(image_id).forward, maps["forward"])
    assert grown(home)["up_to_date"]


def test_an_image_it_does_not_have_is_said_so(old: Path) -> None:
    with pytest.raises(UserError, match=re.escape("There is no image 'no/such.jpg'")):
        congeal.open(old / "destination").find("no/such.jpg")
