"""Processor cores that this process may use."""

from __future__ import annotations


def cores() -> int:
    """Processor cores of this process' affinity, or what a container grants of them, rounded up."""
    from joblib import cpu_count

    return int(cpu_count())
