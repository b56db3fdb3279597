"""The page of a report over http: it reads the published arrays and tables, and says when it cannot."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from chromium import Page, chromium
from range_server import served
from report_members import Member, members
from report_page_data import write_report

from congeal.transfer.points import transfer


@pytest.fixture(scope="module")
def browser() -> Iterator[Page]:
    with chromium() as page:
        yield page


@pytest.fixture
def page(browser: Page) -> Page:
    browser.open("about:blank")
    browser.errors.clear()
    browser.requests.clear()
    browser.size(1280, 900)
    return browser


@pytest.fixture(scope="module")
def found() -> list[Member]:
    return members([f"thing {k}.jpg" for k in range(6)])


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory, found: list[Member]) -> Path:
    folder = tmp_path_factory.mktemp("served")
    write_report(folder, found)
    return folder


def show(page: Page, address: str, route: str) -> None:
    page.open(f"{address}/report/index.html{route}")
    page.wait("document.querySelector('main > *') && !document.querySelector('main[aria-busy]')")


def carried(page: Page, found: list[Member]) -> float:
    """How far points carried on the page are from those of `congeal transfer`, at most, in pixels."""
    frame = found[0].maps.frame
    points = np.random.default_rng(3).uniform((0, 0), (frame.width - 1, frame.height - 1), (200, 2))
    asked = json.dumps(points.tolist())
    given = page.evaluate(f"{asked}.map(([x, y]) => congealView.counterparts(0, x, y).map(c => [c.x, c.y]))")
    wanted = transfer(points, found[0].maps, found[2].maps)
    return float(np.hypot(*(np.asarray(given)[:, 2] - wanted.xy).T).max())


def test_maps_are_read_from_the_published_arrays(page: Page, folder: Path, found: list[Member]) -> None:
    with served(folder) as address:
        show(page, address, "#/cluster/c0ffee")
        page.wait("document.querySelectorAll('.tile').length === 6 && congealView.interactive > 0")
        assert carried(page, found) < 1e-3
    asked = [url.removeprefix(address) for url in page.requests]
    assert not [url for url in asked if "maps-0.js" in url]
    # Each shard is asked for once, however many of its images are shown.
    assert len([url for url in asked if url.startswith("/atlas.zarr/maps/forward/c/")]) == 1
    assert len(asked) < 30
    assert page.errors == []
    assert all(url.startswith((address, "data:", "blob:")) for url in page.requests if url != "about:blank")


def test_arrays_that_cannot_be_read_are_replaced_and_it_is_said(
    page: Page, folder: Path, found: list[Member]
) -> None:
    with served(folder, hidden="atlas.zarr") as address:
        show(page, address, "#/cluster/c0ffee")
        page.wait("document.querySelectorAll('.tile').length === 6 && congealView.interactive > 0")
        note = page.evaluate("document.querySelector('.note').textContent")
        assert carried(page, found) < 0.5
    assert "published arrays could not be read" in note
    assert "CORS" in note
    assert "congeal report DEST --serve" in note


def test_a_server_without_ranges_will_do(page: Page, folder: Path, found: list[Member]) -> None:
    with served(folder, ranges=False) as address:
        show(page, address, "#/cluster/c0ffee")
        page.wait("document.querySelectorAll('.tile').length === 6 && congealView.interactive > 0")
        assert carried(page, found) < 1e-3
        show(page, address, "#/")
        page.wait("congealView.map && congealView.interactive > 0")
        assert page.evaluate("congealView.map.points.rows") == 6
    assert page.errors == []


def test_without_float16_the_reports_own_maps_are_shown_and_it_is_said(
    page: Page, folder: Path, found: list[Member]
) -> None:
    with served(folder) as address:
        hide = page.call("Page.addScriptToEvaluateOnNewDocument", source="delete globalThis.Float16Array")
        try:
            show(page, address, "#/cluster/c0ffee")
            page.wait("document.querySelectorAll('.tile').length === 6 && congealView.interactive > 0")
        finally:
            page.call("Page.removeScriptToEvaluateOnNewDocument", identifier=hide["identifier"])
        assert "float16" in page.evaluate("document.querySelector('.note').textContent")
        assert carried(page, found) < 0.5


def test_the_map_comes_from_the_table(page: Page, folder: Path) -> None:
    with served(folder) as address:
        show(page, address, "#/")
        page.wait("congealView.map && congealView.interactive > 0")
        assert page.evaluate("congealView.map.points.rows") == 6
        assert page.evaluate("congealView.map.points.name(4)") == "thing 4.jpg"
        values = page.evaluate("congealView.map.points.measure('confidence').then(v => [...v])")
        assert values == pytest.approx(np.linspace(0.2, 0.9, 6).tolist(), abs=1e-6)
    assert not [url for url in page.requests if "map.js" in url or "names.js" in url]
    assert page.errors == []


def test_images_are_found_by_path_in_the_table(page: Page, folder: Path) -> None:
    with served(folder) as address:
        show(page, address, "#/")
        page.wait("congealView.interactive > 0")
        page.evaluate(
            "(() => { const input = document.querySelector('.finder'); input.value = 'THING 4';"
            " input.dispatchEvent(new Event('input')); })()"
        )
        page.wait("document.querySelectorAll('.map-list li').length === 1")
        page.wait("document.querySelector('.map-list').textContent.includes('thing 4.jpg')")
    assert not [url for url in page.requests if "names.js" in url]
    assert page.errors == []


def test_images_are_thumbnails_when_near_and_dots_without_them(page: Page, folder: Path) -> None:
    colours = """(() => { const c = document.querySelector('canvas.map');
      const data = c.getContext('2d').getImageData(0, 0, c.width, c.height).data;
      return new Set(new Uint32Array(data.buffer).filter(pixel => pixel >>> 24 === 255)).size; })()"""
    with served(folder) as address:
        show(page, address, "#/")
        page.wait("congealView.map.sheets.there.size === 1")
        page.frame()
        assert page.evaluate(colours) > 20
        page.click(".map-section .toggle")
        page.hover("h1")
        assert page.evaluate(colours) == 1


def test_a_table_that_is_missing_is_replaced_and_it_is_said(page: Page, folder: Path) -> None:
    with served(folder, hidden="parquet") as address:
        show(page, address, "#/")
        page.wait("congealView.map && congealView.interactive > 0")
        text = page.evaluate("document.querySelector('.map-foot').textContent")
        assert page.evaluate("congealView.map.points.name(4)") == "thing 4.jpg"
    assert "could not be read" in text


def test_data_that_is_missing_is_told_with_the_cure(page: Page, folder: Path) -> None:
    for hidden, words in {
        "data/index.js": "data of this report is missing",
        "members-0": "members-0.js",
    }.items():
        with served(folder, hidden=hidden) as address:
            page.open(f"{address}/report/index.html#/cluster/c0ffee")
            page.wait("document.querySelector('.problem')")
            text = page.evaluate("document.querySelector('.problem').textContent")
        assert words in text
        assert "congeal report" in text
        page.open("about:blank")
