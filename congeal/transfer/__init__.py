"""Points, annotations and painted layers carried from image to image by dense maps."""

from congeal_floors.moved_modules import former

__getattr__ = former("congeal.transfer")
