"""How often a run reads what: an original twice, a marker of features once at most."""

from __future__ import annotations

import hashlib
import json
import os
import shutil
import tempfile
from collections import Counter
from pathlib import Path
from typing import Any

import duckdb
import numpy as np
import pytest
from PIL import Image
from sample_runs import folder, photographs, picture, put, results, run, tiny, units

from infra.ledger.commits import find_marker, outputs_location
from infra.settings import StorageSettings
from infra.storage.location import Location
from infra.storage.metered_s3 import MeteredS3
from infra.storage.zarr_groups import open_group
from tasks.catalog.image_reading import read_square

FEATURES = "stages/features/"
NO_REPORT = "report.enabled=false"  # it is made of what is published, read anew


@pytest.fixture
def reads(monkeypatch: pytest.MonkeyPatch) -> Counter[str]:
    """How often each object was read as a whole."""
    counts: Counter[str] = Counter()
    real = Location.read_bytes

    def read(self: Location) -> bytes:
        data = real(self)
        counts[self.url] += 1
        return data

    monkeypatch.setattr(Location, "read_bytes", read)
    return counts


def originals(reads: Counter[str]) -> set[int]:
    return {count for url, count in reads.items() if "/source/" in url}


@pytest.fixture
def asked(monkeypatch: pytest.MonkeyPatch) -> Counter[tuple[str, str]]:
    """What was asked of an S3 server: kind and object."""
    counts: Counter[tuple[str, str]] = Counter()
    real = MeteredS3._call_s3

    async def call(self: MeteredS3, method: str, *arguments: Any, **options: Any) -> Any:
        counts[method, str(options.get("Key", ""))] += 1
        return await real(self, method, *arguments, **options)

    monkeypatch.setattr(MeteredS3, "_call_s3", call)
    return counts


def shard_markers(reads: Counter[str]) -> list[int]:
    return [count for url, count in reads.items() if FEATURES in url and url.endswith("_commit.json")]


def later(found: dict[str, str]) -> dict[str, str]:
    return {path: digest for path, digest in found.items() if not path.startswith(FEATURES)}


def shards(destination: Path) -> list[tuple[dict[str, Any], Any]]:
    place = Location.parse(destination)
    found = []
    for unit in units(destination, ["features"]):
        marker = find_marker(place, "features", f"{unit.parent.name}/{unit.name}")
        assert marker is not None
        if "image_ids" in marker.record:
            found.append((marker.record, open_group(outputs_location(place, marker) / "features.zarr")))
    return found


def without_squares(monkeypatch: pytest.MonkeyPatch) -> None:
    """As features were made before there were squares beside them."""
    monkeypatch.setattr("tasks.features.feature_shards.MOST_PREVIEW", 0)


def test_a_run_reads_an_original_twice_and_a_shards_marker_at_most_once(
    tmp_path: Path, weights: Path, reads: Counter[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    source, out = folder(tmp_path / "source", photographs()), tmp_path / "out"
    databases: list[None] = []
    connect = duckdb.connect

    def counted(*arguments: Any, **options: Any) -> duckdb.DuckDBPyConnection:
        databases.append(None)
        return connect(*arguments, **options)

    monkeypatch.setattr(duckdb, "connect", counted)
    run(source, out, tiny(weights, NO_REPORT))
    assert originals(reads) == {2}
    # Who makes a shard hands on what later stages need; the marker says what its bytes are.
    assert set(shard_markers(reads)) <= {1}
    # The driver has one temporary database; a worker has one for the catalog, the clusters, the images each.
    assert databases == [None] * 4
    # A run that was ended after the features.
    for stage in ("clusters", "atlases", "index"):
        shutil.rmtree(out / "stages" / stage)
    shutil.rmtree(out / "published")
    whole = results(out)
    reads.clear()
    run(source, out, tiny(weights, NO_REPORT))
    assert len(units(out, ["features"])) == len(shard_markers(reads)) > 3
    assert set(shard_markers(reads)) == {1}
    assert originals(reads) == set()
    assert whole.items() <= results(out).items()
    # One that grows.
    folder(source, {"new.png": picture(0, 9)})
    reads.clear()
    run(source, out, tiny(weights, NO_REPORT))
    assert set(shard_markers(reads)) == {1}


def test_a_shard_keeps_the_squares_of_the_pictures(finished: Path, weights: Path) -> None:
    source = Location.parse(finished / "source")
    names = {
        hashlib.sha256(path.read_bytes()).hexdigest()[:32]: path.relative_to(finished / "source").as_posix()
        for path in (finished / "source").rglob("*.png")
    }
    for record, group in shards(finished / "destination"):
        squares = group["preview"]
        assert (squares.dtype, squares.shape[1:], record["preview_size"]) == (np.uint8, (32, 32, 3), 32)
        assert squares.metadata.dimension_names == ("image", "preview_row", "preview_column", "rgb")
        for image_id, square in zip(record["image_ids"], squares[:], strict=True):
            expected = read_square(source, (image_id, names[image_id]), 32, tiny(weights, NO_REPORT))
            np.testing.assert_array_equal(square, expected)


@pytest.mark.slow
def test_squares_change_nothing_but_the_reads(
    tmp_path: Path, weights: Path, monkeypatch: pytest.MonkeyPatch, reads: Counter[str]
) -> None:
    source = folder(tmp_path / "source", photographs())
    run(source, tmp_path / "with", tiny(weights, NO_REPORT))
    assert originals(reads) == {2}
    reads.clear()
    with monkeypatch.context() as patch:
        without_squares(patch)
        run(source, tmp_path / "without", tiny(weights, NO_REPORT))
    assert originals(reads) == {2, 3}
    # Units have the same names: what is computed from features does not depend on the squares beside them.
    assert later(results(tmp_path / "with")) == later(results(tmp_path / "without"))
    folders = {unit.relative_to(tmp_path / "with") for unit in units(tmp_path / "with")}
    assert folders == {unit.relative_to(tmp_path / "without") for unit in units(tmp_path / "without")}
    arrays = [
        {
            path.split("features.zarr")[1]: digest
            for path, digest in results(tmp_path / name).items()
            if "/features.zarr/" in path and "/preview/" not in path
        }
        for name in ("with", "without")
    ]
    assert arrays[0] == arrays[1]
    # Features of before serve as they are; the pictures are then made from the originals.
    shutil.rmtree(tmp_path / "without" / "stages" / "atlases")
    shutil.rmtree(tmp_path / "without" / "published")
    before = units(tmp_path / "without", ["features"])
    stamps = [(unit / "_commit.json").stat().st_mtime_ns for unit in before]
    reads.clear()
    run(source, tmp_path / "without", tiny(weights, NO_REPORT))
    assert originals(reads) == {1}
    assert [(unit / "_commit.json").stat().st_mtime_ns for unit in before] == stamps
    assert later(results(tmp_path / "with")) == later(results(tmp_path / "without"))


@pytest.mark.slow
def test_pictures_of_another_size_are_made_from_the_originals(
    tmp_path: Path, weights: Path, reads: Counter[str]
) -> None:
    source = folder(tmp_path / "source", photographs())
    run(source, tmp_path / "out", tiny(weights, NO_REPORT))
    reads.clear()
    run(source, tmp_path / "out", tiny(weights, "previews.size=24", NO_REPORT))
    assert originals(reads) == {1}
    assert all(record["preview_size"] == 32 for record, _ in shards(tmp_path / "out"))
    run(source, tmp_path / "anew", tiny(weights, "previews.size=24", NO_REPORT))
    for unit in units(tmp_path / "anew", ["atlases"]):
        again = tmp_path / "out" / unit.relative_to(tmp_path / "anew")
        found = [json.loads((place / "_commit.json").read_bytes()) for place in (unit, again)]
        assert found[0]["outputs"] == found[1]["outputs"]


def test_an_image_that_is_gone_since_is_shown_as_it_was(
    tmp_path: Path, weights: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    source = folder(tmp_path / "source", photographs(3))
    run(source, tmp_path / "whole", tiny(weights, NO_REPORT))
    real = Location.read_bytes
    seen: Counter[str] = Counter()

    def read(self: Location) -> bytes:
        seen[self.url] += 1
        # The catalog and the features read it; then it is replaced.
        return picture(0, 99) if self.url.endswith("a/0.png") and seen[self.url] > 2 else real(self)

    monkeypatch.setattr(Location, "read_bytes", read)
    run(source, tmp_path / "out", tiny(weights, NO_REPORT))
    assert later(results(tmp_path / "whole")) == later(results(tmp_path / "out"))


def test_where_no_square_could_be_made_the_original_is_read(
    tmp_path: Path, weights: Path, monkeypatch: pytest.MonkeyPatch, reads: Counter[str]
) -> None:
    from congeal.errors import ImageError
    from congeal.imaging import decoding

    source = folder(tmp_path / "source", photographs(3))
    run(source, tmp_path / "whole", tiny(weights, NO_REPORT))
    real = decoding.square_of

    def failing(image: Image.Image, size: int) -> np.ndarray:
        if size == 32:
            raise ImageError("no square")
        return real(image, size)

    reads.clear()
    with monkeypatch.context() as patch:
        patch.setattr(decoding, "square_of", failing)
        run(source, tmp_path / "out", tiny(weights, NO_REPORT))
    assert originals(reads) == {2, 3}
    (unit,) = units(tmp_path / "out", ["atlases"])
    record = json.loads((unit / "_commit.json").read_bytes())["record"]
    assert set(record["not_shown"].values()) == {"no square"}
    assert not any(group["preview"][:].any() for _, group in shards(tmp_path / "out"))


@pytest.mark.s3
@pytest.mark.parametrize(("copies", "each"), [("4GiB", {1}), ("0", {2})])
def test_a_store_elsewhere_is_asked_once_for_an_original_and_for_no_result(
    tmp_path: Path, weights: Path, s3_location: Location, asked: Counter[tuple[str, str]], copies: str,
    each: set[int],
) -> None:  # fmt: skip
    source, out = put(s3_location / "source", photographs(3)), s3_location / "out"
    options = StorageSettings(endpoint_url=s3_location.options["endpoint_url"], copies=copies)
    run(source, out, tiny(weights, NO_REPORT, storage=options))
    gets = {key: count for (kind, key), count in asked.items() if kind == "get_object"}
    assert {count for key, count in gets.items() if "/source/" in key} == each
    # Of the tables, footers are read for their description to Iceberg's readers, by their names alone.
    units = [key for key in gets if "/stages/" in key and "/stages/index/" not in key]
    read = [key for key in units if not key.endswith("_commit.json")]
    assert bool(read) == (copies == "0"), read
    assert not list(Path(tempfile.gettempdir()).glob(f"congeal-copies-{os.getpid()}-*"))
