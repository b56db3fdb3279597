from __future__ import annotations

import hashlib
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from sample_runs import SIDE, folder, photographs, picture, run, tiny, units

from infra.errors import StorageError, UserError
from infra.ledger.commits import Marker, find_marker, outputs_location
from infra.storage.location import Location
from infra.storage.zarr_groups import open_group
from tasks.catalog.image_reading import Unreadable, read_square


def shards(destination: Path) -> list[tuple[Marker, Any]]:
    place = Location.parse(destination)
    found = []
    for unit in units(destination, ["features"]):
        marker = find_marker(place, "features", f"{unit.parent.name}/{unit.name}")
        assert marker is not None
        if "image_ids" in marker.record:
            found.append((marker, open_group(outputs_location(place, marker) / "features.zarr")))
    return found


def test_a_shard_holds_features_of_both_facings(finished: Path) -> None:
    ids: list[str] = []
    for marker, group in shards(finished / "destination"):
        n = len(marker.record["image_ids"])
        ids += marker.record["image_ids"]
        assert group["features"].shape == group["features_mirrored"].shape == (n, 6, 6, 64)
        assert group["features"].dtype == np.float16
        assert group["features"].metadata.dimension_names == ("image", "row", "column", "channel")
        assert group["features"].chunks == (1, 6, 6, 64)
        assert group["embedding"].shape == (n, 64)
        assert np.isfinite(group["features"][:]).all()
        np.testing.assert_allclose(np.linalg.norm(group["embedding"][:], axis=1), 1, rtol=1e-3)
        assert group.attrs["image_ids"] == marker.record["image_ids"]
        assert "mirrored" in group.attrs["coordinates"]
    assert len(ids) == len(set(ids)) == 10


def test_mirrored_features_are_those_of_the_mirrored_pixels(finished: Path, weights: Path) -> None:
    from congeal.backbones.extractor import BackboneSpec, load_backbone

    backbone = load_backbone(
        BackboneSpec("test_vit", image_size=SIDE, precision="float32"), weights.read_bytes(), "cpu"
    )
    source = Location.parse(finished / "source")
    names = {
        marker.record["image_ids"][0]: (marker, group) for marker, group in shards(finished / "destination")
    }
    for path in (finished / "source").rglob("*.png"):
        image_id = hashlib.sha256(path.read_bytes()).hexdigest()[:32]
        if image_id not in names:
            continue
        uri = path.relative_to(finished / "source").as_posix()
        pixels = read_square(source, (image_id, uri), SIDE, tiny(weights))
        assert isinstance(pixels, np.ndarray)
        expected = backbone(np.ascontiguousarray(pixels[None, :, ::-1])).features[0].numpy()
        _, group = names[image_id]
        np.testing.assert_allclose(group["features_mirrored"][0], expected, atol=0.05)


def test_no_mirrored_features_where_none_are_asked(tmp_path: Path, weights: Path) -> None:
    source = folder(tmp_path / "source", photographs(2))
    run(source, tmp_path / "out", tiny(weights, "features.mirror=false"))
    for _, group in shards(tmp_path / "out"):
        assert sorted(group.array_keys()) == ["embedding", "features", "preview", "saliency"]


def test_at_any_angle_images_are_seen_from_eight(tmp_path: Path, weights: Path) -> None:
    from congeal.alignment.inputs.rotated_views import turned_pixels
    from congeal.backbones.extractor import BackboneSpec, load_backbone

    pictures = photographs(2)
    source = folder(tmp_path / "source", pictures)
    run(source, tmp_path / "upright", tiny(weights))
    run(source, tmp_path / "out", tiny(weights, "alignment.rotation=any"))
    (marker, group), *_ = shards(tmp_path / "out")
    upright = next(
        group
        for found, group in shards(tmp_path / "upright")
        if marker.record["image_ids"][0] in found.record["image_ids"]
    )
    n = len(marker.record["image_ids"])
    assert group["features_turned_mirrored"].shape == (n, 7, 6, 6, 64)
    assert group["saliency_turned"].metadata.dimension_names == ("image", "turn", "row", "column")
    row = upright.attrs["image_ids"].index(marker.record["image_ids"][0])
    np.testing.assert_array_equal(group["features"][0], upright["features"][row])
    backbone = load_backbone(
        BackboneSpec("test_vit", image_size=SIDE, precision="float32"), weights.read_bytes(), "cpu"
    )
    uris = {
        hashlib.sha256(path.read_bytes()).hexdigest()[:32]: path.relative_to(source).as_posix()
        for path in source.rglob("*.png")
    }
    image_id = marker.record["image_ids"][0]
    pixels = read_square(Location.parse(source), (image_id, uris[image_id]), SIDE, tiny(weights))
    assert isinstance(pixels, np.ndarray)
    views = np.stack([turned_pixels(pixels, turn) for turn in range(8)])
    seen = backbone(views)
    np.testing.assert_allclose(group["features_turned"][0], seen.features[1:].numpy(), atol=0.05)
    mirrored = backbone(np.ascontiguousarray(views[:, :, ::-1])).features[1:].numpy()
    np.testing.assert_allclose(group["features_turned_mirrored"][0], mirrored, atol=0.05)
    mean = seen.embedding.mean(0).numpy()
    np.testing.assert_allclose(group["embedding"][0], mean / np.linalg.norm(mean), atol=0.01)


def test_an_image_that_changed_since_is_recorded_and_its_row_stays_empty(
    tmp_path: Path, weights: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    source = folder(tmp_path / "source", photographs(2))
    read = Location.read_bytes
    seen: set[str] = set()

    def swapped(self: Location) -> bytes:
        # The catalog reads the image first, the features stage later.
        if self.url.endswith("a/0.png") and self.url in seen:
            return picture(0, 99)
        seen.add(self.url)
        return read(self)

    with monkeypatch.context() as patch:
        patch.setattr(Location, "read_bytes", swapped)
        facts = run(source, tmp_path / "out", tiny(weights))
    assert facts["images"] == {"ok": 3, "failed": 1, "duplicate": 0}
    reasons = {
        image: reason
        for marker, _ in shards(tmp_path / "out")
        for image, reason in marker.record["failed"].items()
    }
    assert list(reasons.values()) == ["changed since it was catalogued"]
    (image_id,) = reasons
    for marker, group in shards(tmp_path / "out"):
        for row, name in enumerate(marker.record["image_ids"]):
            assert np.isnan(group["features"][row]).all() == (name == image_id)
    # The source is as it was catalogued: the next run can read it, and does.
    facts = run(source, tmp_path / "out", tiny(weights, "seed=1"))
    assert facts["images"] == {"ok": 4, "failed": 0, "duplicate": 0}


def test_a_run_with_unread_images_is_not_up_to_date(
    tmp_path: Path, weights: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    source = folder(tmp_path / "source", photographs(2))
    read = Location.read_bytes

    def refused(self: Location) -> bytes:
        if self.url.endswith("a/0.png"):
            raise StorageError("No permission to read it: grant it.")
        return read(self)

    with monkeypatch.context() as patch:
        patch.setattr(Location, "read_bytes", refused)
        assert run(source, tmp_path / "out", tiny(weights))["images"]["failed"] == 1
    facts = run(source, tmp_path / "out", tiny(weights))
    assert not facts["up_to_date"]
    assert facts["images"] == {"ok": 4, "failed": 0, "duplicate": 0}
    assert run(source, tmp_path / "out", tiny(weights))["up_to_date"]


def test_an_image_unread_for_its_features_alone_is_tried_again(
    tmp_path: Path, weights: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    source = folder(tmp_path / "source", photographs(2))
    run(source, tmp_path / "undisturbed", tiny(weights))
    read, asked = Location.read_bytes, []

    def refused(self: Location) -> bytes:
        if self.url.endswith("source/a/0.png"):
            asked.append(self.url)
            if len(asked) == 2:  # the catalog has read it
                raise StorageError("No permission to read it: grant it.")
        return read(self)

    with monkeypatch.context() as patch:
        patch.setattr(Location, "read_bytes", refused)
        assert run(source, tmp_path / "out", tiny(weights))["images"]["failed"] == 1
    facts = run(source, tmp_path / "out", tiny(weights))
    assert not facts["up_to_date"]
    assert facts["images"] == {"ok": 4, "failed": 0, "duplicate": 0}
    assert run(source, tmp_path / "out", tiny(weights))["up_to_date"]


def test_other_settings_make_other_features_beside_the_old(tmp_path: Path, weights: Path) -> None:
    source = folder(tmp_path / "source", photographs(2))
    run(source, tmp_path / "out", tiny(weights))
    before = set(units(tmp_path / "out", ["features"]))
    facts = run(source, tmp_path / "out", tiny(weights, "features.facet=key"))
    assert next(row for row in facts["stages"] if row["stage"] == "features")["items_skipped"] == 0
    assert before < set(units(tmp_path / "out", ["features"]))


def test_the_batch_and_the_engine_are_no_part_of_a_units_name(tmp_path: Path, weights: Path) -> None:
    source = folder(tmp_path / "source", photographs(2))
    run(source, tmp_path / "out", tiny(weights))
    facts = run(source, tmp_path / "out", tiny(weights, "features.batch_size=1", "engine.threads=2"))
    assert facts["up_to_date"]


def test_reasons_why_an_image_cannot_be_read(tmp_path: Path, weights: Path) -> None:
    source, settings = Location.parse(folder(tmp_path, {"a.png": picture(0, 1)})), tiny(weights)
    gone = read_square(source, ("0" * 32, None), 64, settings)
    missing = read_square(source, ("0" * 32, "b.png"), 64, settings)
    other = read_square(source, ("0" * 32, "a.png"), 64, settings)
    for fault, words in ((gone, "no longer"), (missing, "does not exist"), (other, "changed")):
        assert isinstance(fault, Unreadable)
        assert words in fault.reason
        assert fault.unread


@pytest.mark.parametrize(
    "shortage",
    [
        pytest.param(MemoryError(), marks=pytest.mark.slow),
        RuntimeError("DefaultCPUAllocator: can't allocate memory: 9 bytes"),
    ],
)
def test_too_little_memory_for_a_batch_makes_it_smaller(
    tmp_path: Path, weights: Path, monkeypatch: pytest.MonkeyPatch, shortage: Exception
) -> None:
    from congeal.backbones.extractor import Backbone

    source = folder(tmp_path / "source", photographs(1))
    settings = tiny(weights, "features.batch_size=4", "features.shard_bytes=1000000")
    for name in ("usual", "out"):
        run(source, tmp_path / name, settings)
    folder(source, photographs(3))
    run(source, tmp_path / "usual", settings)
    plainly, seen = Backbone.__call__, []

    def small(self: Backbone, images: Any) -> Any:
        seen.append(len(images))
        if len(images) > 1:
            raise shortage
        return plainly(self, images)

    monkeypatch.setattr(Backbone, "__call__", small)
    run(source, tmp_path / "out", settings)
    assert seen == 2 * [4, 2, 1, 1, 2, 1, 1]
    for (marker, group), (_, usual) in zip(shards(tmp_path / "out"), shards(tmp_path / "usual"), strict=True):
        assert marker.record["failed"] == {}
        assert group.attrs["image_ids"] == usual.attrs["image_ids"]
        for name in ("features", "features_mirrored", "saliency", "embedding"):
            np.testing.assert_allclose(group[name][:], usual[name][:], atol=0.01)


def test_other_errors_of_a_backbone_are_not_taken_for_want_of_memory(
    tmp_path: Path, weights: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from congeal.backbones.extractor import Backbone

    def broken(_self: Backbone, _images: Any) -> Any:
        raise RuntimeError("shapes do not fit")

    source = folder(tmp_path / "source", photographs(2))
    monkeypatch.setattr(Backbone, "__call__", broken)
    # Where the position's directions are known already, the images are the first to meet it.
    with pytest.raises((RuntimeError, UserError), match="shapes do not fit"):
        run(source, tmp_path / "out", tiny(weights))
