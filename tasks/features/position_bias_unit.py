"""What a backbone's features say about place rather than content: one small unit of the features stage.

It depends on the backbone alone, so it is made once for a destination, whatever images come.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, NamedTuple

import numpy as np
import numpy.typing as npt

from congeal.results.schema.feature_arrays import BLANK, DIRECTIONS, POSITION_GROUP, PositionAttributes
from congeal.results.stored.arrays import stored_whole
from congeal.settings import Settings
from infra.ledger.commits import Marker, digest, sealed
from infra.storage.location import Location
from infra.storage.zarr_groups import ArraySpec, encode_group, open_group
from tasks.execution.stage_runner import Run, StageResult, Unit, Work, address, plan_units, run_units
from tasks.execution.stage_versions import FEATURES, VERSIONS
from tasks.features.run_backbone import Weights, backbone_spec, load_weights

if TYPE_CHECKING:
    from congeal.backbones.backbone_facts import BackboneFacts
    from congeal.backbones.extractor import BackboneSpec

VERSION = VERSIONS[FEATURES]
EDITION = 2  # of this unit alone: the features stay when it is made anew


@dataclass(frozen=True, slots=True)
class PositionPayload:
    """The backbone that is looked at."""

    settings: Settings
    weights: Weights


def stage(run: Run, weights: Weights, features_scope: str) -> StageResult:
    """The position unit of a features scope, made if it is not there."""
    here = digest(FEATURES, "position", VERSION, EDITION, features_scope, length=16)
    place = address(run.destination, FEATURES, VERSION, here, digest(here))
    unit = Unit(place, PositionPayload(run.settings, weights))
    plan = plan_units(FEATURES, here, [unit], run.progress, gpu=True)
    return run_units(plan, make_position, run, title="features, position")


def make_position(unit: Unit[PositionPayload]) -> Marker:
    """Commit which directions of the features only tell where a token lies, and how blank images contrast.

    Both come with the package or from this machine's cache, else the backbone is shown such images.
    """
    work = Work(unit)
    weights = unit.payload.weights
    with work.watch.phase("start"):
        known = _known(unit)
    directions, blank = known if known is not None else _measured(unit, work)
    specs = {
        DIRECTIONS.path: ArraySpec(directions, DIRECTIONS.dims),
        BLANK.path: ArraySpec(blank, BLANK.dims),
    }
    attributes: PositionAttributes = {
        "backbone": weights.backbone,
        "weights_fingerprint": weights.fingerprint,
    }
    encoded = encode_group(specs, attributes=attributes)
    return work.commit({f"{POSITION_GROUP.name}/{path}": data for path, data in encoded.items()}, {})


def _known(unit: Unit[PositionPayload]) -> BackboneFacts | None:
    from congeal.backbones import backbone_facts

    weights = unit.payload.weights
    spec, precision, device = _resolved(unit)
    return backbone_facts.shipped(spec, weights.fingerprint, precision) or backbone_facts.cached(
        spec, weights.fingerprint, precision, device
    )


def _measured(unit: Unit[PositionPayload], work: Work[PositionPayload]) -> BackboneFacts:
    from congeal.backbones import backbone_facts

    weights = unit.payload.weights
    with work.watch.phase("start"):
        import torch

        torch.set_num_threads(unit.threads)
        backbone = load_weights(weights, unit.payload.settings.features)
    with work.watch.phase("backbone"):
        facts = backbone_facts.measure(backbone)
    spec, precision, device = _resolved(unit)
    backbone_facts.remember(facts, spec, weights.fingerprint, precision, device)
    return facts


def _resolved(unit: Unit[PositionPayload]) -> tuple[BackboneSpec, str, str]:
    """The backbone's spec, the precision and the type of the device that it computes with."""
    from congeal.backbones.devices import resolve_device, resolve_precision

    asked = unit.payload.settings.features
    # The engine for processors computes on one, whatever else there is.
    on_processor = asked.engine == "openvino" and asked.device == "auto"
    device = resolve_device("cpu" if on_processor else asked.device)
    precision = resolve_precision(asked.precision, device)
    return backbone_spec(unit.payload.weights, asked), precision, device.type


class Position(NamedTuple):
    """What the unit knows: directions, float32 [k, c]; contrast of images without content, float32 [p]."""

    directions: npt.NDArray[np.float32]
    blank: npt.NDArray[np.float32]


def read_position(outputs: Location) -> Position:
    """What was committed, from the unit's outputs."""
    group = open_group(sealed(outputs) / POSITION_GROUP.name)
    return Position(*(np.asarray(stored_whole(group, array), np.float32) for array in (DIRECTIONS, BLANK)))
