"""What mkdocs does not do by itself for the site of docs/ (see mkdocs.yml, and `make docs`).

The first page is README.md. Recorded measurements (benchmarks/results) are pages, too. Links that lead to any
other file of the repository go to the repository, and the file must be there. Formulas become MathML, so that
neither the build nor a reader fetches a script for them. A page that would fetch anything is an error.
"""

from __future__ import annotations

import html
import logging
import posixpath
import re
from pathlib import Path

from latex2mathml.converter import convert
from mkdocs.config.defaults import MkDocsConfig
from mkdocs.structure.files import File, Files, InclusionLevel
from mkdocs.structure.pages import Page

ROOT = Path(__file__).parents[1]
RESULTS = "benchmarks/results"
LOG = logging.getLogger("mkdocs.plugins.congeal")  # mkdocs counts what comes here, for --strict

_LINK = re.compile(r"(\]\(|src=\"|href=\")([^)\"\s]+)")
_FENCE = re.compile(r"^ *(```|~~~).*?^ *\1", re.M | re.S)
_FORMULA = re.compile(r"<(span|div) class=\"arithmatex\">(.*?)</\1>", re.S)
_FETCHED = re.compile(r"<(?:script|link|img|iframe)\b[^>]*?(?:src|href)=\"(?:https?:)?//[^\"]*\"[^>]*>")
_HARMLESS = ('rel="canonical"', 'rel="alternate"')


def on_files(files: Files, config: MkDocsConfig) -> Files:
    """README.md as the first page, and the recorded measurements."""
    files.append(File.generated(config, "index.md", content=(ROOT / "README.md").read_text()))
    for path in sorted((ROOT / RESULTS).glob("*.md")):
        files.append(
            File.generated(
                config,
                f"{RESULTS}/{path.name}",
                content=path.read_text(),
                inclusion=InclusionLevel.NOT_IN_NAV,
            )
        )
    return files


def on_page_markdown(markdown: str, page: Page, config: MkDocsConfig, files: Files) -> str:
    """Links as they lead from the page's place in the site."""
    source = page.file.src_uri
    from_root = {"index.md": "."}.get(source) or posixpath.dirname(
        source if source.startswith(RESULTS) else posixpath.join("docs", source)
    )
    pieces, end = [], 0
    for fence in [*_FENCE.finditer(markdown), None]:
        stop = len(markdown) if fence is None else fence.start()
        pieces.append(
            _LINK.sub(
                lambda found: found[1] + _leading(found[2], from_root, page, config, files),
                markdown[end:stop],
            )
        )
        if fence is not None:
            pieces.append(fence.group())
            end = fence.end()
    return "".join(pieces)


def _leading(link: str, from_root: str, page: Page, config: MkDocsConfig, files: Files) -> str:
    """A link as it stands in a file of the folder `from_root`, for the page of the site."""
    if re.match(r"[a-z]+:|#|/", link):
        return link
    path, mark, anchor = link.partition("#")
    whole = posixpath.normpath(posixpath.join(from_root, path))
    place = "index.md" if whole == "README.md" else whole.removeprefix("docs/")
    if files.get_file_from_path(place) is not None:
        return posixpath.relpath(place, posixpath.dirname(page.file.src_uri) or ".") + mark + anchor
    if not (ROOT / whole).exists():
        LOG.warning("%s links to %s, which is not there", page.file.src_uri, link)
    return config.extra["repository"] + whole + mark + anchor


def on_page_content(html_text: str, page: Page, config: MkDocsConfig, files: Files) -> str:
    """Formulas as MathML."""
    return _FORMULA.sub(lambda found: _mathml(found[2], page), html_text)


def _mathml(formula: str, page: Page) -> str:
    text = html.unescape(formula).strip()
    display = "block" if text.startswith("\\[") else "inline"
    try:
        return convert(text[2:-2].strip(), display=display)
    except Exception as error:
        LOG.warning("%s: the formula %r cannot be drawn: %s", page.file.src_uri, text, error)
        return formula


def on_post_page(output: str, page: Page, config: MkDocsConfig) -> str:
    """Refuse what would be fetched from elsewhere by a reader's browser."""
    for found in _FETCHED.findall(output):
        if not any(kind in found for kind in _HARMLESS):
            LOG.warning("%s fetches from elsewhere: %s", page.file.src_uri, found)
    return output
