"""Who is an outlier is said once: every place that counts them has the same number."""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from growing import grown, noise, stripes
from known_collection import known_collection
from rich.console import Console
from sample_runs import folder, photographs, run, tiny

import congeal
from congeal.alignment.model import Alignment
from congeal.alignment.outcomes import NOTHING_IN_COMMON, OK, SINGLE
from congeal.results.outlier_counts import doubtful, fixed_cameras, not_aligned
from flows.console.summary import show_run, show_status
from flows.runs.report import sentence
from infra.errors import UserError
from infra.ledger.publications import published
from infra.storage.location import Location
from tasks.atlases import atlases_stage
from tasks.clusters import clusters_stage
from tasks.clusters.cluster_roles import Sorting
from tasks.clusters.drift import published_clusters
from tasks.maintenance.status import status
from tasks.maintenance.verify import verify

MISFITS = 2
NOTHING = "the set has nothing in common that could be found"


class Told:
    """A destination with misfits (a), a set with nothing in common (b), one that fits (c), and a stranger."""

    def __init__(self, home: Path, facts: dict[str, Any]) -> None:
        self.place = home / "out"
        self.facts = facts
        self.open = congeal.open(self.place)
        self.cluster = self.open.images.set_index("uri")["cluster_id"].to_dict()


def misled(solve: Callable[..., Alignment], kinds: dict[str, str]) -> Callable[..., Alignment]:
    """The solver, and what it does not find in such small pictures: misfits, a set with nothing in common."""

    def align_set(destination: Any, members: Any, *rest: Any, **more: Any) -> Alignment:
        found = solve(destination, members, *rest, **more)
        seen = {kinds.get(member.image_id) for member in members}
        reasons: list[str | None] = [None] * len(members)
        if seen == {"a"}:
            reasons[1 : 1 + MISFITS] = ["it has few matches"] * MISFITS
        elif seen == {"b"}:
            none = NOTHING_IN_COMMON
            sure = {name: getattr(found, name) * 0 for name in ("forward_confidence", "backward_confidence")}
            return replace(
                found,
                **sure,
                status=none,
                atlas=replace(found.atlas, status=none),
                outlier=np.ones(len(members), bool),
                outlier_reason=[NOTHING] * len(members),
            )
        return replace(
            found,
            status=OK,
            atlas=replace(found.atlas, status=OK),
            outlier=np.array([reason is not None for reason in reasons]),
            outlier_reason=reasons,
        )

    return align_set


def by_kind(kinds: dict[str, str]) -> Callable[..., Sorting]:
    """The split by what is shown, of images in order of their ids; noise is of no kind."""
    labels = np.array(["abc".find(kinds[name]) for name in sorted(kinds)], np.int32)
    medoids = np.array([int(np.flatnonzero(labels == label)[0]) for label in range(3)], np.int32)
    return lambda *_: Sorting(labels, medoids, np.full(len(labels), 0.1, np.float32))


@pytest.fixture(scope="module")
def told(tmp_path_factory: pytest.TempPathFactory, weights: Path) -> Told:
    home = tmp_path_factory.mktemp("outliers")
    files = photographs(5) | {f"c/{seed}.png": stripes(seed) for seed in range(5)} | {"noise.png": noise()}
    kinds = {hashlib.sha256(data).hexdigest()[:32]: name[0] for name, data in files.items()}
    files |= {"broken.png": b"", "copy.png": files["a/0.png"]}
    source = folder(home / "source", files)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(clusters_stage, "sort", by_kind(kinds))
        patch.setattr(atlases_stage, "align_set", misled(atlases_stage.align_set, kinds))
        facts = run(source, home / "out", tiny(weights, "clusters.method=auto", "atlases.atlas_size=24"))
    return Told(home, facts)


def test_every_place_counts_the_same_outliers(told: Told) -> None:
    images, sets, alignments = told.open.images, told.open.clusters, told.open.alignments
    ok = images[images["status"] == "ok"]
    outliers = ok[ok["outlier"].astype(bool)]
    clusterless = int(ok["cluster_id"].isna().sum())
    misfits = int(sets["n_outliers"].sum())
    assert clusterless == 1
    assert misfits == MISFITS + 5 == int(alignments["outlier"].sum())
    assert len(outliers) == clusterless + misfits
    assert set(outliers["image_id"]) == set(alignments[alignments["outlier"]]["image_id"]) | set(
        ok[ok["cluster_id"].isna()]["image_id"]
    )
    now = status(Location.parse(told.place))
    for count in (told.facts["outliers"], now["outliers"], told.open.publication.counts["outliers"]):
        assert count == len(outliers)
    assert f"{len(outliers)} outliers" in repr(told.open)
    assert f"{len(outliers)} outliers" in told.open._repr_html_()
    assert f"{len(outliers)} outliers." in sentence(told.facts)
    for show, facts in ((show_run, told.facts), (show_status, now)):
        console = Console(width=200, record=True, quiet=False, file=open("/dev/null", "w"))  # noqa: SIM115, PTH123
        with console.file:
            show(facts, console)
        kinds = f"{clusterless} in no cluster, {misfits} not fitting their cluster"
        assert f"outliers: {len(outliers)} ({kinds})\n" in console.export_text()
    sql = "SELECT count(*) AS n FROM images WHERE outlier AND status = 'ok'"
    assert told.open.sql(sql)["n"].iloc[0] == len(outliers)


def test_a_failed_image_is_no_outlier_and_a_duplicate_is_what_its_image_is(told: Told) -> None:
    by_uri = told.open.table("images", as_="arrow").to_pylist()
    outlier = {row["uri"]: row["outlier"] for row in by_uri}
    assert outlier["broken.png"] is None
    assert outlier["copy.png"] == outlier["a/0.png"]
    assert outlier["noise.png"] is True


def test_it_is_consistent(told: Told) -> None:
    assert verify(Location.parse(told.place))["faults"] == []


def test_in_a_set_with_nothing_in_common_nothing_is_carried(told: Told) -> None:
    opened, cluster = told.open, told.cluster["b/0.png"]
    assert set(opened.clusters.set_index("cluster_id")["status"]) >= {"ok", NOTHING_IN_COMMON}
    marks = [[20.0, 20.0], [30.0, 40.0], [40.0, 20.0]]
    mask = np.zeros((84, 64), bool)
    asked: list[Callable[[], Any]] = [
        lambda: opened.transfer("b/0.png", marks, "b/1.png"),
        lambda: opened.transfer("b/0.png", marks, ["b/1.png", "b/2.png"]),
        lambda: opened.transfer("b/0.png", marks, "all"),
        lambda: opened.landmarks(marks, "b/0.png"),
        lambda: opened.landmarks(marks, "b/0.png", to=["b/1.png"]),
        lambda: opened.landmarks([[0.0, 0.0]], atlas=cluster),
        lambda: list(opened.propagate(mask, "b/0.png")),
        lambda: list(opened.propagate(np.zeros((8, 8), bool), atlas=cluster)),
        lambda: list(
            opened.propagate_annotations(
                [congeal.transfer.annotations.Annotation("b/0.png", "thing", box=(10, 10, 30, 30))],
                ["b/1.png"],
            )
        ),
    ]
    for ask in asked:
        with pytest.raises(UserError, match=f"within the cluster {cluster}: {NOTHING}") as caught:
            ask()
        assert str(caught.value).count(". ") == 0
    # What it looks like can be seen nevertheless.
    assert opened.atlas(cluster).status == NOTHING_IN_COMMON
    assert (opened.correspondences(cluster=cluster)["confidence"] == 0).all()
    # And elsewhere nothing has changed.
    assert len(opened.transfer("a/0.png", marks, "a/1.png")) == 3


def test_a_single_image_is_its_own_atlas_and_no_outlier(tmp_path: Path, weights: Path) -> None:
    source = folder(tmp_path / "source", {"a/0.png": photographs(1)["a/0.png"]})
    facts = run(source, tmp_path / "out", grown(weights, "clusters.method=single"))
    opened = congeal.open(tmp_path / "out")
    assert opened.clusters["status"].tolist() == [SINGLE]
    assert facts["outliers"] == opened.images["outlier"].sum() == opened.clusters["n_outliers"].sum() == 0
    assert facts["deformation"] == {}
    assert opened.transfer("a/0.png", [[20.0, 20.0]], "a/0.png")["x"].iloc[0] == pytest.approx(20, abs=1)


def test_what_maps_have_beyond_a_pose_is_said(told: Told) -> None:
    sets = told.open.clusters.set_index("cluster_id")
    for cluster, row in sets.iterrows():
        assert row["deformation"] == told.open.atlas(cluster).deformation
    counted = sets[sets["status"] == "ok"]["deformation"].value_counts().to_dict()
    assert told.facts["deformation"] == counted == status(Location.parse(told.place))["deformation"]
    console = Console(width=200, record=True, file=open("/dev/null", "w"))  # noqa: SIM115, PTH123
    with console.file:
        show_run(told.facts | {"deformation": {"rigid": 2, "flow": 1}}, console)
    text = console.export_text()
    assert "fixed camera" not in text
    assert "maps of the clusters: 2 rigid, 1 flow" in text
    assert "keeps the shape of what was marked" in text


def test_an_older_version_is_counted_like_todays(told: Told) -> None:
    """Its publication counts images without a cluster alone."""
    from congeal.results.outlier_counts import outliers

    rows = told.open.table("clusters", as_="arrow").to_pylist()
    assert outliers({"outliers": 1}, rows) == told.facts["outliers"]
    assert outliers({"outliers": 8, "misfits": 7}, rows) == 8
    assert outliers({}, [{"n_outliers": None}, {}]) == 0


def test_clusters_of_a_fixed_camera_are_counted_and_said(told: Told, tmp_path: Path) -> None:
    place = Location.parse(known_collection(tmp_path))
    publication = published(place)
    assert publication is not None
    count = fixed_cameras(published_clusters(place, publication))
    assert count == 1
    console = Console(width=200, record=True, file=open("/dev/null", "w"))  # noqa: SIM115, PTH123
    with console.file:
        show_run(told.facts | {"fixed_camera": count}, console)
    assert "frames of a fixed camera: 1 cluster; what moves is aligned" in console.export_text()


def test_clusters_that_matching_does_not_bear_out_are_said(told: Told, tmp_path: Path) -> None:
    place = Location.parse(known_collection(tmp_path))
    publication = published(place)
    assert publication is not None
    rows = published_clusters(place, publication)
    found = doubtful(rows)
    assert found == [row["cluster_id"] for row in rows if row["match_agreement"] == 0.5]
    assert found
    assert f"doubtful: {len(found)} cluster" in _shown(told.facts | {"doubtful": found})
    assert "doubtful" not in _shown(told.facts | {"doubtful": []})


def test_clusters_that_are_not_aligned_are_said_with_the_features_that_they_need(told: Told) -> None:
    rows = [
        {"cluster_id": f"c{number}", "status": status}
        for number, status in enumerate(["ok", "nothing-in-common", "single", "collapsed", "failed"])
    ]
    found = not_aligned(rows)
    assert found == ["c1", "c3"]
    said = _shown(told.facts | {"not_aligned": found, "backbone": "embedded"})
    assert "not aligned: 2 clusters (c1, c3); the features of the backbone embedded show nothing" in said
    assert "--set features.backbone=dinov2_vits14" in said
    largest = {"not_aligned": found, "backbone": "vit_giant_patch14_dinov2.lvd142m"}
    assert "features.backbone=" not in _shown(told.facts | largest)
    assert "not aligned" not in _shown(told.facts | {"not_aligned": []})


def _shown(facts: dict[str, object]) -> str:
    console = Console(width=200, record=True, file=open("/dev/null", "w"))  # noqa: SIM115, PTH123
    with console.file:
        show_run(facts, console)
    return console.export_text()
