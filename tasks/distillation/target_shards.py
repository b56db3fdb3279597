"""What a teacher sees in views of a source's images: the targets that a student learns from.

A unit is a group of views. Its pixels at the student's size lie beside what the teacher sees in
the same view, so that training reads nothing else and never asks the teacher again.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from congeal.errors import ImageError
from congeal.imaging import intensity_scaling
from congeal.results.schema.feature_arrays import (
    TARGET_GROUP,
    VIEW_EMBEDDING,
    VIEW_FEATURES,
    VIEW_PIXELS,
    VIEW_SALIENCY,
    TargetAttributes,
)
from congeal.results.schema.zarr_arrays import ZarrArray
from congeal.results.stored.arrays import stored_whole
from congeal.settings import Settings
from congeal_floors.plurals import counted
from infra.errors import UserError
from infra.ledger.commits import Marker, digest, outputs_location
from infra.storage.location import Location
from infra.storage.zarr_groups import ArraySpec, encode_group, open_group
from infra.threads import in_threads
from tasks.catalog.catalog_slices import CATALOG
from tasks.catalog.catalog_stage import Catalog
from tasks.catalog.deep_image_table import load_depths
from tasks.catalog.image_reading import Named, Unreadable, read_same, readers_of
from tasks.execution.duckdb_workspace import load, rows, workspace
from tasks.execution.stage_runner import (
    Run,
    StageResult,
    Unit,
    Work,
    address,
    batched,
    committed_marker,
    plan_units,
    run_units,
)
from tasks.features.run_backbone import Weights, load_weights

if TYPE_CHECKING:
    from congeal.distillation.augmentation import View
    from congeal.distillation.teacher_targets import Examples

STAGE = "targets"
VERSION = 1
LEAST_IMAGES = 64
HELD_SHARE, LEAST_HELD, MOST_HELD = 0.05, 8, 200
SMALLEST = 0.5  # smallest side of a crop, as a share of the image's
KINDS = ("views", "held")


@dataclass(frozen=True)
class Sizes:
    """Cells a side of the views, and the pixels a side of a cell: the teacher's, the student's."""

    cells: int
    teacher_patch: int
    student_patch: int

    @property
    def teacher(self) -> int:
        """The side in pixels of a view for the teacher."""
        return self.cells * self.teacher_patch

    @property
    def student(self) -> int:
        """The side in pixels of a view for the student."""
        return self.cells * self.student_patch


@dataclass(frozen=True, slots=True)
class TargetsPayload:
    """A group of views: of each image its n-th view. kind: see KINDS."""

    source: Location
    settings: Settings
    weights: Weights
    kind: str
    sizes: Sizes
    members: tuple[tuple[Named, int], ...]


@dataclass(frozen=True)
class Targets:
    """The finished stage. units: of each kind, the markers of its units that hold a view, in order."""

    result: StageResult
    images: int
    held: int
    units: dict[str, tuple[Marker, ...]]


def stage(run: Run, catalog: Catalog, weights: Weights, sizes: Sizes) -> Targets:
    """Show the teacher the views that it has not seen yet.

    Raises UserError for a source with too few sound images to learn from.
    """
    learned, held, deep = _members(run, catalog)
    seed = run.settings.seed
    wanted = {
        # The first view of each image is all of it; each later one is a round of its own.
        "views": [(member, turn) for turn in range(run.settings.distill.views) for member in learned],
        "held": [(member, 0) for member in held],
    }
    result, markers = StageResult(STAGE, ()), {}
    for kind in KINDS:
        here = _scope(run.settings, weights, sizes, kind)
        units = []
        for members in batched(wanted[kind], _views_per_unit(run.settings, sizes)):
            made_by = (
                ["greys", intensity_scaling.VERSION] if any(named[0] in deep for named, _ in members) else []
            )
            name = digest(here, seed, [[image_id, turn] for (image_id, _), turn in members], *made_by)
            place = address(run.destination, STAGE, VERSION, here, name)
            payload = TargetsPayload(run.source, run.settings, weights, kind, sizes, members)
            units.append(Unit(place, payload, items=len(members)))
        plan = plan_units(STAGE, here, units, run.progress, gpu=True)
        result = result + run_units(plan, make_unit, run, title=f"targets, {kind}")
        found = (committed_marker(unit.address) for unit in units)
        markers[kind] = tuple(marker for marker in found if marker.record["views"])
    return Targets(result, len(learned), len(held), markers)


def _scope(settings: Settings, weights: Weights, sizes: Sizes, kind: str) -> str:
    asked = settings.features
    return digest(
        STAGE, VERSION, weights.backbone, weights.fingerprint, asked.layer, asked.facet, asked.precision,
        kind, asdict(sizes), *(["range", list(settings.catalog.range)] if settings.catalog.range else []),
        length=16,
    )  # fmt: skip


def _members(run: Run, catalog: Catalog) -> tuple[list[Named], list[Named], set[str]]:
    """The images to learn from, in an order that the seed fixes, those held out to measure on, the deep ones.

    Deep: the ids of those among them with samples of more than 8 bits.
    """
    with workspace() as connection:
        load(connection, "catalog", [catalog.images], CATALOG, "image_id, uri, status")
        found = "SELECT image_id, uri FROM catalog WHERE status = 'ok'"
        order = f"ORDER BY md5(image_id || '{int(run.settings.seed)}'), image_id"
        most = run.settings.distill.images + MOST_HELD
        named: list[Named] = [(str(i), str(u)) for i, u in rows(connection, f"{found} {order} LIMIT {most}")]
        load_depths(connection, catalog.depths)
        deep = {str(image_id) for (image_id,) in rows(connection, "SELECT image_id FROM depths")}
    if len(named) < LEAST_IMAGES:
        raise UserError(
            f"{run.source.url} holds {counted(len(named), 'sound image')}, too few to distil from: "
            f"give a source with {LEAST_IMAGES} or more."
        )
    held = min(max(round(HELD_SHARE * len(named)), LEAST_HELD), MOST_HELD)
    return named[held:][: run.settings.distill.images], named[:held], deep & {name for name, _ in named}


def _views_per_unit(settings: Settings, sizes: Sizes) -> int:
    # The teacher's channels are not known here; 768 is usual, and pixels weigh about as much.
    a_cell = 2 * 768 + 3 * sizes.student_patch**2
    return max(settings.distill.shard_bytes // (sizes.cells**2 * a_cell), 1)


def make_unit(unit: Unit[TargetsPayload]) -> Marker:
    """Cut the unit's views, show them to the teacher, commit pixels and targets as one Zarr group.

    A view of an image that cannot be read any more, or that has changed since it was catalogued, is left out.
    """
    work = Work(unit)
    settings, weights = unit.payload.settings, unit.payload.weights
    sizes, kind = unit.payload.sizes, unit.payload.kind
    with work.watch.phase("start"):
        import torch

        torch.set_num_threads(unit.threads)
        features = settings.features.model_copy(update={"image_size": sizes.teacher})
        teacher = load_weights(weights, features)
    with work.watch.phase("decode"):
        views = list(_views(unit.payload))
    arrays: dict[ZarrArray, list[npt.NDArray[Any]]] = {array: [] for array in TARGET_GROUP.arrays}
    for batch in batched(views, settings.features.batch_size):
        with work.watch.phase("backbone"):
            seen = teacher(np.stack([pixels for pixels, _ in batch]))
        arrays[VIEW_PIXELS].extend(pixels for _, pixels in batch)
        arrays[VIEW_FEATURES].extend(seen.features.half().cpu().numpy())
        arrays[VIEW_EMBEDDING].extend(seen.embedding.half().cpu().numpy())
        arrays[VIEW_SALIENCY].extend(seen.saliency.half().cpu().numpy())
    outputs: dict[str, bytes] = {}
    if views:
        with work.watch.phase("encode"):
            specs = {array.path: ArraySpec(np.stack(data), array.dims) for array, data in arrays.items()}
            facts: TargetAttributes = {"kind": kind, "grid": sizes.cells, "teacher": weights.backbone}
            encoded = encode_group(specs, facts)
            outputs = {f"{TARGET_GROUP.name}/{path}": data for path, data in encoded.items()}
    return work.commit(outputs, {"views": len(views), "kind": kind})


def _views(asked: TargetsPayload) -> Iterator[tuple[npt.NDArray[np.uint8], npt.NDArray[np.uint8]]]:
    """Each view's pixels at the teacher's and at the student's size."""
    from congeal.imaging.decoding import decode

    source, sizes, limits = asked.source, asked.sizes, asked.settings.catalog
    allowed = asked.settings.limits.image

    def cut(member: tuple[Named, int]) -> tuple[npt.NDArray[np.uint8], npt.NDArray[np.uint8]] | None:
        named, turn = member
        data = read_same(source, named)
        if isinstance(data, Unreadable):
            return None
        try:
            image = decode(data, limits.max_pixels, limits.min_side, 2 * sizes.teacher, limits.range, allowed)
        except ImageError:
            return None
        view = _view(asked.kind, named[0], turn, asked.settings.seed)
        return view.render(image, sizes.teacher), view.render(image, sizes.student)

    for pair in in_threads(cut, asked.members, threads=readers_of(source)):
        if pair is not None:
            yield pair


def _view(kind: str, image_id: str, turn: int, seed: int) -> View:
    """The view that belongs to an image, a turn and a seed."""
    from congeal.distillation.augmentation import View, draw_view

    if kind == "held":
        return View()
    generator = np.random.default_rng([turn, seed, int(image_id, 16)])
    return draw_view(generator, SMALLEST if turn else 1.0)


def read_unit(destination: Location, marker: Marker) -> Examples:
    """A committed unit's examples."""
    import torch

    from congeal.distillation.teacher_targets import Examples

    group = open_group(outputs_location(destination, marker) / TARGET_GROUP.name)

    def read(array: ZarrArray) -> torch.Tensor:
        return torch.from_numpy(stored_whole(group, array))

    return Examples(read(VIEW_PIXELS), read(VIEW_FEATURES), read(VIEW_EMBEDDING), read(VIEW_SALIENCY))
