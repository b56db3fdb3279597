"""Images that show several of a kind, in Chromium: each has its own map, and a marked point goes to all."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from chromium import Page
from opened_report import browser, cluster, page, share
from report_encoding import packed, script
from report_members import Member, members
from report_page_data import write_report

__all__ = ["browser", "page"]

MOVED = 40.0  # pixels to the right, where a second thing is seen in the first image


@pytest.fixture(scope="module")
def found() -> list[Member]:
    return members([f"folder/thing {k}.jpg" for k in range(4)])


@pytest.fixture(scope="module")
def report(tmp_path_factory: pytest.TempPathFactory, found: list[Member]) -> str:
    """As the report of one thing an image, and a second one in the first image."""
    place = write_report(tmp_path_factory.mktemp("several"), found)
    folder = place.parent / "stages" / "c"
    maps = found[0].maps
    shift = MOVED * 2 / max(maps.frame.width, maps.frame.height)
    # A pixel of the second is known to its own map best.
    u = (np.arange(maps.backward.shape[1]) + 0.5) * 2 / maps.backward.shape[1] - 1
    sure = np.where(u[None, :] > 0.5, 1.0, 0.0) * np.ones_like(maps.backward_confidence)
    further = {
        "forward": packed(np.add(maps.forward, [MOVED, 0.0])[None], wide=True),
        "forward_confidence": packed(maps.forward_confidence[None, ..., None], wide=False),
        "backward": packed((maps.backward - [shift, 0.0])[None], wide=True),
        "backward_confidence": packed(sure[None, ..., None], wide=False),
    }
    _change(folder / "maps-0.js", "maps/c0ffee/0", {"further": further})
    rows = _held(folder / "members-0.js")
    rows["rows"]["further"] = [[[1, 0, 0.8]], [], [], []]
    script(folder / "members-0.js", "members/c0ffee/0", rows)
    _change(folder / "cluster.js", "cluster/c0ffee", {"several": [1, 1]})
    return place.as_uri()


def _held(path: Path) -> dict[str, object]:
    found: dict[str, object] = json.loads(path.read_text().partition(" = ")[2].rstrip(";"))
    return found


def _change(path: Path, key: str, more: dict[str, object]) -> None:
    script(path, key, _held(path) | more)


def test_a_point_goes_to_every_instance(page: Page, report: str, found: list[Member]) -> None:
    cluster(page, report)
    width, height = found[1].maps.frame.width, found[1].maps.frame.height
    first, second, *others = page.evaluate(f"congealView.counterparts(1, {width // 2}, {height // 2})")
    assert (first["image"], second["image"], second["instance"]) == ("00000000", "00000000", 1)
    assert "instance" not in first
    assert second["x"] - first["x"] == pytest.approx(MOVED, abs=0.5)
    assert second["y"] == pytest.approx(first["y"], abs=0.5)
    assert len(others) == 3
    assert all("instance" not in one for one in others)


def test_pointing_at_the_second_is_of_its_own_map(page: Page, report: str, found: list[Member]) -> None:
    cluster(page, report)
    place = page.evaluate("congealView.stages[0].member.uri")
    position = [one.uri for one in found].index(place)
    at = page.evaluate(
        "(() => { const stage = congealView.stages.find((one) => one.member.further.length);"
        " const found = [0.3, 0.75].map((u) => stage.pointedAt(u, 0)?.origin.instance);"
        " return found; })()"
    )
    assert at[1] == 1
    assert position >= 0


def test_the_panel_draws_each_with_its_number(page: Page, report: str, found: list[Member]) -> None:
    cluster(page, report, "/0/0")
    page.wait("document.querySelector('.panel .facts')")
    assert "Instances" in page.evaluate("document.querySelector('.panel .facts').textContent")
    assert "1 in 1 image" in page.evaluate("document.querySelector('.view-head').textContent")
    assert page.evaluate("document.querySelectorAll('.tile .tag').length") == 1
    page.frame()

    def orange(u: float, v: float) -> int:
        """Pixels in the colour of instance 1 around a place of the panel's picture."""
        count = page.evaluate(
            f"""(() => {{
              const canvas = document.querySelector('.panel .marks');
              const size = canvas.width, r = Math.round(size / 16);
              const data = canvas.getContext('2d').getImageData(Math.round({u} * size) - r,
                Math.round({v} * size) - r, 2 * r, 2 * r).data;
              let n = 0;
              for (let k = 0; k < data.length; k += 4)
                if (data[k + 3] > 100 && data[k] > 180 && data[k + 1] > 110 && data[k + 2] < 90) n++;
              return n;
            }})()"""
        )
        assert isinstance(count, int)
        return count

    middle = found[0].maps.forward.shape[0] // 2
    u, v = share(found[0], found[0].maps.forward[middle, middle] + [MOVED, 0])
    assert orange(u, v) > 0
    page.click(".panel .segmented[aria-label='Grid of instance'] [data-value='1']")
