"""What was painted or marked on images, carried to all others and written to a folder."""

from tasks.propagation.clip_output import is_clip, propagate_points
from tasks.propagation.label_files import (
    propagate_coco,
    propagate_deeplabcut,
    propagate_sleap,
    propagate_tps,
    propagate_via,
    propagate_yolo,
)
from tasks.propagation.output_folder import Order
from tasks.propagation.picture_layers import propagate_pictures

__all__ = [
    "Order",
    "is_clip",
    "propagate_coco",
    "propagate_deeplabcut",
    "propagate_pictures",
    "propagate_points",
    "propagate_sleap",
    "propagate_tps",
    "propagate_via",
    "propagate_yolo",
]
