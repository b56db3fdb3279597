"""What a forecast is made of, and what it is asked of: plain facts that cross to another process."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, NamedTuple

from congeal.settings import Settings
from infra.storage.location import Location
from tasks.catalog.listing_entries import ListingEntry


class Seen(NamedTuple):
    """What a wider sample has shown: sizes of its sets, how many images it had, how many without a set."""

    sets: tuple[int, ...]
    images: int
    alone: int


@dataclass(frozen=True)
class Request:
    """The images of a source that a sample is made of, and how the whole would be run.

    Attributes:
        entries: the images. groups: the group of each, None for one without; None where groups are not known.
        most: how many are run; if there are more, they are looked at first for what sets there are.
        images: how many the whole source has. apart: whether a process is there for the sample alone.
        seen: what was seen of more images than these. clustering: seconds that the split of the whole takes.
    """

    source: Location
    settings: Settings
    entries: tuple[ListingEntry, ...]
    groups: tuple[str | None, ...] | None
    most: int
    images: int
    apart: bool = False
    seen: Seen | None = None
    clustering: float = 0.0


class Loaded(NamedTuple):
    """What it takes to load what workers share: they are forked from a process that has.

    seconds: that the imports took, which are nearly all of the start of workers; what the process had before
    counts as nothing. planning: bytes that were resident before, with what a run's own process needs, and so
    without torch. memory: bytes that were resident then.
    """

    seconds: float = 0.0
    planning: int = 0
    memory: int = 0


class SetCost(NamedTuple):
    """What one set of the sample took. seconds: of one worker; bytes and files that it has written."""

    images: int
    seconds: float
    bytes: int = 0
    files: int = 0


@dataclass(frozen=True)
class Sampled:
    """The outcome of the run over the sample.

    Attributes:
        images: how many there were, ok: how many of them could be used.
        facts: of the run, see `flows.runs.report`.
        sets: its clusters. written: bytes and files by stage, the site's under "report".
        lone: images without a cluster. device: what computed the atlases.
        workers: of the whole run, at once. start: seconds until they are there.
        slower: how many times as long a unit takes while all workers are at work.
        memory: bytes that the whole run's process has beside its workers'; 0: it has none. shared: that the
            one has from which these are forked. base: that the sample's had before it was run.
        clustering: seconds that the split of the whole takes.
        backbone: bytes that the sample did without while atlases were made; a run keeps the backbone.
        grouped: images that are in a group, where groups are known.
        seen: of a wider sample; None: there was none, and `sets` are what there is to go by.
    """

    images: int
    ok: int
    facts: dict[str, Any]
    sets: tuple[SetCost, ...]
    written: dict[str, tuple[int, int]]
    lone: int
    device: str
    grouped: int = 0
    seen: Seen | None = None
    workers: int = 1
    start: float = 0.0
    slower: float = 1.0
    memory: int = 0
    shared: int = 0
    base: int = 0
    backbone: int = 0
    clustering: float = 0.0
