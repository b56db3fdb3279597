"""Two versions side by side say what their rows, held in memory, would say."""

from __future__ import annotations

import itertools
from pathlib import Path

import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from known_collection import BIRDS, BOATS, MEMBERS, known_collection, republished

from congeal.results.published_version import Published
from congeal.results.schema.tables import IMAGES
from congeal.results.version_comparison import ClusterOfImage, Renamed, compare
from infra.ledger.publications import versions
from infra.storage.location import Location

NUMBER = itertools.count()
# What becomes of an image: its path, its cluster, whether it can be used.
FATES = st.tuples(
    st.sampled_from(["", "y/", "z/"]),
    st.sampled_from([BIRDS, BOATS, "c00000000003", None]),
    st.sampled_from(["ok", "ok", "ok", "failed", "gone"]),
)


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return known_collection(tmp_path_factory.mktemp("versions"))


def publish(place: Path, fates: dict[str, tuple[str, str | None, str]]) -> Published:
    """A version in which images have these fates; those that are named here and were not there are new."""

    def images(found: pa.Table) -> tuple[pa.Table, pa.Schema]:
        rows = {str(row["uri"]): row for row in found.to_pylist()}
        fresh = {"uri": "", "bytes": 1, "outlier": False}
        rows |= {
            name: dict.fromkeys(IMAGES.names) | fresh | {"image_id": f"{at:032x}"}
            for at, name in enumerate(sorted(fates.keys() - rows.keys()))
        }
        kept = [
            rows[name] | {"uri": folder + name, "cluster_id": cluster, "status": status}
            for name, (folder, cluster, status) in fates.items()
            if status != "gone"
        ]
        return pa.Table.from_pylist(sorted(kept, key=lambda row: str(row["uri"])), schema=IMAGES), IMAGES

    first = Location.parse(place)
    republished(place, f"version {next(NUMBER)}", images)
    return Published(first, versions(first)[-1])


NAMES = [name for name, *_ in MEMBERS] + ["new/é.png", "new/\U0001f431.png", "new/Z.png"]


@settings(max_examples=8)
@given(*(st.fixed_dictionaries(dict.fromkeys(NAMES, FATES)) for _ in range(2)))
def test_images_are_told_as_if_all_were_in_memory(
    place: Path, then: dict[str, tuple[str, str | None, str]], today: dict[str, tuple[str, str | None, str]]
) -> None:
    before, after = publish(place, then), publish(place, today)
    was, now = (
        {
            row["image_id"]: (row["uri"], row["cluster_id"])
            for row in version.tables.dataset("images").to_table().to_pylist()
            if row["status"] == "ok"
        }
        for version in (before, after)
    )
    found = compare(before, after, follow=0).images
    both = was.keys() & now.keys()
    assert (found.before, found.after) == (len(was), len(now))
    assert found.come == sorted(uri for name, (uri, _) in now.items() if name not in was)
    assert found.gone == sorted(uri for name, (uri, _) in was.items() if name not in now)
    renamed = [Renamed(name, was[name][0], now[name][0]) for name in both if was[name][0] != now[name][0]]
    assert found.renamed == sorted(renamed, key=lambda one: one.after)
    moved = [
        ClusterOfImage(name, now[name][0], was[name][1], now[name][1])
        for name in both
        if was[name][1] != now[name][1]
    ]
    assert found.other_cluster == sorted(moved, key=lambda one: one.uri)
    members = [
        {cluster: {name for name, (_, mine) in of.items() if mine == cluster} for cluster in (BIRDS, BOATS)}
        for of in (was, now)
    ]
    changed = {one.cluster_id: (one.joined, one.left) for one in compare(before, after, follow=0).changed}
    assert changed == {
        cluster: (
            len(members[1][cluster] - members[0][cluster]),
            len(members[0][cluster] - members[1][cluster]),
        )
        for cluster in (BIRDS, BOATS)
        if members[0][cluster] != members[1][cluster]
    }
    few = compare(before, after, follow=0, most=1)
    assert (few.images.come, few.images.n_come) == (found.come[:1], len(found.come))
    assert (few.images.other_cluster, few.images.n_other_cluster) == (found.other_cluster[:1], len(moved))
    assert ([one.cluster_id for one in few.changed], few.n_changed) == (sorted(changed)[:1], len(changed))


def test_of_a_cluster_that_keeps_no_image_no_points_are_followed(place: Path) -> None:
    as_it_was: dict[str, tuple[str, str | None, str]] = {
        name: ("", cluster, "ok") for name, cluster, *_ in MEMBERS
    }
    swapped: dict[str, tuple[str, str | None, str]] = {
        name: ("", BOATS if cluster == BIRDS else BIRDS, "ok") for name, cluster, *_ in MEMBERS
    }
    pool = pa.default_memory_pool().backend_name
    found = compare(publish(place, as_it_was), publish(place, swapped))
    assert pa.default_memory_pool().backend_name == pool  # of the whole process, which may be somebody else's
    assert [(one.cluster_id, one.points) for one in found.changed] == [(BIRDS, None), (BOATS, None)]
