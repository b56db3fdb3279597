"""Images split into clusters that show one kind of object."""

from congeal_floors.moved_modules import former

__getattr__ = former("congeal.clustering")
