"""Joint alignment of image collections: atlases, dense maps and a correspondence index.

`align_images` goes from images to an alignment in memory; `open` reads what `congeal run` has published;
`align`, `align_many` and `fit` are the solver on arrays. Names are imported on first use, so that
`import congeal` needs neither torch nor a store.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

from congeal_floors import moved_modules

if TYPE_CHECKING:
    from congeal.alignment.atlas_fitting import fit
    from congeal.alignment.config import SolverConfig
    from congeal.alignment.image_alignment import align_images
    from congeal.alignment.image_result import ImageAlignment
    from congeal.alignment.inputs.set_arrays import SetArrays
    from congeal.alignment.model import Alignment, Atlas
    from congeal.alignment.solver import align, align_many
    from congeal.backbones.extractor import Backbone, BackboneSpec, DenseFeatures, load_backbone
    from congeal.errors import BackboneError, CongealError, ImageError, ReaderMissingError
    from congeal.geometry.frames import Frame
    from congeal.results.collection import Collection
    from congeal.results.collection import open as open  # noqa: A004
    from congeal.transfer.points import Maps, Transferred
    from infra.errors import DamagedError, MissingError, SettingsError, StorageError, UserError

# Without "open": a star import must not replace the built-in function of that name.
__all__ = [
    "Alignment",
    "Atlas",
    "Backbone",
    "BackboneError",
    "BackboneSpec",
    "Collection",
    "CongealError",
    "DamagedError",
    "DenseFeatures",
    "Frame",
    "ImageAlignment",
    "ImageError",
    "Maps",
    "MissingError",
    "ReaderMissingError",
    "SetArrays",
    "SettingsError",
    "SolverConfig",
    "StorageError",
    "Transferred",
    "UserError",
    "__version__",
    "align",
    "align_images",
    "align_many",
    "fit",
    "load_backbone",
]

__version__ = "0.1.0"

# Public name -> the module that it is imported from.
_HOMES = {
    "Alignment": "congeal.alignment.model",
    "Atlas": "congeal.alignment.model",
    "Backbone": "congeal.backbones.extractor",
    "BackboneError": "congeal.errors",
    "BackboneSpec": "congeal.backbones.extractor",
    "Collection": "congeal.results.collection",
    "CongealError": "congeal.errors",
    "DamagedError": "infra.errors",
    "DenseFeatures": "congeal.backbones.extractor",
    "Frame": "congeal.geometry.frames",
    "ImageAlignment": "congeal.alignment.image_result",
    "ImageError": "congeal.errors",
    "Maps": "congeal.transfer.points",
    "MissingError": "infra.errors",
    "ReaderMissingError": "congeal.errors",
    "SetArrays": "congeal.alignment.inputs.set_arrays",
    "SettingsError": "infra.errors",
    "SolverConfig": "congeal.alignment.config",
    "StorageError": "infra.errors",
    "Transferred": "congeal.transfer.points",
    "UserError": "infra.errors",
    "align": "congeal.alignment.solver",
    "align_images": "congeal.alignment.image_alignment",
    "align_many": "congeal.alignment.solver",
    "fit": "congeal.alignment.atlas_fitting",
    "load_backbone": "congeal.backbones.extractor",
    "open": "congeal.results.collection",
}
moved_modules.install()


def __getattr__(name: str) -> Any:
    home = _HOMES.get(name)
    if home is None:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    if home.startswith("infra."):
        # In a user's own program another `infra` may lie on the path.
        importlib.import_module("congeal_floors.door")
    return getattr(importlib.import_module(home), name)


def __dir__() -> list[str]:
    return sorted({*globals(), *_HOMES})
