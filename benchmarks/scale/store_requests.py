"""How many requests a run asks of S3, all told: by kind and by what for.

    python benchmarks/scale/store_requests.py [--images 200 1000] [--set KEY=VALUE …] [--record]

Generated pictures and a stand-in for the backbone (stand_in.py), of which a shard holds as many images as of
DINOv2 ViT-S/14, in a bucket of moto's server; every request goes through a proxy that counts it, whoever
asked. A run's requests are then divided by its images: of the first run with the report, and of the same
again. KB an image: what requests have sent, and what came back.
"""

from __future__ import annotations

import argparse
import json
import os
import re
import subprocess
import sys
import tempfile
import threading
import time
import urllib.request
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import ThreadingHTTPServer
from pathlib import Path
from urllib.parse import parse_qs, urlsplit

HERE = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(HERE.parent / "tests" / "helpers"))

from benchmarks.common import stand_in  # noqa: E402
from benchmarks.common.destinations import about  # noqa: E402
from benchmarks.common.relaying_store import Relay, serving  # noqa: E402
from benchmarks.faults import chaos_runs  # noqa: E402

RESULTS = HERE / "results" / "store_requests.md"


class _Server(ThreadingHTTPServer):
    daemon_threads = True
    request_queue_size = 128

    def __init__(self, upstream: str) -> None:
        super().__init__(("127.0.0.1", 0), _Handler)
        self.upstream = urlsplit(upstream).netloc
        self.asked: Counter[tuple[str, str]] = Counter()
        self.bytes: Counter[str] = Counter()
        self.lock = threading.Lock()


class _Handler(Relay):
    server: _Server

    def _handle(self) -> None:
        body = self.body()
        status, headers, data = self.handed_on(self.server.upstream, body)
        with self.server.lock:
            self.server.asked[kind_of(self.command, self.path), place_of(self.path)] += 1
            self.server.bytes += Counter({"sent": len(body), "came back": len(data)})
        self.answer(status, headers, data)

    do_GET = do_PUT = do_HEAD = do_POST = do_DELETE = _handle  # noqa: N815 - names of http.server


def kind_of(method: str, path: str) -> str:
    """GET, PUT, LIST, HEAD, …: a bucket that is asked for with a prefix is listed."""
    return "LIST" if method == "GET" and "list-type" in parse_qs(urlsplit(path).query) else method


def place_of(path: str) -> str:
    """What an object is for: its path without what differs from unit to unit."""
    parts = urlsplit(path).path.strip("/").split("/")
    if parts[0] != "results":
        return "originals"
    inner = "/".join(parts[2:]) or parse_qs(urlsplit(path).query).get("prefix", [""])[0].partition("/")[2]
    inner = re.sub(r"[0-9a-f]{12,}", "*", inner)
    return re.sub(r"\d+", "n", inner)


@contextmanager
def counted(upstream: str) -> Iterator[tuple[str, Counter[tuple[str, str]], Counter[str]]]:
    """A proxy's URL, and what went through it so far: requests, and bytes both ways."""
    server = _Server(upstream)
    with serving(server) as url:
        yield url, server.asked, server.bytes


def measure(
    count: int, chosen: list[str], home: Path
) -> dict[str, tuple[Counter[tuple[str, str]], Counter[str]]]:
    """What two runs over so many pictures asked for, and the bytes of it."""
    found = {}
    file = stand_in.weights(home)
    with chaos_runs._server() as endpoint:
        for bucket in ("photographs", "results"):
            urllib.request.urlopen(urllib.request.Request(f"{endpoint}/{bucket}", method="PUT")).close()
        for name, data in stand_in.pictures(count):
            url = f"{endpoint}/photographs/in/{name}"
            # urllib would call it a form, for whose fields the server waits.
            typed = {"Content-Type": "image/jpeg"}
            urllib.request.urlopen(urllib.request.Request(url, data, typed, method="PUT")).close()
        with counted(endpoint) as (url, asked, size):
            for which in ("first", "again"):
                asked.clear()
                size.clear()
                begin = time.perf_counter()
                options = [part for one in (*stand_in.settings(file), *chosen) for part in ("--set", one)]
                command = [
                    sys.executable,
                    "-m",
                    "flows.cli",
                    "run",
                    "s3://photographs/in",
                    "s3://results/out",
                ]
                environment = os.environ | {"AWS_ENDPOINT_URL": url, "PYTHONPATH": str(HERE.parent)}
                done = subprocess.run(
                    [*command, *options, "--json"],
                    env=environment,
                    capture_output=True,
                    text=True,
                    check=False,
                )
                if done.returncode:
                    raise SystemExit(done.stderr)
                found[which] = Counter(asked), Counter(size)
                print(f"{count} images, {which}: {time.perf_counter() - begin:.0f} s", file=sys.stderr)
    return found


def main() -> None:
    """The table."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--images", type=int, nargs="+", default=[200, 1000])
    parser.add_argument("--set", action="append", default=[])
    parser.add_argument("--places", type=int, default=0, help="so many of the commonest places, too")
    parser.add_argument("--record", action="store_true")
    asked = parser.parse_args()
    lines = [
        "| images | run | GET | PUT | LIST | HEAD | other | an image | KB sent | KB came back |",
        f"| ---: | --- |{' ---: |' * 8}",
    ]
    for count in asked.images:
        with tempfile.TemporaryDirectory(prefix="congeal-requests-") as home:
            found = measure(count, asked.set, Path(home))
        for run, (counts, size) in found.items():
            kinds: Counter[str] = Counter()
            for (kind, _), number in counts.items():
                kinds[kind if kind in ("GET", "PUT", "LIST", "HEAD") else "other"] += number
            row = " | ".join(f"{kinds[kind]:,}" for kind in ("GET", "PUT", "LIST", "HEAD", "other"))
            weight = " | ".join(f"{size[way] / count / 1000:.1f}" for way in ("sent", "came back"))
            lines.append(f"| {count:,} | {run} | {row} | {kinds.total() / count:.2f} | {weight} |")
            print(lines[-1], flush=True)
            for (kind, place), number in counts.most_common(asked.places):
                print(f"    {number:6,} {number / count:6.3f} {kind:5} {place}")
    said = (__doc__ or "").split("\n\n")[2].strip()
    more = "".join(f" --set {one}" for one in asked.set)
    images = " ".join(map(str, asked.images))
    command = f"python benchmarks/scale/store_requests.py --images {images}{more} --record"
    machine = {key: value for key, value in about().items() if key != "backbone"}
    text = "\n".join(["# Requests to S3", "", said, "", f"`{command}`, {json.dumps(machine)}", "", *lines])
    if asked.record:
        RESULTS.write_text(text + "\n")


if __name__ == "__main__":
    main()
