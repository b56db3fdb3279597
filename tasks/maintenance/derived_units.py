"""What was computed from some units: known from the versions that name both, and from what markers say."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass

from infra.ledger.commits import CHECKED, Marker
from tasks.execution.stage_versions import ATLASES, CATALOG, CLUSTERS, FEATURES, INDEX, VERSIONS

Name = tuple[str, str]  # stage and "scope/unit"
Named = Mapping[str, Collection[str]]  # a version's units by stage, as a publication has them


@dataclass(frozen=True)
class UnitFacts:
    """What is asked of a marker.

    Attributes:
        layout: of the marker.
        clusters: ids of the clusters that an atlas, or a file of tables, is of.
        joint: it is made from all others of its stage: the catalog's table, the table of images.
    """

    layout: int
    clusters: frozenset[str]
    joint: bool

    @classmethod
    def of(cls, marker: Marker) -> UnitFacts:
        """From a marker."""
        record = marker.record
        named = [record["cluster_id"]] if "cluster_id" in record else record.get("made", {})
        return cls(marker.layout, frozenset(map(str, named)), "images.parquet" in marker.outputs)

    @property
    def checked(self) -> bool:
        """Whether who made it checked what it was made from."""
        return self.layout >= CHECKED


def derived(
    damaged: Collection[Name], versions: Sequence[Named], facts: Mapping[Name, UnitFacts]
) -> set[Name]:
    """The units that came from damaged ones, directly or not.

    versions: oldest first, for clusters and atlases grow from those before. facts: of the sound units; what
    was made from a unit whose marker says nothing any more is taken to be all that may have been.
    """
    return set(_derived(set(damaged), versions, facts)) - set(damaged)


def unchecked(
    damaged: Collection[Name],
    versions: Sequence[Named],
    facts: Mapping[Name, UnitFacts],
    before: Mapping[Name, UnitFacts],
) -> set[Name]:
    """Those of them that may hold what is damaged: they, or what they are made from, were made by a congeal
    that did not check what it read.

    before: facts of the damaged units whose markers can be read.
    """
    old = {name for name in damaged if name in before and not before[name].checked}
    from_old = derived(old, versions, facts)
    return from_old | {
        name for name in derived(damaged, versions, facts) if name in facts and not facts[name].checked
    }


def _derived(hit: set[Name], versions: Sequence[Named], facts: Mapping[Name, UnitFacts]) -> Iterator[Name]:
    from_before = False  # the clusters that this version's may have grown from are hit
    clusters: set[str] = set()  # whose atlases are
    unknown = False  # an atlas is, nobody knows of which cluster
    for version in versions:
        units = [(stage, name) for stage in VERSIONS for name in version.get(stage, ())]
        stages = {stage for stage, name in units if (stage, name) in hit}
        if CATALOG in stages:
            yield from (unit for unit in units if unit[0] == CATALOG and _joint(unit, facts))
        if from_before or stages & {CATALOG, FEATURES, CLUSTERS}:
            from_before = True
            yield from (unit for unit in units if unit[0] in (CLUSTERS, ATLASES, INDEX))
            continue
        for unit in units:
            if unit[0] == ATLASES and unit in hit:
                clusters |= facts[unit].clusters if unit in facts else set()
                unknown = unknown or unit not in facts
        if not clusters and not unknown and INDEX not in stages:
            continue
        for unit in units:
            named = facts[unit].clusters if unit in facts else frozenset()
            of_atlas = unit[0] == ATLASES and bool(named & clusters)
            of_tables = unit[0] == INDEX and (unknown or bool(named & clusters) or _joint(unit, facts))
            if of_atlas or of_tables:
                yield unit


def _joint(unit: Name, facts: Mapping[Name, UnitFacts]) -> bool:
    return unit not in facts or facts[unit].joint
