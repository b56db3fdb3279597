"""What the page of a report says of clusters that are not to be trusted, and of those not aligned."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from chromium import Page
from opened_report import browser, page
from report_encoding import script
from report_members import members
from report_page_data import write_report

__all__ = ["browser", "page"]

NEEDED = "features.backbone=dinov2_vits14"


def report_of(place: Path, *, index: dict[str, Any], **cluster: Any) -> str:
    """A report of one cluster of which its index says what is given."""
    written = write_report(place, members(["one.jpg", "two.jpg", "three.jpg"]))
    file = written.parent / "data" / "index.js"
    known = json.loads(file.read_text().partition(" = ")[2].removesuffix(";"))
    known["clusters"] |= {name: [value] for name, value in cluster.items()}
    script(file, "index", known | index)
    return written.as_uri()


def said(page: Page, report: str) -> list[str]:
    """On the overview's card, on the cluster's page and among the failures."""
    texts = []
    for route, what in (("", ".card .tag.warn"), ("#/cluster/c0ffee", ".warning"), ("#/problems", "main")):
        page.open("about:blank")
        page.open(f"{report}{route}")
        page.wait("document.querySelector('main > *') && !document.querySelector('main[aria-busy]')")
        texts.append(page.evaluate(f"document.querySelector({json.dumps(what)})?.textContent ?? ''"))
    return texts


def test_maps_that_matching_does_not_bear_out(page: Page, tmp_path: Path) -> None:
    card, warning, problems = said(page, report_of(tmp_path, index={}, doubtful=True, not_aligned=False))
    assert card == "doubtful"  # the word of the tables, of the summary and of `transfer`
    assert "does not bear its maps out" in warning
    assert "does not bear its maps out" in problems


@pytest.mark.parametrize("needed", ["dinov2_vits14", None])
def test_images_that_share_nothing_and_the_backbone_that_may_show_it(
    page: Page, tmp_path: Path, needed: str | None
) -> None:
    report = report_of(
        tmp_path, index={"stronger": needed}, status="nothing-in-common", doubtful=False, not_aligned=True
    )
    card, warning, problems = said(page, report)
    assert card == "nothing in common"
    assert "nothing corresponds here" in warning
    assert (NEEDED in warning) == (NEEDED in problems) == (needed is not None)


def test_an_aligned_cluster_has_no_warning(page: Page, tmp_path: Path) -> None:
    index = {"stronger": "dinov2_vits14"}
    assert said(page, report_of(tmp_path, index=index, doubtful=False, not_aligned=False))[:2] == ["", ""]
