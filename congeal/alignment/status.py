"""What became of a set: the words in the tables and arrays; imports nothing."""

OK = "ok"
SINGLE = "single"
NOTHING_IN_COMMON = "nothing-in-common"
COLLAPSED = "collapsed"
MEANINGLESS = {  # there are maps, and their confidence is 0; why no image of such a set fits
    NOTHING_IN_COMMON: "the set has nothing in common that could be found",
    COLLAPSED: "the atlas of its set has collapsed",
}
FAILED = "failed"  # there are no maps
