"""The engine of a job: in this process if it is small, unless the last one there died of that."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager, suppress
from typing import TYPE_CHECKING, ParamSpec, TypeVar

from congeal.settings import Settings
from congeal_floors.plurals import counted
from flows.runs.prepare import Job
from infra.compute.engine import Engine, in_process, open_engine
from infra.compute.progress import Progress
from infra.compute.temporary_folders import clear_temporary_folders, temporary_folder
from infra.errors import UserError
from infra.ledger.crash_sign import crashed, signed, take_away
from infra.settings import EngineSettings
from infra.storage import near_copies
from infra.storage.location import Location
from tasks.catalog.source_listing import Survey
from tasks.features.run_backbone import forget

if TYPE_CHECKING:
    from infra.compute.aside import Aside

PRELOADED = ("flows.preloaded",)  # by workers that are forked
DIED = (
    "The process in which the backbone was tried died, most likely for want of memory: free some, or choose "
    "a smaller one with features.backbone."
)

P = ParamSpec("P")
R = TypeVar("R")


class BesideWorkers:
    """Calls what needs PyTorch in a process like those of the workers, where these do the work of a job.

    Then this process has no need of it. See `flows.runs.prepare.Computing`. say: told, in a line, of what
    takes seconds before any stage has begun.
    """

    def __init__(self, say: Callable[[str], object] | None = None) -> None:
        self._aside: Aside | None = None
        self._say = say

    def begin(self, survey: Survey, settings: Settings) -> None:
        """By now it is known how many images there are, and so whether there are workers."""
        if not in_process(settings.engine, survey.images):
            from infra.compute.aside import Aside

            if self._say is not None:
                self._say(f"{counted(survey.images, 'image')} found: the backbone is made ready")
            self._aside = Aside(PRELOADED, DIED)

    def call(self, function: Callable[P, R], *args: P.args, **kwargs: P.kwargs) -> R:
        """The function's result."""
        return function(*args, **kwargs) if self._aside is None else self._aside(function, *args, **kwargs)


@contextmanager
def kept_near(job: Job) -> Iterator[None]:
    """Have a run keep copies of what it reads from stores elsewhere and writes there, while it lasts."""
    clear_temporary_folders()  # of runs that were killed
    most = int(job.settings.storage.copies)
    if not most or {job.source.protocol, job.destination.protocol} <= {*near_copies.NEAR}:
        yield
        return
    with ExitStack() as stack:
        # No room for a folder, or none may be made: then the store is asked.
        with suppress(OSError, UserError):
            folder = stack.enter_context(temporary_folder("copies"))
            stack.enter_context(near_copies.used(near_copies.copies_of(folder, most)))
        yield


@contextmanager
def job_engine(
    settings: EngineSettings, images: int, destination: Location, progress: Progress
) -> Iterator[Engine]:
    """The engine that the settings ask for; with workers, if the last job has died for want of them.

    images: how many the job looks at. Where there are workers this process needs no backbone, and lets go of
    the one that it has tried.
    """
    small = settings.kind == "auto" and in_process(settings, images)
    if small and crashed(destination):
        progress.note(
            "The last run here ended without a word, and may have died of an image or for want of memory: "
            "this one has processes of its own for the work."
        )
        settings, small = settings.model_copy(update={"kind": "dask"}), False
    if small:
        with signed(destination), open_engine(settings, images=images, preloaded=PRELOADED) as engine:
            yield engine
        return
    if not in_process(settings, images):
        forget()
    with open_engine(settings, images=images, preloaded=PRELOADED) as engine:
        yield engine
    take_away(destination)
