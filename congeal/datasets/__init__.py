"""Annotated sets of images as they are published, read into one form for evaluation."""

from __future__ import annotations

from congeal.datasets.annotations import AnnotatedImage, AnnotatedSet
from congeal.datasets.detection import load

__all__ = ["AnnotatedImage", "AnnotatedSet", "load"]
