"""The page of a report in Chromium, opened from disk: everything that a person does with it."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from chromium import Page, chromium
from report_page_data import CELL, Member, members, write_report

from congeal.imaging.visualization import warped
from congeal.transfer.formats import coco, tps
from congeal.transfer.points import ForwardMaps, transfer_to_many

HOSTILE = [
    '"><img src=x onerror=alert(1)>.jpg',
    "'; DROP TABLE images; --.jpg",
    "two\nlines\r<b>bold</b>.jpg",
    "x" * 500 + ".jpg",
    "javascript:alert(1)",
    "plain.jpg",
]


@pytest.fixture(scope="module")
def browser() -> Iterator[Page]:
    with chromium() as page:
        yield page


@pytest.fixture(scope="module")
def found() -> list[Member]:
    return members([f"folder/thing {k}.jpg" for k in range(6)])


@pytest.fixture(scope="module")
def report(tmp_path_factory: pytest.TempPathFactory, found: list[Member]) -> str:
    return write_report(tmp_path_factory.mktemp("report"), found).as_uri()


@pytest.fixture
def page(browser: Page) -> Iterator[Page]:
    """The tab, empty; whatever is done, no error is written and only the report's files are asked for."""
    browser.open("about:blank")
    browser.errors.clear()
    browser.requests.clear()
    browser.size(1280, 900)
    yield browser
    # That pixels are read is the tests' doing.
    assert [error for error in browser.errors if "willReadFrequently" not in error] == []
    inside = ("file:", "data:", "blob:", "about:")
    assert [url for url in browser.requests if not url.startswith(inside)] == []


def cluster(page: Page, report: str, route: str = "", *, labels: bool = False) -> None:
    """Open the cluster's page and wait until its members are drawn."""
    page.open("about:blank")
    page.open(f"{report}#/cluster/c0ffee{route}")
    page.wait("document.querySelector('.corrections')")
    if not labels:
        page.click(".corrections .toggle")
    page.click(".segmented [data-value=best]")
    page.frame()


def marks(page: Page, position: int) -> Any:
    """Centre of the marks over a member as shares of its picture, their greatest opacity, their pixels."""
    return page.evaluate(
        f"""(() => {{
          const canvas = document.querySelector('.tile[data-position="{position}"] .marks');
          const data = canvas.getContext('2d').getImageData(0, 0, canvas.width, canvas.height).data;
          let [x, y, n, most] = [0, 0, 0, 0];
          for (let k = 0; k < data.length / 4; k++) if (data[4 * k + 3] > 8) {{
            x += k % canvas.width; y += Math.floor(k / canvas.width); n++;
            most = Math.max(most, data[4 * k + 3]);
          }}
          return n ? [(x / n + 0.5) / canvas.width, (y / n + 0.5) / canvas.height, most / 255, n] : null;
        }})()"""
    )


def share(member: Member, xy: Any) -> Any:
    """Where a pixel of a member is in its square picture, as shares."""
    return (member.maps.frame.to_frame(np.asarray(xy)) + 1) / 2


def test_counterparts_are_those_of_transfer(page: Page, report: str, found: list[Member]) -> None:
    """The page carries points by its quantised maps as `congeal transfer` does by the arrays."""
    cluster(page, report)
    random = np.random.default_rng(5)
    targets = ForwardMaps(
        [m.maps.frame for m in found],
        np.stack([m.maps.forward for m in found]),
        np.stack([m.maps.forward_confidence for m in found]),
    )
    distances, sures = [], []
    for k, member in enumerate(found):
        frame = member.maps.frame
        points = random.uniform((-0.5, -0.5), (frame.width - 0.5, frame.height - 0.5), (300, 2))
        asked = json.dumps(points.tolist())
        given = page.evaluate(
            f"{asked}.map(([x, y]) => congealView.counterparts({k}, x, y).map(c => [c.x, c.y, c.confidence]))"
        )
        got = np.asarray(given).transpose(1, 0, 2)
        wanted = transfer_to_many(points, member.maps, targets)
        distances.append(np.hypot(*(got[..., :2] - wanted.xy).transpose(2, 0, 1)).ravel())
        sures.append(np.abs(got[..., 2] - wanted.confidence).ravel())
    apart = np.concatenate(distances)
    assert len(apart) > 10_000
    assert (apart <= 0.5).mean() >= 0.999
    # At the image's very edge a counterpart may fall on either side of it.
    assert (np.concatenate(sures) <= 0.02).mean() >= 0.995


def test_hover_shows_the_counterpart_on_all_with_confidence_as_opacity(
    page: Page, report: str, found: list[Member]
) -> None:
    cluster(page, report)
    assert marks(page, 2) is None
    page.hover('.tile[data-position="0"] .stage', 0.5, 0.45)
    at = page.evaluate("congealView.stages.find(stage => stage.member.position === 0).pixelAt(0, -0.1)")
    everywhere = ForwardMaps(
        [m.maps.frame for m in found],
        np.stack([m.maps.forward for m in found]),
        np.stack([m.maps.forward_confidence for m in found]),
    )
    wanted = transfer_to_many(np.array([at]), found[0].maps, everywhere)
    for k in range(1, len(found)):
        x, y, opacity, _ = marks(page, k)
        assert np.allclose([x, y], share(found[k], wanted.xy[k, 0]), atol=0.012)
        assert opacity == pytest.approx(wanted.confidence[k, 0], abs=0.06)
    page.hover("h1")
    assert marks(page, 2) is None


def test_the_atlas_points_at_all_members(page: Page, report: str, found: list[Member]) -> None:
    cluster(page, report)
    page.hover(".atlas-stage", 0.5, 0.5)
    middle = (found[3].maps.forward[15:17, 15:17]).mean((0, 1))
    x, y, _, _ = marks(page, 3)
    assert np.allclose([x, y], share(found[3], middle), atol=0.015)


def test_a_click_keeps_a_point_and_the_keyboard_does_too(page: Page, report: str) -> None:
    cluster(page, report)
    page.click('.tile[data-position="0"] .stage', 0.5, 0.45)
    page.hover("h1")
    assert marks(page, 4) is not None
    assert page.evaluate("document.querySelector('.points').textContent").count("seen on") == 1
    page.evaluate("document.querySelector('.tile[data-position=\"1\"] .stage').focus()")
    for key in ("ArrowLeft", "ArrowLeft", "ArrowDown", " "):
        page.key(key)
    assert page.evaluate("document.querySelectorAll('.points li').length") == 2
    page.key("Escape")
    page.hover("h1")
    assert page.evaluate("document.querySelectorAll('.points li').length") == 0
    assert marks(page, 4) is None


def test_a_box_is_seen_warped_everywhere(page: Page, report: str) -> None:
    cluster(page, report)
    page.drag('.tile[data-position="0"] .stage', [(0.4, 0.4), (0.5, 0.5), (0.62, 0.6)])
    page.hover("h1")
    assert page.evaluate("document.querySelector('.points').textContent").count("1 box") == 1
    for k in range(6):
        assert marks(page, k)[3] > 300


def slide(page: Page, t: float) -> None:
    page.evaluate(f"document.querySelector('#morph').value = {t}")
    page.evaluate("document.querySelector('#morph').dispatchEvent(new Event('input'))")


def test_the_slider_carries_members_into_the_atlas_frame(
    page: Page, report: str, found: list[Member]
) -> None:
    cluster(page, report)
    picture = f"""(() => {{ const c = document.querySelector('.tile[data-position="1"] .stage > canvas');
      return Array.from(c.getContext('2d').getImageData(0, 0, {CELL}, {CELL}).data); }})()"""
    before = np.array(page.evaluate(picture)).reshape(CELL, CELL, 4)
    slide(page, 1)
    after = np.array(page.evaluate(picture)).reshape(CELL, CELL, 4)
    maps = found[1].maps
    aligned = warped(found[1].square, maps.frame.to_frame(maps.forward).astype(np.float32))
    shown = after[..., 3] == 255
    assert shown.mean() > 0.5
    assert np.abs(after[shown, :3].astype(int) - aligned[shown].astype(int)).mean() < 4
    slide(page, 0.5)
    half = np.array(page.evaluate(picture)).reshape(CELL, CELL, 4)
    assert not np.array_equal(half, before)
    slide(page, 0)
    assert np.array_equal(np.array(page.evaluate(picture)).reshape(CELL, CELL, 4), before)


def test_play_moves_the_slider_and_stops(page: Page, report: str) -> None:
    cluster(page, report)
    page.click(".play")
    page.wait("Number(document.querySelector('#morph').value) > 0.2")
    page.click(".play")
    assert page.evaluate("document.querySelector('.play').getAttribute('aria-label')") == "Play"


@pytest.mark.parametrize("box", [1, 2, 3, 4], ids=["confidence", "saliency", "mask", "grid"])
def test_toggles_show_over_the_members(page: Page, report: str, box: int) -> None:
    cluster(page, report)
    page.click(f".toggles .toggle:nth-child({box})")
    page.hover("h1")
    assert marks(page, 2)[3] > 1000
    page.click(f".toggles .toggle:nth-child({box})")
    page.hover("h1")
    assert marks(page, 2) is None


@pytest.mark.parametrize("choice", ["before", "after", "colours", "saliency", "confidence"])
def test_pictures_of_the_atlas_are_chosen(page: Page, report: str, choice: str) -> None:
    cluster(page, report)
    page.click(f".atlas [data-value={choice}]")
    shown = (
        "[...document.querySelectorAll('.atlas-stage > :not(.marks)')].filter(e => e.style.opacity === '1')"
    )
    page.wait(f"{shown}.every(e => e.tagName === 'CANVAS' || e.naturalWidth > 0)")
    assert page.evaluate(f"{shown}.length") == 1


def test_before_and_after_stand_side_by_side(page: Page, report: str) -> None:
    cluster(page, report)
    page.click(".segmented [data-value=both]")
    assert page.evaluate("document.querySelectorAll('.tile .stage').length") == 12
    page.hover('.tile[data-position="0"] .stage:nth-child(2)', 0.5, 0.5)
    assert marks(page, 3) is not None


def test_rows_snippets_and_sql_are_copied(page: Page, report: str) -> None:
    cluster(page, report)
    page.evaluate(
        "navigator.clipboard ? navigator.clipboard.writeText = async text => { window.copied = text; } : 0"
    )
    page.evaluate(
        "document.execCommand = () => { window.copied = document.activeElement.value; return true; }"
    )
    copied = []
    for k in range(1, 4):
        page.click(f".facts-row .row button:nth-child({k})")
        page.wait("window.copied")
        copied.append(page.evaluate("window.copied"))
        page.evaluate("window.copied = ''")
    assert json.loads(copied[0]) == {"cluster_id": "c0ffee", "n_images": 6}
    assert 'congeal.open("file:///destination")' in copied[1]
    assert "FROM members WHERE cluster_id = 'c0ffee'" in copied[2]


def test_the_panel_of_an_image_opens_and_closes(page: Page, report: str, found: list[Member]) -> None:
    cluster(page, report)
    page.click('.tile[data-position="1"] figcaption a')
    page.wait("document.querySelector('.panel')")
    text = page.evaluate("document.querySelector('.panel').textContent")
    assert "folder/thing 1.jpg" in text
    frame = found[1].maps.frame
    assert f"{frame.width} × {frame.height}" in text
    assert "Mirroredyes" in text
    page.click(".panel .neighbours a")
    page.wait("document.querySelector('.panel h2').textContent === 'thing 2.jpg'")
    page.click(".panel .close")
    page.wait("!document.querySelector('.panel')")


def test_an_outlier_is_named_with_its_reason(page: Page, report: str) -> None:
    cluster(page, report)
    assert "covers too little" in page.evaluate("document.querySelector('.tile.outlier').textContent")
    assert "covers too little" in page.evaluate("document.querySelector('.listing').textContent")


def test_large_clusters_are_paged(page: Page, tmp_path: Path) -> None:
    report = write_report(tmp_path, members([f"{k}.jpg" for k in range(8)]), page_size=3).as_uri()
    cluster(page, report)
    assert page.evaluate("document.querySelectorAll('.tile').length") == 3
    assert "Members 1 to 3 of 8" in page.evaluate("document.querySelector('.pager').textContent")
    page.click(".pager a")
    page.wait("document.querySelector('.pager').textContent.includes('Members 4 to 6 of 8')")
    page.wait("document.querySelectorAll('.tile').length === 3")
    page.wait("document.querySelector('.tile figcaption').textContent.includes('3.jpg')")


def test_corrections_come_out_as_files_that_propagate_takes(
    page: Page, report: str, found: list[Member]
) -> None:
    cluster(page, report, labels=True)
    page.evaluate("URL.createObjectURL = blob => { window.saved = blob.text(); return 'data:,'; }")
    page.evaluate("HTMLAnchorElement.prototype.click = () => {}")
    start = share(found[2], found[2].maps.forward[16, 16])
    end = start + 0.08
    page.drag('.tile[data-position="2"] .stage', [tuple(start.tolist()), tuple(end.tolist())])
    assert "1 label corrected" in page.evaluate("document.querySelector('.corrections').textContent")
    page.click(".corrections button:nth-of-type(1)")
    read = coco.read(page.evaluate("window.saved").encode())
    by_image = {annotation.image: annotation for annotation in read.annotations}
    assert set(by_image) == {found[0].uri, found[2].uri}  # marked by hand before, and corrected here
    assert by_image[found[0].uri].box == (10, 20, 40, 60)
    corrected = by_image[found[2].uri]
    assert corrected.box is None
    assert corrected.keypoint_names == ("nose", "tail")
    assert corrected.keypoints is not None
    assert corrected.keypoint_confidence is not None
    assert np.allclose(share(found[2], corrected.keypoints[0]), end, atol=0.01)
    assert np.allclose(corrected.keypoints[1], found[2].maps.forward[16, 22], atol=0.02)
    assert corrected.keypoint_confidence.tolist() == [1, 0.7]
    page.click(".corrections button:nth-of-type(2)")
    specimens = {s.image: s for s in tps.read(page.evaluate("window.saved").encode())}
    flipped = specimens[found[2].uri].landmarks[0]
    x, y = corrected.keypoints[0]
    assert np.allclose(flipped, [x, found[2].maps.frame.height - 1 - y], atol=0.02)


def test_labels_are_corrected_with_the_keyboard(page: Page, report: str, found: list[Member]) -> None:
    cluster(page, report, labels=True)
    page.evaluate("URL.createObjectURL = blob => { window.saved = blob.text(); return 'data:,'; }")
    page.evaluate("HTMLAnchorElement.prototype.click = () => {}")
    page.evaluate("document.querySelector('.tile[data-position=\"2\"] .stage').focus()")
    for key in ("n", "Enter", "ArrowRight", "Escape"):
        page.key(key)
    assert "corrected" not in page.evaluate("document.querySelector('.corrections').textContent")
    for key in ("Enter", *["ArrowRight"] * 8, *["ArrowDown"] * 4, "Enter", "ArrowLeft"):
        page.key(key)
    assert "1 label corrected" in page.evaluate("document.querySelector('.corrections').textContent")
    page.click(".corrections button:nth-of-type(1)")
    read = coco.read(page.evaluate("window.saved").encode())
    (corrected,) = (annotation for annotation in read.annotations if annotation.image == found[2].uri)
    assert corrected.keypoints is not None
    # A picture is two units wide: 8 and 4 steps of 1/128 are 1/32 and 1/64 of its side.
    moved = share(found[2], corrected.keypoints[0]) - share(found[2], found[2].maps.forward[16, 16])
    assert np.allclose(moved, [1 / 32, 1 / 64], atol=0.002)
    assert np.allclose(corrected.keypoints[1], found[2].maps.forward[16, 22], atol=0.02)


def test_carried_masks_are_seen_over_the_members(page: Page, report: str) -> None:
    cluster(page, report)
    assert marks(page, 1) is None
    page.click(".corrections .toggle")
    assert marks(page, 1)[3] > 1000
    slide(page, 1)
    page.frame()
    assert marks(page, 1)[3] > 1000


def overview(page: Page, report: str) -> None:
    page.open("about:blank")
    page.open(f"{report}#/")
    page.wait("congealView.map && congealView.interactive > 0")


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
