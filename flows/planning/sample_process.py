"""Where a plan computes: in a process of its own, so that none has both a long listing and PyTorch in memory.

What is called there is imported there.
"""

from __future__ import annotations

import importlib
from collections.abc import Callable
from contextlib import ExitStack
from pathlib import Path
from typing import ParamSpec, TypeVar

from congeal.settings import Settings
from flows.planning.sample import Loaded, Request, Sampled
from flows.planning.sample_choice import Choice, chosen_sample, sample_size
from infra.compute.child_process import ChildProcess
from infra.compute.engine import SMALL
from infra.compute.library_pages import release_library_pages
from infra.compute.numeric_libraries import release_memory
from infra.storage.location import Location
from tasks.catalog.source_listing import Survey
from tasks.features.run_backbone import Weights

P = ParamSpec("P")
R = TypeVar("R")
SCIENCE = ("congeal.alignment.solver", "congeal.backbones.extractor")


class SampleProcess(ExitStack):
    """Calls functions where a plan computes, see `flows.runs.prepare.Computing`; closed, it computes no more.

    For a few images no further process is worth its while, and what lies in this one's memory (destination,
    source) no other sees: then it is this one.

    folder: for temporary files. choice: the sample. loaded: what had to be loaded for it.
    """

    def __init__(self, folder: Path, destination: Location) -> None:
        super().__init__()
        self._folder = folder
        self._destination = destination
        self._child: ChildProcess | None = None
        self.loaded = Loaded()
        self.choice = Choice((), None)

    def begin(self, survey: Survey, settings: Settings) -> None:
        """Choose the sample, while there is room for that, and load what computes."""
        self.choice = chosen_sample(survey, settings.clusters.method, sample_size(survey, settings))
        survey.rest()
        release_memory()
        if survey.images > SMALL and survey.source.shared and self._destination.shared:
            release_library_pages()
            self._begin()
        self.loaded = self.call(_load)

    def _begin(self) -> None:
        self._child = self.enter_context(ChildProcess(self._folder))

    def call(self, function: Callable[P, R], *args: P.args, **kwargs: P.kwargs) -> R:
        """The function's result. It is one of a module, and all that it is given can be pickled."""
        if self._child is None:
            return function(*args, **kwargs)
        return self._child(function, *args, **kwargs)

    def sampled(self, survey: Survey, settings: Settings) -> Sampled:
        """Run everything on the sample, by the settings of the whole."""
        survey.rest()
        most, apart = sample_size(survey, settings), self._child is not None
        asked = Request(survey.source, settings, *self.choice, most, survey.images, apart)
        asked = self.call(_looked, asked)
        if apart and asked.seen is not None:
            # To tell sets from each other takes libraries that nothing after it needs.
            self.close()
            self._begin()
            self.call(_load_science)
        return self.call(_sampled, asked, self.loaded)

    def feature_scope(self, settings: Settings, weights: Weights) -> str:
        """See `tasks.features.features_stage.scope`."""
        return self.call(_feature_scope, settings, weights)


def _load() -> Loaded:
    from flows.planning.machine import load

    return load()


def _load_science() -> None:
    """What of it units need; there are no workers."""
    for name in SCIENCE:
        importlib.import_module(name)


def _looked(asked: Request) -> Request:
    from flows.planning.sample_run import looked

    return looked(asked)


def _sampled(asked: Request, loaded: Loaded) -> Sampled:
    from flows.planning.sample_run import run

    return run(asked, loaded)


def _feature_scope(settings: Settings, weights: Weights) -> str:
    from tasks.features.features_stage import scope

    return scope(settings, weights)
