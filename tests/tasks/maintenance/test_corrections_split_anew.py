"""Corrections that give images of one cluster another one's name, when everything is split anew."""

from __future__ import annotations

from pathlib import Path

import pytest
from growing import by_uri, grown
from sample_runs import folder, photographs, run

import congeal
from congeal.results.published_version import Published
from infra.storage.location import Location
from tasks.atlases.atlas_identity import grown as named
from tasks.maintenance import correct
from tasks.maintenance.verify import verify

WHO = correct.Given("ann", "they are the same")
ANEW = "clusters.growth=anew"


def test_the_same_images_under_another_name_are_another_unit() -> None:
    (own, _), (other, _), (third, _) = (
        named("0" * 32, None, False, None, called) for called in (None, "c00000000001", "c00000000002")
    )
    assert own == "0" * 32
    assert len({own, other, third}) == 3


@pytest.mark.slow
def test_images_that_came_back_under_another_name_have_an_atlas_of_that_name(
    tmp_path: Path, weights: Path
) -> None:
    source, place = folder(tmp_path / "source", photographs(6)), tmp_path / "destination"
    run(source, place, grown(weights))
    before = by_uri(congeal.open(place))
    a, b = before["a/0.png"], before["b/0.png"]
    correct.merge(Published(Location.parse(place)), [a, b], WHO, force=True)
    run(source, place, grown(weights))
    leaving = sorted(before.index[before == b])
    new = correct.split(Published(Location.parse(place)), a, leaving, WHO)["clusters"][1]
    run(source, place, grown(weights))
    run(source, place, grown(weights, ANEW))
    collection = congeal.open(place)
    clusters = by_uri(collection)
    assert sorted(clusters.index[clusters == new]) == leaving
    for table in (collection.clusters, collection.alignments, collection.correspondences(cluster=new)):
        assert new in set(table["cluster_id"])
        assert b not in set(table["cluster_id"])
    assert verify(Location.parse(place))["faults"] == []
