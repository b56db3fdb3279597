"""Where, when and with what a version was made, and what it cost: from the markers of its units."""

from __future__ import annotations

from collections import Counter
from datetime import datetime, timedelta
from typing import Any

from infra.ledger.publications import Publication
from infra.storage.location import Location
from tasks.execution.published_units import published_markers
from tasks.execution.stage_versions import VERSIONS


def stage_facts(destination: Location, publication: Publication) -> list[dict[str, Any]]:
    """A row a stage, in their order; seconds, bytes, requests and timings are sums over its units."""
    found: dict[str, dict[str, Any]] = {
        stage: {
            "stage": stage, "units": 0, "seconds": 0.0, "started": None, "ended": None,
            "read_bytes": 0, "written_bytes": 0, "requests": 0,
            "peak_memory_bytes": 0, "timings": {}, "python": Counter(), "platform": Counter(),
        }
        for stage in VERSIONS
    }  # fmt: skip
    for stage, marker in published_markers(destination, publication):
        if marker is None or stage not in found:
            continue
        row = found[stage]
        row["units"] += 1
        row["seconds"] += marker.seconds
        row["read_bytes"] += marker.read_bytes
        row["written_bytes"] += marker.written_bytes
        row["requests"] += sum(sum(kinds.values()) for kinds in marker.requests.values())
        row["peak_memory_bytes"] = max(row["peak_memory_bytes"], marker.peak_memory_bytes)
        for phase, seconds in marker.timings.items():
            row["timings"][phase] = row["timings"].get(phase, 0.0) + seconds
        for name in ("python", "platform"):
            row[name][getattr(marker, name)] += 1
        ended = _end(marker.started, marker.seconds)
        row["started"] = min(filter(None, (row["started"], marker.started)))
        row["ended"] = max(filter(None, (row["ended"], ended)), default=None)
    return [_rounded(row) for row in found.values()]


def _rounded(row: dict[str, Any]) -> dict[str, Any]:
    # Units may have been made in several places: the one that made most of them is named.
    named = {name: _commonest(row[name]) for name in ("python", "platform")}
    timings = {phase: round(seconds, 3) for phase, seconds in sorted(row["timings"].items())}
    return {**row, **named, "timings": timings, "seconds": round(row["seconds"], 3)}


def _commonest(counted: Counter[str]) -> str | None:
    return counted.most_common(1)[0][0] if counted else None


def _end(started: str, seconds: float) -> str | None:
    try:
        return (datetime.fromisoformat(started) + timedelta(seconds=seconds)).isoformat(timespec="seconds")
    except ValueError:
        return None
