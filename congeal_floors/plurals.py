"""Counted things in words, for sentences of all floors."""

from __future__ import annotations


def counted(count: int, noun: str, plural: str | None = None) -> str:
    """A number of things: 1 image, 2,000 images. plural: of a noun that takes no s."""
    return f"{count:,} {noun if count == 1 else plural or f'{noun}s'}"
