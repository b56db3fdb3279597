"""Which backbone a run uses where its settings do not say.

DINOv2 from timm's hub if the hub can be reached or has been before, else the one in the package. A
destination keeps what it was begun with: features of two backbones do not mix, and a hub that comes and goes
must not make a collection be computed anew.
"""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass

from congeal.backbones import embedded
from congeal.settings import Settings
from infra.errors import UserError
from infra.storage.location import Location
from tasks.features import begun_record
from tasks.features.run_backbone import HUB_BACKBONE

_SECONDS = 3.0
_FILE = "model.safetensors"


@dataclass(frozen=True)
class BackboneChoice:
    """A run's settings with the backbone named, and, where congeal chose, one line that says so."""

    settings: Settings
    line: str | None


def choose(settings: Settings, destination: Location) -> BackboneChoice:
    """Name the backbone if the settings do not; asks the hub at most once, for a few seconds.

    Raises UserError where a destination was made with weights of the user's own, which nobody names now, and
    for weights that are not there or damaged.
    """
    features = settings.features
    if features.backbone is not None:
        return BackboneChoice(settings, None)
    if features.weights is not None:
        place = Location.parse(features.weights, settings.storage)
        return BackboneChoice(_with(settings, _named_by(place.read_bytes()) or HUB_BACKBONE), None)
    begun = _begun(destination)
    if begun is not None:
        return BackboneChoice(_with(settings, begun), _line(begun, "as this destination was begun with it"))
    if hub_answers(HUB_BACKBONE):
        return BackboneChoice(_with(settings, HUB_BACKBONE), _line(HUB_BACKBONE, "from timm's hub"))
    return BackboneChoice(
        _with(settings, embedded.NAME), _line(embedded.NAME, "as timm's hub cannot be reached")
    )


def remember(choice: BackboneChoice, destination: Location) -> None:
    """Let later runs that name no backbone find what this one chose; the first to say so counts."""
    if choice.line is not None:
        begun_record.remember(destination, "backbone", choice.settings.features.backbone)


def hub_answers(name: str, seconds: float = _SECONDS) -> bool:
    """Whether a model's weights are in the hub's cache or the hub answers for them within so many seconds."""
    import huggingface_hub

    repository = f"timm/{name}"
    if isinstance(huggingface_hub.try_to_load_from_cache(repository, _FILE), str):
        return True
    url = huggingface_hub.hf_hub_url(repository, _FILE)
    # A thread, since the look-up of a host's name keeps to no time limit.
    pool = ThreadPoolExecutor(1)
    asked = pool.submit(huggingface_hub.get_hf_file_metadata, url, timeout=seconds)
    try:
        return asked.exception(timeout=seconds) is None
    except TimeoutError:
        return False
    finally:
        pool.shutdown(wait=False)


def _begun(destination: Location) -> str | None:
    """The backbone, one of the two that congeal chooses from, that a destination was begun with."""
    publication = begun_record.last_publication(destination)
    if publication is not None:
        asked = publication.settings.get("features", {})
        if asked.get("weights") is not None or publication.backbone not in (HUB_BACKBONE, embedded.NAME):
            raise UserError(
                f"{destination} was made with the backbone {publication.backbone} "
                f"({publication.weights_fingerprint}) of your choice, and no setting names one now: "
                "set features.backbone and features.weights again."
            )
        return publication.backbone
    name = begun_record.begun_with(destination, "backbone")
    return name if name in (HUB_BACKBONE, embedded.NAME) else None


def _named_by(data: bytes) -> str | None:
    """The backbone that a weights file names itself, if it does."""
    from congeal.backbones.packed_checkpoint import about
    from congeal.errors import CongealError

    try:
        said = about(data)
    except CongealError as error:
        raise UserError(str(error)) from error
    return said.backbone if said is not None else None


def _with(settings: Settings, backbone: str) -> Settings:
    return settings.model_copy(
        update={"features": settings.features.model_copy(update={"backbone": backbone})}
    )


def _line(backbone: str, why: str) -> str:
    if backbone == embedded.NAME:
        return (
            f"backbone: {backbone} (small and fast, comes with congeal), {why}; for a stronger one set "
            f"features.backbone, and features.weights without a network"
        )
    return f"backbone: {backbone}, {why}; set features.backbone for another"
