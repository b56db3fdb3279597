"""What a version was made with and what it cost, of a run as it is."""

from __future__ import annotations

from pathlib import Path

from sample_runs import finished, weights

from infra.ledger.publications import published
from infra.storage.location import Location
from tasks.report.provenance_facts import stage_facts

__all__ = ["finished", "weights"]


def test_the_units_of_a_stage_add_up(finished: Path) -> None:
    place = Location.parse(finished / "destination")
    publication = published(place)
    assert publication is not None
    rows = {row["stage"]: row for row in stage_facts(place, publication)}
    for stage in ("catalog", "features", "clusters", "atlases", "index"):
        row = rows[stage]
        assert row["units"] > 0, stage
        assert row["seconds"] > 0, stage
        assert row["written_bytes"] > 0, stage
        assert row["requests"] >= row["units"], stage
        assert row["started"] <= row["ended"], stage
    # The photographs are read by who looks at them first.
    source = sum(path.stat().st_size for path in (finished / "source").rglob("*") if path.is_file())
    assert rows["catalog"]["read_bytes"] >= source / 2
