"""Vision transformers: which there are, their weights, dense features from them."""

from congeal_floors.moved_modules import former

__getattr__ = former("congeal.backbones")
