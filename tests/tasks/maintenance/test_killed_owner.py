"""What an owner does, killed between two writes: the destination stays sound, and once more ends it."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from growing import Story, by_uri, grown, retold
from interrupted_writes import killed_after
from sample_runs import folder, photographs, results, run

import congeal
from congeal.results.published_version import Published
from infra.errors import UserError
from infra.ledger.publications import versions
from infra.storage.location import Location
from tasks.maintenance import correct
from tasks.maintenance.relocate import relocate
from tasks.maintenance.verify import verify

pytestmark = [pytest.mark.slow, pytest.mark.timeout(600)]
WHO = correct.Given("ann", None)


def sound(destination: Path) -> bool:
    place = Location.parse(destination)
    names = [name.partition("-")[0] for name in versions(place)]
    return all(verify(place, version=name)["faults"] == [] for name in names)


@pytest.mark.parametrize("writes", [0, 1, 2, 3])
def test_a_correction(
    story: Story, tmp_path: Path, weights: Path, monkeypatch: pytest.MonkeyPatch, writes: int
) -> None:
    """It is recorded whole or not at all."""
    _, destination = retold(story, tmp_path)
    published = Published(Location.parse(destination))
    with killed_after(writes):
        correct.exclude(published, ["a/0.png"], WHO)
    assert sound(destination)
    rows = correct.listed(published)
    if not rows:
        correct.exclude(published, ["a/0.png"], WHO)
        rows = correct.listed(published)
    assert [(row["number"], row["kind"]) for row in rows] == [(1, "exclude")]


@pytest.mark.parametrize("writes", [0, 1, 2, 4, 7])
def test_relocating(
    story: Story, tmp_path: Path, weights: Path, monkeypatch: pytest.MonkeyPatch, writes: int
) -> None:
    source, destination = retold(story, tmp_path)
    there = source.rename(tmp_path / "elsewhere")
    before = by_uri(congeal.open(destination))

    def move() -> Any:
        return relocate(Location.parse(destination), Location.parse(there), grown(weights))

    with killed_after(writes):
        move()
    assert sound(destination)
    again(move)
    facts = run(there, destination, grown(weights))
    assert sum(row["units_made"] for row in facts["stages"] if row["stage"] in ("features", "atlases")) == 0
    assert by_uri(congeal.open(destination)).equals(before)
    assert sound(destination)


@pytest.fixture(scope="module")
def corrected(
    tmp_path_factory: pytest.TempPathFactory, weights: Path
) -> tuple[Path, Path, dict[str, str], dict[str, Any]]:
    """A source; one whose corrections wait; files, and what is said, once a run has applied them."""
    home = tmp_path_factory.mktemp("killed")
    source = folder(home / "source", photographs(4))
    run(source, home / "waiting", grown(weights))
    published = Published(Location.parse(home / "waiting"))
    clusters = by_uri(congeal.open(home / "waiting"))
    a, b = clusters["a/0.png"], clusters["b/0.png"]
    correct.move(published, ["a/0.png"], b, WHO)
    correct.exclude(published, ["b/3.png"], WHO)
    correct.name(published, a, "discs", WHO)
    shutil.copytree(home / "waiting", home / "applied")
    run(source, home / "applied", grown(weights))
    return source, home / "waiting", results(home / "applied"), told(home / "applied")


def told(destination: Path) -> dict[str, Any]:
    collection = congeal.open(destination)
    names = collection.clusters.set_index("cluster_id")["name"].dropna().to_dict()
    return {"clusters": by_uri(collection).to_dict(), "names": names, "counts": collection.publication.counts}


@pytest.mark.parametrize("writes", [0, 1, 3, 8, 21, 34, 55, 80])
def test_a_run_that_applies_corrections(
    corrected: tuple[Path, Path, dict[str, str], dict[str, Any]],
    tmp_path: Path,
    weights: Path,
    writes: int,
) -> None:
    """Killed anywhere, a plain run ends in the bytes of one that nobody disturbed."""
    source, waiting, files, after = corrected
    destination = tmp_path / "out"
    shutil.copytree(waiting, destination)
    with killed_after(writes) as kill:
        run(source, destination, grown(weights))
    assert kill.happened
    assert sound(destination)
    run(source, destination, grown(weights))
    assert results(destination) == files
    assert told(destination) == after
    assert sound(destination)
    assert run(source, destination, grown(weights))["up_to_date"]


def again(what: Callable[[], Any]) -> None:
    """Once more, unless the first time had come to its end."""
    try:
        what()
    except UserError as error:
        assert "already" in str(error)  # noqa: PT017 - either way is right
