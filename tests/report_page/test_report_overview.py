"""The overview of a report in Chromium, and what a page says where something is missing."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from chromium import Page
from opened_report import browser, cluster, found, marks, overview, page, report
from report_members import members
from report_page_data import write_report

__all__ = ["browser", "found", "page", "report"]


HOSTILE = [
    '"><img src=x onerror=alert(1)>.jpg',
    "'; DROP TABLE images; --.jpg",
    "two\nlines\r<b>bold</b>.jpg",
    "x" * 500 + ".jpg",
    "javascript:alert(1)",
    "plain.jpg",
]


def test_the_map_names_what_is_pointed_at_and_opens_it(page: Page, report: str) -> None:
    overview(page, report)
    page.evaluate("congealView.map.map.thumbs = false")
    x, y = page.evaluate(
        "(() => { const m = congealView.map.map; const [x, y] = m.pixelOf(3);"
        " return [x / m.canvas.width, y / m.canvas.height]; })()"
    )
    page.hover("canvas.map", x, y)
    page.wait("document.querySelector('.map-card').textContent.includes('thing 3.jpg')")
    page.click("canvas.map", x, y)
    page.wait("document.querySelector('.panel h2').textContent === 'thing 3.jpg'")


def test_the_map_is_zoomed_moved_and_reset(page: Page, report: str) -> None:
    overview(page, report)
    view = "(() => { const v = congealView.map.map.view; return [v.centreX, v.centreY, v.scale]; })()"
    start = page.evaluate(view)
    page.drag("canvas.map", [(0.5, 0.5), (0.6, 0.6)])
    moved = page.evaluate(view)
    assert moved[0] < start[0]
    assert moved[2] == start[2]
    page.click(".zooms button")
    assert page.evaluate(view)[2] == pytest.approx(1.6 * start[2])
    page.evaluate("document.querySelector('canvas.map').focus()")
    page.key("ArrowRight")
    assert page.evaluate(view)[0] > moved[0]
    page.key("0")
    assert page.evaluate(view) == pytest.approx(start)


def test_a_lasso_lists_what_it_holds(page: Page, report: str) -> None:
    overview(page, report)
    page.drag("canvas.map", [(0.01, 0.01), (0.99, 0.01), (0.99, 0.99), (0.01, 0.99)], modifiers=8)
    page.wait("document.querySelectorAll('.map-list li').length === 6")
    page.wait("document.querySelector('.map-list').textContent.includes('thing 0.jpg')")
    page.click(".map-side .close")
    page.wait("!document.querySelector('.map-list')")


@pytest.mark.parametrize("name", ["cluster", "status", "confidence", "residual", "cycle_error"])
def test_the_map_is_coloured_by(page: Page, report: str, name: str) -> None:
    overview(page, report)
    page.click(f".map-section [data-value={name}]")
    colours = page.evaluate("new Set(congealView.map.map.colours).size")
    assert colours == {"cluster": 1, "status": 2, "cycle_error": 1}.get(name, 6)
    assert page.evaluate("document.querySelector('.legend').textContent")


def test_the_wall_leads_to_the_cluster(page: Page, report: str) -> None:
    overview(page, report)
    for order in ("quality", "doubt", "size"):
        page.click(f".wall-section [data-value={order}]")
        assert page.evaluate("document.querySelectorAll('.card').length") == 1
    page.click("a.card")
    page.wait("document.querySelectorAll('.tile').length === 6")


def test_failures_duplicates_settings_and_quality_are_told(page: Page, report: str) -> None:
    for route, words in {
        "problems": ["broken <b>.jpg", "it ends early", "copy of it.jpg"],
        "about": ["embedded", "atlases", "seed"],
        "quality": ["Residual", "Calibration", "13 points"],
    }.items():
        page.open("about:blank")
        page.open(f"{report}#/{route}")
        page.wait("document.querySelector('main h1')")
        text = page.evaluate("document.querySelector('main').textContent")
        for word in words:
            assert word in text
    assert page.evaluate("document.querySelectorAll('svg.chart').length") == 5


def test_names_are_text_and_links_stay_inside(page: Page, tmp_path: Path) -> None:
    report = write_report(tmp_path, members(HOSTILE)).as_uri()
    for route in ("", "#/cluster/c0ffee", "#/cluster/c0ffee/0/0", "#/cluster/c0ffee/0/2", "#/problems"):
        page.open("about:blank")
        page.open(f"{report}{route}")
        page.wait("document.querySelector('main > *') && !document.querySelector('main[aria-busy]')")
        page.frame()
        assert page.evaluate("document.querySelectorAll('b, img[src=x], [onerror]').length") == 0
        links = page.evaluate("[...document.querySelectorAll('a')].map(a => a.getAttribute('href'))")
        assert all(link.startswith("#") for link in links)
        assert page.evaluate("document.documentElement.scrollWidth <= innerWidth")
    cluster(page, report)
    names = page.evaluate("[...document.querySelectorAll('.tile a')].map(a => a.textContent)")
    assert '"><img src=x onerror=alert(1)>.jpg' in names


def test_a_cluster_is_called_what_its_owner_calls_it(page: Page, tmp_path: Path) -> None:
    index = write_report(tmp_path, members(["a.jpg", "b.jpg", "c.jpg"]))
    name = '"name": ["<b>herring</b> gull"], '
    changed(index.parent / "data" / "index.js", ('"status": ["ok"]', name + '"status": ["ok"]'))
    cluster(page, index.as_uri())
    assert page.evaluate("document.querySelector('h1').textContent") == "Cluster <b>herring</b> gull c0ffee"
    assert page.evaluate("document.title").startswith("Cluster <b>herring</b> gull")
    overview(page, index.as_uri())
    assert "<b>herring</b> gull" in page.evaluate("document.querySelector('.card').textContent")
    assert page.evaluate("document.querySelectorAll('b').length") == 0


def test_an_unknown_cluster_is_answered_with_a_sentence(page: Page, report: str) -> None:
    page.open(f"{report}#/cluster/nothing")
    page.wait("document.querySelector('.problem')")
    assert "no cluster nothing" in page.evaluate("document.querySelector('.problem').textContent")


def changed(path: Path, *replacements: tuple[str, str]) -> None:
    text = path.read_text()
    for old, new in replacements:
        assert old in text
        text = text.replace(old, new)
    path.write_text(text)


def test_a_missing_preview_shows_a_placeholder(page: Page, tmp_path: Path) -> None:
    index = write_report(tmp_path, members(["a.jpg", "b.jpg", "c.jpg"]))
    changed(index.parent / "stages" / "c" / "members-0.js", ('"shown": [true', '"shown": [false'))
    cluster(page, index.as_uri())
    assert page.evaluate("document.querySelectorAll('.missing').length") == 1
    page.hover('.tile[data-position="0"] .stage', 0.5, 0.5)
    assert marks(page, 1) is not None


def test_a_cluster_without_an_atlas_says_why(page: Page, tmp_path: Path) -> None:
    index = write_report(tmp_path, members(["a.jpg", "b.jpg", "c.jpg"]))
    changed(
        index.parent / "data" / "index.js",
        ('"script": ["stages/c/cluster.js"]', '"script": [null]'),
        ('"status": ["ok"], "error": [null]', '"status": ["failed"], "error": ["it took all memory"]'),
    )
    page.open(f"{index.as_uri()}#/cluster/c0ffee")
    page.wait("document.querySelector('.problem')")
    assert page.evaluate("document.querySelector('.problem').textContent") == "it took all memory"
    overview(page, index.as_uri())
    assert page.evaluate("document.querySelectorAll('a.card').length") == 0
    assert "failed" in page.evaluate("document.querySelector('.card').textContent")


def test_a_collection_without_clusters_has_a_report(page: Page, tmp_path: Path) -> None:
    path = write_report(tmp_path, members(["a.jpg", "b.jpg"])).parent / "data" / "index.js"
    text = path.read_text()
    index = json.loads(text[text.index(" = ") + 3 : -1])
    index["clusters"] = {name: [] for name in index["clusters"]}
    index["map"] = None
    index["quality"] = {"histograms": {}, "calibration": None, "drift": []}
    index["notes"] = ["Nothing was aligned."]
    path.write_text(f'globalThis.congealReport = {{"index": {json.dumps(index)}}};')
    for route in ("#/", "#/quality", "#/problems", "#/about"):
        page.open("about:blank")
        page.open(f"{(path.parents[1] / 'index.html').as_uri()}{route}")
        page.wait("document.querySelector('main h1')")


def test_a_report_of_another_format_says_so(page: Page, tmp_path: Path) -> None:
    index = write_report(tmp_path, members(["a.jpg", "b.jpg"]))
    changed(index.parent / "data" / "index.js", ('"format": 1', '"format": 2'))
    page.open(index.as_uri())
    page.wait("document.querySelector('.problem')")
    assert "make it again" in page.evaluate("document.querySelector('.problem').textContent")


@pytest.mark.parametrize("width", [390, 820, 1440])
@pytest.mark.parametrize("dark", [False, True])
def test_pages_fit_windows_of_any_width(page: Page, report: str, width: int, dark: bool) -> None:
    page.size(width, 844, dark=dark)
    for route in ("#/", "#/cluster/c0ffee", "#/cluster/c0ffee/0/1", "#/quality", "#/problems", "#/about"):
        page.open("about:blank")
        page.open(f"{report}{route}")
        page.wait("document.querySelector('main > *') && !document.querySelector('main[aria-busy]')")
        page.frame()
        assert page.evaluate("document.documentElement.scrollWidth <= innerWidth")
    assert page.evaluate("getComputedStyle(document.documentElement).colorScheme") == (
        "dark" if dark else "light"
    )


def test_light_and_dark_are_changed_by_the_button(page: Page, report: str) -> None:
    overview(page, report)
    page.click(".theme")
    assert page.evaluate("getComputedStyle(document.documentElement).colorScheme") == "dark"
    page.click(".theme")
    assert page.evaluate("getComputedStyle(document.documentElement).colorScheme") == "light"
