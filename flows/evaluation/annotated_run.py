"""The main job on an annotated set, and what came of it."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path, PurePosixPath
from typing import Any

from congeal.errors import CongealError, ImageError
from congeal.evaluation.datasets import load
from congeal.evaluation.protocols import View, cut, named, views
from congeal.imaging.decoding import decode
from congeal.settings import Settings
from flows.evaluation.facts import facts_of
from flows.evaluation.measurement import Asked, baselines, measure
from flows.runs.prepare import prepare
from flows.runs.stages import everything
from infra.compute.progress import Progress
from infra.compute.temporary_folders import temporary_folder
from infra.errors import UserError
from infra.storage.location import Location
from tasks.atlases.previews import png


def evaluate(
    dataset: str | Path,
    settings: Settings,
    *,
    protocol: str | None = None,
    category: str | None = None,
    alphas: Sequence[float] = (),
    seeds: int = 1,
    destination: str | None = None,
    quiet: bool = False,
) -> dict[str, Any]:
    """Align an annotated set as one cluster and measure it through the published maps.

    Args:
        dataset: a folder in one of the forms of `congeal.evaluation.datasets`.
        settings: of the runs; `clusters.method` is "single" and `clusters.growth` "anew" whatever they say.
        protocol: a name of `congeal.evaluation.protocols`; None: the one that is usual for the set.
        category: which part of a download.
        alphas: thresholds; none: the protocol's.
        seeds: how many runs, with the seeds from settings.seed on.
        destination: a path or URL where the results stay; the images, where the protocol shows others than
            the files of the set, stay beside it, at the same name and "-images". None: nothing stays.
        quiet: no progress.

    Returns:
        Facts, fit for JSON; docs/evaluation.md says which.

    Raises:
        CongealError: for a set, a protocol or a threshold that cannot be used.
        UserError: as `congeal run` does.
    """
    asked = ask(dataset, protocol, category, alphas)
    if seeds < 1:
        raise UserError(f"--seeds {seeds} leaves nothing to measure: 1 is the least.")
    with _places(destination, settings) as (place, images):
        left_out = dict(asked.annotated.unreadable)
        source = _source(asked, images, left_out, settings)
        runs, beside = [], None
        for seed in range(settings.seed, settings.seed + seeds):
            _run(source, place, settings, seed, quiet)
            runs.append(measure(asked, place, seed, left_out))
            beside = beside or baselines(asked, runs[0])
        about = {"dataset": str(dataset), "destination": destination}
        return about | facts_of(asked, runs, beside or {}, left_out)


def ask(
    dataset: str | Path, protocol: str | None, category: str | None, alphas: Sequence[float] = ()
) -> Asked:
    """What is to be measured. Raises CongealError if it cannot be."""
    annotated = load(dataset, category)
    chosen = named(protocol or annotated.protocol)
    if not annotated.keypoints and not any(image.mask for image in annotated.images):
        raise CongealError(f"{annotated.name} has neither keypoints nor masks: there is nothing to measure")
    for alpha in alphas:
        if not 0 < alpha < float("inf"):
            raise CongealError(f"the threshold {alpha:g} is no share: give a number above 0, such as 0.1")
    return Asked(annotated, chosen, views(annotated, chosen), tuple(alphas) or (chosen.alpha,))


@contextmanager
def _places(destination: str | None, settings: Settings) -> Iterator[tuple[Location, Location]]:
    """Where the results go, and where the images go that a protocol makes."""
    if destination is not None:
        place = Location.parse(destination, settings.storage)
        yield place, Location(f"{place.url}-images", place.options)
        return
    with temporary_folder("evaluate") as folder:
        yield Location.parse(folder / "results"), Location.parse(folder / "images")


def _source(asked: Asked, images: Location, left_out: dict[str, str], settings: Settings) -> Location:
    """The place to run on: the set's own folder if it shows just what is asked, else a copy."""
    own = Location.parse(asked.annotated.folder)
    names = {view.name for view in asked.shown}
    if all(view.crop is None for view in asked.shown) and names == _images_of(own, settings):
        return own
    strange = sorted(_images_of(images, settings) - names)
    if strange:
        raise UserError(f"{images} holds {strange[0]}, which is not of this set: choose another --dest.")
    for view in asked.shown:
        try:
            data = _file(view, settings)
        except ImageError as error:
            left_out[view.image.name] = error.reason
            continue
        target = images / view.name
        # What is there already keeps its time, so that a second evaluation finds everything done.
        if not target.exists() or target.read_bytes() != data:
            target.write_bytes(data)
    return images


def _images_of(place: Location, settings: Settings) -> set[str]:
    endings = {ending.lower() for ending in settings.catalog.extensions}
    return {item.path for item in place.objects() if PurePosixPath(item.path).suffix.lower() in endings}


def _file(view: View, settings: Settings) -> bytes:
    try:
        data = view.image.path.read_bytes()
    except OSError as error:
        raise ImageError(f"it cannot be read: {error.strerror}") from error
    if view.crop is None:
        return data
    limits = settings.catalog
    pixels = decode(data, limits.max_pixels, limits.min_side, value_range=limits.range)
    return png(cut(pixels, view.crop))


def _run(source: Location, place: Location, settings: Settings, seed: int, quiet: bool) -> None:
    clusters = settings.clusters.model_copy(update={"method": "single", "growth": "anew"})
    job = prepare(source.url, place.url, settings.model_copy(update={"seed": seed, "clusters": clusters}))
    with job.survey:
        everything(job, Progress(quiet=quiet))
