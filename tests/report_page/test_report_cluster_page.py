"""The page of a cluster in Chromium, opened from disk: everything that a person does with it."""

from __future__ import annotations

import json
import re
from pathlib import Path

import numpy as np
import pytest
from chromium import Page
from opened_report import browser, cluster, found, marks, page, report, share
from report_members import CELL, Member, members
from report_page_data import write_report

from congeal.imaging.visualization import warped
from congeal.transfer.formats import coco, tps
from congeal.transfer.points import ForwardMaps, transfer_to_many

__all__ = ["browser", "found", "page", "report"]


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
    copied = copied_python(page)
    assert (
        len(re.findall(r"^landmarks_[12] = c\.landmarks\(\[\[[\d., -]+\]\], \".*\"\)$", copied, flags=re.M))
        == 2
    )
    assert copied.startswith('import congeal\n\nc = congeal.open("')
    compile(copied, "copied", "exec")
    page.key("Escape")
    page.hover("h1")
    assert page.evaluate("document.querySelectorAll('.points li').length") == 0
    assert marks(page, 4) is None


def copied_python(page: Page) -> str:
    """What a click on the button beside the points puts on the clipboard."""
    page.evaluate("navigator.clipboard.writeText = async (text) => { window.copied = text; }")
    page.evaluate(
        "[...document.querySelectorAll('.points button')].find((b) => /Python/.test(b.textContent)).click()"
    )
    page.wait("window.copied")
    return str(page.evaluate("window.copied"))


def test_a_box_is_seen_warped_everywhere(page: Page, report: str) -> None:
    cluster(page, report)
    page.drag('.tile[data-position="0"] .stage', [(0.4, 0.4), (0.5, 0.5), (0.62, 0.6)])
    page.hover("h1")
    assert page.evaluate("document.querySelector('.points').textContent").count("box on thing 0.jpg") == 1
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


def test_on_paper_there_are_pictures_and_nothing_to_press(page: Page, report: str) -> None:
    page.size(1280, 200)
    cluster(page, report)
    page.call("Emulation.setEmulatedMedia", media="print")
    try:
        shown = "[...document.querySelectorAll('{}')].filter((one) => one.offsetParent).length"
        assert page.evaluate(shown.format("button, input")) == 0
        assert page.evaluate(shown.format(".tile")) == 6
        page.frame()
        drawn = "congealView.stages.every(stage => stage.t === 0)"
        assert page.evaluate(drawn)  # those that nobody has scrolled to, too
    finally:
        page.call("Emulation.setEmulatedMedia", media="")
