"""How right an alignment is: protocols, measures, calibration, annotated data sets."""

from congeal_floors.moved_modules import former

__getattr__ = former("congeal.evaluation")
