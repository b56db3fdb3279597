"""The flow of distillation: from a place full of photographs and a teacher to a student's weights."""

from __future__ import annotations

import time
from dataclasses import dataclass
from typing import Any

from congeal.settings import Settings
from flows.runs.job_engine import job_engine
from infra.compute.progress import Progress
from infra.errors import UserError
from infra.ledger.publications import check_layout, claim
from infra.ledger.run_lock import RUN, locked
from infra.storage.image_source import image_source
from infra.storage.location import Location
from tasks.catalog import catalog_stage
from tasks.catalog.source_listing import Survey
from tasks.catalog.source_places import check_places
from tasks.distillation import target_shards
from tasks.distillation.student_setup import Learner, fitting
from tasks.distillation.student_training import CARD, STUDENT, train
from tasks.execution.stage_runner import Run
from tasks.features.backbone_choice import choose
from tasks.features.run_backbone import Weights, check, locate


@dataclass(frozen=True)
class Lesson:
    """What a distillation is asked to do: places, settings with the teacher named, teacher, student."""

    source: Location
    out: Location
    settings: Settings
    survey: Survey
    weights: Weights
    learner: Learner
    line: str | None


def prepare(source: str, out: str, settings: Settings) -> Lesson:
    """List the source and try teacher and student; the caller closes `survey`.

    Raises UserError for a source without images, an output inside the source or the other way round, a
    teacher or student that does not exist, weights that do not fit, a student larger than its teacher.
    """
    here = image_source(source, settings.source.also, settings.source.roots, settings.storage)
    there = Location.parse(out, settings.storage)
    check_places(here, there)
    if not (here.shared and there.shared):
        settings = settings.model_copy(update={"engine": settings.engine.model_copy(update={"kind": "loop"})})
    choice = choose(settings, there)
    if choice.settings.features.stride is not None:
        raise UserError("distill looks at patches side by side: leave features.stride unset.")
    if settings.features.beside:
        raise UserError("a student learns the features of one block: leave features.beside unset.")
    more = settings.source.columns
    columns = None if more is None else Location.parse(more, settings.storage)
    survey = Survey(here, settings.catalog, settings.source, columns)
    try:
        survey.require_images(settings.catalog)
        check_layout(there)
        weights = check(locate(choice.settings), choice.settings)
        learner = fitting(choice.settings, weights)
        claim(there, single_writer=settings.storage.single_writer)
        return Lesson(here, there, choice.settings, survey, weights, learner, choice.line)
    except BaseException:
        survey.close()
        raise


def distill(lesson: Lesson, progress: Progress) -> dict[str, Any]:
    """Targets, then training, then weights and card; what is done already is not done again.

    Returns facts: out, student, backbone (of the teacher), images, steps, seconds, agreement.
    """
    begin = time.perf_counter()
    alone = lesson.settings.storage.single_writer
    with lesson.survey, locked(lesson.out, RUN, alone=alone), progress:
        progress.note(lesson.line or f"backbone: {lesson.weights.backbone} is the teacher")
        with job_engine(lesson.settings.engine, lesson.survey.images, lesson.out, progress) as engine:
            run = Run(lesson.source, lesson.out, lesson.settings, engine, progress)
            catalogued = catalog_stage.stage(run, lesson.survey)
            taught = target_shards.stage(run, catalogued, lesson.weights, lesson.learner.sizes)
        card = train(run, lesson.learner, lesson.weights, taught)
    return {
        "out": lesson.out.url,
        "student": (lesson.out / STUDENT).url,
        "card": (lesson.out / CARD).url,
        "teacher": lesson.weights.backbone,
        "teacher_fingerprint": lesson.weights.fingerprint,
        "backbone": card["student"]["backbone"],
        "sha256": card["student"]["sha256"],
        "bytes": card["student"]["bytes"],
        "images": card["data"]["images"],
        "steps": card["recipe"]["steps"],
        "agreement": card["agreement"],
        "seconds": round(time.perf_counter() - begin, 3),
    }
