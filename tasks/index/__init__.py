"""The index stage: the tables that analysts read."""

from congeal_floors.moved_modules import former

__getattr__ = former("tasks.index")
