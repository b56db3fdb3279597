"""Is everything that the current version names there, whole, and consistent? Names each fault."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import PurePosixPath
from typing import Any

from congeal.results.schema.parquet_files import dataset
from congeal.results.schema.tables import ALIGNMENTS, CLUSTERS, CORRESPONDENCES, IMAGES
from infra.errors import DamagedError, UserError
from infra.ledger.commits import Marker, check_unit, find_marker, outputs_location
from infra.ledger.publications import Publication, check_layout, published
from infra.storage.location import Location
from infra.storage.zarr_groups import open_group
from tasks.atlases.instance_files import INSTANCES
from tasks.catalog.catalog_slices import CATALOG
from tasks.clusters.clusters_stage import MEMBERS, SETS
from tasks.execution.duckdb_workspace import load, rows, workspace
from tasks.maintenance.derived_units import Name, UnitFacts, unchecked
from tasks.maintenance.stored_shapes import misshapen
from tasks.publication import current_iceberg_tables
from tasks.publication.manifest import NAME as TABLES_FILE
from tasks.publication.manifest import described

SCHEMAS = {
    ("catalog", "catalog.parquet"): CATALOG,
    ("catalog", "images.parquet"): CATALOG,
    ("clusters", "members.parquet"): MEMBERS,
    ("clusters", "clusters.parquet"): SETS,
    ("atlases", "alignment.parquet"): ALIGNMENTS,
    ("atlases", INSTANCES): ALIGNMENTS,
    ("index", "images.parquet"): IMAGES,
    ("index", "clusters.parquet"): CLUSTERS,
    ("index", "alignments.parquet"): ALIGNMENTS,
    ("index", "correspondences.parquet"): CORRESPONDENCES,
}
FINAL = ("images", "clusters", "alignments", "correspondences")
MOST_NAMED = 5  # of one kind of broken reference

# What must be empty, and what it means if it is not.
REFERENCES = (
    (
        "SELECT DISTINCT cluster_id FROM images i ANTI JOIN clusters c USING (cluster_id) "
        "WHERE i.cluster_id IS NOT NULL",
        "the table images names the cluster {0}, which the table clusters does not have",
    ),
    (
        "SELECT image_id FROM alignments a ANTI JOIN images i USING (image_id, cluster_id)",
        "the table alignments has the image {0} in a cluster that the table images does not give it",
    ),
    (
        "SELECT image_id FROM images i ANTI JOIN alignments a USING (image_id) "
        "WHERE i.cluster_id IS NOT NULL",
        "the image {0} has a cluster but no row in the table alignments",
    ),
    (
        "SELECT DISTINCT c.image_id FROM pairs c ANTI JOIN alignments a USING (image_id, cluster_id)",
        "the table correspondences has the image {0} in a cluster that the table alignments does not give it",
    ),
    (
        "SELECT image_id FROM images WHERE status = 'ok' GROUP BY image_id HAVING count(*) > 1",
        "the table images has the image {0} twice without calling one a duplicate",
    ),
    (
        "SELECT cluster_id FROM clusters GROUP BY cluster_id HAVING count(*) > 1",
        "the table clusters has the cluster {0} twice",
    ),
)


def verify(destination: Location, *, deep: bool = True, version: str | None = None) -> dict[str, Any]:
    """Walk a version, the current or an older one: markers, outputs (deep: bytes), schemas, references.

    Returns {"version", "units", "files", "faults", "notes"}; each fault is a sentence that names the object,
    each note one that concerns other readers alone. Raises UserError if nothing is published there, or not
    this version.
    """
    publication = published(destination, version) if check_layout(destination) else None
    if publication is None:
        raise UserError(
            f"Nothing is published in {destination}: `congeal run SOURCE {destination}` does that."
        )
    faults: list[str] = []
    markers: dict[str, list[Marker]] = {}
    facts: dict[Name, UnitFacts] = {}
    bad: set[Name] = set()
    files = 0
    for stage, unit in _named(publication):
        marker = _marker(destination, stage, unit, faults)
        if marker is None:
            bad.add((stage, unit))
            continue
        facts[stage, unit] = UnitFacts.of(marker)
        markers.setdefault(stage, []).append(marker)
        files += len(marker.outputs)
        broken = check_unit(destination, marker, deep=deep)
        if deep and not broken:
            broken = misshapen(destination, marker)
        if broken:
            bad.add((stage, unit))
        faults.extend(broken)
        if not broken:
            faults.extend(_unreadable(destination, marker))
    faults.extend(_suspect(destination, bad, publication, facts))
    if not faults:
        faults.extend(_references(destination, publication, markers))
    if not faults and version is None and not described(destination, publication):
        faults.append(
            f"{destination}/{TABLES_FILE} does not name the files of the current version: run again."
        )
    moved = current_iceberg_tables.elsewhere(destination, publication)
    if not faults and moved is None and current_iceberg_tables.begun(destination):
        faults.extend(current_iceberg_tables.faults(destination, publication, current=version is None))
    units = sum(len(found) for found in markers.values())
    notes = [moved] if moved else []
    return {
        "version": publication.number,
        "units": units,
        "files": files,
        "faults": faults,
        "notes": notes,
    }


def _suspect(
    destination: Location, bad: set[Name], publication: Publication, facts: dict[Name, UnitFacts]
) -> Iterator[str]:
    """What may hold what is damaged, since it was made without a check of what it was made from."""
    sound = {name: found for name, found in facts.items() if name not in bad}
    for stage, unit in sorted(unchecked(bad, [publication.units], sound, facts)):
        yield (
            f"{destination}/stages/{stage}/{unit} was computed from units that are damaged now, by a congeal "
            f"that did not check them: `congeal repair {destination}` removes it, too."
        )


def _named(publication: Publication) -> Iterator[tuple[str, str]]:
    for stage, units in publication.units.items():
        yield from ((stage, unit) for unit in units)


def _marker(destination: Location, stage: str, unit: str, faults: list[str]) -> Marker | None:
    try:
        marker = find_marker(destination, stage, unit)
    except DamagedError as error:
        faults.append(str(error))
        return None
    if marker is None:
        faults.append(
            f"The marker of {destination}/stages/{stage}/{unit} is missing: run again to make the unit anew."
        )
    return marker


def _unreadable(destination: Location, marker: Marker) -> Iterator[str]:
    """Tables whose schema is not what it should be, groups that do not open."""
    folder = outputs_location(destination, marker)
    for path in marker.outputs:
        schema = SCHEMAS.get((marker.stage, path))
        try:
            if schema is not None:
                dataset([folder / path], schema)
            elif path.endswith(".zarr/zarr.json"):
                open_group(folder / str(PurePosixPath(path).parent))
        except DamagedError as error:
            yield str(error)


def _references(
    destination: Location, publication: Publication, markers: dict[str, list[Marker]]
) -> Iterator[str]:
    with workspace() as connection:
        for name in FINAL:
            schema = SCHEMAS["index", f"{name}.parquet"]
            places = [
                outputs_location(destination, marker) / f"{name}.parquet"
                for marker in markers.get("index", ())
                if f"{name}.parquet" in marker.outputs
            ]
            if name == "correspondences":
                load(connection, "pairs", places, schema, "DISTINCT image_id, cluster_id")
            else:
                load(connection, name, places, schema)
        for query, meaning in REFERENCES:
            for (found,) in list(rows(connection, f"{query} LIMIT {MOST_NAMED}")):
                yield meaning.format(found).capitalize() + "."
        units = {
            "features": "SELECT DISTINCT features_unit FROM images WHERE features_unit IS NOT NULL",
            "atlases": "SELECT atlas_unit FROM clusters",
        }
        for stage, query in units.items():
            known = set(publication.units.get(stage, ()))
            for (unit,) in rows(connection, query):
                if unit not in known:
                    yield f"A table names the unit {stage}/{unit}, which the publication does not."
