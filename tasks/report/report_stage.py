"""The stage report: plan the units of a site, make those that are not there, write the page last.

Its units lie in the report's own folder, so that the folder alone is the whole site, wherever it is copied.
"""

from __future__ import annotations

import hashlib
import json
from array import array
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from operator import itemgetter
from pathlib import Path
from typing import Any, cast

from congeal.alignment.outcomes import MEANINGLESS
from congeal.report import page_shell
from congeal.report.cluster_page import PAGE
from congeal.report.data_scripts import plain, script
from congeal.report.index_fields import FORMAT
from congeal.results.cluster_report import MemberRow
from congeal.results.published_tables import PublishedTables
from congeal.results.published_version import source_of
from congeal.settings import Settings
from infra.compute.engine import Engine
from infra.compute.progress import Progress
from infra.errors import MissingError, StorageError
from infra.ledger.commits import Marker, digest
from infra.ledger.publications import Publication
from infra.storage.location import Location
from infra.threads import run_in_threads
from tasks.execution.packed_rows import pack_rows
from tasks.execution.stage_runner import (
    Run,
    StageResult,
    Unit,
    UnitReport,
    address,
    plan_units,
    record_of,
    run_units,
)
from tasks.report import annotation_marks, image_places, overview_files, owner_values, page_units
from tasks.report.annotation_marks import Annotations, AnnotationsPayload
from tasks.report.changes import FILE as CHANGES
from tasks.report.changes import changes
from tasks.report.image_places import PlacesPayload
from tasks.report.map_table import map_rows
from tasks.report.owner_values import OwnerValuesPayload
from tasks.report.page_units import HeadPayload, LoosePayload, PagesPayload, WallPayload
from tasks.report.published_rows import ClusterRows, PublishedRows, buckets, published_rows
from tasks.report.report_key import (
    INDEX,
    MANIFEST,
    STAGE,
    VERSION,
    Made,
    Order,
    current,
    key_of,
    manifest_of,
    up_to_date,
)
from tasks.report.site_index import MadeSite, What, index_of
from tasks.report.tidy import tidy

__all__ = ["Made", "Order", "make", "report"]

Payload = (
    PagesPayload
    | HeadPayload
    | WallPayload
    | LoosePayload
    | PlacesPayload
    | AnnotationsPayload
    | OwnerValuesPayload
)
_MAKERS: Mapping[type, Callable[[Any], Marker]] = {
    PagesPayload: page_units.make_pages,
    HeadPayload: page_units.make_head,
    WallPayload: page_units.make_wall,
    LoosePayload: page_units.make_loose,
    PlacesPayload: image_places.make_places,
    AnnotationsPayload: annotation_marks.make_annotations,
    OwnerValuesPayload: owner_values.make_owner_values,
}
PLACES: What = ("places",)


def report(order: Order, settings: Settings, engine: Engine, progress: Progress) -> Made:
    """Make what is missing of the report on the current version, and replace its page.

    settings: those of the engine and the storage count; all else is as published. Raises UserError if nothing
    is published.
    """
    publication = current(order.destination)
    there = up_to_date(order, publication)
    if there is not None:
        return there
    source = source_of(publication, settings.storage)
    run = Run(source, order.destination, settings, engine, progress)
    tables = PublishedTables(order.destination, publication)
    with published_rows(tables) as rows:
        site = _Site(order, publication, source, rows)
        plan = plan_units(STAGE, site.scope, site.units(), progress, keep=record_of)
        result = run_units(plan, make, run)
        heads = plan_units(STAGE, site.scope, site.heads(result), progress)
        if heads.total:
            result += run_units(heads, make, run, title="report, large clusters")
        overview = site.overview(result, tables.outliers)
    index = site.finish(overview, [entry.unit for entry in result.units])  # its tables have gone by now
    site.tidy(progress)
    images, clusters = publication.counts.get("ok", 0), len(rows.ids)
    work = result.unit_seconds
    return Made(index, publication.number, True, result.made, len(result.units), images, clusters, work)


def make(unit: Unit[Payload]) -> Marker:
    """Make one unit, of whatever kind."""
    return _MAKERS[type(unit.payload)](unit)


@dataclass(frozen=True)
class _Overview:
    """index: JSON-able. folder: of the files of map and changes. places: what is remembered of the map."""

    index: dict[str, Any]
    folder: str
    places: dict[str, str]


class _Site:
    """One report on its way. ids: digest of which images there are."""

    def __init__(self, order: Order, publication: Publication, source: Location, rows: PublishedRows) -> None:
        self.order = order
        self.publication = publication
        self.source = source
        self.rows = rows
        self.ids = image_places.images_digest(rows)
        self.before = manifest_of(order.folder)
        self.catalog: Mapping[str, Any] = publication.settings["catalog"]
        self.seed = int(publication.settings.get("seed", 0))
        self.scope = digest(STAGE, VERSION, length=16)
        self.parts: dict[str, What] = {}  # unit: what of the site it is

    # ---- the plan ----

    def units(self) -> Iterator[Unit[Payload]]:
        """All units: the map first, since it takes the longest."""
        yield self._places()
        for row in self.rows.clusters():
            if row.has_atlas:
                yield from self._pages(row)
        for number, bucket in enumerate(buckets(self.rows.ids, page_units.WALL)):
            yield self._wall(number, bucket)
        for number, loose in enumerate(self.rows.without_page(page_units.LOOSE)):
            yield self._loose(number, [row for _, row in loose])
        yield from self._owner_values()
        given = self.order.annotations
        if given is not None:
            for row in self.rows.clusters():
                if (
                    row.has_atlas
                    and row.facts["status"] not in MEANINGLESS
                    and row.cluster_id in given.clusters
                ):
                    yield self._annotations(given, row)

    def _unit(self, what: What, name: str, payload: Payload, items: int = 1) -> Unit[Payload]:
        self.parts[name] = what
        return Unit(address(self.order.folder, STAGE, VERSION, self.scope, name), payload, items)

    def _places(self) -> Unit[Payload]:
        earlier = self.before.get("places") or {}
        base = self.order.folder / earlier["folder"] if earlier else None
        if base is not None and not (base / image_places.TABLE).is_object():
            base, earlier = None, {}
        name = digest(self.scope, "places", self.ids, self.seed, earlier.get("folder"))
        if earlier.get("ids") == self.ids:
            name = str(earlier["unit"])  # nobody has come or gone
        version, method = str(self.publication.number), str(earlier.get("method", ""))
        return self._unit(
            PLACES, name, PlacesPayload(self.order.destination, version, self.seed, base, method)
        )

    def _pages(self, row: ClusterRows) -> Iterator[Unit[Payload]]:
        blocks = page_units.blocks_of(row)
        facts = json.dumps(row.facts, sort_keys=True)
        for number, block in enumerate(blocks):
            alone = len(blocks) == 1
            payload = PagesPayload(
                destination=self.order.destination,
                source=self.source,
                catalog=self.catalog,
                facts=facts,
                members=pack_rows(block),
                first=number * page_units.BLOCK // PAGE,
                head=page_units.packed_head(row) if alone else None,
            )
            # What shows one thing is named as it was before there were several.
            rows = [plain(list(member if member.further else member[:-1])) for member in block]
            copies = _copies(row) if alone else None
            name = digest(self.scope, "pages", number, plain(row.facts), rows, copies)
            yield self._unit(("pages", row.cluster_id, number), name, payload, len(block))

    def heads(self, result: StageResult) -> Iterator[Unit[Payload]]:
        """The heads of clusters of several units of pages, which name what those have written."""
        written: dict[str, list[tuple[int, UnitReport]]] = {}
        for entry in result.units:
            kind, *which = self.parts[entry.unit]
            if kind == "pages":
                written.setdefault(which[0], []).append((which[1], entry))
        for number, cluster_id in enumerate(self.rows.ids):
            blocks = [entry for _, entry in sorted(written.get(cluster_id, ()), key=itemgetter(0))]
            if len(blocks) < 2:
                continue
            row = self.rows.cluster(number)
            pages = [
                (f"../../{entry.unit}/{entry.content}", page)
                for entry in blocks
                for page in cast("Mapping[str, Any]", entry.kept)["pages"]
            ]
            payload = HeadPayload(
                self.order.destination,
                json.dumps(row.facts, sort_keys=True),
                page_units.packed_pages(pages),
                page_units.packed_head(row),
            )
            name = digest(self.scope, "head", plain(row.facts), _copies(row), [list(one) for one in pages])
            yield self._unit(("head", row.cluster_id), name, payload)

    def _wall(self, number: int, clusters: Sequence[int]) -> Unit[Payload]:
        atlases = tuple(self.rows.atlases[at] for at in clusters)
        name = digest(self.scope, "wall", [self.rows.ids[at] for at in clusters], list(atlases))
        return self._unit(("wall", number), name, WallPayload(self.order.destination, atlases))

    def _loose(self, number: int, rows: Sequence[MemberRow]) -> Unit[Payload]:
        wanted = [[row.image_id, row.uri, row.features_unit, row.features_row] for row in rows]
        payload = LoosePayload(self.order.destination, self.source, self.catalog, pack_rows(wanted))
        return self._unit(("loose", number), digest(self.scope, "loose", wanted), payload)

    def _owner_values(self) -> Iterator[Unit[Payload]]:
        names = tuple(field.name for field in self.rows.own)
        for number, members in self.rows.own_values():
            cluster_id, said = self.rows.ids[number], owner_values.rows_of(members)
            if said and self.rows.atlases[number] is not None:
                name = digest(self.scope, "own", cluster_id, list(names), said)
                yield self._unit(("own", cluster_id), name, owner_values.payload(cluster_id, names, said))

    def _annotations(self, given: Annotations, row: ClusterRows) -> Unit[Payload]:
        version = str(self.publication.number)
        payload = annotation_marks.payload(self.order.destination, version, given, row)
        name = digest(self.scope, "annotations", given.digest, *_substance(row))
        return self._unit(("annotations", row.cluster_id), name, payload)

    # ---- the end ----

    def overview(self, result: StageResult, outliers: int) -> _Overview:
        """Write the map and what has changed; what else the index says."""
        root = self.order.folder
        made = {entry.unit: entry for entry in result.units}
        site = MadeSite(
            self.order,
            self.publication,
            self.rows,
            folders={
                what: f"stages/{STAGE}/{self.scope}/{unit}/{made[unit].content}"
                for unit, what in self.parts.items()
            },
            kept={what: made[unit].kept for unit, what in self.parts.items()},
            outliers=outliers,
        )
        sheets = site.sheets()
        table, places = root / site.folders[PLACES] / image_places.TABLE, site.kept[PLACES]
        shown = map_rows(self.rows, table, sheets, self._confidences(site), self.seed)
        files = overview_files.map_files(shown, self.rows.folder)
        changed = changes(self.order.destination, self.publication)
        if changed.facts is not None:
            files[CHANGES] = script("changes", changed.facts)
        folder = f"data/{_content(files)}"
        self._write(folder, files)
        del files  # before the index is made
        now = datetime.now(UTC).isoformat(timespec="seconds")
        index = index_of(site, sheets, shown, places, folder, now, changed)
        placed = {"folder": site.folders[PLACES], "method": places.get("method") or ""}
        return _Overview(index, folder, placed)

    def finish(self, overview: _Overview, made: Sequence[str]) -> Location:
        """Write the index and the page, and remember what they name. made: the units."""
        root = self.order.folder
        data = {"index.js": script("index", overview.index)}
        home, assets = f"data/{_content(data)}", f"assets/{page_shell.assets_digest()}"
        self._write(home, data)
        self._write(assets, page_shell.assets())
        units = [f"stages/{STAGE}/{self.scope}/{unit}" for unit in made]
        named = sorted([overview.folder, home, assets, *units])
        manifest = {
            "format": FORMAT,
            "key": key_of(self.order, self.publication),
            "version": self.publication.number,
            "images": self.publication.counts.get("ok", 0),
            "clusters": len(self.rows.ids),
            "places": {
                "ids": self.ids,
                "folder": overview.places["folder"],
                "unit": next(unit for unit, what in self.parts.items() if what == PLACES),
                "method": overview.places["method"],
            },
            "units": sorted(made),
            "named": named,
        }
        (root / INDEX).write_bytes(page_shell.page(str(overview.index["title"]), f"{home}/index.js"))
        (root / MANIFEST).write_bytes(json.dumps(manifest, indent=1).encode() + b"\n")
        return root / INDEX

    def tidy(self, progress: Progress) -> None:
        """Remove what neither this page nor the one before it names; where that is not allowed, say so."""
        root = self.order.folder
        try:
            tidy(root, [*manifest_of(root).get("named", ()), *self.before.get("named", ())])
        except StorageError as error:
            progress.note(f"Old parts of the report could not be removed ({error}).")

    def _confidences(self, site: MadeSite) -> dict[str, array[float]]:
        found: dict[str, array[float]] = {}
        for what in sorted(what for what in site.folders if what[0] == "pages"):
            found.setdefault(what[1], array("f")).extend(page_units.confidences(site.kept[what]))
        return found

    def _write(self, folder: str, files: Mapping[str, bytes | Path]) -> None:
        """Files of a folder that is named by what is in them: what is there is not written again."""

        def write(name: str) -> None:
            place, content = self.order.folder / folder / name, files[name]
            size = content.stat().st_size if isinstance(content, Path) else len(content)
            try:
                if place.size() == size:
                    return
            except MissingError:
                pass
            place.write_bytes(content.read_bytes() if isinstance(content, Path) else content)

        run_in_threads(write, list(files))


def _substance(row: ClusterRows) -> list[Any]:
    """What marks on a cluster's members depend on."""
    members = [plain(list(member if member.further else member[:-1])) for member in row.members]
    return [plain(row.facts), members]


def _copies(row: ClusterRows) -> list[list[str]]:
    return [list(pair) for pair in row.copies]


def _content(files: Mapping[str, bytes | Path]) -> str:
    """16 hex digits that name these very files."""
    return digest([[name, _sha256(data)] for name, data in sorted(files.items())], length=16)


def _sha256(data: bytes | Path) -> str:
    if isinstance(data, Path):
        with data.open("rb") as file:
            return hashlib.file_digest(file, "sha256").hexdigest()
    return hashlib.sha256(data).hexdigest()
