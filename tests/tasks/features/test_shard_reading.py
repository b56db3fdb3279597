"""A shard of features is opened once for a way to its store, and again for another."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import pytest

from infra.settings import StorageSettings
from infra.storage.location import Location
from tasks.features import shard_reading
from tasks.features.shard_reading import opened_shard


def test_a_shard_kept_open_is_not_that_of_another_endpoint(monkeypatch: pytest.MonkeyPatch) -> None:
    opened: list[str] = []

    def group_of(home: Location) -> Any:
        opened.append(home.options["endpoint_url"])
        return SimpleNamespace(attrs=SimpleNamespace(asdict=dict))

    monkeypatch.setattr(shard_reading, "sealed", lambda place: place)
    monkeypatch.setattr(shard_reading, "open_group", group_of)
    monkeypatch.setattr(shard_reading, "_reader", lambda home, path: None)
    ends = ["http://127.0.0.1:1", "http://127.0.0.1:2"]
    places = [Location.parse("s3://bucket/of-two", StorageSettings(endpoint_url=end)) for end in ends]
    for place in (*places, *places):
        opened_shard(place, "scope/unit", "content")
    assert opened == ends
