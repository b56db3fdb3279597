"""Training a student on stored targets: resumable, and at the end its weights and their card."""

from __future__ import annotations

import json
import time
from collections.abc import Mapping
from dataclasses import asdict
from typing import TYPE_CHECKING, Any

from congeal.errors import CongealError
from congeal.settings import Settings
from infra.errors import DamagedError, MissingError, UserError
from infra.ledger.commits import Marker, digest
from infra.ledger.provenance import code_version
from infra.storage.location import Location
from tasks.distillation.student_setup import Learner
from tasks.distillation.target_shards import Targets, read_unit
from tasks.execution.stage_runner import Run
from tasks.features.run_backbone import Weights

if TYPE_CHECKING:
    import torch

    from congeal.distillation.losses import Recipe
    from congeal.distillation.student import Student
    from congeal.distillation.teacher_targets import Examples, TargetBasis
    from congeal.distillation.training import Lessons, Training

STUDENT = "student.safetensors"
CARD = "card.json"
VERSION = 1
SAVE_EVERY = 120.0  # seconds between two states of the training
FEW_UNITS, FEW_VIEWS = 8, 128  # what the student's channels are fitted on
ROUND_VIEWS = 48  # that its matrices are rounded by
TOLD = 4  # decimals of what a card says


def train(run: Run, learner: Learner, weights: Weights, targets: Targets) -> dict[str, Any]:
    """Train to the end, from where an earlier training was stopped; the card of what came out.

    Raises UserError if the training cannot go on (see `congeal.distillation.training`).
    """
    recipe = _recipe(run.settings, targets, learner)
    identity = digest("student", VERSION, learner.name, learner.start, asdict(recipe), _contents(targets))
    finished = _finished(run.destination, identity)
    if finished is not None:
        return finished
    try:
        return _train(run, learner, weights, targets, recipe, identity)
    except CongealError as error:
        raise UserError(str(error)) from error


def _train(
    run: Run, learner: Learner, weights: Weights, targets: Targets, recipe: Recipe, identity: str
) -> dict[str, Any]:
    import torch

    from congeal.backbones.packed_checkpoint import checksum, pack
    from congeal.distillation.student import Student
    from congeal.distillation.training import Training

    place = run.destination / "training" / f"{identity}.safetensors"
    torch.set_num_threads(run.engine.threads(1))
    student = Student(learner.name, learner.sizes.cells, learner.state, run.settings.seed)
    lessons = _lessons(run.destination, targets.units["views"])
    few = _few(lessons)
    steps = student.round(_floats(few.pixels[:ROUND_VIEWS]), recipe.bits) if recipe.bits < 8 else None
    basis = _basis(few, student, learner.shared)
    training = Training(student, basis, recipe, _device(run.settings), steps)
    _resume(training, place)
    saved, total = time.monotonic(), recipe.steps * recipe.batch
    done = training.step * recipe.batch
    with run.progress.stage("training, views", total=total, done=done) as advance:
        for _ in training.run(lessons):
            advance(recipe.batch)
            if time.monotonic() - saved > SAVE_EVERY:
                _save(training, place)
                saved = time.monotonic()
    _save(training, place)
    state = training.averaged()

    def packed(card: Mapping[str, Any]) -> bytes:
        return pack(state, learner.name, card, half=recipe.bits >= 16, steps=training.steps())

    agreed = _agreement(run, learner, packed({}), basis, targets)
    card = _card(run, learner, weights, targets, recipe, agreed) | {"identity": identity}
    data = packed(card)
    card["student"] |= {"bytes": len(data), "sha256": checksum(data)}
    (run.destination / STUDENT).write_bytes(data)
    (run.destination / CARD).write_bytes(json.dumps(card, indent=1, sort_keys=True).encode() + b"\n")
    place.delete()
    return card


def _recipe(settings: Settings, targets: Targets, learner: Learner) -> Recipe:
    from congeal.distillation.losses import Recipe

    asked = settings.distill
    views = sum(marker.record["views"] for marker in targets.units["views"])
    steps = max(asked.epochs * views // asked.batch, 1)
    return Recipe(
        steps=steps,
        batch=asked.batch,
        bits=asked.bits,
        learning_rate=asked.learning_rate or _rate(learner, asked.bits),
        warmup=min(100, steps // 10),
        precision=settings.features.precision,
        seed=settings.seed,
    )


def _rate(learner: Learner, bits: float) -> float:
    """The highest learning rate; a higher one wipes out within ten steps what a part of its teacher knows."""
    if not learner.shared:
        return 5e-4
    return 1e-4 if bits < 8 else 3e-5


def _contents(targets: Targets) -> list[list[str]]:
    return [[kind, marker.unit, marker.content] for kind in targets.units for marker in targets.units[kind]]


def _lessons(destination: Location, markers: tuple[Marker, ...]) -> Lessons:
    from congeal.distillation.training import Lessons

    def load(unit: int) -> Examples:
        return read_unit(destination, markers[unit])

    return Lessons([int(marker.record["views"]) for marker in markers], load)


def _few(lessons: Lessons) -> Examples:
    """Some examples of the first units."""
    import torch

    from congeal.distillation.teacher_targets import joined

    units = range(min(FEW_UNITS, len(lessons.sizes)))
    found = joined([lessons.load(unit) for unit in units])
    return found.rows(torch.arange(0, len(found), max(len(found) // FEW_VIEWS, 1)))


def _floats(pixels: torch.Tensor) -> torch.Tensor:
    return pixels.permute(0, 3, 1, 2).float() / 255


def _basis(few: Examples, student: Student, shared: bool) -> TargetBasis:
    """The student's channels in the teacher's: the same, or fitted on some examples."""
    import torch

    from congeal.distillation.teacher_targets import fit_basis, shared_basis

    if shared:
        return shared_basis(few)
    with torch.no_grad():
        seen = [student(_floats(pixels)) for pixels in torch.split(few.pixels, 16)]
    tokens, embedding = torch.cat([one.tokens for one in seen]), torch.cat([one.embedding for one in seen])
    return fit_basis(few, student.channels).turned_to(few, tokens, embedding)


def _resume(training: Training, place: Location) -> None:
    from congeal.backbones.checkpoints import state_dict

    try:
        training.restore(state_dict(place.read_bytes()))
    except MissingError:
        return
    except CongealError as error:
        raise DamagedError(
            f"the state of the training, {place}, cannot be read ({error}): delete it."
        ) from error


def _save(training: Training, place: Location) -> None:
    import safetensors.torch

    place.write_bytes(safetensors.torch.save(training.state()))


def _finished(destination: Location, identity: str) -> dict[str, Any] | None:
    """The card of the student that is there, if it is the one asked for and its weights are sound."""
    from congeal.backbones.packed_checkpoint import about

    try:
        card: dict[str, Any] = json.loads((destination / CARD).read_bytes())
        data = (destination / STUDENT).read_bytes()
        said = about(data)
    except (MissingError, ValueError):
        return None
    if not isinstance(card, dict) or card.get("identity") != identity or said is None:
        return None
    return card if card.get("student", {}).get("sha256") == said.sha256 else None


def _device(settings: Settings) -> torch.device:
    from congeal.backbones.devices import resolve_device

    return resolve_device(settings.features.device)


def _agreement(
    run: Run, learner: Learner, data: bytes, basis: TargetBasis, targets: Targets
) -> Mapping[str, Any]:
    """Teacher and packed student on the held-out images, as the product will use the student."""
    import torch

    from congeal.backbones.extractor import BackboneSpec, load_backbone
    from congeal.distillation.teacher_agreement import agreement
    from congeal.distillation.teacher_targets import joined

    held = joined([read_unit(run.destination, marker) for marker in targets.units["held"]])
    asked = run.settings.features
    spec = BackboneSpec(learner.name, learner.sizes.student, precision=asked.precision)
    backbone = load_backbone(spec, data, asked.device)
    seen = [backbone(pixels) for pixels in torch.split(held.pixels, 4)]
    features, embedding = torch.cat([s.features for s in seen]), torch.cat([s.embedding for s in seen])
    found = agreement((held.features, held.embedding), (features.cpu(), embedding.cpu()), basis)
    return {name: round(value, TOLD) for name, value in asdict(found).items()} | {
        "kept": round(basis.kept, TOLD)
    }


def _card(
    run: Run, learner: Learner, weights: Weights, targets: Targets, recipe: Recipe, agreed: Mapping[str, Any]
) -> dict[str, Any]:
    asked = run.settings.features
    views = {kind: sum(int(m.record["views"]) for m in targets.units[kind]) for kind in targets.units}
    return {
        "student": {"backbone": learner.name, "start": learner.start},
        "teacher": {
            "backbone": weights.backbone, "weights_fingerprint": weights.fingerprint,
            "layer": asked.layer, "facet": asked.facet, "image_size": learner.sizes.teacher,
        },
        "data": {
            "source": run.source.url, "images": targets.images, "held_out": targets.held, "views": views,
        },
        "recipe": asdict(recipe),
        "agreement": dict(agreed),
        "code_version": code_version(),
    }  # fmt: skip
