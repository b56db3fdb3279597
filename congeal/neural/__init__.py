"""The published method, Neural Congealing (arXiv 2302.03956): atlas and mapping networks of a set."""
