"""What the page names as doubtful or left over, and the commands that it gives to correct it."""

from __future__ import annotations

import json
import shlex
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from chromium import Page
from opened_report import browser, cluster, found, overview, page, report
from report_encoding import base64_of, script
from report_members import members
from report_page_data import write_report

__all__ = ["browser", "found", "page", "report"]

HOSTILE = [
    "it's $(here) `now`.jpg",
    "-rf.jpg",
    "two\nlines.jpg",
    "~root/=ls *.jpg",
    "bär.jpg",
    "\x1b[201~.jpg",
]


def changed(index: Path, change: Callable[[dict[str, Any]], None]) -> str:
    """A report whose index says otherwise."""
    file = index.parent / "data" / "index.js"
    known = json.loads(file.read_text().partition(" = ")[2].removesuffix(";"))
    change(known)
    script(file, "index", known)
    return index.as_uri()


def choose(page: Page, *positions: int) -> None:
    for position in positions:
        page.evaluate(f"document.querySelector('.tile[data-position=\"{position}\"] input').click()")


def typed(page: Page) -> list[str]:
    """The words of the command for what is chosen."""
    return shlex.split(page.evaluate("document.querySelector('.chosen .typed').textContent"))


def test_chosen_images_are_left_out_split_off_and_moved(page: Page, tmp_path: Path) -> None:
    index = write_report(tmp_path, members(HOSTILE))

    def two(known: dict[str, Any]) -> None:
        for name, values in known["clusters"].items():
            known["clusters"][name] = [*values, "-other" if name == "id" else values[0]]

    cluster(page, changed(index, two))
    assert page.evaluate("document.querySelector('.chosen').hidden")
    choose(page, *range(6))
    ids = [f"{0:02d}{k:06x}" for k in range(6)]
    # What a terminal might act on is named by its id.
    names = [HOSTILE[0], HOSTILE[1], ids[2], HOSTILE[3], HOSTILE[4], ids[5]]
    assert typed(page) == ["congeal", "clusters", "/destination", "--", "exclude", *names]
    choose(page, 1)
    kept = [name for name in names if name != "-rf.jpg"]
    page.click(".chosen [data-value=split]")
    assert typed(page) == ["congeal", "clusters", "/destination", "split", "c0ffee", *kept]
    page.click(".chosen [data-value=move]")
    assert typed(page) == ["congeal", "clusters", "/destination", "move", *kept, "--to", "-other"]
    page.evaluate(
        "[...document.querySelectorAll('.chosen button')].find(b => /none/.test(b.textContent)).click()"
    )
    assert page.evaluate("document.querySelector('.chosen').hidden")


def test_a_doubtful_cluster_leads_to_what_corrects_it(page: Page, tmp_path: Path) -> None:
    index = write_report(tmp_path, members(["a.jpg", "b.jpg", "c.jpg"]))
    cluster(page, changed(index, lambda known: known["clusters"].update(doubtful=[True])))
    assert not page.evaluate("document.querySelector('.correct').open")
    page.click(".warning button")
    assert page.evaluate("document.querySelector('.correct').open")
    lines = page.evaluate("[...document.querySelectorAll('.correct .typed')].map(e => e.textContent)")
    assert "congeal clusters /destination split c0ffee" in lines
    assert lines[-1] == "congeal run /source /destination"


def test_what_has_become_of_the_files_is_said_first(page: Page, report: str) -> None:
    overview(page, report)
    told = page.evaluate("[...document.querySelectorAll('.fates li')].map(e => e.textContent)")
    assert told == [
        "5 aligned, in 1 cluster",
        "1 do not fit their cluster",
        "1 could not be read",
        "1 is a duplicate",
    ]
    page.click(".fates a")
    # Who does not fit is shown, and leads to all about it.
    page.wait("document.querySelector('[data-section=misfits] a[aria-label^=\"folder/thing 5.jpg\"]')")
    page.click("[data-section=misfits] .misfit-pictures a")
    page.wait("document.querySelector('.panel h2')?.textContent === 'thing 5.jpg'")


@pytest.mark.parametrize("excluded", [False, True])
def test_images_in_no_cluster_are_listed_with_what_can_be_done(
    page: Page, tmp_path: Path, excluded: bool
) -> None:
    index = write_report(tmp_path, members([f"{k}.jpg" for k in range(6)]))
    file = index.parent / "data" / "map.js"
    known = json.loads(file.read_text().partition(" = ")[2].removesuffix(";"))
    known["columns"] |= {
        "cluster": base64_of(np.uint32, np.array([0, 0, 0, 0, 0, 0xFFFFFFFF])),
        "status": base64_of(np.uint8, np.array([0, 0, 0, 0, 0, 3 if excluded else 2])),
    }
    script(file, "map", known)

    def one_less(known: dict[str, Any]) -> None:
        known["clusters"].update(n_images=[5], n_outliers=[0])

    page.open(f"{changed(index, one_less)}#/problems/loose")
    page.wait("document.querySelector('.loose .path')?.textContent === '5.jpg'")
    said = page.evaluate("document.querySelector('.loose li').textContent")
    assert ("left out by a correction" in said) == excluded
    assert ("nearest on the map" in said) != excluded
    if excluded:
        return
    page.evaluate("navigator.clipboard.writeText = async (text) => { window.copied = text; }")
    page.evaluate("document.querySelector('.loose li button').click()")
    page.wait("window.copied")
    assert page.evaluate("window.copied") == "congeal clusters /destination move 5.jpg --to c0ffee"


def test_images_are_found_by_path_and_so_is_what_failed(page: Page, report: str) -> None:
    overview(page, report)
    for text, wanted in (("THING 3", "thing 3.jpg"), ("broken", "it ends early")):
        page.evaluate(
            f"(() => {{ const input = document.querySelector('.finder'); input.value = '{text}';"
            " input.dispatchEvent(new Event('input')); })()"
        )
        page.wait(f"document.querySelector('.map-side').textContent.includes('{wanted}')")


def test_a_large_cluster_is_seen_at_a_glance(page: Page, tmp_path: Path) -> None:
    report = write_report(tmp_path, members([f"{k}.jpg" for k in range(8)]), page_size=3).as_uri()
    cluster(page, report)
    page.evaluate("document.querySelector('.contact-sheets').closest('details').open = true")
    page.wait("document.querySelectorAll('.contact-sheets img').length === 3")
    page.evaluate("document.querySelector('.contact-sheets a:nth-child(2) img').scrollIntoView()")
    page.wait("document.querySelector('.contact-sheets a:nth-child(2) img').naturalWidth > 0")
    page.click(".contact-sheets a:nth-child(2) img", 0.5, 0.5)
    page.wait("location.hash === '#/cluster/c0ffee/1/1'")
    page.wait("document.querySelector('.panel h2')?.textContent === '4.jpg'")
    page.evaluate(
        "(() => { const s = document.querySelector('.pager select'); s.value = '2';"
        " s.dispatchEvent(new Event('change')); })()"
    )
    page.wait("document.querySelector('.pager').textContent.includes('Members 7 to 8 of 8')")
