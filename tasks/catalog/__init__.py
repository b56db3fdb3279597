"""The catalog stage: which images a source holds, and which of them can be read."""

from congeal_floors.moved_modules import former

__getattr__ = former("tasks.catalog")
