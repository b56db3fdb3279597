"""What an operation tries is tried as often as its sentence says, whatever layers lie below it."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pyarrow.dataset
import pytest
import zarr
from s3_stub import s3_stub, url_of

from infra.errors import StorageError
from infra.settings import StorageSettings
from infra.storage.location import Location
from infra.storage.read_only_files import PublishedFiles, Sized
from infra.storage.storage_errors import ATTEMPTS
from infra.storage.zarr_groups import open_group

OPERATIONS: dict[str, Callable[[Location], Any]] = {
    "exists": lambda place: place.exists(),
    "is_prefix": lambda place: place.is_prefix(),
    "size": lambda place: place.size(),
    "modified": lambda place: place.modified(),
    "read_bytes": lambda place: place.read_bytes(),
    "open": lambda place: place.open().read(),
    "write_bytes": lambda place: place.write_bytes(b"1"),
    "put_if_absent": lambda place: place.put_if_absent(b"1"),
    "objects": lambda place: list(place.objects()),
    "children": lambda place: place.children(),
    "delete": lambda place: place.delete(),
    "open_group": open_group,
}


@pytest.mark.s3
@pytest.mark.parametrize("fault", [(503, "SlowDown"), (500, "InternalError"), (503, "ServiceUnavailable")])
@pytest.mark.parametrize("operation", OPERATIONS)
def test_each_operation_makes_five_requests(operation: str, fault: tuple[int, str], no_waiting: None) -> None:
    with s3_stub("named") as server:
        server.fault = fault
        place = Location.parse("s3://bucket/x", StorageSettings(endpoint_url=url_of(server)))
        with pytest.raises(StorageError, match=f"failed {ATTEMPTS} times to"):
            OPERATIONS[operation](place)
        assert len(server.requests) == ATTEMPTS


def _read_zarr(place: Location) -> Any:
    array: Any = zarr.open_array(place.zarr_store(), mode="r")
    return lambda: array[:]


def _read_arrow(place: Location) -> Any:
    filesystem, path = place.arrow_filesystem()
    return lambda: pyarrow.dataset.dataset(path, filesystem=filesystem, format="csv").to_table()


def _read_ranges(place: Location) -> Any:
    file = PublishedFiles({"x": Sized(place, 10)}).open("x", "rb")
    return file.read


def _read_open(place: Location) -> Any:
    file = place.open()
    return file.read


@pytest.mark.s3
@pytest.mark.parametrize("reader", [_read_zarr, _read_arrow, _read_ranges, _read_open])
def test_readers_past_the_seam_make_five_requests(
    reader: Callable[[Location], Any], no_waiting: None
) -> None:
    with s3_stub("named") as server:
        place = Location.parse("s3://bucket/x", StorageSettings(endpoint_url=url_of(server)))
        if reader is _read_zarr:
            zarr.create_array(place.zarr_store(read_only=False), data=np.arange(4), chunks=(4,))
        else:
            place.write_bytes(b"a,b\n1,2\n3,4\n")
        read = reader(place)
        server.fault = (503, "SlowDown")
        server.requests.clear()
        with pytest.raises(OSError, match=r"SlowDown|reduce|Unknown|None|Service Unavailable"):
            read()
        assert len(server.requests) == ATTEMPTS
        server.fault = None
        assert len(read()) > 0


def test_on_a_disk_too(tmp_path: Any, no_waiting: None, monkeypatch: pytest.MonkeyPatch) -> None:
    place = Location.parse(tmp_path / "x")
    calls: list[str] = []

    def stale(name: str) -> Callable[..., Any]:
        def act(*_: object, **__: object) -> Any:
            calls.append(name)
            raise TimeoutError("the share is away")

        return act

    place.write_bytes(b"1")
    for name in ("is_dir", "iterdir", "read_bytes", "open", "stat"):
        monkeypatch.setattr(f"infra.storage.local_files.Path.{name}", stale(name))
    monkeypatch.setattr("infra.storage.local_files.os.path.lexists", stale("lexists"))
    for act, name in (
        (place.children, "iterdir"),
        (place.delete, "is_dir"),
        (place.read_bytes, "read_bytes"),
        (place.size, "stat"),
        (place.exists, "stat"),
        (lambda: place.put_if_absent(b"2"), "lexists"),
    ):
        calls.clear()
        with pytest.raises(StorageError, match=f"failed {ATTEMPTS} times to"):
            act()
        assert calls == [name] * ATTEMPTS
