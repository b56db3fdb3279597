"""A small backbone trained on the features of a large one."""

from congeal_floors.moved_modules import former

__getattr__ = former("congeal.distillation")
