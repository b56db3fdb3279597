"""Reports as the command makes them in Chromium: from disk, served, inline; corrections are taken again."""

from __future__ import annotations

import json
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from chromium import Page, chromium
from known_collection import BIRDS, known, known_collection, labelled
from sample_runs import folder, photographs, run, tiny, weights
from typer.testing import CliRunner

import congeal
from congeal.transfer.points import ForwardMaps, transfer_to_many
from flows.cli import app
from flows.console.report_server import server_of

__all__ = ["known", "weights"]

NAMES = ['"><img src=x onerror=alert(1)>.png', "two\nlines<b>.png", "'quoted' & more.png", "n" * 240 + ".png"]
MARKS = {
    "images": [{"id": 1, "file_name": "a/0.png", "width": 80, "height": 60}],
    "categories": [{"id": 1, "name": "bird", "keypoints": ["bill", "tail"]}],
    "annotations": [{"id": 1, "image_id": 1, "category_id": 1, "keypoints": [40, 30, 2, 30, 25, 2]}],
}


def call(*arguments: object) -> dict[str, Any]:
    done = CliRunner().invoke(app, [*map(str, arguments), "--json"])
    facts = json.loads(done.stdout.splitlines()[-1])
    assert facts["ok"], facts
    return dict(facts)


@pytest.fixture
def page() -> Iterator[Page]:
    with chromium() as page:
        page.size(1280, 900)
        yield page
        assert page.errors == []


def opened(page: Page, url: str) -> None:
    page.open("about:blank")
    page.open(url)
    page.wait("document.querySelector('main > *') && !document.querySelector('main[aria-busy]')")


def apart(page: Page, destination: Path, shown: list[str]) -> float:
    """How far the page carries points from where the published maps do, at most, in pixels."""
    maps = {uri: congeal.open(destination).maps(uri) for uri in shown}
    everywhere = ForwardMaps(
        [one.frame for one in maps.values()],
        np.stack([one.forward for one in maps.values()]),
        np.stack([one.forward_confidence for one in maps.values()]),
    )
    first = maps[shown[0]]
    high = (first.frame.width - 1, first.frame.height - 1)
    points = np.random.default_rng(0).uniform(0, high, (100, 2))
    ask = "([x, y]) => congealView.counterparts(0, x, y).map(found => [found.x, found.y])"
    given = np.asarray(page.evaluate(f"{json.dumps(points.tolist())}.map({ask})")).transpose(1, 0, 2)
    off = given - transfer_to_many(points, first, everywhere).xy
    return float(np.hypot(off[..., 0], off[..., 1]).max())


def test_a_report_from_disk(page: Page, tmp_path: Path) -> None:
    destination = known_collection(tmp_path)
    call("report", destination)
    index = (destination / "report" / "index.html").as_uri()
    opened(page, index)
    page.wait("congealView.map && congealView.interactive > 0")
    assert page.evaluate("document.querySelectorAll('.card').length") == 2
    opened(page, f"{index}#/cluster/{BIRDS}")
    page.wait("document.querySelectorAll('.tile').length === 5 && congealView.interactive > 0")
    shown = page.evaluate("congealView.members.map(member => member.uri)")
    assert apart(page, destination, shown) < 0.5
    for route in ("#/quality", "#/problems", "#/about", f"#/cluster/{BIRDS}/0/1"):
        opened(page, index + route)
    assert all(url.startswith(("file:", "data:", "blob:", "about:")) for url in page.requests)


@pytest.mark.parametrize("served", [False, True])
def test_the_owners_columns_colour_and_filter_the_map(page: Page, tmp_path: Path, served: bool) -> None:
    destination = known_collection(tmp_path)
    labelled(destination)
    call("report", destination)
    with server_of(destination) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        try:
            address = f"http://127.0.0.1:{server.server_port}/report/index.html"
            index = address if served else (destination / "report" / "index.html").as_uri()
            opened(page, index)
            page.wait("congealView.map && congealView.interactive > 0")
            colour_by(page, "status of it")
            page.wait("document.querySelectorAll('.legend button.value').length === 3")
            shown = "congealView.map.map.colours.filter(colour => colour !== 0).length"
            assert page.evaluate(shown) == 7
            assert page.evaluate("new Set(congealView.map.map.colours).size") == 3
            page.click(".legend li:nth-child(2) button")  # b
            assert page.evaluate(shown) == 2
            page.click(".legend li:nth-child(3) button")  # or c
            assert page.evaluate(shown) == 3
            assert page.evaluate("document.querySelector('.filter-text').textContent") == "status of it: b, c"
            # And of these, those taken on or before a day.
            colour_by(page, "taken")
            page.wait("document.querySelector('.bound')")
            page.evaluate(
                "(() => { const to = document.querySelectorAll('.bound input')[1]; to.value = '2024-05-07';"
                " to.dispatchEvent(new Event('change')); })()"
            )
            assert page.evaluate(shown) == 2
            page.click(".map-filter .quiet")
            page.wait("document.querySelector('.map-list')?.textContent.includes('1.png')")
            assert page.evaluate("document.querySelectorAll('.map-list li').length") == 2
            page.click(".filter-chip")
            page.click(".filter-chip")
            assert page.evaluate(shown) == 7
            opened(page, f"{index}#/cluster/{BIRDS}/0/1")
            page.wait("document.querySelector('.panel .own dd')")
            said = "[...document.querySelectorAll('.panel .own div')].map(row => row.textContent)"
            member = page.evaluate("congealView.members[1].uri")
            row = congeal.open(destination).find(member)
            assert page.evaluate(said) == [f"status of it{row['status of it']}", f"taken{row['taken']}"]
            opened(page, f"{index}#/changes")
            text = page.evaluate("document.querySelector('.changes').textContent")
            assert "Since version 1" in text
            assert "Images that have gone 1a/2.png" in text
        finally:
            server.shutdown()
            thread.join()


def colour_by(page: Page, name: str) -> None:
    page.evaluate(
        "(() => { const choice = document.querySelector('.toolbar select');"
        f" choice.value = [...choice.options].find(one => one.textContent === {name!r}).value;"
        " choice.dispatchEvent(new Event('change')); })()"
    )


def test_a_report_that_is_served_reads_the_published_arrays(page: Page, tmp_path: Path) -> None:
    destination = known_collection(tmp_path)
    call("report", destination)
    with server_of(destination) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        try:
            address = f"http://127.0.0.1:{server.server_port}"
            opened(page, f"{address}/report/index.html#/cluster/{BIRDS}")
            page.wait("document.querySelectorAll('.tile').length === 5 && congealView.interactive > 0")
            shown = page.evaluate("congealView.members.map(member => member.uri)")
            assert apart(page, destination, shown) < 1e-3
            opened(page, f"{address}/report/index.html")
            page.wait("congealView.map && congealView.interactive > 0")
            assert page.evaluate("document.querySelectorAll('.note').length") == 0
        finally:
            server.shutdown()
            thread.join()
    asked = [url for url in page.requests if url.startswith("http")]
    assert all(url.startswith(address) for url in asked)
    assert any("maps/forward/c/" in url for url in asked)
    assert any(url.endswith(".parquet") for url in asked)
    assert not any("/maps-" in url for url in asked)


def test_a_cluster_inline(page: Page, known: Path, tmp_path: Path) -> None:
    file = tmp_path / "notebook.html"
    file.write_text(congeal.open(known).show(BIRDS)._repr_html_())
    page.open(file.as_uri())
    page.wait("document.querySelector('iframe')")
    frame = tmp_path / "document.html"
    frame.write_text(congeal.open(known).show(BIRDS).document)
    opened(page, frame.as_uri())
    page.wait("document.querySelectorAll('.tile').length === 5 && congealView.interactive > 0")
    assert not [url for url in page.requests if url.startswith("http")]


def test_any_name_is_text(page: Page, tmp_path: Path, weights: Path) -> None:
    files = dict(zip(NAMES, photographs(2).values(), strict=True))
    run(folder(tmp_path / "source", files), tmp_path / "out", tiny(weights))
    index = (tmp_path / "out" / "report" / "index.html").as_uri()
    opened(page, index)
    page.wait("congealView.map")
    routes = page.evaluate("[...document.querySelectorAll('a.card')].map(card => card.getAttribute('href'))")
    assert routes
    for route in routes:
        opened(page, f"{index}{route}/0/0")
        page.wait("document.querySelector('.panel')")
        assert page.evaluate("document.querySelectorAll('b, img[src=x], [onerror]').length") == 0
        links = page.evaluate("[...document.querySelectorAll('a')].map(link => link.getAttribute('href'))")
        assert all(link.startswith("#") for link in links)


def test_corrections_are_taken_by_propagate(page: Page, known: Path, tmp_path: Path) -> None:
    """A point is dragged on the page, exported, and carried anew from where it was put."""
    marks = tmp_path / "marks.json"
    marks.write_text(json.dumps(MARKS))
    call("report", known, "--out", tmp_path / "site", "--annotations", marks)
    opened(page, f"{(tmp_path / 'site' / 'index.html').as_uri()}#/cluster/{BIRDS}")
    page.wait("document.querySelector('.corrections')")
    page.frame()
    page.evaluate("URL.createObjectURL = blob => { window.saved = blob.text(); return 'data:,'; }")
    page.evaluate("HTMLAnchorElement.prototype.click = () => {}")
    position = page.evaluate("congealView.members.findIndex(member => member.uri === 'a/3.png')")
    tile = f'.tile[data-position="{position}"] .stage'
    stage = f"congealView.stages.find(stage => stage.member.position === {position})"
    drawn = page.evaluate(
        f"(() => {{ const stage = {stage}; const item = congealView.corrections.items.get(stage.member)[0];"
        " return stage.drawnPixel(item.points[0].x, item.points[0].y).map(at => (at + 1) / 2); })()"
    )
    page.drag(tile, [tuple(drawn), (0.5, 0.25)])
    page.click(".corrections button:nth-of-type(1)")
    corrected = tmp_path / "corrections.json"
    corrected.write_text(page.evaluate("window.saved"))
    call("propagate", known, "--coco", corrected, "--out", tmp_path / "again")
    again = json.loads((tmp_path / "again" / "labels.json").read_text())
    names = {image["id"]: image["file_name"] for image in again["images"]}
    points = {names[entry["image_id"]]: entry["keypoints"] for entry in again["annotations"]}
    assert points["a/0.png"][:2] == [40, 30]  # by hand, and as it was
    assert points["a/3.png"][:2] == pytest.approx([49.5, 24.5], abs=1.5)  # where it was put
    assert {"a/1.png", "a/2.png"} <= set(points)
