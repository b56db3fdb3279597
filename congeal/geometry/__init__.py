"""Coordinate frames, warps, polygons, Procrustes, and small numerical tools."""
