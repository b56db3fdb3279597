"""A run's backbone by name, and where its weights come from."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from functools import lru_cache
from typing import TYPE_CHECKING, NamedTuple

from congeal.errors import CongealError
from congeal.settings import FeaturesSettings, Settings
from infra.errors import UserError
from infra.storage.location import Location

if TYPE_CHECKING:
    from congeal.backbones.extractor import Backbone, BackboneSpec

HUB_BACKBONE = "vit_small_patch14_dinov2.lvd142m"
HUB = "hub"  # stands for the fingerprint where the hub is to be asked


class Shape(NamedTuple):
    """Of features: the side of the images, pixels; cells a side; channels of a cell."""

    image_size: int
    grid: int
    channels: int


@dataclass(frozen=True)
class Weights:
    """Picklable name of a backbone and its weights. `place` None: timm's hub, or the package."""

    backbone: str  # timm's name, or "embedded"
    place: Location | None
    fingerprint: str
    # Of the features that were asked for, where it has been looked up.
    shape: Shape | None = field(default=None, compare=False)
    # Whether OpenVINO makes images smaller itself: so it was once, and what was begun so goes on so.
    engine_shrinks: bool = False


def locate(settings: Settings) -> Weights:
    """The backbone's canonical name and, for weights given by path or URL, the fingerprint of their bytes.

    The settings name a backbone (see `tasks.features.backbone_choice`). Weights on the hub keep the
    fingerprint "hub" until `check` has loaded them. Raises UserError for an unknown backbone and for weights
    that are not there.
    """
    from congeal.backbones import embedded
    from congeal.backbones.fingerprint import fingerprint
    from congeal.backbones.registry import resolve_name

    try:
        name = resolve_name(settings.features.backbone or HUB_BACKBONE)
    except CongealError as error:
        raise UserError(str(error)) from error
    if settings.features.weights is None and name == embedded.NAME:
        return Weights(name, None, fingerprint(embedded.weights()))
    if settings.features.weights is None:
        return Weights(name, None, HUB)
    place = Location.parse(settings.features.weights, settings.storage)
    return Weights(name, place, fingerprint(place.read_bytes()))


def check(weights: Weights, settings: Settings) -> Weights:
    """Load the model once, so that weights that do not fit are reported before any work.

    The package's own fit, and are not loaded for that where the settings ask for nothing of them. What was
    loaded is kept in this process until `forget`. Returns the same with the fingerprint of what was loaded.
    Raises UserError naming the tensors.
    """
    if _as_shipped(weights, settings.features):
        return weights
    try:
        fingerprint = load_weights(weights, reference(settings.features)).fingerprint
    except CongealError as error:
        raise UserError(str(error)) from error
    return replace(weights, fingerprint=fingerprint)


def reference(asked: FeaturesSettings) -> FeaturesSettings:
    """Settings by which PyTorch says what the engine should find; PyTorch's own are as they are."""
    if asked.engine in ("auto", "torch"):
        return asked
    return asked.model_copy(update={"engine": "torch", "precision": "float32", "device": "cpu"})


def forget() -> None:
    """Free the memory of what `load_weights` keeps, where workers load it for themselves."""
    _load.cache_clear()


def _as_shipped(weights: Weights, asked: FeaturesSettings) -> bool:
    """Whether it is the package's backbone, on a CPU or wherever there is one, with nothing set about it."""
    from congeal.backbones import embedded

    usual = FeaturesSettings()
    set_apart = ("image_size", "layer", "facet", "beside", "stride", "precision")
    return (
        weights.place is None
        and weights.backbone == embedded.NAME
        and asked.device in ("auto", "cpu")
        and all(getattr(asked, name) == getattr(usual, name) for name in set_apart)
    )


def backbone_spec(weights: Weights, settings: FeaturesSettings) -> BackboneSpec:
    """The description that congeal.backbones.extractor understands."""
    from congeal.backbones.extractor import BackboneSpec

    return BackboneSpec(
        name=weights.backbone,
        image_size=settings.image_size,
        layer=settings.layer,
        facet=settings.facet,
        beside=settings.beside,
        stride=settings.stride,
        precision=settings.precision,
        # Whatever nobody has chosen an engine for is PyTorch's.
        engine="torch" if settings.engine == "auto" else settings.engine,
        engine_shrinks=weights.engine_shrinks,
    )


def shape_of(weights: Weights, settings: FeaturesSettings) -> Shape:
    """The shape of the features that the settings ask for; without torch where it has been looked up."""
    if weights.shape is not None:
        return weights.shape
    from congeal.backbones.extractor import geometry

    found = geometry(backbone_spec(weights, settings))
    return Shape(found.image_size, found.grid, found.channels)


def load_weights(weights: Weights, settings: FeaturesSettings) -> Backbone:
    """The backbone, loaded once a process. Raises CongealError if the weights do not fit."""
    return _load(weights.backbone, weights.fingerprint, _Source(weights, settings))


class _Source:
    """Carries what loading needs past the cache, which is keyed by `key` alone."""

    def __init__(self, weights: Weights, settings: FeaturesSettings) -> None:
        self.weights = weights
        self.settings = settings
        self.key = (backbone_spec(weights, settings), settings.device)

    def __hash__(self) -> int:
        return hash(self.key)

    def __eq__(self, other: object) -> bool:
        return isinstance(other, _Source) and self.key == other.key


@lru_cache(maxsize=1)
def _load(name: str, fingerprint: str, source: _Source) -> Backbone:
    from congeal.backbones.extractor import load_backbone

    place = source.weights.place
    data = None if place is None else place.read_bytes()
    return load_backbone(source.key[0], data, device=source.settings.device)
