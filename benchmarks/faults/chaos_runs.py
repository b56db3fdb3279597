"""Runs that meet a store's faults, each other, a full disk and images that come and go (see chaos.py).

Every case ends with a plain run, after which the destination must hold the bytes of an undisturbed one, and
be sound; the runs themselves may end with a sentence, never with a traceback.
"""

from __future__ import annotations

import errno
import json
import os
import random
import shutil
import subprocess
import sys
import time
import traceback
import urllib.request
import uuid
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path

import sample_runs

import congeal
from benchmarks.faults.faulty_store import Faults, faulty
from congeal.settings import Settings
from infra.errors import UserError
from infra.ledger.publications import versions
from infra.settings import StorageSettings
from infra.storage import local_files
from infra.storage.location import Location
from tasks.maintenance.prune import prune
from tasks.maintenance.verify import verify

PATIENCE = 300.0
WELL, SENTENCE, BROKEN = 0, 3, 1


class Arena:
    """What the cases share: pictures, weights, and what an undisturbed run makes of them."""

    def __init__(
        self, home: Path, source: Path, weights: Path, wanted: dict[str, str], seconds: float
    ) -> None:
        self.home, self.source, self.weights, self.wanted, self.seconds = (
            home,
            source,
            weights,
            wanted,
            seconds,
        )

    def run(self, out: Path | Location, before: Callable[[], object] = lambda: None) -> int:
        """Begin a run in a process of its own; its number."""
        return begin(lambda: (before(), sample_runs.run(self.source, out, self._settings(out))))

    def ends_well(self, out: Path | Location, *, as_undisturbed: bool = True) -> bool:
        """A plain run, and whether the destination is then what it should be.

        as_undisturbed: with the bytes of an undisturbed run, in one version. What has published something
        else in the meantime grows from that, and is only sound.
        """
        answer = self.home / f"{uuid.uuid4().hex}.json"

        def act() -> None:
            sample_runs.run(self.source, out, self._settings(out))
            place = out if isinstance(out, Location) else Location.parse(out)
            found = sample_runs.results(place)
            same = {path: one for path, one in found.items() if path in self.wanted} == self.wanted
            answer.write_text(json.dumps([same, len(verify(place)["faults"]), len(versions(place))]))

        if end(begin(act)) != WELL:
            return False
        same, faults, published = json.loads(answer.read_text())
        if not as_undisturbed:
            return not faults
        if not same or faults or published != 1:
            print(f"  same bytes: {same}, faults: {faults}, versions: {published}", flush=True)
        return bool(same) and not faults and published == 1

    def _settings(self, out: Path | Location) -> Settings:
        storage = None if isinstance(out, Path) else StorageSettings(endpoint_url=out.options["endpoint_url"])
        return sample_runs.tiny(self.weights, storage=storage)


def begin(act: Callable[[], object]) -> int:
    """Do something in a process of its own; its number."""
    child = os.fork()
    if child:
        return child
    os.setsid()
    with Path(os.devnull).open("w") as nothing:
        os.dup2(nothing.fileno(), 2)
    try:
        act()
    except UserError:
        os._exit(SENTENCE)
    except BaseException:
        print("a traceback:", *traceback.format_exc().splitlines()[-3:], sep="\n  ", flush=True)
        os._exit(BROKEN)
    os._exit(WELL)


def end(child: int) -> int:
    """How a process ended; one that takes too long is killed."""
    since = time.monotonic()
    while time.monotonic() - since < PATIENCE:
        number, status = os.waitpid(child, os.WNOHANG)
        if number:
            return os.waitstatus_to_exitcode(status)
        time.sleep(0.02)
    os.kill(child, 9)
    os.waitpid(child, 0)
    return BROKEN


def several_at_once(arena: Arena, count: int) -> bool:
    """So many runs on one destination at the same moment."""
    out = arena.home / "several"
    ends = [end(child) for child in [arena.run(out) for _ in range(count)]]
    well = ends == [WELL] * count and arena.ends_well(out)
    shutil.rmtree(out, ignore_errors=True)
    return well


def beside_others(arena: Arena, chance: random.Random) -> bool:
    """A run while another process prunes and a third reads, again and again."""
    out = arena.home / "beside"
    if end(arena.run(out)) != WELL:
        return False
    shutil.rmtree(out / "stages" / chance.choice(["atlases", "index", "clusters"]))

    def prunes() -> None:
        for _ in range(20):
            try:
                prune(Location.parse(out), older_than=0)
            except UserError:
                time.sleep(0.1)

    def reads() -> None:
        for _ in range(20):
            try:
                congeal.open(out).images  # noqa: B018
            except UserError:
                time.sleep(0.1)

    others = [begin(prunes), begin(reads)]
    first = end(arena.run(out))
    ended = [end(child) for child in others]
    well = first in (WELL, SENTENCE) and ended == [WELL, WELL] and arena.ends_well(out)
    shutil.rmtree(out, ignore_errors=True)
    return well


def full_disk(arena: Arena, chance: random.Random) -> bool:
    """The disk is full from some write on; then there is room again."""
    out, left = arena.home / "full", chance.randrange(1, 60)
    real = local_files._write_partial

    def write(folder: Path, data: bytes) -> Path:
        nonlocal left
        left -= 1
        if left < 0:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        return real(folder, data)

    first = end(arena.run(out, lambda: setattr(local_files, "_write_partial", write)))
    well = first == SENTENCE and arena.ends_well(out)
    shutil.rmtree(out, ignore_errors=True)
    return well


def images_that_come_and_go(arena: Arena, chance: random.Random) -> bool:
    """An image is overwritten, removed and put back while a run is at work."""
    out = arena.home / "changing"
    path = chance.choice(sorted(arena.source.rglob("*.png")))
    data, times = path.read_bytes(), path.stat()
    child = arena.run(out)
    time.sleep(chance.uniform(0, arena.seconds))
    if chance.random() < 0.5:
        path.unlink()
    else:
        path.write_bytes(data[: len(data) // 2])
    first = end(child)
    path.write_bytes(data)
    os.utime(path, ns=(times.st_atime_ns, times.st_mtime_ns))
    well = first in (WELL, SENTENCE) and arena.ends_well(out, as_undisturbed=False)
    shutil.rmtree(out, ignore_errors=True)
    return well


def on_s3(arena: Arena, endpoint: str, faults: Faults, first_ends: tuple[int, ...]) -> bool:
    """A destination in a store that fails now and then."""
    bucket = f"chaos-{uuid.uuid4().hex[:12]}"
    with urllib.request.urlopen(urllib.request.Request(f"{endpoint}/{bucket}", method="PUT")):
        pass
    with faulty(endpoint, faults) as url:
        place = Location.parse(f"s3://{bucket}/out", StorageSettings(endpoint_url=url))
        first = end(arena.run(place))
        faults.expires_at = None
        if first not in first_ends:
            print(f"  the first run ended with {first}", flush=True)
        return first in first_ends and arena.ends_well(place)


def rows(
    arena: Arena, times: int, chance: random.Random, over: Callable[[], bool] = lambda: False
) -> tuple[list[str], bool]:
    """Lines of a table: each case so many times, until time is over; whether something did not end well."""
    counts: dict[str, Counter[str]] = {}
    met: Counter[str] = Counter()

    def tried(name: str, case: Callable[[], bool]) -> None:
        if over():
            return
        begun = time.monotonic()
        well = case()
        counts.setdefault(name, Counter()).update(times=1, well=int(well))
        said = "well" if well else "not well"
        print(f"{name}: ended {said} after {time.monotonic() - begun:.0f} s", file=sys.stderr, flush=True)

    with _server() as endpoint:
        for number in range(times):
            seed = chance.randrange(2**31)
            faults = Faults(unavailable=0.05, reset=0.02, cut=0.01, late=0.005, seed=seed)
            name = "S3: 5 % answered 503, 2 % reset, 1 % cut short, 0.5 % 2 s late"
            tried(name, partial(on_s3, arena, endpoint, faults, (WELL,)))
            met.update(faults.met)
            expiring = Faults(expires_at=20 + 60 * number % 200, seed=seed)
            name = "S3: credentials expire in the middle, and come back"
            tried(name, partial(on_s3, arena, endpoint, expiring, (WELL, SENTENCE)))
            tried("two runs at once", lambda: several_at_once(arena, 2))
            tried("four runs at once", lambda: several_at_once(arena, 4))
            tried("a run beside a pruning beside a reader", lambda: beside_others(arena, chance))
            tried("the disk is full", lambda: full_disk(arena, chance))
            tried("an image changes or vanishes", lambda: images_that_come_and_go(arena, chance))
    lines = [f"| {name} | {row['times']} | {row['well']} | {row['well']} | |" for name, row in counts.items()]
    said = ", ".join(f"{met[one]:,} {one}" for one in ("requests", "unavailable", "reset", "cut", "late"))
    lines += ["", f"Of the store that failed now and then: {said}."]
    return lines, any(row["well"] < row["times"] for row in counts.values())


@contextmanager
def _server() -> Iterator[str]:
    """moto's S3 server in a process of its own, and of no run that is forked from here; its URL."""
    os.environ |= {
        "AWS_ACCESS_KEY_ID": "testing",
        "AWS_SECRET_ACCESS_KEY": "testing",
        "AWS_DEFAULT_REGION": "us-east-1",
        "AWS_EC2_METADATA_DISABLED": "true",
    }
    code = (
        "import sys; from moto.server import ThreadedMotoServer; "
        "server = ThreadedMotoServer('127.0.0.1', 0, verbose=False); server.start(); "
        "print('%s:%d' % server.get_host_and_port(), flush=True); sys.stdin.read()"
    )
    pipe, nothing = subprocess.PIPE, subprocess.DEVNULL
    process = subprocess.Popen([sys.executable, "-c", code], stdin=pipe, stdout=pipe, stderr=nothing)
    try:
        assert process.stdout is not None
        yield "http://" + process.stdout.readline().decode().strip()
    finally:
        process.kill()
        process.wait()
