"""A cluster to look at, in a notebook or in a paper: the report's page of it, and a figure."""

from __future__ import annotations

import base64
import html
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import pyarrow.dataset as pads

from congeal.report import page_shell
from congeal.report.cluster_page import PAGE, in_order, outliers_of
from congeal.report.data_scripts import script
from congeal.report.index_fields import FORMAT, cluster_columns, counts_of
from congeal.report.thumbnail_sheets import LARGE, SMALL, WALL
from congeal.results.cluster_report import Head, MemberRow, cluster_head, member_pages
from congeal.results.published_version import NOT_ALIGNED, Published
from congeal.results.schema.instances import of_first
from congeal.results.schema.tables import CLUSTERS
from congeal.results.stored.image_squares import SquareSource, Wanted
from congeal.results.stored.pictures import picture_of
from congeal_floors.plurals import counted
from infra.errors import UserError
from infra.ledger.commits import Marker, outputs_location

if TYPE_CHECKING:
    from matplotlib.figure import Figure

HEIGHT = 760  # pixels of the page in a notebook
_IMAGES = ("image_id", "uri", "width", "height", "features_unit", "features_row")


@dataclass(frozen=True)
class ClusterView:
    """The page of a cluster, whole in itself.

    Attributes:
        document: the HTML; it loads nothing, from nowhere.
        title: what it shows.
    """

    document: str
    title: str

    def __repr__(self) -> str:
        return f"<{self.title}: shown in a notebook; .document is the page>"

    def _repr_html_(self) -> str:
        # An origin of its own: the page can do nothing to the notebook.
        return (
            f'<iframe title="{html.escape(self.title)}" sandbox="allow-scripts" '
            f'style="width:100%;height:{HEIGHT}px;border:0" srcdoc="{html.escape(self.document)}"></iframe>'
        )


def view(published: Published, cluster: str) -> ClusterView:
    """The page of a cluster with its first PAGE members. Raises UserError if it has no atlas."""
    row, atlas = _atlas(published, cluster)
    if page_shell.SCRIPT not in page_shell.assets():
        raise UserError(
            "The page of the report is not built in this checkout: `make report-assets` does that."
        )
    rows = member_rows(published, cluster)
    shown = in_order(rows)[:PAGE]
    copies = [(file, same) for file, same in published.duplicates(cluster).items()]
    names = {one.image_id: one.uri for one in rows}
    made = member_pages(published.place, atlas, cluster, shown, 0, squares_of(published))
    head = Head(
        {name: row.get(name) for name in CLUSTERS.names},
        len(shown),
        outliers_of(shown),
        [(file, names.get(same, "")) for file, same in copies],
    )
    files = made.files | cluster_head(published.place, atlas, head, made.pages)
    notes = []
    if len(shown) < len(rows):
        notes.append(
            f"The first {len(shown)} of {counted(len(rows), 'image')}: `congeal report` has all of them."
        )
    title = f"cluster {cluster} of {published.source.name}"
    index = _index(published, row, title, notes)
    inline = {
        "start": f"#/cluster/{cluster}",
        "files": {
            name: "data:image/webp;base64," + base64.b64encode(data).decode("ascii")
            for name, data in files.items()
            if name.endswith(".webp")
        },
    }
    scripts = [script("index", index), script("inline", inline)]
    scripts += [data for name, data in sorted(files.items()) if name.endswith(".js")]
    return ClusterView(page_shell.inline_page(title, b"".join(scripts)), title)


def figure(published: Published, cluster: str, members: int) -> Figure:
    """Averages, some members as they are and aligned, correspondences by colour. Raises UserError."""
    from congeal.geometry.frames import Frame
    from congeal.report.figures import Shown, cluster_figure, landmarks_of

    _, atlas = _atlas(published, cluster)
    published.require_aligned(cluster)
    folder = outputs_location(published.place, atlas)
    stored = published.stored(cluster)
    rows = [row for row in in_order(member_rows(published, cluster)) if not row.outlier][:members]
    squares, _ = squares_of(published).read([_wanted(row) for row in rows])
    kept = [(row, square) for row, square in zip(rows, squares, strict=True) if square is not None]
    if not kept:
        raise UserError(
            f"No image of the cluster {cluster} can be shown: none was kept small, and "
            f"{published.source} has none of them any more."
        )
    places = landmarks_of(stored.atlas_shares()[0])
    maps = stored.forward([stored.position[row.image_id] for row, _ in kept])
    shown = [
        Shown(square, np.asarray(Frame(row.width, row.height).to_frame(forward)), confidence)
        for (row, square), forward, confidence in zip(kept, maps.forward, maps.confidence, strict=True)
    ]
    pictures = {name: picture_of(folder, atlas, name) for name in ("average_before", "average_after")}
    return cluster_figure(cluster, pictures["average_before"], pictures["average_after"], places, shown)


def member_rows(published: Published, cluster: str) -> list[MemberRow]:
    """A cluster's images, as its page takes them."""
    mine = pads.field("cluster_id") == cluster
    images = published.tables.dataset("images").to_table(
        columns=list(_IMAGES), filter=mine & (pads.field("status") == "ok")
    )
    columns = ["image_id", *(name for name in MemberRow._fields if name not in (*_IMAGES, "further"))]
    alignments = published.tables.dataset("alignments", cluster).to_table(
        columns=columns, filter=mine & of_first()
    )
    facts = {row["image_id"]: row for row in alignments.to_pylist()}
    held = published.instances(cluster)
    return [
        MemberRow(**(row | facts[row["image_id"]]), further=len(held.rows.get(row["image_id"], {})))
        for row in images.to_pylist()
    ]


def squares_of(published: Published) -> SquareSource:
    """Where small pictures of a version's images come from."""
    catalog = published.publication.settings["catalog"]
    return SquareSource(published.place, published.source, catalog, LARGE)


def _wanted(row: MemberRow) -> Wanted:
    return Wanted(row.image_id, row.uri, row.features_unit, row.features_row)


def _atlas(published: Published, cluster: str) -> tuple[dict[str, Any], Marker]:
    row: dict[str, Any] = dict(published.cluster(cluster))
    if row["atlas_unit"] is None or row["status"] == "failed":
        raise UserError(f"The cluster {cluster} has no atlas: {row['error'] or NOT_ALIGNED['failed']}.")
    return row, published.tables.marker("atlases", row["atlas_unit"])


def _index(published: Published, row: dict[str, Any], title: str, notes: list[str]) -> dict[str, Any]:
    publication = published.publication
    nothing: dict[str, Any] = {"total": 0, "rows": []}
    columns = cluster_columns([row]) | {
        "script": ["cluster.js"],
        "annotations": [None],
        "wall_sheet": [-1],
        "wall_before": [-1],
        "wall_after": [-1],
        "wall_columns": [1],
    }
    return {
        "format": FORMAT,
        "title": title,
        "source": publication.source,
        "destination": published.place.url,
        "version": publication.number,
        "created": publication.created,
        "made": publication.created,
        "code_version": publication.code_version,
        "base": None,
        "counts": counts_of(publication.counts, published.tables.outliers),
        "settings": publication.settings,
        "backbone": publication.backbone,
        "weights_fingerprint": publication.weights_fingerprint,
        "stages": [],
        "map": None,
        "sheets": {"cell": SMALL, "path": [], "columns": [], "cluster": [], "page": []},
        "wall": {"cell": WALL, "path": []},
        "clusters": columns,
        "failures": nothing,
        "duplicates": nothing,
        "quality": {"histograms": {}, "calibration": None, "drift": []},
        "annotations": None,
        "notes": notes,
    }
