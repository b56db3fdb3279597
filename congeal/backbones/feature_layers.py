"""Where in a backbone dense features are taken: a block, and what of it."""

from __future__ import annotations

import re
from typing import Any, NamedTuple, get_args

from congeal.backbones.hooks import Facet, attention_of, facet_channels
from congeal.errors import BackboneError

FACETS: tuple[Facet, ...] = get_args(Facet)
_WRITTEN = re.compile(r"(-?\d+)\.(\w+)")


class Tap(NamedTuple):
    """A block's index, from the end if negative, and a facet of it.

    "token" is the block's output (through the final norm if it is the last block); "key", "query" and
    "value" are its projections, heads concatenated.
    """

    layer: int
    facet: Facet

    def __str__(self) -> str:
        return f"{self.layer}.{self.facet}"

    @classmethod
    def read(cls, text: str) -> Tap:
        """What `str` writes, as "9.key". Raises `BackboneError` for anything else."""
        found = _WRITTEN.fullmatch(text)
        facet = next((one for one in FACETS if found is not None and one == found[2]), None)
        if found is None or facet is None:
            raise BackboneError(
                f"{text!r} is no block and facet; write them as 9.key, the facet one of {', '.join(FACETS)}"
            )
        return cls(int(found[1]), facet)


def resolve_taps(name: str, model: Any, asked: tuple[Tap, ...]) -> dict[Tap, int]:
    """The taps with their blocks counted from the front, and how many channels each has.

    model: the timm model of that name, or its skeleton. Raises `BackboneError` for what the model has not,
    and for a tap that is asked for twice.
    """
    depth = len(model.blocks)
    found: dict[Tap, int] = {}
    for tap in asked:
        if not -depth <= tap.layer < depth:
            raise BackboneError(
                f"{name} has no layer {tap.layer}; its layers are 0 to {depth - 1}, or -{depth} to -1"
            )
        if tap.facet not in FACETS:
            raise BackboneError(f"there is no facet {tap.facet!r}; use one of {', '.join(FACETS)}")
        counted = Tap(tap.layer % depth, tap.facet)
        if counted in found:
            raise BackboneError(f"the features {counted} are asked for twice")
        found[counted] = _channels(name, model, counted)
    return found


def _channels(name: str, model: Any, tap: Tap) -> int:
    if tap.facet == "token":
        return int(model.embed_dim)
    attention = attention_of(model.blocks[tap.layer])
    if attention is None:
        raise BackboneError(f"the blocks of {name} have no {tap.facet} of their own; use the facet token")
    return facet_channels(attention, tap.facet)
