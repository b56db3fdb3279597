"""The sections of the settings: one frozen model a stage or service."""

from __future__ import annotations

import json
from typing import Annotated, Any, Literal

from pydantic import AfterValidator, BaseModel, BeforeValidator, ConfigDict, Field, PositiveInt, SecretStr
from pydantic_settings import NoDecode

_PILLOW_LIMIT = 178_956_970


def _names(value: Any) -> Any:
    """Names with commas between them, where a list is asked for; JSON is taken, too."""
    if not isinstance(value, str):
        return value
    if value.lstrip().startswith("["):
        return json.loads(value)
    return tuple(name for part in value.split(",") if (name := part.strip()))


Names = Annotated[tuple[str, ...], NoDecode, BeforeValidator(_names)]


def _limits(value: Any) -> Any:
    """Two numbers with a comma between them, where a pair is asked for; JSON is taken, too."""
    if not isinstance(value, str):
        return value
    if value.strip().lower() == "none":
        return None
    if value.lstrip().startswith("["):
        return json.loads(value)
    numbers = tuple(part.strip() for part in value.split(","))
    if len(numbers) != 2:
        raise ValueError("give two numbers, low,high")
    return numbers


def _rising(value: tuple[float, float]) -> tuple[float, float]:
    low, high = value
    if not low < high:
        raise ValueError("the first number must be below the second")
    return value


_Rising = Annotated[tuple[float, float], AfterValidator(_rising)]
ValueRange = Annotated[_Rising | None, NoDecode, BeforeValidator(_limits)]


class Section(BaseModel):
    """Settings of one stage or service."""

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)


class CatalogSettings(Section):
    """extensions: name endings that are images. max_pixels: larger ones are refused before decoding.

    min_side: pixels. slice_size: objects in a unit, on average. follow_links: whether linked files and
    folders count, each real folder once. range: low and high value of images with more than 8 bits a sample,
    which become black and white; None: what each file states, else percentiles of its own.
    """

    extensions: tuple[str, ...] = (
        ".jpg", ".jpeg", ".jpe", ".jfif", ".png", ".webp", ".tif", ".tiff", ".bmp", ".gif",
        ".avif", ".jp2", ".j2k", ".jpf", ".jpx", ".heic", ".heif", ".hif",
    )  # fmt: skip
    max_pixels: PositiveInt = _PILLOW_LIMIT
    min_side: PositiveInt = 8
    slice_size: PositiveInt = 512
    follow_links: bool = True
    range: ValueRange = None


class FeaturesSettings(Section):
    """backbone: a timm name, or "embedded"; None: chosen by what can be had (see tasks.choice).

    weights: a safetensors path or URL; None: timm's hub, or the package's for the embedded backbone.
    image_size: pixels. image_size and stride None: the backbone's own. beside: further blocks and facets, as
    9.key: each set is then compared by those that its own images bear out. shard_bytes: of a unit's features.
    """

    backbone: str | None = None
    weights: str | None = None
    image_size: PositiveInt | None = None
    layer: int = -1
    facet: Literal["token", "key", "query", "value"] = "token"
    beside: Names = ()
    stride: PositiveInt | None = None
    mirror: bool = True
    precision: Literal["auto", "float32", "bfloat16", "float16"] = "auto"
    device: str = "auto"
    batch_size: PositiveInt = 4
    shard_bytes: PositiveInt = 64 * 2**20


class ClustersSettings(Section):
    """method "single": the whole source is one cluster. smallest: images in a cluster.

    sample: images that the splitting looks at in a large collection. growth "extend": new images join the
    clusters of the last version; "anew": everything is split anew.
    """

    method: Literal["auto", "single"] = "auto"
    growth: Literal["extend", "anew"] = "extend"
    smallest: PositiveInt = 3
    sample: PositiveInt = 5_000


class AlignmentSettings(Section):
    """rotation "upright": things stand alike, to within about 45°. "any": they lie at any angle.

    For any angle the features of every image are extracted at eight angles instead of one.
    """

    rotation: Literal["upright", "any"] = "upright"


class AtlasesSettings(Section):
    """atlas_size: most images that build an atlas; the rest are fitted to it. resolution: cells a side.

    resolve: clusters that have grown, to be solved anew from all their images: their ids, "drifted" or "all".
    """

    atlas_size: PositiveInt = 24
    resolution: PositiveInt = 64
    map_resolution: PositiveInt = 64
    solver: Literal["synchronize"] = "synchronize"
    resolve: Names = ()


class PreviewsSettings(Section):
    """size: pixels a side. members: most images shown."""

    size: PositiveInt = 192
    members: PositiveInt = 24


class IndexSettings(Section):
    """lattice: points a side that are laid over each atlas.

    rows_per_unit: about the most rows of correspondences in one file, if every point were salient.
    """

    lattice: PositiveInt = 16
    rows_per_unit: PositiveInt = 2**24


class EngineSettings(Section):
    """address: of an existing Dask scheduler. workers, threads None: from the machine.

    memory: limit of one worker, as Dask reads it ("auto", "4GiB"). gpu_slots: one unit a GPU at a time.
    retry_failed: work again on images and clusters that failed because they had killed their workers.
    """

    kind: Literal["auto", "dask", "loop"] = "auto"
    address: str | None = None
    workers: PositiveInt | None = None
    threads: PositiveInt | None = None
    memory: str = "auto"
    gpu_slots: bool = False
    retry_failed: bool = False


class DistillSettings(Section):
    """student: a plain timm ViT or a part of one, "architecture:blocks@cells" (see congeal.backbone_names).

    student None: all of the teacher, on fewer cells. start: the weights to begin with, safetensors; None: the
    teacher's if the student is a part of it, else nothing. images: most that are learned from. views: of each
    image. epochs: how often each view is learned from. bits: of the numbers that the weights are stored in;
    16, 8, or for a part of the teacher fewer. learning_rate: the highest; None: by what there is to forget.
    """

    student: str | None = None
    start: str | None = None
    images: PositiveInt = 20_000
    views: PositiveInt = 2
    epochs: PositiveInt = 4
    batch: PositiveInt = 8
    bits: float = Field(default=8, ge=2, le=16)
    learning_rate: float | None = Field(default=None, gt=0, le=0.1)
    shard_bytes: PositiveInt = 64 * 2**20


class StorageSettings(Section):
    """How to reach object stores; what is None comes from the usual AWS variables and files.

    single_writer: one run at a time writes to the destination, held by a lease; asked for where the store
    cannot write an object only if it is absent.
    """

    endpoint_url: str | None = None
    key: SecretStr | None = None
    secret: SecretStr | None = None
    token: SecretStr | None = None
    region: str | None = None
    anonymous: bool = False
    single_writer: bool = False
    options: dict[str, Any] = Field(default_factory=dict, repr=False)
