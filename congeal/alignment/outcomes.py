"""What becomes of a set and what its maps are, in words; needs no NumPy, for those who only count."""

OK = "ok"
SINGLE = "single"
NOTHING_IN_COMMON = "nothing-in-common"
COLLAPSED = "collapsed"
MEANINGLESS = {  # there are maps, and their confidence is 0; why no image of such a set fits
    NOTHING_IN_COMMON: "the set has nothing in common that could be found",
    COLLAPSED: "the atlas of its set has collapsed",
}
FAILED = "failed"  # there are no maps
DOUBTFUL_BELOW = 0.67  # match agreement of a set on smooth maps, below which it is not to be trusted

# Where a cluster's maps are from.
DIRECT = "direct"
NETWORKS = "networks"
DIRECT_BETTER = "direct-better"  # networks were trained; free matches bear the direct maps out better
DIRECT_DIVERGED = "direct-diverged"  # the training went wrong twice
DIRECT_UNTRAINED = "direct-untrained"  # there was nothing to train networks on

RIGID = "rigid"  # a pose
FLOW = "flow"  # a pose and a smooth flow
GUIDED = "guided"  # matching near the smooth map, cell by cell
