"""What the page of a run shows; leaving it there is tried in tests/flows/test_collection_flow.py."""

from __future__ import annotations

import base64
import io
import json
import re
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image
from rich.console import Console

from congeal.results.collection import Collection
from flows.deployments.artifacts import cell, code, failure_list, summary, terminal
from flows.deployments.destination_slots import slot_name
from flows.deployments.preview_pictures import linked, shown_within
from flows.runs.findings import Failures, failures, tell
from flows.runs.prepare import prepare
from flows.runs.report import nothing_to_do
from infra.compute.progress import Progress
from infra.storage.location import Location


@pytest.fixture(scope="module")
def facts(finished: Path, weights: Path) -> dict[str, Any]:
    from sample_runs import tiny

    job = prepare(str(finished / "source"), str(finished / "destination"), tiny(weights), writing=False)
    job.survey.close()
    found: dict[str, Any] = {"report": str(finished / "destination/report/index.html"), "report_fault": None}
    current = job.current
    if current is None:  # an image that failed is tried again
        from dataclasses import replace

        from infra.ledger.publications import published

        job = replace(job, current=published(job.destination))
    return nothing_to_do(job) | found


@pytest.fixture(scope="module")
def collection(finished: Path) -> Collection:
    return Collection(Location.parse(str(finished / "destination")))


def test_the_summary_holds_all_that_the_terminal_shows(facts: dict[str, Any]) -> None:
    page = summary(facts, "backbone: embedded, as the hub cannot be reached", None)
    assert terminal(facts) in page
    assert "images: " in terminal(facts)
    assert "**Backbone** embedded, as the hub cannot be reached" in page
    assert f"| failed | {facts['images']['failed']} |" in page
    there = summary(facts, "", "https://atlases.example.org")
    assert "](https://atlases.example.org/report/index.html)" in there


def test_failures_are_named_with_reason_and_links(facts: dict[str, Any], collection: Collection) -> None:
    found = failures(facts, collection)
    assert [row["uri"] for row in found.images] == ["broken.jpg"]
    page = failure_list(facts, found, "https://atlases.example.org")
    assert "broken.jpg" in page
    assert "## Failed: 1 image, 0 clusters" in page
    assert "(https://atlases.example.org/report/index.html#/problems)" in page
    lost = Failures(clusters=({"cluster_id": "c1f0a2b3c4d5", "name": None, "error": "no memory"},))
    page = failure_list(facts, lost, "https://atlases.example.org")
    assert "[c1f0a2b3c4d5](https://atlases.example.org/report/index.html#/cluster/c1f0a2b3c4d5)" in page


@pytest.mark.parametrize("as_json", [False, True])
def test_events_are_a_line_each(facts: dict[str, Any], collection: Collection, as_json: bool) -> None:
    text = io.StringIO()
    tell(facts, failures(facts, collection), Progress(console=Console(file=text), as_json=as_json))
    lines = text.getvalue().splitlines()
    if not as_json:
        assert any(re.match(r"image broken\.jpg failed: .+", line) for line in lines)
        return
    events = [json.loads(line) for line in lines]
    (failed,) = (event for event in events if event["event"] == "image_failed")
    assert failed["uri"] == "broken.jpg"
    assert {"time", "message", "error", "image_id"} <= failed.keys()
    assert events[-1]["version"] == facts["version"]


def test_pictures_are_small_where_there_is_no_address_for_them(collection: Collection) -> None:
    cluster = next(name for name in collection.clusters["cluster_id"] if collection.pictures(name))
    pictures = collection.pictures(cluster)
    inside = shown_within(pictures, None)
    assert [name for name, _ in inside] == ["average_before", "average_after", "aligned"]
    for _, data in inside:
        kind, _, text = data.partition(",")
        assert kind == "data:image/jpeg;base64"
        with Image.open(io.BytesIO(base64.b64decode(text))) as image:
            assert image.width <= 256
    outside = shown_within(pictures, linked("https://atlases.example.org", collection))
    assert all(url.startswith("https://atlases.example.org/stages/atlases/") for _, url in outside)


@given(st.text())
def test_names_of_others_have_no_markup(text: str) -> None:
    shown = cell(text)
    assert not re.search(r"(?<!\\)(\\\\)*[|<>\[\]`*_]", shown)
    assert "\n" not in shown
    assert code(text).strip("`").count("`") == 0
    assert not re.search(r"(?<!\\)\|", code(text))


def test_a_path_and_its_url_have_one_slot(tmp_path: Path) -> None:
    assert slot_name(str(tmp_path)) == slot_name(f"{tmp_path.as_uri()}/")
    assert slot_name(str(tmp_path)) != slot_name(str(tmp_path / "other"))
    assert re.fullmatch(r"congeal-[0-9a-f]{12}", slot_name("s3://bucket/atlases"))
