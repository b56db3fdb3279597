"""A report that is made up, opened in Chromium from disk."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np
import pytest
from chromium import Page, chromium
from report_members import Member, members
from report_page_data import write_report


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


def overview(page: Page, report: str) -> None:
    page.open("about:blank")
    page.open(f"{report}#/")
    page.wait("congealView.map && congealView.interactive > 0")
