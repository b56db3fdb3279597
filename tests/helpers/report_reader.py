"""A report read as its page reads it, without a browser."""

from __future__ import annotations

import base64
import json
import re
from pathlib import Path
from typing import Any

import numpy as np

from congeal.geometry.frames import Frame
from congeal.report.quantization import Packed, unpacked
from congeal.transfer.points import Maps

_KEY = re.compile(rb'\(globalThis\.congealReport \?\?= \{\}\)\[("[^\n]*?")\] = (.*);\n')


def script(path: Path, key: str) -> Any:
    """The value of one of the keys that a script sets, a line each."""
    lines = [_KEY.fullmatch(line) for line in path.read_bytes().splitlines(keepends=True)]
    assert all(lines), path
    return {json.loads(line[1]): json.loads(line[2]) for line in lines if line is not None}[key]


def index(folder: Path) -> Any:
    """What `index.html` loads first."""
    found = re.search(r'<script src="(data/[0-9a-f]+/index\.js)">', (folder / "index.html").read_text())
    assert found is not None
    return script(folder / found[1], "index")


def cluster(folder: Path, facts: Any, number: int) -> tuple[Any, Path]:
    """The page of a cluster by its position in the index, and where its other files are."""
    path = folder / facts["clusters"]["script"][number]
    return script(path, f"cluster/{facts['clusters']['id'][number]}"), path.parent


def members(folder: Path, facts: Any, number: int, page: int = 0) -> tuple[Any, list[Maps]]:
    """The members of one page of a cluster, and their maps as they are unpacked."""
    content, home = cluster(folder, facts, number)
    key = f"{content['id']}/{page}"
    found = script(home / content["pages"][page]["script"], f"members/{key}")
    fields = script(home / content["pages"][page]["maps"], f"maps/{key}")
    values = {name: field(facts) for name, facts in fields.items()}
    sizes = zip(found["rows"]["width"], found["rows"]["height"], strict=True)
    return found, [
        Maps(
            Frame(*size),
            values["forward"][at],
            values["forward_confidence"][at, ..., 0],
            values["backward"][at],
            values["backward_confidence"][at, ..., 0],
        )
        for at, size in enumerate(sizes)
    ]


def field(facts: Any) -> np.ndarray:
    """A packed field as numbers."""
    n, h, w, c = facts["shape"]
    lo, step = (np.array(facts[name], float).reshape(n, c) for name in ("lo", "step"))
    # Shares have the step 1/255, and a byte a value.
    bits = 8 if np.allclose(step, 1 / 255) and not lo.any() else 16
    return unpacked(Packed((n, h, w, c), lo, step, base64.b64decode(facts["data"]), bits))
