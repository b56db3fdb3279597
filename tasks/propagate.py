"""What was painted or marked on images, carried to all others and written to a folder."""

from tasks.propagate_labels import propagate_coco, propagate_deeplabcut, propagate_sleap, propagate_tps
from tasks.propagate_outputs import Order
from tasks.propagate_pictures import propagate_pictures

__all__ = [
    "Order",
    "propagate_coco",
    "propagate_deeplabcut",
    "propagate_pictures",
    "propagate_sleap",
    "propagate_tps",
]
