from __future__ import annotations

from pathlib import Path

import pytest
from iceberg_readers import Grown
from known_index import known_index
from sample_runs import folder, photographs, run, tiny

from infra.ledger.publications import published
from infra.storage.location import Location
from tasks.publication import current_iceberg_tables


@pytest.fixture(scope="session")
def grown(tmp_path_factory: pytest.TempPathFactory, weights: Path) -> Grown:
    """Two versions: an image came. To be read only."""
    home = tmp_path_factory.mktemp("iceberg")
    source = folder(home / "source", photographs(2))
    facts = [run(source, home / "out", tiny(weights))]
    folder(source, {"c/new.png": photographs(3)["a/2.png"]})
    facts.append(run(source, home / "out", tiny(weights)))
    return Grown(home, facts)


@pytest.fixture
def known(tmp_path: Path) -> Location:
    place = Location.parse(tmp_path / "known")
    first = known_index(place)
    current_iceberg_tables.refresh(place, published(place) or first)
    return place
