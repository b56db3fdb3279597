"""Before anything is started: are the places sound, is there anything to do? Needs no Prefect, no torch."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, ParamSpec, Protocol, TypeVar

from congeal.settings import Settings
from flows.runs.parameters import overrides
from infra.errors import UserError
from infra.ledger.publications import Publication, check_layout, claim
from infra.ledger.tombstones import require_finished
from infra.storage.image_source import image_source, is_video
from infra.storage.location import Location
from tasks.catalog.listed_groups import require_groups
from tasks.catalog.source_listing import Survey
from tasks.catalog.source_places import check_places
from tasks.clusters.drift import something_forgotten, something_to_resolve, something_to_retry
from tasks.corrections.corrections import NONE, Corrections, read_corrections
from tasks.features import engine_choice
from tasks.features.backbone_choice import choose, remember
from tasks.features.run_backbone import Weights, check, locate, shape_of
from tasks.publication.publish import run_key, up_to_date, weights_key

__all__ = ["Computing", "Job", "overrides", "prepare"]

P = ParamSpec("P")
R = TypeVar("R")


@dataclass(frozen=True)
class Job:
    """What a run is asked to do.

    weights: the backbone's, known to fit. current: the publication that already says all that the run would
    say; then there are no weights. corrections: what the collection's owner has corrected. clusters: what
    there is to say of those of `current`, as `tasks.clusters.drift.published_clusters` has it.
    """

    source: Location
    destination: Location
    settings: Settings
    survey: Survey
    key: str
    current: Publication | None
    weights: Weights | None
    line: str | None = None
    corrections: Corrections = NONE
    clusters: tuple[Mapping[str, Any], ...] = ()
    begin: float = field(default_factory=time.perf_counter)


class Computing(Protocol):
    """Where a backbone is looked at, and what else needs PyTorch."""

    def begin(self, survey: Survey, settings: Settings) -> None:
        """Called before anything is, with what is known by then, if there is something to do."""
        ...

    def call(self, function: Callable[P, R], *args: P.args, **kwargs: P.kwargs) -> R:
        """The function's result."""
        ...


class _Here:
    """In this process."""

    def begin(self, survey: Survey, settings: Settings) -> None:
        """Nothing has to be made ready."""

    def call(self, function: Callable[P, R], *args: P.args, **kwargs: P.kwargs) -> R:
        """A call."""
        return function(*args, **kwargs)


HERE = _Here()


def prepare(
    source: str,
    destination: str,
    settings: Settings,
    *,
    writing: bool = True,
    comparing: bool = True,
    computing: Computing = HERE,
) -> Job:
    """List the source, look at the destination and, if there is something to do, try the backbone's weights.

    The caller closes `survey`. writing: False leaves the destination as it is, for a forecast. comparing:
    False takes the engine that the settings or the destination name, or that is faster here, and leaves it to
    a run to compare its features with PyTorch's. computing: what calls functions that may need PyTorch.

    Raises UserError for a source without images, a destination inside the source
    or the other way round or of a newer congeal, an unknown backbone, weights that are not there or do not
    fit, a memory:// place with an engine of several processes, a cluster to be solved anew that there is not.
    """
    begin = time.perf_counter()
    settings = _whole(settings)
    here = image_source(source, settings.source.also, settings.source.roots, settings.storage)
    there = Location.parse(destination, settings.storage)
    check_places(here, there)
    settings = _by_shots(here, _fitting_engine(here, there, settings))
    more = settings.source.columns
    columns = None if more is None else Location.parse(more, settings.storage)
    survey = Survey(here, settings.catalog, settings.source, columns)
    try:
        survey.require_images(settings.catalog)
        require_groups(survey, settings.clusters.method)
        known = check_layout(there)
        require_finished(there)
        if not known:
            computing.begin(survey, settings)
        choice = computing.call(choose, settings, there)
        engine = computing.call(engine_choice.choose, choice.settings, there, survey.images)
        settings = engine.settings
        key = weights_key(settings)
        corrections = read_corrections(there)
        settings = _by_id(settings, corrections)
        whole = run_key(survey, settings, key, corrections.digest)
        standing = up_to_date(there, whole)
        current = None if standing is None else standing.publication
        if something_to_resolve(settings, there) or something_to_retry(settings, there):
            current = None
        if current is not None and something_forgotten(there):
            current = None
        if current is None and writing:
            claim(there, single_writer=settings.storage.single_writer)
        weights = None
        if current is None:
            if known:
                computing.begin(survey, settings)
            weights, engine = computing.call(_tried, engine, there, comparing)
            if engine.settings != settings:
                settings = engine.settings
                whole = run_key(survey, settings, key, corrections.digest)
            if writing:
                remember(choice, there)
                engine_choice.remember(engine, there)
        line = "\n".join(filter(None, (choice.line, engine.line))) or None
        clusters = () if standing is None else _named(standing.clusters, corrections)
        return Job(here, there, settings, survey, whole, current, weights, line, corrections, clusters, begin)
    except BaseException:
        survey.close()
        raise


def _tried(
    choice: engine_choice.EngineChoice, destination: Location, comparing: bool
) -> tuple[Weights, engine_choice.EngineChoice]:
    """The weights, known to fit, with the shape of what they give, and the engine that gives it."""
    from tasks.features.features_stage import as_begun  # and with it Zarr

    weights = check(locate(choice.settings), choice.settings)
    weights = as_begun(choice.settings, weights, destination)
    if comparing:
        choice = engine_choice.confirm(choice, weights, destination)
    return replace(weights, shape=shape_of(weights, choice.settings.features)), choice


def _named(clusters: Sequence[Mapping[str, Any]], corrections: Corrections) -> tuple[Mapping[str, Any], ...]:
    """Records of atlases, with the names that their owner has given them."""
    return tuple({**row, "name": corrections.names.get(row["cluster_id"])} for row in clusters)


def _by_id(settings: Settings, corrections: Corrections) -> Settings:
    """The settings, clusters that are to be solved anew named by their ids."""
    ids = {name: cluster for cluster, name in corrections.names.items()}
    resolve = [ids.get(name, name) for name in settings.atlases.resolve]
    atlases = settings.atlases.model_copy(update={"resolve": type(settings.atlases.resolve)(resolve)})
    return settings.model_copy(update={"atlases": atlases})


def _by_shots(source: Location, settings: Settings) -> Settings:
    """The settings, a shot being a cluster where all images are frames and nothing else is said."""
    video = settings.source.video
    frames = video == "frames" or (video == "auto" and is_video(source))
    if not frames or settings.clusters.method != "auto":
        return settings
    clusters = settings.clusters.model_copy(update={"method": "shots"})
    return settings.model_copy(update={"clusters": clusters})


def _whole(settings: Settings) -> Settings:
    """The same with the places of the source as URLs, which mean the same wherever they are read."""
    given = settings.source

    def url(text: str) -> str:
        return Location.parse(text, settings.storage).url

    places: dict[str, object] = {name: tuple(map(url, getattr(given, name))) for name in ("also", "roots")}
    places["columns"] = None if given.columns is None else url(given.columns)
    return settings.model_copy(update={"source": given.model_copy(update=places)})


def _fitting_engine(source: Location, destination: Location, settings: Settings) -> Settings:
    if source.shared and destination.shared:
        return settings
    if settings.engine.kind == "dask":
        private = destination if source.shared else source
        raise UserError(f"{private.url} lies in the memory of one process: set engine.kind to loop.")
    return settings.model_copy(update={"engine": settings.engine.model_copy(update={"kind": "loop"})})
