"""The student that a distillation is asked for: its architecture, its views, what it starts from."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from congeal.backbones import embedded
from congeal.errors import CongealError
from congeal.settings import Settings
from congeal_floors.plurals import counted
from infra.errors import UserError
from infra.storage.location import Location
from tasks.distillation.target_shards import Sizes
from tasks.features.run_backbone import Weights

if TYPE_CHECKING:
    import torch

CELLS = 19  # that a student works on where 32 are shown, unless its name says otherwise


@dataclass(frozen=True)
class Learner:
    """A student before it has learned: its name, the sizes of its views, what it starts from.

    `start` is the fingerprint of the weights, or "nothing". `shared`: whether its own tokens are of the kind
    that it is to learn, so that it can keep its teacher's channels.
    """

    name: str
    sizes: Sizes
    start: str
    shared: bool
    state: Mapping[str, torch.Tensor] | None


def fitting(settings: Settings, weights: Weights) -> Learner:
    """The student that the settings ask for; UserError if it does not exist or does not suit the teacher."""
    from congeal.backbones.extractor import BackboneSpec, geometry
    from congeal.backbones.registry import resolve_name
    from congeal.distillation.student import Student
    from tasks.features.run_backbone import backbone_spec

    if weights.backbone == embedded.NAME:
        raise UserError(
            "the embedded backbone is a student itself: name a teacher with features.backbone, "
            "and its file with features.weights where the hub cannot be reached."
        )
    try:
        name = resolve_name(settings.distill.student or _faster(weights.backbone))
        taught = geometry(backbone_spec(weights, settings.features))
        small = geometry(BackboneSpec(name))
        start, shared, state = _start(settings, weights, name)
        Student(name, taught.grid, state)
    except CongealError as error:
        raise UserError(str(error)) from error
    if small.channels > taught.channels:
        raise UserError(
            f"the student {name} has {counted(small.channels, 'channel')} and its teacher "
            f"{weights.backbone} only "
            f"{taught.channels}: set distill.student to a smaller one."
        )
    if taught.grid < 2:
        raise UserError(f"features.image_size {taught.image_size} gives the teacher a single cell: raise it.")
    if settings.distill.bits < 8 and not shared:
        raise UserError(
            f"distill.bits {settings.distill.bits:g} suits a part of the teacher only, and {name} is none: "
            "set it to 8 or 16, or leave distill.student and distill.start unset."
        )
    return Learner(name, Sizes(taught.grid, taught.patch_size, small.patch_size), start, shared, state)


def _faster(teacher: str) -> str:
    """The student where none is named: its teacher, working on fewer cells."""
    from congeal.backbones.registry import parts_of

    return replace(parts_of(teacher), cells=CELLS).name


def _start(
    settings: Settings, weights: Weights, student: str
) -> tuple[str, bool, Mapping[str, torch.Tensor] | None]:
    """What a student starts from, and whether its features are of the teacher's kind: see `Learner`.

    The weights named, else its teacher's if it is a part of it.
    """
    from congeal.backbones.architectures import skeleton
    from congeal.backbones.checkpoints import fingerprint, from_hub, state_dict
    from congeal.backbones.registry import parts_of

    named = settings.distill.start
    if named is not None:
        data = Location.parse(named, settings.storage).read_bytes()
        return fingerprint(data), False, state_dict(data)
    if parts_of(student).architecture != parts_of(weights.backbone).architecture:
        return "nothing", False, None
    place = weights.place
    state = from_hub(weights.backbone) if place is None else state_dict(place.read_bytes())
    last = settings.features.layer in (-1, len(skeleton(weights.backbone).blocks) - 1)
    return weights.fingerprint, last and settings.features.facet == "token", state
