"""The atlases stage: each cluster's images aligned, its atlas and maps written."""

from congeal_floors.moved_modules import former

__getattr__ = former("tasks.atlases")
