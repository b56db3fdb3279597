"""The one HTML page of a report, and what is shipped for it."""

from __future__ import annotations

import hashlib
import html
from collections.abc import Mapping
from functools import lru_cache
from importlib import resources

SCRIPT, STYLE, LICENCES = "report.js", "report.css", "LICENSES.txt"
# Everything comes from the report's own folder; names that came through as markup could do nothing.
POLICY = (
    "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data: blob:; "
    "connect-src 'self'; base-uri 'none'; form-action 'none'"
)
# In a notebook the page has no files of its own: everything is in it.
INLINE_POLICY = (
    "default-src 'none'; script-src 'unsafe-inline'; style-src 'unsafe-inline'; img-src data: blob:; "
    "base-uri 'none'; form-action 'none'"
)
NO_SCRIPT = "This report needs JavaScript; nothing is loaded from elsewhere."


@lru_cache(maxsize=1)
def assets() -> Mapping[str, bytes]:
    """The shipped files by name: the page's script, its styles, the licences of what they are made of."""
    folder = resources.files("congeal.report") / "assets"
    found = {name: folder / name for name in (SCRIPT, STYLE, LICENCES)}
    return {name: file.read_bytes() for name, file in found.items() if file.is_file()}


@lru_cache(maxsize=1)
def assets_digest() -> str:
    """16 hex digits that name these very files."""
    state = hashlib.blake2b(digest_size=8)
    for name, data in sorted(assets().items()):
        state.update(f"{name} {len(data)}\n".encode() + data)
    return state.hexdigest()


def page(title: str, data: str) -> bytes:
    """`index.html` of a report. title: text. data: path of the script with the key "index"."""
    folder = f"assets/{assets_digest()}"
    return _document(
        title,
        POLICY,
        f'<link rel="stylesheet" href="{folder}/{STYLE}">',
        f'<script src="{html.escape(data)}"></script>\n<script src="{folder}/{SCRIPT}"></script>',
    )


def inline_page(title: str, scripts: bytes) -> str:
    """The same as one document that needs no file. scripts: data scripts, one after the other."""
    style = assets().get(STYLE, b"").decode().replace("</", "<\\/")
    code = assets().get(SCRIPT, b"").decode()
    # In a minified bundle these can only stand in strings, where the escaped form means the same.
    code = code.replace("</script", "<\\/script").replace("<!--", "\\x3c!--")
    return _document(
        title,
        INLINE_POLICY,
        f"<style>{style}</style>",
        f"<script>{scripts.decode('ascii')}</script>\n<script>{code}</script>",
    ).decode()


def _document(title: str, policy: str, head: str, scripts: str) -> bytes:
    return f"""<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta http-equiv="Content-Security-Policy" content="{html.escape(policy)}">
<meta name="viewport" content="width=device-width, initial-scale=1">
<meta name="referrer" content="no-referrer">
<title>{html.escape(_printable(title))}</title>
<link rel="icon" href="data:,">
{head}
</head>
<body>
<div id="app"></div>
<noscript>{NO_SCRIPT}</noscript>
{scripts}
</body>
</html>
""".encode()


def _printable(title: str) -> str:
    """Without what no title shows; broken names of files may hold lone surrogates, which UTF-8 has not."""
    return "".join(letter if letter.isprintable() else "?" for letter in title)
