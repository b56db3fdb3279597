"""What was made at an earlier commit still opens, answers, verifies and grows."""

from __future__ import annotations

import os
import shutil
from pathlib import Path

import pandas as pd
import pytest
from growing import by_uri, grown, move, points
from old_destination import available, make
from sample_runs import folder, picture, run

import congeal
from infra.storage import Location
from tasks.verify import verify

pytestmark = [
    pytest.mark.slow,
    pytest.mark.timeout(900),
    pytest.mark.skipif(
        not available() and "CONGEAL_OLD_DESTINATION" not in os.environ,
        reason="needs a clone with the commit, or CONGEAL_OLD_DESTINATION",
    ),
]


@pytest.fixture(scope="module")
def old(tmp_path_factory: pytest.TempPathFactory) -> Path:
    kept = os.environ.get("CONGEAL_OLD_DESTINATION")
    return Path(kept) if kept else make(tmp_path_factory.mktemp("old"))


def test_it_opens_and_answers(old: Path) -> None:
    opened = congeal.open(old / "destination")
    assert len(opened.images) == 17
    assert opened.images["status"].value_counts().to_dict() == {"ok": 16, "failed": 1}
    found = opened.sql("SELECT count(*) AS n, count(DISTINCT uri) AS images FROM landmarks")
    assert found["n"][0] == len(opened.correspondences())
    assert found["images"][0] == 16
    assert len(opened.transfer("a/0.png", [[30, 30]], "all")) > 0
    cluster = opened.clusters["cluster_id"].iloc[0]
    assert opened.atlas(cluster).features.ndim == 3
    assert set(opened.pictures(cluster)) >= {"members", "aligned"}
    assert opened.nearest("a/0.png", 3)["rank"].tolist() == [1, 2, 3]


def test_it_verifies(old: Path) -> None:
    facts = verify(Location.parse(old / "destination"))
    assert (facts["faults"], facts["notes"]) == ([], [])


def test_it_grows(old: Path, tmp_path: Path) -> None:
    shutil.copytree(old / "source", tmp_path / "source")
    shutil.copytree(old / "destination", tmp_path / "out")
    recorded = Path(congeal.open(tmp_path / "out").publication.source.removeprefix("file://"))
    move(tmp_path / "out", recorded, tmp_path / "source")
    before = congeal.open(tmp_path / "out")
    folder(tmp_path / "source", {"a/9.png": picture(0, 9)})
    facts = run(tmp_path / "source", tmp_path / "out", grown(old / "tiny.safetensors"))
    assert (facts["version"], facts["iceberg_fault"]) == (2, None)
    after = congeal.open(tmp_path / "out")
    assert by_uri(after).drop("a/9.png").equals(by_uri(before))
    kept = points(before)
    pd.testing.assert_frame_equal(points(after).loc[kept.index], kept)
    features = next(stage for stage in facts["stages"] if stage["stage"] == "features")
    assert features["items_made"] == 1
    assert verify(Location.parse(tmp_path / "out"))["faults"] == []
    assert verify(Location.parse(tmp_path / "out"), version="1")["faults"] == []
    assert len(congeal.open(tmp_path / "out", version=1).images) == 17
