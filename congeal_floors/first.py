"""Imported before a floor is, by what may be started in any folder: see ``congeal_floors.own``."""

from congeal_floors import own

own()
