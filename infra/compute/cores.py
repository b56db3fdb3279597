"""Processor cores that this process may use."""

from __future__ import annotations

import math
import os
from pathlib import Path

_GROUPS = Path("/sys/fs/cgroup")
_OWN_GROUP = Path("/proc/self/cgroup")


def cores() -> int:
    """Processor cores that this process may use, limits of containers included; what Dask counts."""
    affinity = getattr(os, "sched_getaffinity", None)
    count = len(affinity(0)) if affinity is not None else os.cpu_count() or 1
    share = _quota()
    return count if share is None else max(1, min(count, math.ceil(share)))


def _quota() -> float | None:
    """Cores that the control group grants, None without a limit."""
    try:
        for name in ("cpuacct,cpu", "cpu,cpuacct"):
            folder = _GROUPS / name
            if (folder / "cpu.cfs_quota_us").exists():
                quota, period = (
                    int((folder / f"cpu.cfs_{kind}_us").read_text()) for kind in ("quota", "period")
                )
                return quota / period if quota > 0 else None
        group = _OWN_GROUP.read_text().strip().split(":")[-1].strip("/")
        quota, period = map(int, (_GROUPS / group / "cpu.max").read_text().split())
    except (OSError, ValueError, ZeroDivisionError):
        # No control groups, no limit ("max"), or files of a form that says nothing.
        return None
    return quota / period
