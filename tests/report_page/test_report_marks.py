"""Marks made on the page: files that `congeal propagate` reads back, one place of all members compared."""

from __future__ import annotations

from typing import Any

import numpy as np
from chromium import Page
from opened_report import browser, cluster, found, page, report, share
from report_members import Member

from congeal.transfer.formats import coco, tps

__all__ = ["browser", "found", "page", "report"]

TILE = '.tile[data-position="{}"] .stage'


def saved(page: Page, button: str) -> bytes:
    """What a button of the marks has the browser save."""
    page.evaluate("URL.createObjectURL = blob => { window.saved = blob.text(); return 'data:,'; }")
    page.evaluate("HTMLAnchorElement.prototype.click = () => {}")
    page.evaluate(
        f"[...document.querySelectorAll('.points button')].find(b => b.textContent === '{button}').click()"
    )
    return str(page.evaluate("window.saved")).encode()


def called(page: Page, number: int, name: str) -> None:
    """Give a mark a name."""
    page.evaluate(
        f"(() => {{ const input = document.querySelectorAll('.points li input')[{number}];"
        f" input.value = '{name}'; input.dispatchEvent(new Event('input')); }})()"
    )


def test_marks_come_out_as_files_that_propagate_takes(page: Page, report: str, found: list[Member]) -> None:
    cluster(page, report)
    page.click(TILE.format(0), 0.5, 0.45)
    page.click(TILE.format(2), 0.35, 0.6)
    page.drag(TILE.format(0), [(0.4, 0.4), (0.5, 0.5), (0.6, 0.62)])
    page.click(".points [data-value=outline]")
    page.drag(TILE.format(2), [(0.4, 0.4), (0.6, 0.42), (0.58, 0.6), (0.42, 0.58)])
    for number, name in enumerate(("eye", "eye", "lid", "iris")):
        called(page, number, name)
    read = coco.read(saved(page, "Export COCO")).annotations
    first, second, box, outline = read
    assert first.image == box.image == found[0].uri
    assert second.image == outline.image == found[2].uri
    assert first.keypoint_names == second.keypoint_names == ("eye", "eye 2")
    assert (box.category, outline.category) == ("lid", "iris")
    assert first.keypoints is not None
    assert second.keypoints is not None
    assert np.allclose(share(found[0], first.keypoints[0]), (0.5, 0.45), atol=0.01)
    assert np.isnan(first.keypoints[1]).all()
    assert np.allclose(share(found[2], second.keypoints[1]), (0.35, 0.6), atol=0.01)
    assert box.box is not None
    x, y, right, bottom = box.box
    assert np.allclose(share(found[0], np.array([x, y])), (0.4, 0.4), atol=0.01)
    assert np.allclose(share(found[0], np.array([right, bottom])), (0.6, 0.62), atol=0.01)
    (ring,) = outline.polygons
    corners = np.array([share(found[2], corner) for corner in ring])
    assert np.abs(corners - 0.5).max() < 0.12
    (specimen, _) = tps.read(saved(page, "Export TPS"))
    assert specimen.image == found[0].uri


def test_marks_on_all_images_of_the_page_keep_their_confidence(
    page: Page, report: str, found: list[Member]
) -> None:
    cluster(page, report)
    page.click(".atlas-stage", 0.5, 0.5)
    read = coco.read(saved(page, "Export all shown")).annotations
    assert {mark.image for mark in read} == {one.uri for one in found if not one.outlier}
    middle = {one.uri: one.maps.forward[15:17, 15:17].mean((0, 1)) for one in found}
    for mark in read:
        assert mark.keypoints is not None
        assert mark.keypoint_confidence is not None
        assert np.allclose(mark.keypoints[0], middle[mark.image], atol=2)
        assert 0 < mark.keypoint_confidence[0] <= 1
    # A mark on the atlas alone goes to the image that shows it surest.
    (alone,) = coco.read(saved(page, "Export COCO")).annotations
    assert alone.image in middle


def test_one_place_of_all_members_is_compared(page: Page, report: str, found: list[Member]) -> None:
    cluster(page, report)
    page.click(TILE.format(0), 0.5, 0.45)
    page.evaluate(
        "[...document.querySelectorAll('.points button')].find(b => b.textContent === 'Compare').click()"
    )
    assert shares(page) == sorted(shares(page))
    assert len(shares(page)) == len(found)
    page.click(".comparison [data-value=sure]")
    assert shares(page)[0] == 100  # where it was marked
    assert shares(page) == sorted(shares(page), reverse=True)
    # The drawing is one thing in several poses: turned as the atlas lies, it looks alike.
    pictures = np.array(
        page.evaluate(
            "[...document.querySelectorAll('.cuts canvas')].map(c => [...c.getContext('2d')"
            ".getImageData(c.width * 0.3, c.height * 0.3, 8, 8).data])"
        )
    )
    assert (pictures[..., 3::4] == 255).all()
    page.click(".comparison .close")
    page.wait("!document.querySelector('.comparison')")


def shares(page: Page) -> list[Any]:
    texts = page.evaluate("[...document.querySelectorAll('.cuts .hint')].map(e => e.textContent)")
    return [int(text.split()[0]) for text in texts]
