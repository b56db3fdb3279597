"""A collection that an earlier version of the clusters' stage has split grows on by the rule of that one."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pytest
from growing import by_uri, points
from sample_runs import LITTLE_IN_COMMON, folder, photographs, results, run, tiny

import congeal
from congeal.settings import Settings
from infra.ledger.commits import find_marker
from infra.storage.location import Location
from tasks.clusters import clusters_stage
from tasks.clusters.cluster_roles import Sorting, rule_of
from tasks.execution import stage_versions
from tasks.maintenance.verify import verify

NOW = stage_versions.VERSIONS[stage_versions.CLUSTERS]
BEFORE = stage_versions.FIRST_SPLIT


def split(embeddings: Any, settings: Settings, version: int) -> Sorting:
    """By today's rule every second image is of another set; by the one before all are of one."""
    n = len(embeddings)
    labels = (np.arange(n) % 2 if rule_of(version).halve_small else np.zeros(n)).astype(np.int32)
    medoids = np.arange(int(labels.max()) + 1, dtype=np.int32)
    return Sorting(labels, medoids, np.linspace(0, 1, n, dtype=np.float32))


def settings(weights: Path, *more: str) -> Settings:
    return tiny(weights, "clusters.method=auto", LITTLE_IN_COMMON, *more)


class Old(NamedTuple):
    """A source with a destination that an earlier version has made."""

    source: Path
    destination: Path


@pytest.fixture(scope="module", autouse=True)
def rules() -> Iterator[None]:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(clusters_stage, "sort", split)
        yield


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory, weights: Path, rules: None) -> Old:
    home = tmp_path_factory.mktemp("before")
    source = folder(home / "source", photographs(4))
    with pytest.MonkeyPatch.context() as patch:
        patch.setitem(stage_versions.VERSIONS, stage_versions.CLUSTERS, BEFORE)
        patch.setattr(clusters_stage, "VERSION", BEFORE)
        patch.setattr(stage_versions, "SPLIT_BEFORE", ())
        run(source, home / "out", settings(weights))
    return Old(source, home / "out")


@pytest.fixture
def old(made: Old, tmp_path: Path) -> Iterator[Old]:
    """The same with a destination of the test's own; an image that comes in the test goes after it."""
    shutil.copytree(made.destination, tmp_path / "out")
    yield Old(made.source, tmp_path / "out")
    (made.source / "a/9.png").unlink(missing_ok=True)


def image_comes(old: Old) -> None:
    folder(old.source, {"a/9.png": photographs(10)["a/9.png"]})


def made_by(destination: Path, version: str | None = None) -> int:
    """The version of the stage that the clusters of a version of the destination are of."""
    (unit,) = congeal.open(destination, version=version).publication.units[stage_versions.CLUSTERS]
    marker = find_marker(Location.parse(destination), stage_versions.CLUSTERS, unit)
    assert marker is not None
    return marker.stage_version


def test_a_new_destination_is_split_by_the_rule_of_today(old: Old, tmp_path: Path, weights: Path) -> None:
    assert run(old.source, tmp_path / "new", settings(weights))["clusters"] == 2
    assert made_by(tmp_path / "new") == NOW
    assert by_uri(congeal.open(old.destination)).nunique() == 1


def test_one_that_was_split_before_grows_and_keeps_what_it_has(old: Old, weights: Path) -> None:
    before = congeal.open(old.destination)
    kept = results(old.destination)
    image_comes(old)
    facts = run(old.source, old.destination, settings(weights))
    after = congeal.open(old.destination)
    assert facts["version"] == 2
    assert made_by(old.destination) == BEFORE
    clusters = by_uri(after)
    assert clusters.drop("a/9.png").equals(by_uri(before))
    assert clusters.nunique() == 1
    assert points(after).loc[points(before).index].equals(points(before))
    assert kept.items() <= results(old.destination).items()
    for version in ("1", "2"):
        assert verify(Location.parse(old.destination), version=version)["faults"] == []
    assert run(old.source, old.destination, settings(weights))["up_to_date"]


def test_with_nothing_new_its_units_are_taken_as_they_are(old: Old, weights: Path) -> None:
    before = results(old.destination)
    facts = run(old.source, old.destination, settings(weights))
    assert sum(stage["units_made"] for stage in facts["stages"]) == 0
    assert results(old.destination) == before


def test_split_anew_it_follows_the_rule_of_today_and_keeps_to_it(old: Old, weights: Path) -> None:
    facts = run(old.source, old.destination, settings(weights, "clusters.growth=anew"))
    assert facts["clusters"] == 2
    assert made_by(old.destination) == NOW
    image_comes(old)
    facts = run(old.source, old.destination, settings(weights))
    assert facts["clusters"] == 2
    assert (made_by(old.destination, "1"), made_by(old.destination)) == (BEFORE, NOW)


def test_clusters_that_were_lost_are_made_again_by_their_rule(old: Old, weights: Path) -> None:
    before = results(old.destination)
    shutil.rmtree(old.destination / "stages/clusters")
    run(old.source, old.destination, settings(weights))
    assert results(old.destination) == before
