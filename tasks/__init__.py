"""One package a stage: read by URI, call one pure function, write by URI, commit, return a small record."""

from congeal_floors import moved_modules, own

own()
moved_modules.install()
