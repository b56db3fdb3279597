"""The features stage: dense features of every image, in shards."""

from congeal_floors.moved_modules import former

__getattr__ = former("tasks.features")
