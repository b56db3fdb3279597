"""The clusters stage: which images belong together, also as a collection grows."""

from congeal_floors.moved_modules import former

__getattr__ = former("tasks.clusters")
