"""Training a student on stored targets: resumable, and at the end its weights and their card."""

from __future__ import annotations

import json
import time
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any

from congeal import embedded
from congeal.errors import CongealError
from infra.commits import Marker, digest
from infra.errors import DamagedError, MissingError, UserError
from infra.provenance import code_version
from infra.settings import Settings
from infra.storage import Location
from tasks.stage import Run
from tasks.targets import Sizes, Targets, read_unit
from tasks.weights import Weights

if TYPE_CHECKING:
    import torch

    from congeal.distillation import Recipe
    from congeal.targets import Examples, TargetBasis
    from congeal.training import Lessons

STUDENT = "student.safetensors"
CARD = "card.json"
VERSION = 1
SAVE_EVERY = 120.0  # seconds between two states of the training
BASIS_UNITS = 8  # units of views that the student's channels are fitted on
TOLD = 4  # decimals of what a card says


@dataclass(frozen=True)
class Learner:
    """A student before it has learned: its name, the sizes of its views, what it starts from."""

    name: str
    sizes: Sizes
    start: str  # fingerprint of the weights, or "nothing"
    start_bytes: bytes | None


def fitting(settings: Settings, weights: Weights) -> Learner:
    """The student that the settings ask for; UserError if it does not exist or does not suit the teacher."""
    from congeal.backbones import BackboneSpec, geometry
    from congeal.students import Student
    from congeal.weights import fingerprint, state_dict
    from tasks.weights import backbone_spec

    if weights.backbone == embedded.NAME:
        raise UserError(
            "the embedded backbone is a student itself: name a teacher with features.backbone, "
            "and its file with features.weights where the hub cannot be reached."
        )
    asked = settings.distill
    try:
        taught = geometry(backbone_spec(weights, settings.features))
        small = geometry(BackboneSpec(asked.student))
        data = _start(settings)
        name = Student(asked.student, None if data is None else state_dict(data)).name
    except CongealError as error:
        raise UserError(str(error)) from error
    if small.channels > taught.channels:
        raise UserError(
            f"the student {name} has {small.channels} channels and its teacher {weights.backbone} only "
            f"{taught.channels}: set distill.student to a smaller one."
        )
    if taught.grid < 2:
        raise UserError(f"features.image_size {taught.image_size} gives the teacher a single cell: raise it.")
    sizes = Sizes(taught.grid // 2, taught.grid, taught.patch_size, small.patch_size)
    return Learner(name, sizes, "nothing" if data is None else fingerprint(data), data)


def _start(settings: Settings) -> bytes | None:
    asked = settings.distill
    if asked.start is not None:
        return Location.parse(asked.start, settings.storage).read_bytes()
    return embedded.weights() if asked.student == embedded.ARCHITECTURE else None


def train(run: Run, learner: Learner, weights: Weights, targets: Targets) -> dict[str, Any]:
    """Train to the end, from where an earlier training was stopped; the card of what came out.

    Raises UserError if the training cannot go on (see `congeal.training`).
    """
    recipe = _recipe(run.settings, targets)
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

    from congeal.packing import checksum, pack
    from congeal.students import Student
    from congeal.training import Training
    from congeal.weights import state_dict

    place = run.destination / "training" / f"{identity}.safetensors"
    torch.set_num_threads(run.engine.threads(1))
    start = None if learner.start_bytes is None else state_dict(learner.start_bytes)
    student = Student(learner.name, start, run.settings.seed)
    coarse = _lessons(run.destination, targets.units["coarse"])
    fine = _lessons(run.destination, targets.units["fine"]) if recipe.finish else None
    basis = _basis(coarse, student)
    training = Training(student, basis, recipe, _device(run.settings))
    _resume(training, place)
    saved, total = time.monotonic(), recipe.steps * recipe.batch
    done = training.step * recipe.batch
    with run.progress.stage("training, views", total=total, done=done) as advance:
        for _ in training.run(coarse, fine):
            advance(recipe.batch)
            if time.monotonic() - saved > SAVE_EVERY:
                _save(training, place)
                saved = time.monotonic()
    _save(training, place)
    state = training.averaged()
    agreed = _agreement(run, learner, pack(state, learner.name, {}), basis, targets)
    card = _card(run, learner, weights, targets, recipe, agreed) | {"identity": identity}
    data = pack(state, learner.name, card)
    card["student"] |= {"bytes": len(data), "sha256": checksum(data)}
    (run.destination / STUDENT).write_bytes(data)
    (run.destination / CARD).write_bytes(json.dumps(card, indent=1, sort_keys=True).encode() + b"\n")
    place.delete()
    return card


def _recipe(settings: Settings, targets: Targets) -> Recipe:
    from congeal.distillation import Recipe

    asked = settings.distill
    views = sum(marker.record["views"] for marker in targets.units["coarse"])
    steps = max(asked.epochs * views // asked.batch, 1)
    return Recipe(
        steps=steps,
        batch=asked.batch,
        finish=asked.finish if targets.units["fine"] else 0.0,
        learning_rate=asked.learning_rate,
        warmup=min(100, steps // 10),
        precision=settings.features.precision,
        seed=settings.seed,
    )


def _contents(targets: Targets) -> list[list[str]]:
    return [[kind, marker.unit, marker.content] for kind in targets.units for marker in targets.units[kind]]


def _lessons(destination: Location, markers: tuple[Marker, ...]) -> Lessons:
    from congeal.training import Lessons

    def load(unit: int) -> Examples:
        return read_unit(destination, markers[unit])

    return Lessons([int(marker.record["views"]) for marker in markers], load)


def _basis(coarse: Lessons, student: Any) -> TargetBasis:
    """The student's channels in the teacher's, fitted on some units, turned to what the student says."""
    import torch

    from congeal.targets import fit_basis, joined

    count = min(BASIS_UNITS, len(coarse.sizes))
    few = joined([coarse.load(unit) for unit in range(count)])
    some = few.rows(torch.arange(0, len(few), max(len(few) // 256, 1)))
    with torch.no_grad():
        seen = [student(pixels.permute(0, 3, 1, 2).float() / 255) for pixels in torch.split(some.pixels, 16)]
    tokens, embedding = torch.cat([one.tokens for one in seen]), torch.cat([one.embedding for one in seen])
    return fit_basis(some, student.channels).turned_to(some, tokens, embedding)


def _resume(training: Any, place: Location) -> None:
    from congeal.weights import state_dict

    try:
        training.restore(state_dict(place.read_bytes()))
    except MissingError:
        return
    except CongealError as error:
        raise DamagedError(
            f"the state of the training, {place}, cannot be read ({error}): delete it."
        ) from error


def _save(training: Any, place: Location) -> None:
    import safetensors.torch

    place.write_bytes(safetensors.torch.save(training.state()))


def _finished(destination: Location, identity: str) -> dict[str, Any] | None:
    """The card of the student that is there, if it is the one asked for and its weights are sound."""
    from congeal.packing import about

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
    from congeal.devices import resolve_device

    return resolve_device(settings.features.device)


def _agreement(
    run: Run, learner: Learner, data: bytes, basis: TargetBasis, targets: Targets
) -> Mapping[str, Any]:
    """Teacher and packed student on the held-out images, as the product will use the student."""
    import torch

    from congeal.agreement import agreement
    from congeal.backbones import BackboneSpec, load_backbone
    from congeal.targets import joined

    held = joined([read_unit(run.destination, marker) for marker in targets.units["held"]])
    asked = run.settings.features
    spec = BackboneSpec(
        learner.name, learner.sizes.fine * learner.sizes.student_patch, precision=asked.precision
    )
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
    size = learner.sizes.fine * learner.sizes.teacher_patch
    views = {kind: sum(int(m.record["views"]) for m in targets.units[kind]) for kind in targets.units}
    return {
        "student": {"backbone": learner.name, "start": learner.start},
        "teacher": {
            "backbone": weights.backbone, "weights_fingerprint": weights.fingerprint,
            "layer": asked.layer, "facet": asked.facet, "image_size": size,
        },
        "data": {
            "source": run.source.url, "images": targets.images, "held_out": targets.held, "views": views,
        },
        "recipe": asdict(recipe),
        "agreement": dict(agreed),
        "code_version": code_version(),
    }  # fmt: skip
