"""The one settings model of a run: a frozen section a stage, beside those of the services."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

from pydantic import (
    ByteSize,
    Field,
    PositiveInt,
    SecretStr,
    ValidationInfo,
    field_validator,
)

from congeal.alignment.config import SolverConfig
from congeal.setting_types import (
    SYNCHRONIZE,
    Cells,
    Method,
    Names,
    SolverChanges,
    ValueRange,
    WebAddress,
)
from infra.settings import Section, ServiceSettings, load

if TYPE_CHECKING:
    from congeal.imaging.decoding_cost import Limits

_PILLOW_LIMIT = 178_956_970


class SourceSettings(Section):
    """also: further folders, clips and lists of photographs.

    include, exclude: patterns on the images' paths (see tasks.catalog.path_patterns). roots: places outside
    its own folder that a list may name. columns: a CSV or Parquet table that says more of the images, joined
    by uri or image_id. video "auto": the frames of a clip are a video; "frames": so are the images of each
    folder, in order of their names, fps of them a second; "off": nothing is.
    """

    also: Names = ()
    include: Names = ()
    exclude: Names = ()
    roots: Names = ()
    columns: str | None = None
    video: Literal["auto", "frames", "off"] = "auto"
    fps: Annotated[float, Field(gt=0, le=1000)] = 25.0


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
    """backbone: a timm name, or "embedded"; None: chosen by what can be had (see
    tasks.features.backbone_choice).

    weights: a safetensors path or URL; None: timm's hub, or the package's for the embedded backbone.
    image_size: pixels. image_size and stride None: the backbone's own. beside: further blocks and facets, as
    9.key: each set is then compared by those that its own images bear out. engine: what computes them; auto:
    what the destination was begun with, else the faster one (see tasks.features.engine_choice). shard_bytes:
    of a unit's features.
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
    engine: Literal["auto", "torch", "openvino"] = "auto"
    device: str = "auto"
    batch_size: PositiveInt = 4
    shard_bytes: PositiveInt = 64 * 2**20


class ClustersSettings(Section):
    """method "single": the whole source is one cluster; "folder", "column:NAME": a folder, a value is one.
    "shots": a shot of a video is one, which is what "auto" means where all images are frames.

    split "auto": such folders and values are split by what their images show. smallest: images in a cluster.
    sample: images that the splitting looks at in a large collection. growth "extend": new images join the
    clusters of the last version; "anew": everything is split anew.
    """

    method: Method = "auto"
    split: Literal["off", "auto"] = "off"
    growth: Literal["extend", "anew"] = "extend"
    smallest: PositiveInt = 3
    sample: PositiveInt = 5_000


class AlignmentSettings(Section):
    """rotation "upright": things stand alike, to within about 45°. "any": they lie at any angle.

    For any angle the features of every image are extracted at eight angles instead of one. second_look: where
    things are small in their frames, features are extracted again from a window around each ("auto"), or not.
    method "direct": the closed-form solver. "neural": mapping networks are trained on each cluster, too (see
    docs/neural.md). schedule "fast": from the direct maps; "published": the paper's own. network "small": on
    tokens; "published": the paper's, on images. losses: preset of the coefficients; "auto": the schedule's.
    gradual: images join the atlas of the networks one by one (published schedule). reference: that atlas is
    "learned", or the "medoid", as it is.
    smoothing: of the maps of a video's frames over time; in frames, the period of a movement of which half is
    kept, of slower ones more; 0: each frame by itself. instances_max: most things of the kind that are mapped
    in one image; beyond 1, others than the first are looked for.
    """

    rotation: Literal["upright", "any"] = "upright"
    second_look: Literal["auto", "off"] = "auto"
    method: Literal["direct", "neural"] = "direct"
    schedule: Literal["fast", "published"] = "fast"
    network: Literal["small", "published"] = "small"
    losses: Literal["auto", "published", "evaluation"] = "auto"
    gradual: bool = False
    reference: Literal["learned", "medoid"] = "learned"
    smoothing: Annotated[float, Field(ge=0, le=1000)] = 8.0
    instances_max: Annotated[PositiveInt, Field(le=16)] = 1

    @field_validator("gradual")
    @classmethod
    def _fits_the_schedule(cls, value: bool, others: ValidationInfo) -> bool:
        if value and others.data.get("schedule") == "fast":
            raise ValueError("the fast schedule is too short for it: set alignment.schedule=published")
        return value


class AtlasesSettings(Section):
    """atlas_size: most images that build an atlas; the rest are fitted to it. resolution: cells a side.

    builders "central": those nearest to the medoid build it, of near copies one before others; "change": the
    medoid, and then in turn the one least like those chosen, so that all that changes is seen; "auto":
    "change" for videos.

    solver: what differs from the default of `congeal.alignment.config.SolverConfig`, by dotted name;
    "synchronize": nothing. A preset's name, and a table of fields with or without a preset, are taken, too.
    resolve: clusters that have grown, to be solved anew from all their images: their ids, "drifted" or "all".
    """

    atlas_size: PositiveInt = 24
    builders: Literal["auto", "central", "change"] = "auto"
    resolution: Cells = 64
    map_resolution: Cells = 64
    solver: SolverChanges = SYNCHRONIZE
    resolve: Names = ()

    @property
    def solver_config(self) -> SolverConfig:
        """The solver's configuration."""
        return SolverConfig() if isinstance(self.solver, str) else SolverConfig().replace(self.solver)

    @classmethod
    def inner_keys(cls) -> Mapping[str, Sequence[str]]:
        """The fields of the solver's configuration."""
        return {"solver": ["preset", *(one.name for one in SolverConfig.settings())]}


class PreviewsSettings(Section):
    """size: pixels a side. members: most images shown."""

    size: Annotated[PositiveInt, Field(le=4096)] = 192
    members: PositiveInt = 24


class IndexSettings(Section):
    """lattice: points a side that are laid over each atlas.

    rows_per_unit: about the most rows of correspondences in one file, if every point were salient.
    """

    lattice: Cells = 16
    rows_per_unit: PositiveInt = 2**24


class PublishSettings(Section):
    """iceberg: describe the tables as Apache Iceberg tables, too, for readers without congeal."""

    iceberg: bool = True


class ReportSettings(Section):
    """enabled: whether a run ends with the report on what it has published (see docs/report.md).

    url: where browsers find the destination; None: nowhere.
    """

    enabled: bool = True
    url: WebAddress | None = None


class LogSettings(Section):
    """format "json": every line of progress and every event is one JSON object."""

    format: Literal["text", "json"] = "text"


class PlanSettings(Section):
    """sample: images that a forecast is measured on. price_…: what a store and a machine cost.

    In currency, for 1,000 requests (get, put, list), a GB read out of the store, a GB stored for a month, an
    hour of this machine. What they are by default is an example, see docs/planning.md: prices change.
    """

    sample: PositiveInt = 64
    currency: str = "USD"
    price_get: float = Field(default=0.0004, ge=0)
    price_put: float = Field(default=0.005, ge=0)
    price_list: float = Field(default=0.005, ge=0)
    price_gb_read: float = Field(default=0.0, ge=0)
    price_gb_month: float = Field(default=0.023, ge=0)
    price_hour: float = Field(default=0.0, ge=0)


class LimitsSettings(Section):
    """image_memory: bytes that decoding one image may take, such as 2GiB; image_seconds: of processor time.

    An image that takes more has failed; with higher limits it is tried again by engine.retry_failed=true.
    budget_seconds, budget_cost: once a run has taken so many seconds, or units have cost so much (at the
    prices of the section plan), it begins no further unit; the next run goes on. None: no such limit.
    """

    image_memory: Annotated[ByteSize, Field(ge=64 * 2**20)] = ByteSize(2 * 2**30)
    image_seconds: float = Field(default=60, ge=1, le=3600)
    budget_seconds: float | None = Field(default=None, gt=0)
    budget_cost: float | None = Field(default=None, gt=0)

    @property
    def image(self) -> Limits:
        """Those of one image."""
        from congeal.imaging.decoding_cost import Limits

        return Limits(int(self.image_memory), self.image_seconds)


class NotifySettings(Section):
    """url: where the end of a run is posted, as JSON. prefect_event: whether it is a Prefect event, too.

    timeout: seconds.
    """

    url: SecretStr | None = None
    prefect_event: bool = False
    timeout: float = Field(default=10, gt=0, le=300)


class DistillSettings(Section):
    """student: a plain timm ViT or a part of one, "architecture:blocks@cells" (see
    congeal.backbones.registry).

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


class Settings(ServiceSettings):
    """All settings. Made by ``load_settings``; made directly, it looks at nothing but its arguments."""

    source: SourceSettings = SourceSettings()
    catalog: CatalogSettings = CatalogSettings()
    features: FeaturesSettings = FeaturesSettings()
    clusters: ClustersSettings = ClustersSettings()
    alignment: AlignmentSettings = AlignmentSettings()
    atlases: AtlasesSettings = AtlasesSettings()
    previews: PreviewsSettings = PreviewsSettings()
    index: IndexSettings = IndexSettings()
    publish: PublishSettings = PublishSettings()
    report: ReportSettings = ReportSettings()
    plan: PlanSettings = PlanSettings()
    limits: LimitsSettings = LimitsSettings()
    notify: NotifySettings = NotifySettings()
    log: LogSettings = LogSettings()
    distill: DistillSettings = DistillSettings()
    seed: int = 0


def load_settings(
    config: Path | str | None = None,
    overrides: Sequence[str] = (),
    environ: Mapping[str, str] | None = None,
    where: str = "--set",
) -> Settings:
    """Settings from the defaults, ``config`` (.toml, .yaml, .yml), ``environ`` and ``overrides``.

    environ: variables such as CONGEAL_FEATURES__BACKBONE; None: the process's. overrides:
    ``section.key=value``; a value is read as a variable's would be (JSON for lists and tables, ``none``).
    where: what a sentence about one of the overrides calls them.
    Raises ``SettingsError`` for a key that does not exist (with the nearest one) or a value not allowed.
    """
    return load(Settings, config, overrides, environ, where)


# Without any effect on what is published, but for images that take more than they may.
UNRECORDED = {"engine", "storage", "distill", "publish", "report", "plan", "limits", "notify", "log"}


def recorded(settings: Settings) -> dict[str, Any]:
    """What a publication says about its settings: JSON-able, without the engine and without secrets."""
    values = settings.model_dump(mode="json", exclude=UNRECORDED)
    storage = settings.storage
    # An endpoint may carry a user and a password before its host.
    endpoint = storage.endpoint_url and storage.endpoint_url.rpartition("@")[2]
    values["storage"] = {"endpoint_url": endpoint, "region": storage.region, "anonymous": storage.anonymous}
    return values
