"""Module paths of before the packages, importable for one more release, with a warning."""

from __future__ import annotations

import importlib
import sys
import warnings
from collections.abc import Callable, Sequence
from importlib.machinery import ModuleSpec, PathFinder
from types import ModuleType
from typing import Any

__all__ = ["BECAME_PACKAGES", "MOVED", "NAMES", "former", "former_names", "install"]

MOVED = {
    "congeal.agreement": "congeal.distillation.teacher_agreement",
    "congeal.anchoring": "congeal.alignment.poses.frame_anchoring",
    "congeal.annotations": "congeal.transfer.annotations",
    "congeal.answers": "congeal.results.conversions",
    "congeal.architectures": "congeal.backbones.architectures",
    "congeal.arguments": "congeal.results.argument_checks",
    "congeal.assembly": "congeal.alignment.maps.postprocess",
    "congeal.atlas": "congeal.alignment.model",
    "congeal.attention": "congeal.backbones.fast_attention",
    "congeal.backbone_facts": "congeal.alignment.inputs.backbone_stats",
    "congeal.backbone_names": "congeal.backbones.registry",
    "congeal.calibration": "congeal.evaluation.calibration",
    "congeal.carrying": "congeal.results.transfer.point_transfer",
    "congeal.choosing": "congeal.alignment.selection.feature_selection",
    "congeal.collection": "congeal.results.collection",
    "congeal.combination": "congeal.transfer.fusion",
    "congeal.company": "congeal.alignment.inputs.set_batch",
    "congeal.coordinates": "congeal.geometry.frames",
    "congeal.cycles": "congeal.evaluation.cycle_consistency",
    "congeal.datasets": "congeal.evaluation.datasets",
    "congeal.datasets.annotations": "congeal.evaluation.datasets.types",
    "congeal.datasets.detection": "congeal.evaluation.datasets.sniffing",
    "congeal.deep_samples": "congeal.imaging.high_bit_depth",
    "congeal.dense": "congeal.alignment.maps.guided_matching",
    "congeal.devices": "congeal.backbones.devices",
    "congeal.display": "congeal.results.display",
    "congeal.embedded": "congeal.backbones.embedded",
    "congeal.exchange": "congeal.transfer.formats",
    "congeal.exchange.run_lengths": "congeal.transfer.formats.rle",
    "congeal.exemplars": "congeal.alignment.poses.exemplars",
    "congeal.facings": "congeal.alignment.selection.mirror_selection",
    "congeal.features": "congeal.alignment.inputs.feature_basis",
    "congeal.fitting": "congeal.alignment.atlas_fitting",
    "congeal.forward_backward": "congeal.transfer.forward_backward_error",
    "congeal.freedom": "congeal.alignment.selection.deformation_selection",
    "congeal.greys": "congeal.imaging.intensity_scaling",
    "congeal.image_files": "congeal.imaging.pillow_io",
    "congeal.image_formats": "congeal.imaging.formats",
    "congeal.image_names": "congeal.results.image_name_matching",
    "congeal.images": "congeal.imaging.decoding",
    "congeal.imageset": "congeal.alignment.inputs.image_set",
    "congeal.joining": "congeal.clustering.incremental",
    "congeal.macros": "congeal.results.queries.macros",
    "congeal.mapping": "congeal.alignment.maps.map_batches",
    "congeal.masks": "congeal.evaluation.saliency_iou",
    "congeal.matching": "congeal.alignment.poses.pairwise_matching",
    "congeal.membership": "congeal.geometry.segments",
    "congeal.morphometrics": "congeal.geometry.procrustes",
    "congeal.neighbours": "congeal.results.similarity_search",
    "congeal.outlines": "congeal.geometry.polygons",
    "congeal.packing": "congeal.backbones.packed_checkpoint",
    "congeal.painting": "congeal.transfer.layers",
    "congeal.peaks": "congeal.geometry.argmax",
    "congeal.picture_files": "congeal.imaging.layer_files",
    "congeal.plane": "congeal.geometry.complex_math",
    "congeal.posing": "congeal.alignment.poses.pose_estimation",
    "congeal.position": "congeal.backbones.position_bias",
    "congeal.propagation": "congeal.transfer.annotation_propagation",
    "congeal.protocols": "congeal.evaluation.protocols",
    "congeal.published": "congeal.results.published_version",
    "congeal.published_tables": "congeal.results.published_tables",
    "congeal.quality": "congeal.alignment.maps.confidence",
    "congeal.queries": "congeal.results.queries.sql",
    "congeal.registration": "congeal.alignment.maps.flow_registration",
    "congeal.reliability": "congeal.alignment.maps.error_estimation",
    "congeal.rendering": "congeal.imaging.visualization",
    "congeal.results.annotation_transfer": "congeal.results.transfer.annotation_transfer",
    "congeal.results.image_squares": "congeal.results.stored.image_squares",
    "congeal.results.instance_transfer": "congeal.results.transfer.instance_transfer",
    "congeal.results.marked_things": "congeal.results.transfer.marked_things",
    "congeal.results.point_transfer": "congeal.results.transfer.point_transfer",
    "congeal.results.sql": "congeal.results.queries.sql",
    "congeal.results.sql_macros": "congeal.results.queries.macros",
    "congeal.results.sql_point_lookups": "congeal.results.queries.point_lookups",
    "congeal.results.stored_instances": "congeal.results.stored.instances",
    "congeal.results.stored_maps": "congeal.results.stored.maps",
    "congeal.results.stored_pictures": "congeal.results.stored.pictures",
    "congeal.results.stored_template": "congeal.results.stored.template",
    "congeal.rounding": "congeal.distillation.quantization",
    "congeal.saliency": "congeal.alignment.inputs.cosaliency",
    "congeal.sampling": "congeal.transfer.backward_sampling",
    "congeal.sets": "congeal.alignment.inputs.set_arrays",
    "congeal.settling": "congeal.alignment.poses.pose_consensus",
    "congeal.shapes": "congeal.results.landmark_shapes",
    "congeal.sharing": "congeal.alignment.poses.common_object",
    "congeal.solver": "congeal.alignment.solver",
    "congeal.soundness": "congeal.alignment.selection.collapse_check",
    "congeal.spreading": "congeal.results.transfer.annotation_transfer",
    "congeal.stored_maps": "congeal.results.stored.maps",
    "congeal.students": "congeal.distillation.student",
    "congeal.synchronization": "congeal.alignment.poses.pose_synchronization",
    "congeal.tallies": "congeal.results.outlier_counts",
    "congeal.taps": "congeal.backbones.feature_layers",
    "congeal.targets": "congeal.distillation.teacher_targets",
    "congeal.training": "congeal.distillation.training",
    "congeal.turning": "congeal.alignment.poses.orientation_search",
    "congeal.turns": "congeal.alignment.inputs.rotated_views",
    "congeal.views": "congeal.distillation.augmentation",
    "congeal.vit_hooks": "congeal.backbones.hooks",
    "congeal.warps": "congeal.geometry.warps",
    "congeal.weights": "congeal.backbones.checkpoints",
    "congeal.wide_tiff": "congeal.imaging.float_tiff",
    "congeal.windows": "congeal.geometry.chunking",
    "flows.answers": "flows.console.answers",
    "flows.deployment_file": "flows.deployments.deployment_file",
    "flows.deployments.further_flows": "flows.further_flows",
    "flows.edits": "flows.propagation.edits",
    "flows.evaluate": "flows.evaluation.annotated_run",
    "flows.evaluation_facts": "flows.evaluation.facts",
    "flows.findings": "flows.runs.findings",
    "flows.job_engine": "flows.runs.job_engine",
    "flows.measurement": "flows.evaluation.measurement",
    "flows.notification": "flows.runs.notification",
    "flows.parameters": "flows.runs.parameters",
    "flows.points": "flows.propagation.points",
    "flows.prefect_profile": "flows.runs.prefect_profile",
    "flows.prepare": "flows.runs.prepare",
    "flows.process_exit": "flows.console.process_exit",
    "flows.quiet_libraries": "flows.console.quiet_libraries",
    "flows.recorded_settings": "flows.runs.recorded_settings",
    "flows.report": "flows.runs.report",
    "flows.report_server": "flows.console.report_server",
    "flows.retries": "flows.runs.retries",
    "flows.site": "flows.runs.site",
    "flows.source_options": "flows.runs.source_options",
    "flows.stages": "flows.runs.stages",
    "flows.summary": "flows.console.summary",
    "flows.terminal": "flows.console.terminal",
    "infra.arrays": "infra.storage.zarr_groups",
    "infra.attendance": "infra.compute.worker_watch",
    "infra.cluster": "infra.compute.dask_clients",
    "infra.commits": "infra.ledger.commits",
    "infra.conditions": "infra.storage.conditional_writes",
    "infra.dictionary": "congeal.results.schema.dictionary",
    "infra.engine": "infra.compute.engine",
    "infra.exhaustion": "infra.compute.worker_death",
    "infra.faults": "infra.storage.storage_errors",
    "infra.field_ids": "congeal.results.schema.field_ids",
    "infra.filestore": "infra.storage.local_files",
    "infra.iceberg_files": "infra.iceberg.file_io",
    "infra.interrupts": "infra.compute.sigint",
    "infra.listing": "infra.storage.folder_listing",
    "infra.objectstore": "infra.storage.object_store",
    "infra.presence": "infra.ledger.run_lock",
    "infra.progress": "infra.compute.progress",
    "infra.provenance": "infra.ledger.provenance",
    "infra.publications": "infra.ledger.publications",
    "infra.readonly": "infra.storage.read_only_files",
    "infra.retrying": "infra.storage.retrying_reads",
    "infra.schema_history": "congeal.results.schema.history",
    "infra.sections": "infra.settings",
    "infra.tables": "congeal.results.schema",
    "tasks.atlas_files": "tasks.atlases.atlas_files",
    "tasks.buckets": "tasks.index.index_partition",
    "tasks.choice": "tasks.features.backbone_choice",
    "tasks.depths": "tasks.catalog.deep_image_table",
    "tasks.division": "tasks.execution.division",
    "tasks.earlier": "tasks.clusters.previous_versions",
    "tasks.frozen": "tasks.atlases.atlas_extension",
    "tasks.growth": "tasks.clusters.cluster_growth",
    "tasks.iceberg_tables": "tasks.publication.current_iceberg_tables",
    "tasks.images_table": "tasks.index.images_table",
    "tasks.lattice": "tasks.index.atlas_lattice",
    "tasks.learner": "tasks.distillation.student_setup",
    "tasks.manifest": "tasks.publication.manifest",
    "tasks.members": "tasks.atlases.cluster_members",
    "tasks.passed_over": "tasks.catalog.skipped_files",
    "tasks.position": "tasks.features.position_bias_unit",
    "tasks.previews": "tasks.atlases.previews",
    "tasks.propagate": "tasks.propagation",
    "tasks.propagate_labels": "tasks.propagation.label_files",
    "tasks.propagate_outputs": "tasks.propagation.output_folder",
    "tasks.propagate_pictures": "tasks.propagation.picture_layers",
    "tasks.prune": "tasks.maintenance.prune",
    "tasks.publish": "tasks.publication.publish",
    "tasks.reading": "tasks.catalog.image_reading",
    "tasks.resolving": "tasks.clusters.drift",
    "tasks.shards": "tasks.features.feature_shards",
    "tasks.sorting": "tasks.clusters.cluster_roles",
    "tasks.spool": "tasks.execution.duckdb_workspace",
    "tasks.stage": "tasks.execution.stage_runner",
    "tasks.status": "tasks.maintenance.status",
    "tasks.student": "tasks.distillation.student_training",
    "tasks.survey": "tasks.catalog.source_listing",
    "tasks.targets": "tasks.distillation.target_shards",
    "tasks.units": "tasks.execution.units",
    "tasks.verify": "tasks.maintenance.verify",
    "tasks.versions": "tasks.execution.stage_versions",
    "tasks.weights": "tasks.features.run_backbone",
}
# Modules whose name is a package's now: what they held is found through the package.
BECAME_PACKAGES = {
    "congeal.backbones": "congeal.backbones.extractor",
    "congeal.clustering": "congeal.clustering.agglomerative",
    "congeal.distillation": "congeal.distillation.losses",
    "congeal.evaluation": "congeal.evaluation.pck",
    "congeal.transfer": "congeal.transfer.points",
    "infra.iceberg": "infra.iceberg.table_metadata",
    "infra.storage": "infra.storage.location",
    "tasks.atlases": "tasks.atlases.atlases_stage",
    "tasks.catalog": "tasks.catalog.catalog_stage",
    "tasks.clusters": "tasks.clusters.clusters_stage",
    "tasks.features": "tasks.features.features_stage",
    "tasks.index": "tasks.index.index_stage",
}

# Names that moved out of a module that stays.
NAMES = {
    "infra.settings": dict.fromkeys(
        (
            "AlignmentSettings", "AtlasesSettings", "CatalogSettings", "ClustersSettings", "DistillSettings",
            "FeaturesSettings", "IndexSettings", "PreviewsSettings", "PublishSettings", "Settings",
            "load_settings", "recorded",
        ),
        "congeal.settings",
    )
}  # fmt: skip


class _MovedFinder:
    """Finds modules by their old paths; what is imported is the module at its new place.

    Of no base class of importlib.abc, which takes as long to import as all the rest of `import congeal`.
    """

    def find_spec(
        self, fullname: str, path: Sequence[str] | None, target: ModuleType | None = None
    ) -> ModuleSpec | None:
        """A specification for an old path, None for any other."""
        new = _new_path(fullname)
        if new is None:
            return None
        loader: Any = _MovedLoader(new)
        return ModuleSpec(fullname, loader)


class _MovedLoader:
    def __init__(self, new: str) -> None:
        self._new = new

    def create_module(self, spec: ModuleSpec) -> None:
        """The module is made as any other."""

    def exec_module(self, module: ModuleType) -> None:
        """Put the module of the new path where the old one is looked for."""
        _warn(module.__name__, self._new)
        sys.modules[module.__name__] = importlib.import_module(self._new)


def install() -> None:
    """Let old module paths be found, once a process."""
    if not any(isinstance(finder, _MovedFinder) for finder in sys.meta_path):
        sys.meta_path.insert(0, _MovedFinder())


def former(package: str) -> Callable[[str], Any]:
    """``__getattr__`` of a package that has the name of a former module: what that held, with a warning."""
    new = BECAME_PACKAGES[package]

    def attribute(name: str) -> Any:
        if not name.startswith("__") and not _is_submodule(package, name):
            module = importlib.import_module(new)
            if hasattr(module, name):
                _warn(f"{package}.{name}", f"{new}.{name}")
                return getattr(module, name)
        raise AttributeError(f"module {package!r} has no attribute {name!r}")

    return attribute


def former_names(module: str) -> Callable[[str], Any]:
    """``__getattr__`` of a module out of which names have moved: what they are, with a warning."""

    def attribute(name: str) -> Any:
        if name in NAMES[module]:
            new = NAMES[module][name]
            _warn(f"{module}.{name}", f"{new}.{name}")
            return getattr(importlib.import_module(new), name)
        raise AttributeError(f"module {module!r} has no attribute {name!r}")

    return attribute


def _is_submodule(package: str, name: str) -> bool:
    # `from package import module` asks for the attribute first: the module's own import comes after that.
    return PathFinder.find_spec(f"{package}.{name}", sys.modules[package].__path__) is not None


def _new_path(path: str) -> str | None:
    """The new path of the module at an old path, or of one inside it; None if it has not moved."""
    top, _, inner = path.partition(".")
    first, _, rest = inner.partition(".")
    for old, further in ((path, ""), (f"{top}.{first}", rest)):
        if old in MOVED:
            return ".".join(part for part in (MOVED[old], further) if part)
    return None


def _warn(old: str, new: str) -> None:
    warnings.warn(
        f"{old} is {new} now; the old path goes with the next release.", DeprecationWarning, stacklevel=3
    )
