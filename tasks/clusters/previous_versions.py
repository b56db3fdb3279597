"""What earlier versions of a destination know: the clusters that growth starts from, and their atlases."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Sequence
from dataclasses import dataclass

from congeal.alignment.outcomes import FAILED
from infra.errors import DamagedError
from infra.ledger.commits import Marker, find_marker, outputs_location
from infra.ledger.moved_sources import known_as
from infra.ledger.publications import Publication, published, versions
from infra.storage.location import Location
from infra.threads import in_threads
from tasks.execution import stage_versions
from tasks.execution.stage_runner import Run, address, take_back


@dataclass(frozen=True)
class Base:
    """The clusters of a version. versions: that one and those before it, the newest first."""

    marker: Marker
    members: Location
    sets: Location
    versions: tuple[Publication, ...]

    @property
    def identity(self) -> str:
        """ "scope/unit/content" of the unit."""
        return f"{self.marker.scope}/{self.marker.unit}/{self.marker.content}"


def find_base(run: Run, scopes: Sequence[str]) -> tuple[str, Base | None]:
    """The one of these scopes in which this source was split last, and the newest clusters in it that a
    version names and that are still there.

    The first of the scopes where no version names any. Clusters that were lost are made again as they were.
    """
    known = tuple(_versions_of(run))
    named = (
        name.partition("/")[0] for version in known for name in version.units.get(stage_versions.CLUSTERS, ())
    )
    here = next((scope for scope in named if scope in scopes), scopes[0])
    for at, publication in enumerate(known):
        for marker in _markers(run, publication, stage_versions.CLUSTERS, [here]):
            folder = outputs_location(run.destination, marker)
            return here, Base(marker, folder / "members.parquet", folder / "clusters.parquet", known[at:])
    return here, None


def find_atlases(
    run: Run, base: Base, scopes: Collection[str], clusters: Collection[str]
) -> dict[str, Marker]:
    """The newest atlas in these scopes of each of these clusters, from the base's versions, where one is.

    Where the atlas of a version could not be made, the one before it counts.
    """
    found: dict[str, Marker] = {}
    for publication in base.versions:
        if len(found) == len(clusters):
            break
        for marker in _markers(run, publication, stage_versions.ATLASES, scopes):
            name = marker.record["cluster_id"]
            if name in clusters and marker.record["status"] != FAILED:
                found.setdefault(name, marker)
    return found


def base_atlases(run: Run, base: Base) -> Iterator[Marker]:
    """The atlases that the base's version names, whatever their scope."""
    yield from _markers(run, base.versions[0], stage_versions.ATLASES, None)


def _versions_of(run: Run) -> Iterator[Publication]:
    def read(name: str) -> Publication | None:
        try:
            return published(run.destination, name)
        except DamagedError:
            return None

    names = known_as(run.destination, run.source.url)
    for publication in in_threads(read, versions(run.destination)[::-1]):
        if publication is not None and publication.source in names:
            yield publication


def _markers(
    run: Run, publication: Publication, stage: str, scopes: Collection[str] | None
) -> Iterator[Marker]:
    """The markers of a version's units in these scopes, of whatever version of their stage they are.

    One that is of another version of its stage is what the older publication rests on: it is no damage.
    """

    def read(name: str) -> Marker | None:
        try:
            return find_marker(run.destination, stage, name)
        except DamagedError as error:
            run.progress.note(f"{error} The unit is made again.")
            scope, _, unit = name.partition("/")
            take_back(address(run.destination, stage, stage_versions.VERSIONS[stage], scope, unit))
            return None

    named = publication.units.get(stage, ())
    wanted = [name for name in named if scopes is None or name.partition("/")[0] in scopes]
    yield from (marker for marker in in_threads(read, wanted) if marker is not None)
