from __future__ import annotations

import hashlib
from pathlib import Path

import numpy as np
import pytest
from sample_runs import folder, picture

from congeal.settings import Settings
from infra.storage.location import Location
from tasks.catalog.image_reading import Unreadable, read_same
from tasks.distillation import target_shards
from tasks.features.run_backbone import Weights


@pytest.mark.parametrize("kind", target_shards.KINDS)
def test_an_image_that_has_changed_is_not_taught_under_its_old_id(tmp_path: Path, kind: str) -> None:
    files = {"a.png": picture(0, 0), "b.png": picture(0, 1)}
    source = Location.parse(folder(tmp_path, files))
    named = [(hashlib.sha256(data).hexdigest()[:32], name) for name, data in files.items()]
    members = tuple((one, 0) for one in named)
    asked = target_shards.TargetsPayload(
        source, Settings(), Weights("embedded", None, "weights"), kind, target_shards.Sizes(4, 8, 4), members
    )
    before = list(target_shards._views(asked))
    assert len(before) == 2
    folder(tmp_path, {"a.png": picture(1, 7)})
    (left,) = target_shards._views(asked)
    np.testing.assert_array_equal(left[0], before[1][0])
    (tmp_path / "b.png").unlink()
    assert list(target_shards._views(asked)) == []


def test_what_was_catalogued_is_read_and_nothing_else(tmp_path: Path) -> None:
    source = Location.parse(folder(tmp_path, {"a.png": b"bytes"}))
    name = hashlib.sha256(b"bytes").hexdigest()[:32]
    assert read_same(source, (name, "a.png")) == b"bytes"
    for member, words in (
        (("0" * 32, "a.png"), "changed since it was catalogued"),
        ((name, None), "no longer in the source"),
        ((name, "b.png"), "does not exist"),
    ):
        found = read_same(source, member)
        assert isinstance(found, Unreadable)
        assert found.unread
        assert words in found.reason
