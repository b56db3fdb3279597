"""The names of the tables, for those who need nothing else of them."""

TABLE_NAMES = ("images", "clusters", "alignments", "correspondences")
