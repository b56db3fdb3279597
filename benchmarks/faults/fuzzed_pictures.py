"""Small pictures of six formats, changed at random and decoded as a run decodes them: what comes of each?

Made at run time, in processes of their own whose memory is limited, so that one which crashes a library ends
its process and is counted. Of such a one library, format and kind of change are said, neither file nor seed.
"""

from __future__ import annotations

import io
import json
import os
import resource
import time
import zlib
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from congeal.errors import ImageError
from congeal.imaging.decoding import inspect, squares

FORMATS = ("JPEG", "PNG", "WEBP", "TIFF", "GIF", "BMP")
MEMORY = 512 * 2**20  # bytes that a process may take beyond what it has when it begins
BATCH = 500  # pictures in a process
SLOW = 1.0  # seconds of the processor
SIZES = (224, 96)


def sound(name: str) -> list[bytes]:
    """Files of one format, of several makes."""
    generator = np.random.default_rng(1)
    noise = generator.integers(0, 255, (48, 64, 3), np.uint8)
    y, x = np.mgrid[:96, :128]
    smooth = np.stack([x * 2 % 256, y * 2 % 256, (x + y) % 256], -1).astype(np.uint8)
    pictures = [Image.fromarray(noise), Image.fromarray(smooth)]
    ways: dict[str, list[dict[str, Any]]] = {
        "JPEG": [{}, {"progressive": True}, {"quality": 30, "subsampling": 0}],
        "PNG": [{}, {"compress_level": 0}],
        "WEBP": [{}, {"lossless": True}],
        "TIFF": [
            {"compression": kind} for kind in ("raw", "tiff_lzw", "tiff_adobe_deflate", "packbits", "jpeg")
        ],
        "GIF": [{}, {"interlace": 0}],
        "BMP": [{}],
    }
    modes = {"PNG": ("RGB", "RGBA", "P", "L"), "GIF": ("P",), "BMP": ("RGB", "P"), "WEBP": ("RGB", "RGBA")}
    found = []
    for picture in pictures:
        for mode in modes.get(name, ("RGB", "L")):
            for options in ways[name]:
                buffer = io.BytesIO()
                picture.convert(mode).save(buffer, name, **options)
                found.append(buffer.getvalue())
    if name in ("PNG", "TIFF"):
        buffer = io.BytesIO()
        Image.fromarray(generator.integers(0, 65535, (40, 50), np.uint16)).save(buffer, name)
        found.append(buffer.getvalue())
    return found


def changed(data: bytes, name: str, generator: np.random.Generator) -> tuple[bytes, str]:
    """A file changed in one of several ways, and which."""
    way = str(generator.choice(["bytes", "header", "cut", "part twice", "part lost", "bits"]))
    body = np.frombuffer(data, np.uint8).copy()
    reach = len(body) if way != "header" else min(len(body), 200)
    if way in ("bytes", "header"):
        places = generator.integers(8, max(reach, 9), generator.integers(1, 12))
        body[places % len(body)] = generator.integers(0, 256, len(places))
    elif way == "bits":
        for place in generator.integers(8, len(body), generator.integers(1, 4)):
            body[place] ^= 1 << generator.integers(0, 8)
    else:
        start, stop = sorted(generator.integers(8, len(body), 2).tolist())
        parts = {"cut": body[:stop], "part lost": np.r_[body[:start], body[stop:]]}
        body = parts.get(way, np.r_[body[:stop], body[start:]])
    out = body.tobytes()
    if name == "PNG" and generator.random() < 0.7:
        out = _with_checksums(out)
    return out, way


def _with_checksums(data: bytes) -> bytes:
    """A PNG whose chunks' checksums are right again, so that the decoder gets to see what is in them."""
    out, at = bytearray(data[:8]), 8
    while at + 12 <= len(data):
        length = int.from_bytes(data[at : at + 4], "big")
        if at + 12 + length > len(data):
            break
        body = data[at + 4 : at + 8 + length]
        out += data[at : at + 4] + body + zlib.crc32(body).to_bytes(4, "big")
        at += 12 + length
    return bytes(out + data[at:])


def outcome(data: bytes) -> str:
    """What a run would make of a file."""
    try:
        inspect(data, 4_000_000)
        list(squares(data, SIZES, 4_000_000))
    except ImageError as error:
        return "a reason" if error.reason and "\n" not in error.reason else "no good reason"
    return "decoded"


def table(count: int, seed: int, work: Path) -> tuple[list[str], bool]:
    """Lines of Markdown, and whether anything else than pixels or a reason came out."""
    rows: dict[str, Counter[str]] = {name: Counter() for name in FORMATS}
    slowest = dict.fromkeys(FORMATS, 0.0)
    peak = 0
    for batch in range(-(-count // BATCH)):
        name = FORMATS[batch % len(FORMATS)]
        answer = work / f"{batch}.json"
        some = min(BATCH, count - batch * BATCH)
        crashed = _in_process(lambda: answer.write_text(json.dumps(_batch(name, [seed, batch], some))))  # noqa: B023
        if crashed:
            rows[name]["crash"] += 1
            print(f"a picture in {name} ended its process ({crashed})", flush=True)
            continue
        found = json.loads(answer.read_text())
        rows[name].update(found["outcomes"])
        slowest[name] = max(slowest[name], found["slowest"])
        peak = max(peak, found["peak"])
    lines = [
        "| files changed at random | tried | decoded | a reason | crash or anything else | slowest, CPU s |"
    ]
    lines.append("| --- | ---: | ---: | ---: | ---: | ---: |")
    bad = False
    for name, row in rows.items():
        other = sum(row.values()) - row["decoded"] - row["a reason"]
        bad = bad or other > 0 or slowest[name] > SLOW
        numbers = (
            f"{sum(row.values())} | {row['decoded']} | {row['a reason']} | {other} | {slowest[name]:.2f}"
        )
        lines.append(f"| {name} | {numbers} |")
    lines += [
        "",
        f"Memory beyond the beginning: at most {peak / 2**20:,.0f} MiB; {MEMORY // 2**20} were allowed.",
    ]
    return lines, bad


def _batch(name: str, seed: list[int], count: int) -> dict[str, Any]:
    generator = np.random.default_rng([*seed, FORMATS.index(name)])
    files = sound(name)
    for data in files:  # what is imported on the way is no picture's doing
        outcome(data)
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024
    resource.setrlimit(resource.RLIMIT_AS, (_size() + MEMORY, resource.RLIM_INFINITY))
    outcomes: Counter[str] = Counter()
    slowest = 0.0
    for number in range(count):
        data, way = changed(files[number % len(files)], name, generator)
        begin = time.process_time()
        try:
            found = outcome(data)
        except Exception as error:
            found = "anything else"
            print(f"{name}, {way}: {type(error).__name__}", flush=True)
        outcomes[found] += 1
        slowest = max(slowest, time.process_time() - begin)
    after = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024
    return {"outcomes": outcomes, "slowest": slowest, "peak": after - before}


def _size() -> int:
    pages = int(Path("/proc/self/statm").read_text().split()[0])
    return pages * os.sysconf("SC_PAGE_SIZE")


def _in_process(act: Callable[[], object]) -> str | None:
    """Do it in a process of its own; how that ended, None if well."""
    child = os.fork()
    if not child:
        with Path(os.devnull).open("w") as nothing:
            os.dup2(nothing.fileno(), 2)  # libtiff says there what it thinks of each
        try:
            act()
        except BaseException as error:
            print(f"{type(error).__name__}: {error}", flush=True)
            os._exit(1)
        os._exit(0)
    _, status = os.waitpid(child, 0)
    return None if status == 0 else f"status {os.waitstatus_to_exitcode(status)}"
