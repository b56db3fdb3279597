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

RIGID = "rigid"  # a pose
FLOW = "flow"  # a pose and a smooth flow
GUIDED = "guided"  # matching near the smooth map, cell by cell
