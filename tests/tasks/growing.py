"""A collection that is done, and has grown once."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pandas as pd
import pytest
from sample_runs import encoded, folder, photographs, run, tiny

import congeal
from congeal.settings import Settings
from infra.ledger.sealed_text import opened_text, sealed_text

# At this size even random weights see what two pictures of a kind have in common.
SEEN = ("clusters.method=auto", "features.shard_bytes=200000", "features.image_size=224")


class Story(NamedTuple):
    """A folder with a destination as it was first and as it is then; facts of the runs; collections."""

    home: Path
    first: Path
    then: Path
    facts: list[dict[str, Any]]
    before: Any
    after: Any


def grown(weights: Path, *more: str) -> Settings:
    return tiny(weights, *SEEN, *more)


def stripes(seed: int) -> bytes:
    """A picture of a third kind of thing."""
    random = np.random.default_rng([7, seed])
    y, x = np.mgrid[:72, :72]
    dark = ((x + y + random.integers(0, 12)) // 9 % 2)[..., None] == 0
    pixels = np.where(dark, 20, 240) + random.integers(-8, 8, (72, 72, 1)) + np.zeros((1, 1, 3), int)
    return encoded(np.clip(pixels, 0, 255).astype(np.uint8))


def noise() -> bytes:
    return encoded(np.random.default_rng(9).integers(0, 255, (70, 70, 3)).astype(np.uint8))


def newcomers() -> dict[str, bytes]:
    """Of known kinds, of a new one, and one of none."""
    known = {name: data for name, data in photographs(11).items() if int(name[2:-4]) >= 8}
    return known | {f"c/{seed}.png": stripes(seed) for seed in range(6)} | {"noise.png": noise()}


def by_uri(collection: Any) -> pd.Series:
    return collection.images.set_index("uri")["cluster_id"]


def points(collection: Any) -> pd.DataFrame:
    """The rows of the index, by cluster, image and point."""
    return collection.correspondences().set_index(["cluster_id", "image_id", "point_id"]).sort_index()


def made(facts: dict[str, Any]) -> dict[str, int]:
    return {row["stage"]: row["units_made"] for row in facts["stages"]}


@pytest.fixture(scope="session")
def story(tmp_path_factory: pytest.TempPathFactory, weights: Path) -> Story:
    home = tmp_path_factory.mktemp("growth")
    source = folder(home / "source", photographs(8))
    facts = [run(source, home / "first", grown(weights))]
    shutil.copytree(home / "first", home / "then")
    folder(source, newcomers())
    (source / "a/3.png").unlink()
    facts.append(run(source, home / "then", grown(weights)))
    return Story(
        home,
        home / "first",
        home / "then",
        facts,
        congeal.open(home / "first"),
        congeal.open(home / "then"),
    )


def move(destination: Path, source: Path, there: Path) -> None:
    for version in destination.glob("published/versions/*.json"):
        text, _ = opened_text(version.read_bytes())
        moved = text.decode().replace(f"file://{source}", f"file://{there}")
        version.write_bytes(sealed_text(json.loads(moved)))


def retold(story: Story, place: Path) -> tuple[Path, Path]:
    """A copy of the story's source and of what it had come to, to go on with."""
    source, destination = place / "source", place / "out"
    shutil.copytree(story.home / "source", source)
    shutil.copytree(story.then, destination)
    move(destination, story.home / "source", source)
    return source, destination


def apart(before: Any, after: Any, cluster: str) -> float:
    both = points(before).join(points(after), suffixes=("", "_then"), how="inner").loc[[cluster]]
    both = both[both["visible"] & both["visible_then"]]
    assert len(both) > 5
    return float(np.median(np.hypot(both["x"] - both["x_then"], both["y"] - both["y_then"])))
