from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from infra.ledger.commits import digest
from tasks.index.index_partition import STRETCH, ClusterPart, buckets

Sizes = list[tuple[str, int]]


def cut(sizes: Sizes, images: int) -> list[list[ClusterPart]]:
    return list(buckets([(name, f"unit of {name}", size) for name, size in sorted(sizes)], images))


named = st.dictionaries(
    st.integers(0, 10**6).map(lambda n: "c" + digest(n, length=10)), st.integers(1, 70), max_size=80
)


@given(named, st.integers(1, 60))
def test_every_image_is_in_one_bucket_and_in_order(sizes: dict[str, int], images: int) -> None:
    parts = [part for bucket in cut(list(sizes.items()), images) for part in bucket]
    assert [(part.cluster_id, part.start) for part in parts] == sorted((p.cluster_id, p.start) for p in parts)
    for name, size in sizes.items():
        mine = [part for part in parts if part.cluster_id == name]
        assert [part.start for part in mine] == [0, *(part.stop for part in mine[:-1])]
        assert mine[-1].stop == size


@given(named, st.integers(1, 60))
def test_no_bucket_is_too_large(sizes: dict[str, int], images: int) -> None:
    for bucket in cut(list(sizes.items()), images):
        held = sum(part.stop - part.start for part in bucket)
        assert 0 < held <= STRETCH * images
        if any(sizes[part.cluster_id] > images for part in bucket):
            # A large cluster shares its buckets with none.
            assert len(bucket) == 1
            assert held <= images


def test_a_cluster_that_comes_changes_few_buckets() -> None:
    sizes = [("c" + digest(n, length=10), 20) for n in range(2000)]
    before = {tuple(bucket) for bucket in cut(sizes, 1000)}
    assert 30 < len(before) < 80
    changed = []
    for n in range(2000, 2020):
        after = {tuple(bucket) for bucket in cut([*sizes, ("c" + digest(n, length=10), 20)], 1000)}
        changed.append(len(after - before))
    # The one that it falls into; where that is full, it hands some on to the next. Never all.
    assert sorted(changed)[len(changed) // 2] <= 2
    assert max(changed) <= 8
