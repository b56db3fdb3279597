"""Which inference engine computes a destination's features, chosen once and then kept.

Features of two engines differ in their last digits, so a destination does not mix them. PyTorch is the
reference: another engine is taken only where it is faster and gives the same features.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import cast

from congeal.backbones.engines import ENGINES, Engine, gains_by_openvino, openvino_fault
from congeal.errors import CongealError
from congeal.settings import Settings
from infra.errors import UserError
from infra.storage.location import Location
from tasks.execution.stage_versions import FEATURES
from tasks.features import begun_record
from tasks.features.run_backbone import Weights, load_weights, reference

FEWEST = 100  # images; for fewer, compiling takes longer than it saves


@dataclass(frozen=True)
class EngineChoice:
    """A run's settings with the engine named.

    line: what there is to say of the choice. free: nobody has named the engine, and no features are there;
    PyTorch can still take its place.
    """

    settings: Settings
    line: str | None
    free: bool

    @property
    def engine(self) -> Engine:
        """The one that is named."""
        return cast("Engine", self.settings.features.engine)


def choose(settings: Settings, destination: Location, images: int) -> EngineChoice:
    """Name the engine if the settings do not: what the destination was begun with, else what is faster here.

    images: how many there are to look at. Raises DamagedError for a record that cannot be read.
    """
    if settings.features.engine != "auto":
        return EngineChoice(settings, None, free=False)
    begun = _begun(destination)
    if begun is not None:
        return EngineChoice(_with(settings, begun), None, free=False)
    elsewhere = settings.engine.address is not None  # this machine says nothing of those workers
    if elsewhere or images < FEWEST or not gains_by_openvino() or not _on_cpu(settings):
        return EngineChoice(_with(settings, "torch"), None, free=True)
    fault = openvino_fault()
    if fault is not None:
        return _torch(settings, fault)
    return EngineChoice(
        _with(settings, "openvino"), "engine: openvino; set features.engine for another", free=True
    )


def confirm(choice: EngineChoice, weights: Weights, destination: Location) -> EngineChoice:
    """The same, or PyTorch where the engine fails or gives other features than PyTorch does.

    weights: known to fit. Raises UserError where the engine was asked for, or the destination's features are
    its own.
    """
    if choice.engine == "torch":
        return choice
    from congeal.backbones.engine_agreement import check_agreement

    features = choice.settings.features
    try:
        # The reference first: the engine is then the one that stays in memory.
        expected = load_weights(weights, reference(features))
        check_agreement(load_weights(weights, features), expected)
    except CongealError as error:
        if choice.free:
            return _torch(choice.settings, str(error))
        raise UserError(
            f"The features of {destination} are to be computed by the engine {choice.engine}, but {error}: "
            "set features.engine=torch, which computes all of them anew."
        ) from error
    return choice


def remember(choice: EngineChoice, destination: Location) -> None:
    """Let later runs find the engine; the first to say so counts."""
    begun_record.remember(destination, "engine", choice.engine)


def _begun(destination: Location) -> Engine | None:
    """The engine of the features that a destination has, or was begun with; None if it has none.

    Features that nothing says an engine of are PyTorch's: there was no other.
    """
    publication = begun_record.last_publication(destination)
    if publication is not None:
        name = publication.settings.get("features", {}).get("engine", "torch")
    else:
        name = begun_record.begun_with(destination, "engine")
        if name is None and any(True for _ in (destination / "stages" / FEATURES).children()):
            name = "torch"
    if name is not None and name not in ENGINES:
        raise UserError(
            f"{destination} was begun with the engine {name!r}, which this congeal does not know: upgrade, "
            "or set features.engine, which computes its features anew."
        )
    return cast("Engine | None", name)


def _on_cpu(settings: Settings) -> bool:
    from congeal.backbones.devices import resolve_device

    try:
        return resolve_device(settings.features.device).type == "cpu"
    except CongealError as error:
        raise UserError(str(error)) from error


def _with(settings: Settings, engine: Engine) -> Settings:
    return settings.model_copy(update={"features": settings.features.model_copy(update={"engine": engine})})


def _torch(settings: Settings, why: str) -> EngineChoice:
    return EngineChoice(_with(settings, "torch"), f"engine: torch, as {why}", free=True)
