"""Choices made from a set's own evidence: features, mirror states, deformation."""
