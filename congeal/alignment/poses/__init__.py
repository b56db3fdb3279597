"""Pairwise matches and poses, synchronised over a set; outliers."""
