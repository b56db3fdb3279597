from __future__ import annotations

import hashlib
import struct
import zlib
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from sample_runs import encoded, folder, picture, tiny

from congeal.results.schema.parquet_files import dataset
from congeal.settings import Settings, load_settings
from flows.runs.prepare import overrides
from infra.compute.engine import LoopEngine
from infra.compute.progress import Progress
from infra.errors import StorageError, UserError
from infra.storage.location import Location
from tasks.catalog import catalog_slices, catalog_stage, image_examination
from tasks.catalog.catalog_slices import CATALOG
from tasks.catalog.catalog_stage import Catalog
from tasks.catalog.source_listing import Survey
from tasks.execution.stage_runner import Run


def settings(*chosen: str) -> Settings:
    return load_settings(None, ["catalog.slice_size=3", *chosen], environ={})


def make(
    source: Path | Location, destination: Path | Location, with_: Settings
) -> tuple[Catalog, list[dict[str, Any]]]:
    here, there = (
        place if isinstance(place, Location) else Location.parse(place) for place in (source, destination)
    )
    with Survey(here, with_.catalog) as survey:
        made = catalog_stage.stage(Run(here, there, with_, LoopEngine(1), Progress(quiet=True)), survey)
    return made, dataset([made.images], CATALOG).to_table().to_pylist()


def bomb(side: int) -> bytes:
    """A PNG whose header promises side x side pixels and which holds none."""
    header = struct.pack(">IIBBBBB", side, side, 8, 2, 0, 0, 0)
    chunks = ((b"IHDR", header), (b"IDAT", zlib.compress(b"")), (b"IEND", b""))
    body = b"".join(
        struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))
        for kind, data in chunks
    )
    return b"\x89PNG\r\n\x1a\n" + body


def test_each_image_is_ok_failed_or_duplicate(tmp_path: Path) -> None:
    good = picture(0, 1)
    files = {
        "z/first.png": good,
        "a/bomb.png": bomb(60_000),
        "a/empty.jpg": b"",
        "a/noise.gif": b"no image at all",
        "a/pixel.png": encoded(np.zeros((1, 1, 3), np.uint8)),
        "a/short.png": good[: len(good) // 2],
        "a/same.png": good,
        "note.txt": b"not looked at",
    }
    made, rows = make(folder(tmp_path / "source", files), tmp_path / "out", settings())
    assert [row["uri"] for row in rows] == sorted(name for name in files if name != "note.txt")
    status = {row["uri"]: row["status"] for row in rows}
    assert status.pop("a/same.png") == "ok"
    assert status.pop("z/first.png") == "duplicate"
    assert set(status.values()) == {"failed"}
    assert (made.ok, made.failed, made.duplicate, made.unread) == (1, 5, 1, 0)
    reasons = {row["uri"]: row["error"] for row in rows}
    assert "allowed" in reasons["a/bomb.png"]
    assert reasons["a/empty.jpg"] == "empty file"
    assert "not an image" in reasons["a/noise.gif"]
    assert "smaller than 8" in reasons["a/pixel.png"]
    assert "truncated" in reasons["a/short.png"]


def test_a_row_says_what_the_image_is(tmp_path: Path) -> None:
    data = picture(0, 1, (70, 50))
    _, rows = make(folder(tmp_path / "source", {"one.png": data}), tmp_path / "out", settings())
    assert rows == [
        {
            "image_id": hashlib.sha256(data).hexdigest()[:32],
            "uri": "one.png",
            "bytes": len(data),
            "etag": hashlib.md5(data).hexdigest(),
            "width": 70,
            "height": 50,
            "format": "PNG",
            "status": "ok",
            "error": None,
            "unread": False,
        }
    ]


def test_failures_that_share_bytes_stay_failures(tmp_path: Path) -> None:
    files = {"a.png": b"", "b.png": b"", "c.png": picture(0, 1)}
    made, rows = make(folder(tmp_path / "source", files), tmp_path / "out", settings())
    assert [row["status"] for row in rows] == ["failed", "failed", "ok"]
    assert made.duplicate == 0


def test_a_file_too_large_for_any_allowed_image_is_not_read(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(image_examination, "HEADER_ALLOWANCE", 0)
    files = {"a.png": picture(0, 1), "big.bmp": b"x" * 200_000}
    _, rows = make(folder(tmp_path / "source", files), tmp_path / "out", settings("catalog.max_pixels=20000"))
    assert rows[1]["image_id"] is None
    assert rows[1]["error"] == "200000 bytes, more than an image of the allowed 20000 pixels needs"


def test_no_usable_image_is_an_error_that_names_the_first(tmp_path: Path) -> None:
    source = folder(tmp_path / "source", {"a.png": b"", "b.png": b"no"})
    with pytest.raises(UserError, match=r"None of the 2 images .* the first: a\.png: empty file"):
        make(source, tmp_path / "out", settings())


def test_what_could_not_be_read_is_tried_again(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    source = folder(tmp_path / "source", {"a.png": picture(0, 1), "b.png": picture(0, 2)})
    read = Location.read_bytes

    def refused(self: Location) -> bytes:
        if self.url.endswith("b.png"):
            raise StorageError("No permission to read b.png: grant it.")
        return read(self)

    with monkeypatch.context() as patch:
        patch.setattr(Location, "read_bytes", refused)
        made, rows = make(source, tmp_path / "out", settings())
    assert (made.ok, made.failed, made.unread) == (1, 1, 1)
    assert (rows[1]["image_id"], rows[1]["error"]) == (None, "No permission to read b.png: grant it.")
    made, rows = make(source, tmp_path / "out", settings())
    assert (made.ok, made.failed, made.unread) == (2, 0, 0)


def test_a_second_run_reads_no_image(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    source = folder(tmp_path / "source", {"a.png": picture(0, 1), "b.png": picture(0, 2)})
    make(source, tmp_path / "out", settings())
    monkeypatch.setattr(catalog_slices, "examine", lambda *_: pytest.fail("read again"))
    made, _ = make(source, tmp_path / "out", settings())
    assert made.ok == 2
    assert made.result.made == 0


def test_limits_make_another_catalog(tmp_path: Path) -> None:
    source = folder(tmp_path / "source", {"a.png": picture(0, 1, (30, 30)), "b.png": picture(0, 2, (90, 90))})
    assert make(source, tmp_path / "out", settings())[0].ok == 2
    assert make(source, tmp_path / "out", settings("catalog.min_side=50"))[0].ok == 1


@pytest.mark.s3
def test_on_s3_the_tag_is_the_stores(tmp_path: Path, s3_location: Location) -> None:
    data = picture(0, 1)
    (s3_location / "a.png").write_bytes(data)
    _, rows = make(s3_location, tmp_path / "out", settings())
    assert rows[0]["etag"] == hashlib.md5(data).hexdigest()


def test_settings_of_a_deployment_are_read_as_set_is() -> None:
    given = {"seed": 3, "features": {"image_size": 96, "mirror": False}, "catalog.extensions": [".jpg"]}
    read = load_settings(None, list(overrides(given)), environ={})
    assert (read.seed, read.features.image_size, read.features.mirror) == (3, 96, False)
    assert read.catalog.extensions == (".jpg",)


def test_tiny_settings_are_valid(weights: Path) -> None:
    assert tiny(weights).engine.kind == "loop"


def test_a_run_that_comes_late_finds_what_another_has_made(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    source = folder(tmp_path / "source", {f"{number}.png": picture(0, number) for number in range(7)})
    destination = tmp_path / "out"
    plan_units = catalog_slices.plan_units

    def overtaken(*arguments: Any, **options: Any) -> Any:
        plan = plan_units(*arguments, **options)
        monkeypatch.setattr(catalog_slices, "plan_units", plan_units)
        make(source, destination, settings())  # another run does it all
        return plan

    read: list[str] = []
    examine = image_examination.examine

    def counted(place: Location, entry: Any, *more: Any) -> Any:
        read.append(entry.path)
        return examine(place, entry, *more)

    monkeypatch.setattr(catalog_slices, "examine", counted)
    monkeypatch.setattr(catalog_slices, "plan_units", overtaken)
    made, rows = make(source, destination, settings())
    assert (made.ok, len(rows)) == (7, 7)
    assert len(read) == 7


def test_an_image_beyond_the_limit_of_memory_is_failed_and_tried_again_when_asked(tmp_path: Path) -> None:
    large = encoded(np.zeros((4200, 4200, 3), np.uint8))
    source = folder(tmp_path / "source", {"large.png": large, "small.png": picture(0, 1)})
    _, rows = make(source, tmp_path / "out", settings("limits.image_memory=64MiB"))
    reason = rows[0]["error"]
    assert (rows[0]["status"], rows[1]["status"]) == ("failed", "ok")
    assert "64 MiB allowed by limits.image_memory" in reason
    assert "engine.retry_failed=true" in reason
    made, rows = make(source, tmp_path / "out", settings())
    assert (rows[0]["status"], made.result.made) == ("failed", 0)
    _, rows = make(source, tmp_path / "out", settings("engine.retry_failed=true"))
    assert [row["status"] for row in rows] == ["ok", "ok"]
