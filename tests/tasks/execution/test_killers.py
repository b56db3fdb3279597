"""Images and clusters that are too much for a worker's memory: recorded as failed, and the run goes on."""

from __future__ import annotations

import dataclasses
import hashlib
import io
import json
import shutil
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import pytest
from growing import grown
from rich.console import Console
from sample_runs import folder, photographs, picture, results, run, tiny, units
from typer.testing import CliRunner

import congeal
import tasks.atlases.atlases_stage
import tasks.catalog.catalog_slices
import tasks.features.features_stage
from flows.cli import app
from flows.console.summary import show_run
from flows.runs.report import sentence
from infra.errors import UserError
from infra.ledger.commits import Marker
from infra.storage.location import Location
from tasks.atlases.previews import Shown
from tasks.execution.division import Items
from tasks.execution.stage_runner import Unit
from tasks.maintenance.status import status
from tasks.maintenance.verify import verify

NAME = "a/1.png"
REASON = "engine.retry_failed=true"


def identity(data: bytes) -> str:
    return hashlib.sha256(data).hexdigest()[:32]


KILLER = identity(photographs()[NAME])


class Deadly:
    """Runs out of memory whenever a stage works on what is named, in the whole or in pieces."""

    def __init__(
        self, patch: pytest.MonkeyPatch, module: Any, make: str, names: Callable[[Unit], Sequence[Any]]
    ):
        self.tries: list[int] = []
        whole: Callable[[Unit], Marker] = getattr(module, make)
        division = module.DIVISION

        def check(found: Sequence[Any]) -> None:
            if any(KILLER in str(name) or NAME in str(name) for name in found):
                self.tries.append(len(found))
                raise MemoryError

        def wholly(unit: Unit) -> Marker:
            check(names(unit))
            return whole(unit)

        def piece(unit: Unit, items: Items) -> None:
            check([names(unit)[item] for item in items])
            division.make(unit, items)

        patch.setattr(module, make, wholly)
        patch.setattr(module, "DIVISION", dataclasses.replace(division, make=piece))


def in_features(patch: pytest.MonkeyPatch) -> Deadly:
    return Deadly(patch, tasks.features.features_stage, "make_shard", lambda unit: unit.payload.members)


def in_catalog(patch: pytest.MonkeyPatch) -> Deadly:
    def names(unit: Unit) -> list[str]:
        return [entry.path for entry in tasks.catalog.catalog_slices._entries(unit)]

    return Deadly(patch, tasks.catalog.catalog_slices, "make_slice", names)


def in_atlases(patch: pytest.MonkeyPatch, cluster: str | None = None) -> list[str]:
    """Every atlas, or that of one cluster, is too much; the pictures are not."""
    made, tried = tasks.atlases.atlases_stage.make_atlas, []

    def deadly(unit: Unit, killers: Items = ()) -> Marker:
        if cluster in (None, unit.payload.cluster_id):
            tried.append(unit.payload.cluster_id)
            raise MemoryError
        return made(unit, killers)

    patch.setattr(tasks.atlases.atlases_stage, "make_atlas", deadly)
    return tried


def row(destination: Path) -> dict[str, Any]:
    return congeal.open(destination).find(NAME)


def sound(destination: Path) -> None:
    assert verify(Location.parse(destination))["faults"] == []


@pytest.mark.parametrize("stage", [pytest.param(in_catalog, marks=pytest.mark.slow), in_features])
def test_an_image_that_kills_is_a_row_and_the_run_goes_on(
    tmp_path: Path, weights: Path, stage: Callable[[pytest.MonkeyPatch], Deadly]
) -> None:
    source, out = folder(tmp_path / "source", photographs()), tmp_path / "out"
    asked = tiny(weights, "features.shard_bytes=200000", "features.batch_size=2", "catalog.slice_size=20")
    with pytest.MonkeyPatch.context() as patch:
        deadly = stage(patch)
        facts = run(source, out, asked)
        assert facts["images"] == {"ok": 9, "failed": 1, "duplicate": 0}
        tries = len(deadly.tries)
        assert 0 < tries < 12
        failed = row(out)
        assert failed["status"] == "failed"
        assert REASON in failed["error"]
        sound(out)
        assert run(source, out, asked)["up_to_date"]
        # Nobody works on it again, not even where the version was lost and everything is looked at.
        shutil.rmtree(out / "published")
        run(source, out, asked)
        assert len(deadly.tries) == tries
        # Asked for, it is tried, and may fail again: then all is as it was.
        before = results(out)
        assert run(source, out, retried(asked))["images"]["failed"] == 1
        assert len(deadly.tries) > tries
        assert results(out) == before
    facts = run(source, out, retried(asked))
    assert facts["images"] == {"ok": 10, "failed": 0, "duplicate": 0}
    sound(out)
    assert run(source, out, retried(asked))["up_to_date"]
    # What was divided, and what was asked for again, has the name and the bytes of what never was.
    run(source, tmp_path / "undisturbed", asked)
    name = "stages/catalog/" if stage is in_catalog else "stages/features/"
    expected = {path: found for path, found in results(tmp_path / "undisturbed").items() if name in path}
    assert results(out).items() >= expected.items()


def retried(settings: Any) -> Any:
    engine = settings.engine.model_copy(update={"retry_failed": True})
    return settings.model_copy(update={"engine": engine})


@pytest.mark.parametrize(
    ("module", "make", "sizes"),
    [
        (tasks.features.features_stage, "make_shard", "members"),
        (tasks.catalog.catalog_slices, "make_slice", None),
    ],
)
def test_too_much_at_once_comes_out_as_if_undisturbed(
    tmp_path: Path, weights: Path, monkeypatch: pytest.MonkeyPatch, module: Any, make: str, sizes: str | None
) -> None:
    files = photographs() | {"broken.jpg": b"no image", "a/copy of 0.png": picture(0, 0)}
    source = folder(tmp_path / "source", files)
    asked = tiny(weights, "features.shard_bytes=200000", "features.batch_size=2", "catalog.slice_size=20")
    run(source, tmp_path / "undisturbed", asked)
    whole, division, pieces = getattr(module, make), module.DIVISION, []

    def heavy(unit: Unit) -> Marker:
        if unit.items > 2:
            raise MemoryError
        made: Marker = whole(unit)
        return made

    def piece(unit: Unit, items: Items) -> None:
        pieces.append(items)
        if len(items) > 2:
            raise MemoryError
        division.make(unit, items)

    monkeypatch.setattr(module, make, heavy)
    monkeypatch.setattr(module, "DIVISION", dataclasses.replace(division, make=piece))
    run(source, tmp_path / "out", asked)
    assert len(pieces) > 5
    assert results(tmp_path / "out") == results(tmp_path / "undisturbed")


@pytest.mark.slow
def test_a_cluster_that_kills_has_a_row_and_the_others_their_atlases(tmp_path: Path, weights: Path) -> None:
    source, out = folder(tmp_path / "source", photographs(8)), tmp_path / "out"
    run(source, tmp_path / "undisturbed", grown(weights))
    undisturbed = congeal.open(tmp_path / "undisturbed")
    first, other = sorted(undisturbed.clusters["cluster_id"])
    with pytest.MonkeyPatch.context() as patch:
        tried = in_atlases(patch, first)
        facts = run(source, out, grown(weights))
        assert facts["failed_clusters"] == 1
        assert facts["images"]["ok"] == 16
        assert run(source, out, grown(weights))["up_to_date"]
        assert len(tried) == 4
    sound(out)
    collection = congeal.open(out)
    table = collection.clusters.set_index("cluster_id")
    assert table.loc[first, "status"] == "failed"
    assert table.loc[first, "n_images"] == 8
    rows = collection.alignments.set_index("cluster_id").loc[first]
    assert rows["outlier"].all()
    assert rows["outlier_reason"].str.contains(REASON).all()
    assert set(collection.correspondences()["cluster_id"]) == {other}
    assert collection.correspondences(other).equals(undisturbed.correspondences(other))
    image = rows["image_id"].iloc[0]
    with pytest.raises(UserError, match=f"The cluster {first} has no atlas"):
        collection.maps(image)
    with pytest.raises(UserError):
        collection.transfer(image, [[1, 1]], rows["image_id"].iloc[1])
    said = status(Location.parse(out))
    assert [entry["cluster_id"] for entry in said["cluster_failures"]] == [first]
    # With more memory, all is as if it had been there from the first.
    facts = run(source, out, retried(grown(weights)))
    assert facts["failed_clusters"] == 0
    assert (
        results(out).items()
        >= {
            path: found for path, found in results(tmp_path / "undisturbed").items() if "stages/" in path
        }.items()
    )
    sound(out)


@pytest.mark.slow
def test_a_failed_cluster_grows_when_it_can(tmp_path: Path, weights: Path) -> None:
    source, out = folder(tmp_path / "source", photographs(8)), tmp_path / "out"
    run(source, out, grown(weights))
    names = congeal.open(out).images.set_index("uri")["cluster_id"]
    hit = names["a/0.png"]
    folder(source, {"a/8.png": picture(0, 8), "b/8.png": picture(1, 8, (64, 84))})
    with pytest.MonkeyPatch.context() as patch:
        in_atlases(patch, hit)
        assert run(source, out, grown(weights))["failed_clusters"] == 1
    sound(out)
    before = congeal.open(out, version="1")
    then = before.correspondences(hit)
    assert len(then)
    # Its next images come while it has no atlas; then it grows from the one that it had.
    folder(source, {"a/9.png": picture(0, 9)})
    assert run(source, out, grown(weights))["failed_clusters"] == 0
    sound(out)
    after = congeal.open(out)
    assert after.find("a/9.png")["cluster_id"] == hit
    both = ["image_id", "point_id", "x", "y"]
    old = after.correspondences(hit)
    old = old[old["image_id"].isin(then["image_id"])]
    assert old[both].reset_index(drop=True).equals(then[both].reset_index(drop=True))


@pytest.mark.slow
def test_an_image_that_kills_in_the_pictures_is_left_out_of_them(
    tmp_path: Path, weights: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    source, out = folder(tmp_path / "source", photographs()), tmp_path / "out"
    shown = tasks.atlases.atlases_stage.square_of

    def deadly(place: Location, image: Shown, settings: Any) -> Any:
        if image.member.image_id == KILLER:
            raise MemoryError
        return shown(place, image, settings)

    # Features of an earlier version, or larger pictures: the originals are read again.
    monkeypatch.setattr("tasks.features.feature_shards.MOST_PREVIEW", 0)
    monkeypatch.setattr("tasks.atlases.atlases_stage.square_of", deadly)
    monkeypatch.setattr("tasks.atlases.previews.square_of", deadly)
    settings = tiny(weights, "previews.members=10")
    facts = run(source, out, settings)
    assert facts["failed_clusters"] == 0
    (unit,) = units(out, ["atlases"])
    record = json.loads((unit / "_commit.json").read_bytes())["record"]
    assert record["killed"] == [KILLER]
    assert list(record["not_shown"]) == [KILLER]
    assert congeal.open(out).find(NAME)["status"] == "ok"
    sound(out)


def test_the_summary_and_the_status_name_what_failed(
    tmp_path: Path, weights: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    in_features(monkeypatch)
    in_atlases(monkeypatch)
    facts = run(folder(tmp_path / "source", photographs()), tmp_path / "out", tiny(weights))
    console = Console(file=io.StringIO(), width=200)
    show_run(facts, console)
    assert "9 ok, 1 failed, 0 duplicate · clusters: 1 (1 failed)" in console.file.getvalue()
    assert "1 cluster (1 failed)" in sentence(facts)
    done = CliRunner().invoke(app, ["status", str(tmp_path / "out")])
    assert done.exit_code == 0
    assert NAME in done.output
    assert done.output.count(REASON) == 2
