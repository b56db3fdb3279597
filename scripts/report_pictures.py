"""The pictures of a report in docs/pictures/report: pages of it in Chromium, pointed at.

    python scripts/report_pictures.py DEST CLUSTER

DEST has a report with the page of this checkout (`congeal report DEST`); CLUSTER is the one that is shown.
"""

from __future__ import annotations

import argparse
import io
import sys
from pathlib import Path

from PIL import Image

ROOT = Path(__file__).parents[1]
sys.path.insert(0, str(ROOT / "tests" / "helpers"))

from chromium import Page, chromium  # noqa: E402

PICTURES = ROOT / "docs" / "pictures" / "report"
WINDOW = (1360, 850)
PINS = ((0.85, 0.38), (0.65, 0.4), (0.62, 0.71), (0.22, 0.48))  # on the dogs of the samples


def shown(page: Page, url: str, *, dark: bool = False) -> None:
    page.size(*WINDOW, dark=dark, ratio=1.25)
    page.call("Emulation.setScrollbarsHidden", hidden=True)
    page.open("about:blank")
    page.open(url)
    page.wait("congealView.interactive === undefined || congealView.interactive > 0")
    page.evaluate("new Promise(done => setTimeout(done, 800))")  # thumbnails come when they are wanted
    page.evaluate("scrollTo(0, 0)")
    page.frame()


def keep(page: Page, name: str) -> None:
    """A JPEG of what is shown."""
    held = PICTURES / f"{name}.png"
    page.screenshot(held)
    data = held.read_bytes()
    held.unlink()
    Image.open(io.BytesIO(data)).convert("RGB").save(PICTURES / f"{name}.jpg", quality=82, optimize=True)


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("destination", type=Path)
    parser.add_argument("cluster")
    asked = parser.parse_args()
    index = (asked.destination / "report" / "index.html").resolve().as_uri()
    PICTURES.mkdir(parents=True, exist_ok=True)
    with chromium() as page:
        shown(page, index)
        keep(page, "overview")
        for name, dark, t in (("cluster", False, 0), ("aligned", True, 1)):
            shown(page, f"{index}#/cluster/{asked.cluster}", dark=dark)
            for u, v in PINS:
                page.click(".atlas-stage", u, v)
            page.evaluate(f"congealView.stop(); congealView.morph({t})")
            page.hover("h1")
            page.evaluate("scrollTo(0, 0)")
            page.frame()
            keep(page, name)
        shown(page, f"{index}#/cluster/{asked.cluster}")
        page.click(".atlas-stage", *PINS[1])
        page.evaluate("congealView.compare(congealView.pointing.pins[0])")
        page.hover("h1")
        page.evaluate("scrollTo(0, 0)")
        page.frame()
        keep(page, "comparison")
        shown(page, f"{index}#/problems")
        page.wait("document.querySelector('.loose .path')?.textContent")
        page.frame()
        keep(page, "check")
        shown(page, f"{index}#/cluster/{asked.cluster}/0/2")
        page.wait("document.querySelector('.panel')")
        keep(page, "image")


if __name__ == "__main__":
    main()
