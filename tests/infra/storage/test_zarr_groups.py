from __future__ import annotations

import hashlib
import json
import os
import subprocess
import sys
from typing import Any

import numpy as np
import pytest
import zarr
from zarr.storage import FsspecStore

from infra.errors import DamagedError, MissingError
from infra.storage.location import Location
from infra.storage.zarr_groups import ArraySpec, encode_group, open_group, read_from

GENERATOR = np.random.default_rng(0)
FEATURES = GENERATOR.normal(size=(5, 4, 4, 3)).astype(np.float16)


def group() -> dict[str, ArraySpec]:
    return {
        "features": ArraySpec(
            FEATURES, ("image", "row", "column", "channel"), chunks=(1, 4, 4, 3), attributes={"unit": "none"}
        ),
        "maps/forward": ArraySpec(np.arange(24.0, dtype=np.float32).reshape(2, 3, 4), ("image", "v", "u")),
        "counts": ArraySpec(np.zeros(3, np.int32), ("image",)),
    }


def write(location: Location, files: dict[str, bytes]) -> None:
    for path, data in files.items():
        (location / path).write_bytes(data)


def test_a_group_is_read_back_from_every_store(location: Location) -> None:
    write(location / "g.zarr", encode_group(group(), {"image_ids": ["a", "b"]}))
    read: Any = open_group(location / "g.zarr")
    assert dict(read.attrs) == {"image_ids": ["a", "b"]}
    features: Any = read["features"]
    assert features.dtype == np.float16
    assert dict(features.attrs) == {"unit": "none"}
    np.testing.assert_array_equal(features[3:5], FEATURES[3:5])
    np.testing.assert_array_equal(features[:], FEATURES)
    np.testing.assert_array_equal(read["maps/forward"][1], np.arange(12.0, 24.0).reshape(3, 4))
    assert sorted(read.group_keys()) == ["maps"]
    assert not isinstance(read["counts"], zarr.Group)


@pytest.mark.parametrize("rows", [None, [], [3], [4, 0, 0, 2]])
def test_rows_come_in_the_order_asked_for_however_an_array_lies(
    memory_location: Location, rows: list[int] | None
) -> None:
    counts = np.arange(5, dtype=np.int32)
    arrays = group() | {
        "counts": ArraySpec(counts, ("image",)),
        "none": ArraySpec(FEATURES[:0], tuple("iruc")),
    }
    write(memory_location / "g.zarr", encode_group(arrays, {}))
    home = memory_location / "g.zarr"
    read, wanted = open_group(home), slice(None) if rows is None else rows
    np.testing.assert_array_equal(read_from(home, read, "features", rows), FEATURES[wanted])
    np.testing.assert_array_equal(read_from(home, read, "counts", rows), counts[wanted])
    assert read_from(home, read, "none").shape == (0, 4, 4, 3)
    with pytest.raises(DamagedError, match="no array angles"):
        read_from(home, read, "angles", rows)


def test_axes_are_named_and_one_array_is_one_object() -> None:
    files = encode_group(group(), {})
    facts = json.loads(files["features/zarr.json"])
    assert facts["dimension_names"] == ["image", "row", "column", "channel"]
    assert facts["zarr_format"] == 3
    assert facts["fill_value"] == "NaN"
    assert json.loads(files["counts/zarr.json"])["fill_value"] == 0
    [codec] = facts["codecs"]
    assert codec["name"] == "sharding_indexed"
    assert codec["configuration"]["chunk_shape"] == [1, 4, 4, 3]
    assert [path for path in files if path.startswith("features/c/")] == ["features/c/0/0/0/0"]
    plain = json.loads(files["maps/forward/zarr.json"])
    assert [codec["name"] for codec in plain["codecs"]] == ["bytes", "zstd", "crc32c"]
    assert "maps/zarr.json" in files
    assert "zarr.json" in files


def test_nothing_is_consolidated() -> None:
    assert "consolidated_metadata" not in json.loads(encode_group(group(), {})["zarr.json"])


def test_the_same_arrays_give_the_same_bytes() -> None:
    first = encode_group(group(), {"b": 1, "a": 2})
    again = encode_group(dict(reversed(group().items())), {"b": 1, "a": 2})
    assert first == again
    assert list(first) == list(again)


def test_memory_order_does_not_show() -> None:
    spec = ArraySpec(np.asfortranarray(FEATURES[:, :, 0, 0]), ("a", "b"))
    same = ArraySpec(np.ascontiguousarray(FEATURES[:, :, 0, 0]), ("a", "b"))
    assert encode_group({"x": spec}, {}) == encode_group({"x": same}, {})


def test_values_that_are_all_fill_are_written() -> None:
    files = encode_group({"x": ArraySpec(np.full((4, 2), np.nan, np.float32), ("a", "b"), chunks=(1, 2))}, {})
    assert "x/c/0/0" in files
    assert "counts/c/0" in encode_group(group(), {})


@pytest.mark.parametrize("shape", [(0, 4), (1, 4), (7, 4)])
def test_shapes_that_chunks_do_not_divide(memory_location: Location, shape: tuple[int, int]) -> None:
    data = GENERATOR.normal(size=shape).astype(np.float32)
    write(memory_location, encode_group({"x": ArraySpec(data, ("a", "b"), chunks=(3, 3))}, {}))
    read: Any = open_group(memory_location)["x"]
    assert read.shape == shape
    np.testing.assert_array_equal(read[:], data)


def test_one_image_is_read_without_the_rest(
    memory_location: Location, monkeypatch: pytest.MonkeyPatch
) -> None:
    data = GENERATOR.integers(0, 255, size=(64, 64, 64), dtype=np.uint8)
    spec = ArraySpec(data, ("image", "row", "column"), chunks=(1, 64, 64))
    files = encode_group({"x": spec}, {})
    write(memory_location, files)
    read: Any = open_group(memory_location)["x"]
    seen: list[int] = []
    original = FsspecStore.get

    async def counted(self: FsspecStore, *arguments: Any, **options: Any) -> Any:
        found = await original(self, *arguments, **options)
        seen.append(0 if found is None else len(found))
        return found

    monkeypatch.setattr(FsspecStore, "get", counted)
    np.testing.assert_array_equal(read[17], data[17])
    assert 0 < sum(seen) < len(files["x/c/0/0/0"]) / 10


def test_the_group_is_read_only(location: Location) -> None:
    write(location, encode_group(group(), {}))
    read: Any = open_group(location)
    with pytest.raises(ValueError, match="read-only"):
        read["counts"][:] = 1


def test_no_group(location: Location) -> None:
    with pytest.raises(MissingError, match="nothing does not exist"):
        open_group(location / "nothing")
    (location / "bad/zarr.json").write_bytes(b"{")
    with pytest.raises(DamagedError, match="it is no Zarr group"):
        open_group(location / "bad")


FOREIGN = """
import json
from zarr.core.codec_pipeline import BatchedCodecPipeline
from zarr.registry import register_pipeline

class Foreign(BatchedCodecPipeline):
    used = 0

    async def write(self, *arguments, **options):
        Foreign.used += 1
        await super().write(*arguments, **options)

    async def encode(self, *arguments, **options):
        Foreign.used += 1
        return await super().encode(*arguments, **options)

register_pipeline(Foreign)
import hashlib
import numpy as np
import zarr
from infra.storage.zarr_groups import ArraySpec, encode_group

assert zarr.config.get("codec_pipeline.path") == "__main__.Foreign"
data = np.arange(4096, dtype="f4").reshape(16, 16, 16)
files = encode_group({"a": ArraySpec(data, ("x", "y", "z"), chunks=(1, 16, 16))}, {})
ours = Foreign.used
zarr.create_array(zarr.storage.MemoryStore(), data=data, chunks=(1, 16, 16), shards=(16, 16, 16))
digests = {name: hashlib.sha256(content).hexdigest() for name, content in files.items()}
print(json.dumps([ours, Foreign.used > 0, digests]))
"""


def test_units_are_encoded_by_zarrs_own_pipeline_whatever_the_environment_names() -> None:
    environ = os.environ | {"ZARR_CODEC_PIPELINE__PATH": "__main__.Foreign"}
    done = subprocess.run(
        [sys.executable, "-c", FOREIGN], check=False, capture_output=True, text=True, env=environ
    )
    assert done.returncode == 0, done.stderr
    ours, theirs, files = json.loads(done.stdout)
    assert (ours, theirs) == (0, True)
    data = np.arange(4096, dtype="f4").reshape(16, 16, 16)
    here = encode_group({"a": ArraySpec(data, ("x", "y", "z"), chunks=(1, 16, 16))}, {})
    assert files == {name: hashlib.sha256(content).hexdigest() for name, content in here.items()}


def test_the_pipeline_of_the_user_is_left_as_it_is() -> None:
    with zarr.config.set({"codec_pipeline.path": "foreign.Foreign", "codec_pipeline.batch_size": 7}):
        before = dict(zarr.config.get("codec_pipeline"))
        encode_group(group(), {})
        assert zarr.config.get("codec_pipeline") == before
        assert (before["path"], before["batch_size"]) == ("foreign.Foreign", 7)
