from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from rich.console import Console
from sample_runs import folder, photographs, run, tiny

from flows.console.summary import show_run
from flows.runs.report import sentence


def shown(facts: dict[str, Any]) -> str:
    console = Console(width=160, record=True, file=open("/dev/null", "w"))  # noqa: SIM115, PTH123
    with console.file:
        show_run(facts, console)
    return console.export_text()


@pytest.fixture(scope="module")
def facts(tmp_path_factory: pytest.TempPathFactory, weights: Path) -> dict[str, Any]:
    home: Path = tmp_path_factory.mktemp("summary")
    source = folder(home / "source", photographs(2) | {"broken.png": b""})
    return run(source, home / "out", tiny(weights))


def test_a_run_reports_what_it_cost(facts: dict[str, Any]) -> None:
    assert [row["stage"] for row in facts["stages"]] == [
        "catalog",
        "features",
        "clusters",
        "atlases",
        "index",
    ]
    for row in facts["stages"]:
        assert row["units_made"] > 0
        assert row["seconds"] > 0
        assert row["peak_memory_bytes"] > 1_000_000
    timings = {phase for row in facts["stages"] for phase in row["timings"]}
    assert {"decode", "backbone", "solver", "start"} <= timings
    assert 0 <= facts["overhead"] < 1
    assert facts["images"] == {"ok": 4, "failed": 1, "duplicate": 0}


def test_the_summary_shows_stages_images_and_where_to_look(facts: dict[str, Any]) -> None:
    text = shown(facts)
    for word in ("catalog", "features", "clusters", "atlases", "index", "peak memory", "MiB"):
        assert word in text
    # In so small pictures, random weights see nothing in common: none of the four fits.
    assert "images: 4 ok, 1 failed, 0 duplicate · clusters: 1 · outliers: 4" in text
    assert "congeal sql" in text
    assert "what failed, and why" in text


@pytest.mark.parametrize(
    ("misfits", "words"),
    [
        (1, "outliers: 5 (4 in no cluster, 1 not fitting their cluster)"),
        (5, "outliers: 5 (5 not fitting their cluster)"),
        (None, "outliers: 5\n"),  # of a version that did not tell them apart
    ],
)
def test_the_summary_says_which_outliers_there_are(
    facts: dict[str, Any], misfits: int | None, words: str
) -> None:
    assert words in shown(facts | {"outliers": 5, "misfits": misfits})


def test_a_line_for_the_log(facts: dict[str, Any]) -> None:
    assert "version 1" in sentence(facts)
    assert "4 images (1 failed, 0 duplicate), 1 cluster, 4 outliers." in sentence(facts)
    assert sentence(facts | {"up_to_date": True}).startswith("Nothing to do")


def test_a_run_without_clusters_says_why_and_suggests_nothing_that_needs_one(facts: dict[str, Any]) -> None:
    text = shown(facts | {"clusters": 0, "deformation": {}})
    assert "no cluster: too few of the images are enough alike" in text
    assert "clusters.method=single" in text
    assert "congeal transfer" not in text
    assert "congeal pictures" not in text
    assert "congeal sql" in text
