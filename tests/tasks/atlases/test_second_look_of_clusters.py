"""Clusters whose things are small, seen again in windows of their images."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from sample_runs import LITTLE_IN_COMMON, folder, picture, run, tiny

import congeal
from congeal.geometry.frames import Frame
from congeal.settings import load_settings
from infra.ledger.commits import Marker, find_marker, outputs_location
from infra.storage.location import Location
from infra.storage.zarr_groups import open_group
from tasks.atlases import second_look, window_features
from tasks.atlases.atlases_stage import scope
from tasks.atlases.second_look import frame_of
from tasks.catalog.image_reading import Unreadable, read_window
from tasks.execution import stage_versions
from tasks.features.feature_shards import store_views

# So that things of any size are looked at again.
ALWAYS = (
    LITTLE_IN_COMMON,
    "atlases.solver.second_look.least_zoom=1",
    "atlases.solver.second_look.most_zoom=2",
)


ANY = ("any angle", "any angle, before version 19")


def few(count: int) -> dict[str, bytes]:
    """Pictures of one kind of thing, of two shapes."""
    return {f"a/{seed}.png": picture(0, seed, ((80, 60), (64, 84))[seed % 2]) for seed in range(count)}


@pytest.fixture
def kept(monkeypatch: pytest.MonkeyPatch) -> None:
    """Whatever the evidence says, the second look stays."""
    monkeypatch.setattr("congeal.alignment.selection.second_look.better", lambda *_: True)


def atlases(destination: Path) -> Iterator[tuple[Marker, Location]]:
    place = Location.parse(destination)
    for path in destination.glob("stages/atlases/*/*/_commit.json"):
        marker = find_marker(place, "atlases", f"{path.parent.parent.name}/{path.parent.name}")
        assert marker is not None
        yield marker, outputs_location(place, marker)


@pytest.mark.usefixtures("kept")
def test_maps_are_of_the_whole_images_and_windows_lie_beside_them(tmp_path: Path, weights: Path) -> None:
    source = folder(tmp_path / "source", few(6))
    run(source, tmp_path / "out", tiny(weights, *ALWAYS))
    ((marker, outputs),) = atlases(tmp_path / "out")
    told = marker.record["second_look"]
    assert told["kept"] is True
    assert told["unread"] == {}
    assert 1 <= told["enlarged"] <= 2
    whole: Any = open_group(outputs / "atlas.zarr")
    first: Any = open_group(outputs / "first_look.zarr")
    assert first.attrs["image_ids"] == whole.attrs["image_ids"]
    windows = first["windows"][:]
    assert windows.shape == (6, 3)
    # In each window as the solver saw it, the pose's middle is where the maps put the atlas' middle.
    for at, size in enumerate(whole.attrs["sizes"]):
        places = Frame(*size).to_frame(np.float64(whole["maps/forward"][at]))
        middle, shift = places[7:9, 7:9].mean((0, 1)), whole["poses"][at, 3:5]
        assert np.abs(middle - shift).max() < 0.5 * whole["poses"][at, 2]
        sure = whole["maps/backward_confidence"][at]
        cells = np.stack(np.meshgrid(*[(2 * np.arange(12) + 1) / 12 - 1] * 2), -1)
        outside = (np.abs(cells - windows[at, :2]) > windows[at, 2] + 1e-6).any(-1)
        assert (sure[outside] == 0).all()
    opened = congeal.open(tmp_path / "out")
    assert opened.transfer("a/0.png", [[32.0, 24.0]], "a/1.png").notna().all(axis=None)
    # Nothing changes by itself.
    before = {path: path.read_bytes() for path in (tmp_path / "out").rglob("*.zarr/**/*") if path.is_file()}
    run(source, tmp_path / "again", tiny(weights, *ALWAYS))
    for path, data in before.items():
        assert (tmp_path / "again" / path.relative_to(tmp_path / "out")).read_bytes() == data, path


def test_what_is_not_better_is_not_kept(
    tmp_path: Path, weights: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("congeal.alignment.selection.second_look.better", lambda *_: False)
    source = folder(tmp_path / "source", few(4))
    run(source, tmp_path / "tried", tiny(weights, *ALWAYS))
    run(source, tmp_path / "off", tiny(weights, *ALWAYS, "alignment.second_look=off"))
    ((tried, outputs),), ((off, plain),) = atlases(tmp_path / "tried"), atlases(tmp_path / "off")
    assert tried.record["second_look"]["kept"] is False
    assert "second_look" not in off.record
    assert not any("first_look" in path for path in tried.outputs)
    for name in ("maps/forward", "maps/backward", "poses"):
        np.testing.assert_array_equal(
            open_group(outputs / "atlas.zarr")[name], open_group(plain / "atlas.zarr")[name]
        )


@pytest.mark.usefixtures("kept")
def test_an_image_that_cannot_be_read_again_is_an_outlier_and_stops_nothing(
    tmp_path: Path, weights: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fails(source: Any, member: Any, *rest: Any) -> Any:
        gone = member[1] == "a/1.png"
        return Unreadable("truncated", unread=False) if gone else read_window(source, member, *rest)

    monkeypatch.setattr(window_features, "read_window", fails)
    source = folder(tmp_path / "source", few(6))
    run(source, tmp_path / "out", tiny(weights, *ALWAYS))
    ((marker, _),) = atlases(tmp_path / "out")
    assert list(marker.record["second_look"]["unread"].values()) == ["truncated"]
    rows = congeal.open(tmp_path / "out").alignments
    reasons = rows["outlier_reason"].dropna().tolist()
    assert reasons.count("it could not be read again: truncated") == 1


@pytest.mark.slow
@pytest.mark.usefixtures("kept")
def test_at_any_angle_windows_are_turned_and_each_is_seen_once(
    tmp_path: Path, weights: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    shapes: list[dict[str, tuple[int, ...]]] = []

    def storing(arrays: Any, *rest: Any) -> None:
        shapes.append({array.path: data.shape for array, data in arrays.items()})
        store_views(arrays, *rest)

    firsts: list[Any] = []

    def framing(first: Any) -> Any:
        firsts.append(first)
        return frame_of(first)

    monkeypatch.setattr(window_features, "store_views", storing)
    monkeypatch.setattr(second_look, "frame_of", framing)
    source = folder(tmp_path / "source", few(6))
    run(source, tmp_path / "out", tiny(weights, *ALWAYS, "alignment.rotation=any"))
    ((_, outputs),) = atlases(tmp_path / "out")
    first: Any = open_group(outputs / "first_look.zarr")
    assert np.abs(first["windows"][:, 3]).max() > 0.01
    assert shapes
    assert not any("turned" in path or "mirrored" in path for shape in shapes for path in shape)
    opened = congeal.open(tmp_path / "out")
    assert opened.transfer("a/0.png", [[32.0, 24.0]], "a/1.png").notna().all(axis=None)
    # The second atlas lies as the first does: what is salient in a window may be a part of the thing.
    before, after = np.log(firsts[0].scale), np.log(opened.alignments["scale"])
    assert abs(np.median(after) - np.median(before)) < 0.1


@pytest.mark.usefixtures("kept")
@pytest.mark.parametrize("way", ["upright", *(pytest.param(way, marks=pytest.mark.slow) for way in ANY)])
def test_newcomers_are_found_in_their_frames_and_seen_again(
    tmp_path: Path, weights: Path, monkeypatch: pytest.MonkeyPatch, way: str
) -> None:
    source = folder(tmp_path / "source", few(6))
    out, posed = tmp_path / "out", way == "any angle"
    asked = ALWAYS if way == "upright" else (*ALWAYS, "alignment.rotation=any")
    views: list[list[str]] = []

    def storing(arrays: Any, *rest: Any) -> None:
        views.append([array.name for array in arrays if "mirrored" in array.name])
        store_views(arrays, *rest)

    with monkeypatch.context() as patch:
        if way == "any angle, before version 19":
            patch.setattr(second_look, "at_any_angle", lambda _: False)
        run(source, out, tiny(weights, *asked))
    monkeypatch.setattr(window_features, "store_views", storing)
    ((before, was),) = atlases(out)
    (source / "a" / "late.png").write_bytes(picture(0, 77))
    run(source, out, tiny(weights, *asked))
    ((after, now),) = [(marker, place) for marker, place in atlases(out) if marker.unit != before.unit]
    assert after.record["n_images"] == 7
    assert after.record["n_new"] == 1
    old, new = (open_group(place / "first_look.zarr") for place in (was, now))
    ids = old.attrs["image_ids"]
    rows = [new.attrs["image_ids"].index(name) for name in ids]
    windows: Any = new["windows"]
    np.testing.assert_array_equal(windows[:][rows], old["windows"])
    (late,) = set(range(7)) - set(rows)
    assert 0.5 - 1e-6 <= windows[late][2] <= 1
    assert windows.shape == (7, 5 if posed else 3)
    # They are seen as the members of the atlas were.
    assert views
    assert all(bool(mirrored) is not posed for mirrored in views)
    group: Any = open_group(now / "atlas.zarr")
    earlier: Any = open_group(was / "atlas.zarr")
    np.testing.assert_array_equal(group["maps/forward"][:][rows], earlier["maps/forward"][:])
    assert np.isfinite(group["maps/forward"][late]).all()
    shutil.rmtree(out)


def test_without_a_second_look_atlases_have_other_names_but_those_from_before_there_was_one() -> None:
    auto, off = (load_settings(None, [f"alignment.second_look={way}"], {}) for way in ("auto", "off"))
    before = stage_versions.ONE_LOOK
    assert scope(auto, "0123456789abcdef") != scope(off, "0123456789abcdef")
    assert scope(auto, "0123456789abcdef", before) == scope(off, "0123456789abcdef", before)
