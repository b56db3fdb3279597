"""Memory of libraries that were loaded and are not used: what is needed is there again."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

from infra.compute.child_process import ChildProcess
from infra.compute.library_pages import _only_read, release_library_pages
from infra.ledger.provenance import resident_bytes

SMAPS = """\
7f0000000000-7f0000400000 r-xp 00001000 08:01 4242                       /lib/large one.so
Rss:                4096 kB
Anonymous:             0 kB
7f0000400000-7f0000800000 r--p 00401000 08:01 4242                       /lib/large one.so
Rss:                4096 kB
Anonymous:             4 kB
7f0000800000-7f0000c00000 rw-p 00801000 08:01 4242                       /lib/large one.so
Rss:                4096 kB
Anonymous:             0 kB
7f0000c00000-7f0001000000 r--p 00000000 00:00 0
Rss:                4096 kB
Anonymous:             0 kB
7f0001000000-7f0001400000 r--p 00000000 08:01 4243                       /lib/small.so
Rss:                  60 kB
Anonymous:             0 kB
"""


def test_what_is_written_relocated_or_of_no_file_stays() -> None:
    assert _only_read(SMAPS) == [(0x7F0000000000, 0x7F0000400000)]
    assert _only_read("") == []


@pytest.mark.skipif(sys.platform != "linux", reason="Linux says what is resident")
def test_a_library_works_on_without_its_pages(tmp_path: Path) -> None:
    use = "import pyarrow.compute as pc; assert pc.sum([1, 2]).as_py() == 3"
    with ChildProcess(tmp_path) as child:
        child(exec, use)
        before = child(resident_bytes)
        child(release_library_pages)
        assert child(resident_bytes) < before - 2**23
        child(exec, use)
