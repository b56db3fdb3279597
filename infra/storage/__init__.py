"""Locations on disks and object stores, with atomic writes, retries and plain errors."""

from congeal_floors.moved_modules import former

__getattr__ = former("infra.storage")
