"""What an atlas is known by: digests of its settings, and of its images and the atlas that it grew from."""

from __future__ import annotations

from typing import Any

from congeal.settings import Settings
from infra.ledger.commits import Marker, digest
from tasks.atlases.video_smoothing import smoothing_asked
from tasks.corrections.corrections import Pose
from tasks.execution import stage_versions

STAGE = stage_versions.ATLASES
VERSION = stage_versions.VERSIONS[STAGE]


def scope(settings: Settings, features_scope: str, version: int = VERSION) -> str:
    """Digest of what bears on an atlas besides its members, for a version of this stage.

    The solver's configuration enters by what differs from the default, whose name is "synchronize".
    """
    asked, previews = settings.atlases, settings.previews
    # Before there was a choice, atlases were what they are without a second look.
    once = settings.alignment.second_look == "off" and version > stage_versions.ONE_LOOK
    return digest(
        STAGE,
        version,
        features_scope,
        asked.solver,
        asked.resolution,
        asked.map_resolution,
        previews.size,
        previews.members,
        settings.catalog.max_pixels,
        settings.seed,
        *(["one look"] if once else []),
        *_networks(settings),
        *smoothing_asked(settings),
        *_instances(settings),
        length=16,
    )


def _networks(settings: Settings) -> list[Any]:
    """What bears on networks that are trained; nothing where none are."""
    asked = settings.alignment
    if asked.method == "direct":
        return []
    chosen = ["networks", stage_versions.NETWORKS, asked.schedule, asked.network, asked.losses]
    # Settings that came later are in the name of a unit only where they are used.
    chosen += ["gradual"] if asked.gradual else []
    return chosen + ([asked.reference] if asked.reference != "learned" else [])


def _instances(settings: Settings) -> list[Any]:
    """What bears on further instances; nothing where none are looked for."""
    most = settings.alignment.instances_max
    return ["instances", stage_versions.INSTANCES, most] if most > 1 else []


def grown(
    identity: str, base: Marker | None, anew: bool, frame: tuple[str, Pose] | None, called: str | None = None
) -> tuple[str, Marker | None]:
    """The name of a cluster's unit, and the one it grows from.

    Of the images that an atlas holds and the atlas that it grew from, only the images are in its identity: so
    it is known again, whichever way it came about. called: the cluster's id, if it is not that of its images:
    a unit says whose it is, and another cluster of the same images, before a correction, is not this one.
    """
    framed = [] if frame is None else [[frame[0], frame[1].model_dump(mode="json")]]
    if base is None:
        told = framed if called is None else [*framed, "called", called]
        return (digest(identity, *told) if told else identity), None
    if not anew and base.record["identity"] == identity:
        return base.unit, None
    return digest(identity, base.unit, base.content, *(["anew", *framed] if anew else [])), base
