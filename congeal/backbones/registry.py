"""The names of the backbones: timm's own, short ones for the DINO family, and the embedded one."""

from __future__ import annotations

import difflib
import functools
import re
from dataclasses import dataclass

from congeal.backbones import embedded
from congeal.backbones.plain_vit_shapes import SHAPES, UNTAGGED
from congeal.errors import BackboneError

# The timm modules whose models are plain vision transformers: tokens on a grid, one after the other.
_MODULES = ("vision_transformer", "eva", "deit")
SHOWN_CELLS = 32  # a side, unless an image's size asks for others
_PATTERN = re.compile(r"(?P<model>[^:@]*)(:(?P<blocks>[^:@]*))?(@(?P<cells>[^:@]*))?")
_BLOCKS = re.compile(r"[0-9]{1,2}(\+[0-9]{1,2})*")
_EXAMPLE = "vit_small_patch14_dinov2:0+1+5+11@20"
_SIZES = {"s": "small", "b": "base", "l": "large", "g": "giant"}


def _short_names() -> dict[str, str]:
    names = {}
    for letter, patch in (("s", 8), ("s", 16), ("b", 8), ("b", 16)):
        names[f"dino_vit{letter}{patch}"] = f"vit_{_SIZES[letter]}_patch{patch}_224.dino"
    for letter, size in _SIZES.items():
        names[f"dinov2_vit{letter}14"] = f"vit_{size}_patch14_dinov2.lvd142m"
        names[f"dinov2_vit{letter}14_reg"] = f"vit_{size}_patch14_reg4_dinov2.lvd142m"
    for short, size in (
        ("s16", "small"),
        ("s16plus", "small_plus"),
        ("b16", "base"),
        ("l16", "large"),
        ("h16plus", "huge_plus"),
        ("7b16", "7b"),
    ):
        names[f"dinov3_vit{short}"] = f"vit_{size}_patch16_dinov3.lvd1689m"
    return names


SHORT_NAMES = _short_names()


@functools.cache
def _names() -> dict[str, str]:
    """Every accepted timm name, with or without its tag -> the full name. Imports timm."""
    import timm

    names: dict[str, str] = {}
    for module in _MODULES:
        names |= {full: full for full in timm.list_models(module=module, pretrained=True)}
        for architecture in timm.list_models(module=module):
            config = timm.get_pretrained_cfg(architecture)
            full = f"{architecture}.{config.tag}" if config and config.tag else architecture
            names |= {architecture: full, full: full}
    return names


def available() -> list[str]:
    """All accepted names, sorted: the embedded one, the short ones, timm's with their tags and without."""
    return sorted({embedded.NAME, *SHORT_NAMES, *_names()})


@dataclass(frozen=True)
class Parts:
    """What a resolved name says.

    Attributes:
        model: timm's name.
        blocks: which of its blocks are used, in order; None: all.
        cells: how many cells a side it works on where it shows 32; 32: on those that it shows.
    """

    model: str
    blocks: tuple[int, ...] | None = None
    cells: int = SHOWN_CELLS

    @property
    def architecture(self) -> str:
        """The model without its tag."""
        return self.model.partition(".")[0]

    @property
    def name(self) -> str:
        """The name that says this; only a whole model has a tag, as the weights of others are not timm's."""
        name = self.model if self.blocks is None else self.architecture
        if self.blocks is not None:
            first = self.blocks == tuple(range(len(self.blocks)))
            name += ":" + (str(len(self.blocks)) if first else "+".join(map(str, self.blocks)))
        return name if self.cells == SHOWN_CELLS else f"{name}@{self.cells}"

    def worked(self, shown: int) -> int:
        """Cells a side that are worked on where so many are shown."""
        return max(round(shown * self.cells / SHOWN_CELLS), 1)


def parts_of(name: str) -> Parts:
    """What a name says, as `resolve_name` takes it; the embedded backbone's is its architecture's."""
    found = _PATTERN.fullmatch(embedded.ARCHITECTURE if name == embedded.NAME else name)
    if found is None:
        raise BackboneError(f"{name!r} is no name of a backbone; write for example {_EXAMPLE}")
    return Parts(_full(found["model"]), _blocks(name, found["blocks"]), _cells(name, found["cells"]))


def shows_more_cells(name: str) -> bool:
    """Whether a backbone shows its features on more cells than it works on; by its name, without timm."""
    return "@" in (embedded.ARCHITECTURE if name == embedded.NAME else name)


def resolve_name(name: str) -> str:
    """The full timm name ("architecture.tag") of a short or timm name; the one that results are kept under.

    "name:8" is a model's first eight blocks and "name:0+2+5" those three. "name@20" works on 20 cells a side
    where it shows 32, and brings its features to those. "name:8@20" is both.
    Raises `BackboneError` naming the nearest known names, or how blocks and cells are written.
    """
    return name if name == embedded.NAME else parts_of(name).name


def _blocks(name: str, text: str | None) -> tuple[int, ...] | None:
    if text is None:
        return None
    listed = tuple(map(int, text.split("+"))) if _BLOCKS.fullmatch(text) else ()
    if len(listed) == 1:
        listed = tuple(range(listed[0]))
    if not listed or list(listed) != sorted(set(listed)):
        raise BackboneError(
            f"{text!r} in {name!r} is no number of blocks and no list; write for example {_EXAMPLE}"
        )
    return listed


def _cells(name: str, text: str | None) -> int:
    if text is None:
        return SHOWN_CELLS
    cells = int(text) if re.fullmatch("[0-9]{1,2}", text) else 0
    if not 1 <= cells <= SHOWN_CELLS:
        raise BackboneError(
            f"{text!r} in {name!r} is no number of cells up to {SHOWN_CELLS}; write for example {_EXAMPLE}"
        )
    return cells


def _full(name: str) -> str:
    if name in SHORT_NAMES:
        return SHORT_NAMES[name]
    if name in SHAPES or name in UNTAGGED:
        return UNTAGGED.get(name, name)
    names = _names()
    if name in names:
        return names[name]
    near = difflib.get_close_matches(name, available(), n=4, cutoff=0.5)
    hint = (
        f"the nearest names are {', '.join(near)}" if near else "for example vit_small_patch14_dinov2.lvd142m"
    )
    raise BackboneError(f"there is no backbone {name!r}; {hint}")
