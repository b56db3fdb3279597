"""The data.yaml beside YOLO labels: the names of classes, and how rows keep keypoints."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from congeal.errors import CongealError

LARGEST = 1 << 20  # bytes: a file of names
MOST = 10_000  # keypoints


@dataclass(frozen=True)
class Config:
    """names: by class. keypoints: of each thing, 0: none. numbers: for each, 2 or, with a flag, 3.

    keypoint_names: by class, of those that have names for all.
    """

    names: Mapping[int, str]
    keypoints: int
    numbers: int
    keypoint_names: Mapping[int, tuple[str, ...]]


def config_of(data: bytes) -> Config:
    """What a data.yaml says. Raises CongealError for one without names, or with a kpt_shape that is none."""
    import yaml

    if len(data) > LARGEST:
        raise CongealError(f"it is no data.yaml of YOLO: it has {len(data):,} bytes")
    try:
        content = yaml.safe_load(data.decode("utf-8-sig"))
    except (yaml.YAMLError, ValueError, RecursionError) as error:
        raise CongealError(f"it is no YAML ({_line(error)})") from error
    if not isinstance(content, dict):
        raise CongealError("it is no data.yaml of YOLO: it has no names")
    names = _by_class(content.get("names"))
    if not names:
        raise CongealError("it is no data.yaml of YOLO: it has no names of classes (names:)")
    count, numbers = _shape(content.get("kpt_shape"))
    return Config(
        {kind: str(name) for kind, name in names.items()},
        count,
        numbers,
        _keypoint_names(content.get("kpt_names"), names, count),
    )


def _by_class(value: Any) -> dict[int, Any]:
    """A list, or a table whose keys are numbers; entries that are no single value are left out."""
    pairs = enumerate(value) if isinstance(value, list) else value.items() if isinstance(value, dict) else ()
    return {
        kind: name for kind, name in pairs if isinstance(kind, int) and isinstance(name, (str, int, float))
    }


def _shape(value: Any) -> tuple[int, int]:
    if value is None:
        return 0, 0
    sound = isinstance(value, list) and len(value) == 2 and all(type(one) is int for one in value)
    if not sound or not 0 < value[0] <= MOST or value[1] not in (2, 3):
        raise CongealError(
            "its kpt_shape is not the number of keypoints and 2 or 3 numbers for each, as in [17, 3]"
        )
    return value[0], value[1]


def _keypoint_names(value: Any, classes: Mapping[int, Any], count: int) -> dict[int, tuple[str, ...]]:
    """By class; a plain list is meant for every class."""
    if isinstance(value, list):
        value = dict.fromkeys(classes, value)
    found: dict[int, tuple[str, ...]] = {}
    for kind, names in value.items() if isinstance(value, dict) else ():
        if isinstance(kind, int) and isinstance(names, list) and len(names) == count:
            found[kind] = tuple(str(name)[:200] if isinstance(name, (str, int)) else "" for name in names)
    return found


def _line(error: Exception) -> str:
    mark = getattr(error, "problem_mark", None)
    return f"line {mark.line + 1}" if mark is not None else type(error).__name__
