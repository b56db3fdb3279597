"""Annotated sets of images as they are published, read into one form for evaluation."""

from __future__ import annotations

from congeal.evaluation.datasets.sniffing import load
from congeal.evaluation.datasets.types import AnnotatedImage, AnnotatedSet

__all__ = ["AnnotatedImage", "AnnotatedSet", "load"]
