"""Runs, kills, new images, prunings, publications and readers in any order, on every store.

A run here is what a run is for the ledger: it commits the units that are missing, and publishes them.
"""

from __future__ import annotations

import tempfile
import uuid
from contextlib import ExitStack

import pytest
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule
from interrupted_writes import killed_after
from s3_stub import s3_stub, url_of

from infra.ledger.commits import UnitAddress, check_unit, commit_unit, digest, find_marker
from infra.ledger.provenance import Provenance
from infra.ledger.publications import Publication, claim, current_name, publish, published, versions
from infra.settings import StorageSettings
from infra.storage.location import Location
from tasks.maintenance.prune import prune

SCOPE, STAGE, SLICE = "scope", "features", 3
LONG_AGO = "2020-01-01T00:00:00+00:00"


def content(images: list[int]) -> dict[str, bytes]:
    """The outputs of a unit: the same whoever makes it."""
    return {"a.bin": repr(images).encode() * 3, "group/b.bin": b"b" * len(images)}


class Protocol(RuleBasedStateMachine):
    """Whatever happens, what is published is whole, and a run that is left alone publishes what there is."""

    store = "file"

    @initialize()
    def begin(self) -> None:
        self.stack = ExitStack()
        if self.store == "file":
            home = self.stack.enter_context(tempfile.TemporaryDirectory())
            self.place = Location.parse(f"{home}/out")
        elif self.store == "memory":
            self.place = Location.parse(f"memory://{uuid.uuid4().hex}")
            self.stack.callback(self.place.delete)
        else:
            server = self.stack.enter_context(s3_stub(self.store))
            self.place = Location.parse("s3://bucket/out", StorageSettings(endpoint_url=url_of(server)))
        self.images = 4
        self.newest = 0
        claim(self.place)

    def teardown(self) -> None:
        if hasattr(self, "stack"):
            self.stack.close()

    def run_all(self) -> None:
        """What a run does: units that are there are not made again."""
        units = []
        for start in range(0, self.images, SLICE):
            images = list(range(start, min(start + SLICE, self.images)))
            address = UnitAddress(self.place, STAGE, 1, SCOPE, digest(images))
            if address.marker() is None:
                made = Provenance("0", "host", "3", "os", LONG_AGO, 1.0, {}, 0)
                commit_unit(address, content(images), {"images": images}, made)
            units.append(f"{SCOPE}/{digest(images)}")
        now = published(self.place)
        if now is None or now.units != {STAGE: units}:
            made_of = Publication(
                run_key="key",
                source="s3://x/y",
                settings={},
                backbone="v",
                weights_fingerprint="0",
                units={STAGE: units},
                counts={},
                created=LONG_AGO,
                code_version="0",
            )
            publish(self.place, made_of)

    @rule()
    def run(self) -> None:
        self.run_all()
        self.whole(published(self.place), self.images)

    @rule(moment=st.integers(0, 12))
    def kill(self, moment: int) -> None:
        with killed_after(moment, uncounted=None):
            self.run_all()

    @rule(more=st.integers(1, 4))
    def grow(self, more: int) -> None:
        self.images += more

    @rule(keep=st.integers(1, 3))
    def prune(self, keep: int) -> None:
        if published(self.place) is not None:
            prune(self.place, keep=keep, older_than=0)

    @rule(keep=st.integers(1, 2), moment=st.integers(0, 8))
    def kill_a_pruning(self, keep: int, moment: int) -> None:
        if published(self.place) is not None:
            with killed_after(moment, uncounted=None):
                prune(self.place, keep=keep, older_than=0)
            (self.place / "working").delete()  # as if five minutes had passed

    @invariant()
    def what_is_published_is_whole(self) -> None:
        if not hasattr(self, "place"):
            return
        current = published(self.place)
        if current is None:
            return
        assert current.number >= self.newest  # a reader never goes back
        self.newest = current.number
        self.whole(current, None)
        assert current_name(self.place) in versions(self.place)

    def whole(self, found: Publication | None, images: int | None) -> None:
        assert found is not None
        seen: list[int] = []
        for name in found.units[STAGE]:
            marker = find_marker(self.place, STAGE, name)
            assert marker is not None
            assert check_unit(self.place, marker, deep=True) == []
            seen += marker.record["images"]
        assert seen == list(range(len(seen)))
        assert images is None or len(seen) == images


def cases(store: str, examples: int) -> type:
    """The state machine over one store."""
    machine = type(f"Protocol_{store}", (Protocol,), {"store": store})
    chosen = settings(
        max_examples=examples,
        stateful_step_count=12,
        suppress_health_check=list(HealthCheck),
    )
    case = machine.TestCase
    case.settings = chosen
    return case


def marked(case: type, *marks: pytest.MarkDecorator) -> type:
    """The case with these marks."""
    for mark in marks:
        case = mark(case)
    return case


TestOnDisk = cases("file", 8)
TestInMemory = cases("memory", 20)
TestLongOnDisk = pytest.mark.slow(cases("file", 100))
LONG = (pytest.mark.s3, pytest.mark.slow, pytest.mark.timeout(900))
TestOnS3 = marked(cases("named", 6), *LONG)
TestOnPlainS3 = marked(cases("unnamed", 6), *LONG)
