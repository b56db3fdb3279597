from __future__ import annotations

import base64
import html.parser
import json

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from congeal.report.data_scripts import column, script, share_column, text

BAD = [
    "</script><script>alert(1)</script>",
    "<!--",
    "a\u2028b\u2029",
    "'\"`${x}",
    "\n\r\0",
    "\udc80",
    "x" * 500,
]


class _Elements(html.parser.HTMLParser):
    def __init__(self) -> None:
        super().__init__()
        self.seen: list[str] = []

    def handle_starttag(self, tag: str, attrs: object) -> None:
        self.seen.append(tag)


def test_nothing_in_a_script_ends_it() -> None:
    data = script("index", {"names": BAD}).decode("ascii")
    parser = _Elements()
    parser.feed(f"<script>{data}</script><p>")
    assert parser.seen == ["script", "p"]
    assert not {"<", ">", "&"} & set(data)


@given(st.text(alphabet=st.characters(exclude_categories=())))
def test_names_come_back_as_they_were(name: str) -> None:
    written = text([name])
    assert written.isascii()
    assert json.loads(written) == [name]


def test_the_global_and_its_key() -> None:
    assert script("a/b", [1]) == b'(globalThis.congealReport ??= {})["a/b"] = [1];\n'


def test_what_is_not_finite_is_null() -> None:
    assert text({"a": np.float32("nan"), "b": np.array([1.5, np.inf]), "c": (np.int64(3),)}) == (
        '{"a":null,"b":[1.5,null],"c":[3]}'
    )


def test_columns_are_little_endian() -> None:
    found = column(np.array([1, 256], ">u2").astype(np.uint16))
    assert (found["type"], base64.b64decode(found["data"])) == ("uint16", b"\1\0\0\1")


def test_measurements_in_a_byte() -> None:
    found = share_column(np.array([2.0, np.nan, 4.0, 3.0]))
    q = np.frombuffer(base64.b64decode(found["data"]), np.uint8).astype(float)
    assert q[1] == 0
    values = found["lo"] + (q - 1) / 254 * (found["hi"] - found["lo"])
    assert np.allclose(values[[0, 2, 3]], [2, 4, 3], atol=0.005)
    assert share_column(np.array([np.nan]))["lo"] == 0
