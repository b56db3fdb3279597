"""The backbone and the atlas of a published cluster, read so that an image can be fitted to it."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import replace
from functools import lru_cache, partial
from typing import TYPE_CHECKING, Any, NamedTuple, cast

import numpy as np

from congeal.errors import CongealError
from congeal.results.published_version import Published
from congeal.results.schema.atlas_arrays import (
    ATLAS_GROUP,
    FIRST_LOOK_GROUP,
    WINDOWS,
    AtlasAttributes,
    FirstLookAttributes,
)
from congeal.results.schema.feature_scope import feature_scope
from congeal.results.stored.arrays import stored_whole
from congeal.results.stored.template import template_in
from infra.errors import MissingError, UserError
from infra.storage.location import Location

if TYPE_CHECKING:
    from congeal.alignment.config import SolverConfig
    from congeal.alignment.inputs.set_arrays import SetArrays
    from congeal.alignment.inputs.windows import Windows
    from congeal.alignment.model import Alignment, Atlas
    from congeal.backbones.extractor import Backbone, BackboneSpec
    from congeal.geometry.frames import Frame
    from congeal.imaging.decoding import Pixels
    from congeal.neural.networks import MappingNetworks

NETWORKS = "networks.safetensors"  # beside the atlas, as `tasks.atlases.network_training` writes them
SIDE = 256  # pixels a side of what networks see that look at images

# Sections and names of the settings, not of arrays.
FEATURES, ROTATION = "features", "rotation"


class FittedImage(NamedTuple):
    """An image fitted to an atlas: how, its score, and its further instances, if any were found."""

    aligned: Alignment
    score: float
    further: Alignment | None = None


class AtlasFit:
    """An atlas that lies in a folder, its networks if they are asked for, and how images are fitted to it.

    Attributes:
        value_range: of images with more than 8 bits a sample, or None.
    """

    def __init__(
        self, folder: Location, settings: Mapping[str, Any], backbone: Backbone, way: str, most: int = 1
    ) -> None:
        """most: instances of the thing that are mapped in an image."""
        self.settings, self.backbone, self.way, self.most = settings, backbone, way, most
        self.atlas, _ = _read_atlas(folder / ATLAS_GROUP.name)
        self.first, self.usual, self.posed = _first_look(folder)
        self.networks = _networks(folder) if way != "steps" else None
        stated = settings["catalog"].get("range")
        self.value_range = (float(stated[0]), float(stated[1])) if stated else None
        self.any_angle = settings["alignment"][ROTATION] == "any"

    @property
    def config(self) -> SolverConfig:
        """Of the solver, as the run had it."""
        from congeal.alignment.config import SolverConfig

        asked = self.settings["atlases"].get("solver")
        return SolverConfig.recorded(asked) if isinstance(asked, dict) else SolverConfig()

    def fitted(self, square: Pixels, frame: Frame, pixels: Callable[[], Pixels]) -> FittedImage:
        """One image, in its whole frame.

        square: uint8 [s, s, 3], of the backbone's size. pixels: the image itself, read where it is needed.
        """
        from congeal.alignment.image_features import extract_features
        from congeal.alignment.inputs.windows import to_whole_frames
        from congeal.alignment.selection.second_look import place_windows, seen
        from congeal.imaging.decoding import window_pixels

        arrays = extract_features(self.backbone, square[None], [frame], any_angle=self.any_angle).arrays
        if self.first is None or self.usual is None:
            picture = None
            if self.networks is not None and self.networks.size.pixels:
                picture = window_pixels(pixels(), (0.0, 0.0), 1.0, SIDE)[None]
            found = self._fit(self.atlas, arrays, self.way, picture)
            further = self._further(arrays, found.aligned)
            return FittedImage(found.aligned, float(found.score[0]), further)
        config = self.config
        coarse = self._fit(self.first, arrays, "steps", None)
        look = seen(arrays, coarse.aligned, arrays.extent, config)
        windows = place_windows(look, config.second_look, self.usual, turned=self.posed)
        shown = partial(window_pixels, pixels())
        crop = windows.pixels(0, self.backbone.image_size, shown)
        # As the members were seen.
        any_angle = self.any_angle and not self.posed
        seen_again = extract_features(
            self.backbone, crop[None], [frame], any_angle=any_angle, mirror=not self.posed
        )
        within = seen_again.arrays
        valid = windows.on_image([frame], within.features.shape[1], within.extent)
        picture = None
        if self.networks is not None and self.networks.size.pixels:
            picture = windows.pixels(0, SIDE, shown)[None]
        found = self._fit(self.atlas, replace(within, valid=valid), self.way, picture)
        return FittedImage(to_whole_frames(found.aligned, windows), float(found.score[0]))

    def _further(self, arrays: SetArrays, found: Alignment) -> Alignment | None:
        """What else of its kind the image shows, as if each were an image."""
        from congeal.alignment.further_instances import Known, further_instances
        from congeal.alignment.inputs.image_set import ImageArrays

        if self.most <= 1:
            return None
        instances = further_instances(
            Known.of(found),
            ImageArrays(
                arrays.features,
                arrays.saliency,
                arrays.mirrored_features,
                arrays.mirrored_saliency,
                arrays.valid,
            ),
            self.most,
            turned=arrays.turned,
            extent=self.backbone.extent,
            map_resolution=int(self.settings["atlases"]["map_resolution"]),
            seed=int(self.settings["seed"]),
            config=self.config,
        )
        return instances.aligned

    def _fit(self, atlas: Atlas, arrays: SetArrays, way: str, pixels: Any) -> Any:
        from congeal.neural.new_images import fit_new

        return fit_new(
            atlas,
            arrays,
            cast("Any", way),
            networks=None if way == "steps" else self.networks,
            pixels=pixels,
            turned=arrays.turned,
            extent=self.backbone.extent,
            map_resolution=int(self.settings["atlases"]["map_resolution"]),
            seed=int(self.settings["seed"]),
            config=self.config,
        )


def _networks(folder: Location) -> MappingNetworks:
    from congeal.neural.checkpoints import decode_networks

    return decode_networks((folder / NETWORKS).read_bytes()).networks


def _read_atlas(place: Location) -> tuple[Atlas, Any]:
    """An atlas as the solver takes it, and the group that it was read from."""
    from congeal.alignment.model import Atlas
    from infra.storage.zarr_groups import open_group

    group = open_group(place)
    said = cast("AtlasAttributes | FirstLookAttributes", group.attrs.asdict())
    level, agreed = said.get("confidence_level"), said.get("match_agreement")
    return Atlas(
        **template_in(group),
        evidence=float(said["evidence"]),
        status=said["status"],
        least_contrast=float(said["least_contrast"]),
        deformation=said["deformation"],
        match_agreement=float(agreed) if isinstance(agreed, int | float) else None,
        confidence_level=float(level) if isinstance(level, int | float) else None,
        mixture=tuple(said["mixture"]),
    ), group


def _first_look(folder: Location) -> tuple[Atlas | None, Windows | None, bool]:
    """The atlas of whole frames, the usual windows, and whether they show things as they stand in the atlas,
    where the atlas is one of windows.
    """
    from congeal.alignment.inputs.windows import POSED, Windows

    try:
        atlas, group = _read_atlas(folder / FIRST_LOOK_GROUP.name)
    except MissingError:
        return None, None, False
    places = np.asarray(stored_whole(group, WINDOWS), np.float64)
    return atlas, Windows.stored(places), places.shape[1] == POSED


@lru_cache(maxsize=1)
def _loaded(spec: BackboneSpec, data: bytes | None, device: str) -> Backbone:
    """A backbone, loaded once for one image after the other."""
    from congeal.backbones.extractor import load_backbone

    return load_backbone(spec, data, device)


def _as_the_run_had_it(spec: BackboneSpec, published: Published, data: bytes | None, device: str) -> Backbone:
    """The backbone by the engine of the version's own features, and as that made images smaller; where the
    engine cannot be used here, by PyTorch, with which a run has found it to agree.
    """
    from congeal.backbones.devices import resolve_device
    from congeal.backbones.engines import openvino_fault

    engine = published.publication.settings[FEATURES].get("engine", "torch")
    if engine != "openvino" or openvino_fault() is not None or resolve_device(device).type != "cpu":
        return _loaded(spec, data, device)
    shrinks = _engine_shrinks(spec, published)
    try:
        return _loaded(replace(spec, engine="openvino", engine_shrinks=shrinks), data, device)
    except CongealError:
        return _loaded(spec, data, device)


def _engine_shrinks(spec: BackboneSpec, published: Published) -> bool:
    """Whether OpenVINO made images smaller itself for a version's features, as it did once.

    The name of their units says so; see `congeal.results.schema.feature_scope`.
    """
    from congeal.backbones.extractor import geometry
    from congeal.backbones.registry import shows_more_cells

    publication, units = published.publication, published.publication.units[FEATURES]
    if not shows_more_cells(publication.backbone):
        return False
    now = feature_scope(
        published.tables.marker(FEATURES, units[0]).stage_version,
        publication.backbone,
        publication.weights_fingerprint,
        geometry(spec).image_size,
        publication.settings[FEATURES],
        any_angle=publication.settings["alignment"][ROTATION] == "any",
        value_range=publication.settings["catalog"].get("range"),
        shrunk=True,
    )
    return not any(unit.startswith(f"{now}/") for unit in units)


def backbone_of(published: Published, weights: str | bytes | None, device: str) -> Backbone:
    """The backbone of a version, loaded; UserError if its weights are not the run's."""
    from congeal.backbones.extractor import BackboneSpec

    publication = published.publication
    asked = publication.settings[FEATURES]
    spec = BackboneSpec(
        name=publication.backbone,
        image_size=asked["image_size"],
        layer=asked["layer"],
        facet=asked["facet"],
        beside=tuple(asked.get("beside", ())),
        stride=asked["stride"],
        precision=asked["precision"],
    )
    given = weights if weights is not None else asked["weights"]
    if given is None:
        data = None
    elif isinstance(given, bytes):
        data = given
    else:
        data = Location.parse(str(given), published.storage).read_bytes()
    try:
        found = _as_the_run_had_it(spec, published, data, device)
    except CongealError as error:
        raise UserError(str(error)) from error
    if found.fingerprint != publication.weights_fingerprint:
        raise UserError(
            f"The weights ({found.fingerprint}) are not those of the run "
            f"({publication.weights_fingerprint}): give its own file."
        )
    return found
