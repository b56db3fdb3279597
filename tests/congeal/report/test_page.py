"""The shell of the page, and sheets of thumbnails."""

from __future__ import annotations

import io
from html.parser import HTMLParser

import numpy as np
from PIL import Image

from congeal.report import page_shell
from congeal.report.data_scripts import script
from congeal.report.page_shell import inline_page, page
from congeal.report.thumbnail_sheets import PLACEHOLDER, columns_for, sheet


class _Document(HTMLParser):
    def __init__(self, data: str) -> None:
        super().__init__()
        self.tags: list[tuple[str, dict[str, str | None]]] = []
        self.title = ""
        self._in_title = False
        self.feed(data)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, dict(attrs)))
        self._in_title = tag == "title"

    def handle_data(self, data: str) -> None:
        if self._in_title:
            self.title += data
            self._in_title = False


def test_a_page_loads_nothing_from_elsewhere_and_says_so() -> None:
    found = _Document(page("</title><script>alert(1)</script>\n\udc80", "data/0/index.js").decode())
    assert found.title.startswith("</title><script>")
    scripts = [attrs["src"] for tag, attrs in found.tags if tag == "script"]
    assert scripts[0] == "data/0/index.js"
    assert len(scripts) == 2
    policy = next(
        attrs["content"] for _, attrs in found.tags if attrs.get("http-equiv") == "Content-Security-Policy"
    )
    assert policy is not None
    assert "default-src 'none'" in policy
    assert "unsafe" not in policy
    links = [value for _, attrs in found.tags for name, value in attrs.items() if name in ("src", "href")]
    assert not any(link and ("//" in link or link.startswith("/")) for link in links)


def test_an_inline_page_is_whole(monkeypatch: object) -> None:
    text = inline_page("mugs", script("index", {"name": "</script>"}))
    found = _Document(text)
    assert not any("src" in attrs for _, attrs in found.tags)
    assert [tag for tag, _ in found.tags].count("script") == 2


def test_assets_are_named_by_their_content() -> None:
    assert len(page_shell.assets_digest()) == 16
    assert page_shell.assets_digest().encode() in page("t", "d")


def test_cells_of_a_sheet() -> None:
    red, blue = (np.full((30, 30, 3), colour, np.uint8) for colour in ((250, 0, 0), (0, 0, 250)))
    data = sheet([red, None, blue], 16, 2)
    assert data == sheet([red, None, blue], 16, 2)
    picture = Image.open(io.BytesIO(data))
    assert (picture.format, picture.size) == ("WEBP", (32, 32))
    pixels = np.asarray(picture.convert("RGB")).astype(int)
    assert pixels[8, 8, 0] > 200
    assert pixels[24, 8, 2] > 200
    assert np.abs(pixels[24, 24] - PLACEHOLDER).max() < 12
    assert np.abs(pixels[2, 24] - PLACEHOLDER).max() < 20


def test_sheets_are_nearly_square() -> None:
    assert [columns_for(count) for count in (1, 2, 5, 100)] == [1, 2, 3, 10]
