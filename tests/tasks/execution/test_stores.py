"""A collection is begun, taken up, grown and looked at again on every kind of store."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from s3_stub import s3_stub, url_of
from sample_runs import folder, photographs, picture, results, run, tiny

from infra.errors import StorageError, UserError
from infra.ledger.run_lock import RUN, locked
from infra.settings import StorageSettings
from infra.storage.location import Location
from tasks.maintenance.verify import verify

FILES = photographs(2)


@pytest.fixture(
    params=[
        "unnamed",
        pytest.param("bare", marks=pytest.mark.slow),
        pytest.param("ignored", marks=pytest.mark.slow),
    ]
)
def store(request: pytest.FixtureRequest) -> Iterator[tuple[Location, StorageSettings]]:
    """An empty place on a server that keeps conditional puts in its way, or not at all."""
    with s3_stub(request.param) as server:
        settings = StorageSettings(endpoint_url=url_of(server), single_writer=request.param == "ignored")
        yield Location.parse("s3://bucket/dest", settings), settings


@pytest.mark.slow
def test_from_the_first_run_to_the_second_version(
    store: tuple[Location, StorageSettings], tmp_path: Path, weights: Path
) -> None:
    place, storage = store
    source = folder(tmp_path / "source", FILES)
    settings = tiny(weights, storage=storage)
    assert run(source, place, settings)["published"]
    assert run(source, place, settings)["up_to_date"]

    before = results(place)
    markers = sorted(path for path in before if path.startswith("stages/") and path.endswith("_commit.json"))
    for path in markers[1::2]:
        (place / path).delete()
    facts = run(source, place, settings)
    assert sum(stage["units_made"] for stage in facts["stages"]) == len(markers[1::2])
    assert results(place) == before

    folder(source, {"a/new.png": picture(0, 77)})
    facts = run(source, place, settings)
    assert (facts["version"], facts["images"]["ok"]) == (2, len(FILES) + 1)
    assert verify(place)["faults"] == []


def test_a_store_that_ignores_conditions_is_refused_before_anything_is_written(
    tmp_path: Path, weights: Path
) -> None:
    source = folder(tmp_path / "source", FILES)
    with s3_stub("ignored") as server:
        storage = StorageSettings(endpoint_url=url_of(server))
        place = Location.parse("s3://bucket/dest", storage)
        with pytest.raises(StorageError, match=r"s3://bucket/dest ignores If-None-Match"):
            run(source, place, tiny(weights, storage=storage))
        assert server.objects == {}


def test_the_second_writer_of_such_a_store_is_refused(tmp_path: Path, weights: Path) -> None:
    source = folder(tmp_path / "source", FILES)
    with s3_stub("ignored") as server:
        storage = StorageSettings(endpoint_url=url_of(server), single_writer=True)
        place = Location.parse("s3://bucket/dest", storage)
        with (
            locked(place, RUN, alone=True),
            pytest.raises(UserError, match=r"A run is at work in s3://bucket/dest, .*storage\.single_writer"),
        ):
            run(source, place, tiny(weights, storage=storage))
        assert not (place / "published").exists()
