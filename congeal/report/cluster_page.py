"""The files of one cluster's page, from arrays: who its members are, their thumbnails, their maps."""

from __future__ import annotations

import base64
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from itertools import islice
from typing import Any, NamedTuple, Protocol, TypeVar

import numpy as np
import numpy.typing as npt

from congeal.alignment.model import SALIENT
from congeal.report import thumbnail_sheets
from congeal.report.data_scripts import script
from congeal.report.quantization import (
    FORWARD_STEP,
    backward_step,
    packed_places,
    packed_shares,
)
from congeal.transfer.object_confidence import object_confidence

Pixels = npt.NDArray[np.uint8]
Floats = npt.NDArray[np.floating]

PAGE = 100  # members whose maps a page loads at once
NEIGHBOURS = 6
COMPARED = 4_000  # members among whom neighbours are looked for; of more, within a page
NAMED = 200  # outliers and copies that are listed
AVERAGES = ("average_before", "average_after", "colours")
HEAD = "cluster.js"  # the script of a cluster


class Member(NamedTuple):
    """An image of the cluster: columns of the tables images and alignments, by their names.

    row: its row in the arrays of the cluster's group. further: numbers of further things of the kind that it
    shows, and their rows in the arrays of the group of these.
    """

    image_id: str
    uri: str
    width: int
    height: int
    row: int
    role: str
    mirrored: bool | None
    rotation: float | None
    scale: float | None
    translation_u: float | None
    translation_v: float | None
    residual: float | None
    cycle_error: float | None
    fold_fraction: float | None
    coverage: float | None
    outlier: bool
    outlier_reason: str | None
    further: tuple[tuple[int, int], ...] = ()


class ClusterMaps(NamedTuple):
    """Maps of n members: forward [n, r, r, 2], its confidence [n, r, r], backward [n, m, m, 2], [n, m, m]."""

    forward: Floats
    forward_confidence: Floats
    backward: Floats
    backward_confidence: Floats


@dataclass(frozen=True)
class Cluster:
    """What the head of a page is made of.

    Attributes:
        cluster_id: the cluster.
        facts: its row of the table clusters.
        total: how many members it has.
        outliers: some that do not fit: page, position in it, path, reason.
        saliency, confidence: of the atlas, [r, r].
        pictures: uint8 [s, s, 3] by name, of AVERAGES.
        copies: file, and the image that it is byte for byte.
        zarr: path of the cluster's group relative to the destination.
        several: how many further things of the kind were found, and in how many images; None: none.
    """

    cluster_id: str
    facts: Mapping[str, Any]
    total: int
    outliers: Sequence[tuple[int, int, str, str]]
    saliency: Floats
    confidence: Floats
    pictures: Mapping[str, Pixels]
    copies: Sequence[tuple[str, str]]
    zarr: str
    several: tuple[int, int] | None = None


class Pages(NamedTuple):
    """Pages of members: files by path, what the head says of each page, the members' mean confidences."""

    files: dict[str, bytes]
    pages: list[dict[str, Any]]
    confidence: list[float]


class Ranked(Protocol):
    """What an order of members looks at."""

    @property
    def outlier(self) -> bool:
        """Whether it does not fit."""

    @property
    def residual(self) -> float | None:
        """How far it is from the atlas."""

    @property
    def uri(self) -> str:
        """Its path."""

    @property
    def outlier_reason(self) -> str | None:
        """Why it does not fit."""


R = TypeVar("R", bound=Ranked)


def in_order(members: Sequence[R]) -> list[R]:
    """Members as a page shows them: those that fit before outliers, the nearest to the atlas first."""

    def key(one: R) -> tuple[bool, float, str]:
        return bool(one.outlier), np.inf if one.residual is None else one.residual, one.uri

    return sorted(members, key=key)


def outliers_of(members: Sequence[R]) -> list[tuple[int, int, str, str]]:
    """The first NAMED members, in the order of the page, that do not fit: page, position, path, reason."""
    found = ((at, one) for at, one in enumerate(members) if one.outlier)
    return [
        (at // PAGE, at % PAGE, one.uri, one.outlier_reason or "it does not fit")
        for at, one in islice(found, NAMED)
    ]


def pages_of(
    cluster_id: str,
    members: Sequence[Member],
    first: int,
    maps: Callable[[Sequence[int]], ClusterMaps],
    saliency: Floats,
    squares: Callable[[Sequence[Member]], tuple[list[Pixels | None], list[Floats | None]]],
    further: Callable[[Sequence[int]], ClusterMaps] | None = None,
) -> Pages:
    """The pages of some members of a cluster, in the order of the page. first: the number of the first page.

    maps: of the members at these rows of the group. saliency: [r, r], of the atlas. squares: thumbnails
    [s, s, 3] and embeddings [c] of members, None for what is not there. Both are asked page by page.
    further: maps of further things of the kind, at rows of their group.
    """
    files: dict[str, bytes] = {}
    pages: list[dict[str, Any]] = []
    contents: list[dict[str, Any]] = []
    vectors: list[Floats | None] = []
    sure: list[float] = []
    for start in range(0, len(members), PAGE):
        number, some = first + start // PAGE, members[start : start + PAGE]
        name = f"{number:04d}"
        found = maps([one.row for one in some])
        pictures, embeddings = squares(some)
        mean = object_confidence(found.forward_confidence, saliency, SALIENT)
        columns = thumbnail_sheets.columns_for(len(some))
        sides = [max(one.width, one.height) for one in some]
        packed = packed_maps(found, sides)
        others = [(at, row) for at, one in enumerate(some) for _, row in one.further]
        sure_of: list[float] = []
        if others and further is not None:
            more = further([row for _, row in others])
            packed["further"] = packed_maps(more, [sides[at] for at, _ in others])
            sure_of = object_confidence(more.forward_confidence, saliency, SALIENT).tolist()
        files[f"maps-{name}.js"] = script(_key("maps", cluster_id, number), packed)
        files[f"small-{name}.webp"] = thumbnail_sheets.sheet(pictures, thumbnail_sheets.SMALL, columns)
        large = thumbnail_sheets.sheet(pictures, thumbnail_sheets.LARGE, columns)
        contents.append(
            {
                "cluster": cluster_id,
                "page": number,
                "count": len(some),
                "rows": _columns(some, mean, pictures) | _further_column(some, sure_of),
                # In the script: a picture from disk taints a canvas, and could not be warped there.
                "sheet": base64.b64encode(large).decode("ascii"),
            }
        )
        files_of = {"script": f"members-{name}.js", "maps": f"maps-{name}.js", "small": f"small-{name}.webp"}
        pages.append({**files_of, "count": len(some), "columns": columns})
        vectors += embeddings
        sure += mean.tolist()
    for page, content, near in zip(pages, contents, _neighbours(vectors, first), strict=True):
        content["rows"]["neighbours"] = near
        files[page["script"]] = script(_key("members", cluster_id, content["page"]), content)
    return Pages(files, pages, sure)


def packed_maps(found: ClusterMaps, sides: Sequence[int]) -> dict[str, Any]:
    """The maps as a page reads them from disk. sides: longer sides of the images, pixels."""
    return {
        "forward": packed_places(found.forward, FORWARD_STEP).facts(),
        "forward_confidence": packed_shares(found.forward_confidence[..., None]).facts(),
        "backward": packed_places(found.backward, backward_step(sides)).facts(),
        "backward_confidence": packed_shares(found.backward_confidence[..., None]).facts(),
    }


def head_of(cluster: Cluster, pages: Sequence[Mapping[str, Any]]) -> dict[str, bytes]:
    """The script of a cluster with its pictures, by path. pages: as of `Pages`, from the script's folder."""
    images: dict[str, Any] = {"size": None}
    for name in AVERAGES:
        picture = cluster.pictures.get(name)
        images[name] = None
        if picture is not None:
            # In the script, as they are small: each file of a store costs a request.
            images[name], images["size"] = _data_url(thumbnail_sheets.webp(picture)), picture.shape[0]
    made = script(
        f"cluster/{cluster.cluster_id}",
        {
            "id": cluster.cluster_id,
            "facts": dict(cluster.facts),
            "images": images,
            "atlas": {
                "side": cluster.saliency.shape[0],
                "saliency": packed_shares(cluster.saliency[None, ..., None]).facts(),
                "confidence": packed_shares(cluster.confidence[None, ..., None]).facts(),
            },
            "page_size": PAGE,
            "total": cluster.total,
            "cell": thumbnail_sheets.LARGE,
            "pages": list(pages),
            "outliers": [list(one) for one in cluster.outliers],
            "zarr": cluster.zarr,
            **({"several": list(cluster.several)} if cluster.several is not None else {}),
            "copies": [list(pair) for pair in cluster.copies[:NAMED]],
        },
    )
    return {HEAD: made}


def _data_url(picture: bytes) -> str:
    return "data:image/webp;base64," + base64.b64encode(picture).decode("ascii")


def _key(*parts: str | int) -> str:
    """The key of a script of a page."""
    return "/".join(map(str, parts))


def _columns(
    members: Sequence[Member], confidence: npt.NDArray[np.float64], pictures: Sequence[Pixels | None]
) -> dict[str, Any]:
    names = [name for name in Member._fields if name != "further"]
    columns: dict[str, Any] = {name: [getattr(one, name) for one in members] for name in names}
    return columns | {
        "confidence": [round(value, 5) for value in confidence.tolist()],
        "shown": [picture is not None for picture in pictures],
    }


def _further_column(members: Sequence[Member], confidence: Sequence[float]) -> dict[str, Any]:
    """Further things of each member: number, row, mean confidence. No column where no member has any."""
    if not any(one.further for one in members):
        return {}
    left = iter(confidence)
    return {
        "further": [[[number, row, round(next(left), 5)] for number, row in one.further] for one in members]
    }


def _neighbours(vectors: Sequence[Floats | None], first: int) -> list[list[list[list[int]]]]:
    """By page and position, page and position of the nearest others by embedding. first: page."""
    pages: list[list[list[list[int]]]] = []
    together = len(vectors) if len(vectors) <= COMPARED else PAGE
    for start in range(0, len(vectors), max(together, 1)):
        pages += _nearest(vectors[start : start + together], first * PAGE + start)
    return pages


def _nearest(vectors: Sequence[Floats | None], start: int) -> list[list[list[list[int]]]]:
    known = [at for at, vector in enumerate(vectors) if vector is not None and np.isfinite(vector).all()]
    found: list[list[list[int]]] = [[] for _ in vectors]
    if len(known) > 1:
        table = np.stack([np.asarray(vectors[at], np.float32) for at in known])
        scores = table @ table.T
        np.fill_diagonal(scores, -np.inf)
        count = min(NEIGHBOURS, len(known) - 1)
        best = np.argsort(-scores, axis=1, kind="stable")[:, :count]
        for at, others in zip(known, best, strict=True):
            places = [start + known[other] for other in others]
            found[at] = [[place // PAGE, place % PAGE] for place in places]
    return [found[first : first + PAGE] for first in range(0, len(found), PAGE)]
