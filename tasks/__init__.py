"""One module a stage: read by URI, call one pure function, write by URI, commit, return a small record."""

from congeal_floors import own

own()
