"""Imported before `congeal.results.collection` imports `infra`, in a user's program; see
``congeal_floors.claim``."""

from congeal_floors import claim

claim("infra")
