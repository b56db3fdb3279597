"""The stages in order, each with its version: raised by hand when a stage's output would change.

It is not the package's version, so that an upgrade does not recompute the world. Kept apart from the stages,
so that a run with nothing to do finds out without importing them.
"""

from __future__ import annotations

CATALOG = "catalog"
FEATURES = "features"
CLUSTERS = "clusters"
ATLASES = "atlases"
INDEX = "index"

VERSIONS = {CATALOG: 1, FEATURES: 2, CLUSTERS: 3, ATLASES: 19, INDEX: 9}
# Earlier versions whose clusters are grown on, by the rule that they were split by: units of growth keep the
# version that their collection began with, so that what is there stays. Today's rule counts where a
# collection is split anew.
SPLIT_BEFORE = (1, 2)
FIRST_SPLIT = 1  # of clusters: no set of fewer than 30 images was split, and near copies counted in full
COPIES_BUILD = 2  # of clusters, the last version in which an atlas was built by the nearest, copies or not
# Earlier versions whose atlases can grow: their maps stay as they are, and what is fitted today fits to them.
# What has changed since is what is said of maps (11), how fast they are computed, to some digits (12), how
# cells are matched where no smooth map fits, that fixed cameras are told, that small things are looked at
# twice (13), what is said of maps, and that chunks and pages carry checksums (14), how far matching bears
# them out (15), that what looks the same in a mirror is not mirrored, and confidence (16), and in how many
# arrays it lies (17), how scores of matches are rounded (18), that what looks the same in a mirror is not
# mirrored at any angle either, and that a second look sees things as they stand in the atlas (19). Units of
# the features and of the catalog carry checksums since 14, too, and have kept their versions: what they say
# is the same.
SAME_MAPS = (10, 11, 12, 13, 14, 15, 16, 17, 18)
NETWORKS = 5  # of what is trained with alignment.method=neural; no part of what is solved directly
INSTANCES = 2  # of how further instances are looked for (alignment.instances_max)
ONE_LOOK = 12  # the last version of atlases that knew no second look
