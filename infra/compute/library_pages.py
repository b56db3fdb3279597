"""Pages of files that a process has in memory because they were read once: of libraries, most of all.

To load PyTorch's build for CUDA reads 150 MiB of libraries that a machine without a GPU never calls.
"""

from __future__ import annotations

import ctypes
import re
import sys
from pathlib import Path

_DONTNEED = 4  # MADV_DONTNEED of Linux
_MAPPING = re.compile(r"^([0-9a-f]+)-([0-9a-f]+) (\S{4}) \S+ \S+ (\d+)")
LEAST = 2**16  # bytes of a mapping that are worth a call


def release_library_pages() -> None:
    """Give back what this process only reads of files; a page that is needed again is read again.

    Linux only. No other thread may load a library meanwhile: its mappings change.
    """
    if sys.platform != "linux":
        return
    try:
        text = Path("/proc/self/smaps").read_text(encoding="utf-8", errors="replace")
    except OSError:
        return
    libc = ctypes.CDLL(None, use_errno=True)
    for begin, end in _only_read(text):
        libc.madvise(ctypes.c_void_p(begin), ctypes.c_size_t(end - begin), _DONTNEED)


def _only_read(text: str) -> list[tuple[int, int]]:
    """Mappings of files that cannot be written and have no page of their own.

    text: as /proc/PID/smaps has it.
    """
    found: list[tuple[int, int]] = []
    mapping: tuple[int, int] | None = None
    resident = 0
    for line in text.splitlines():
        if head := _MAPPING.match(line):
            begin, end, rights, file = head.groups()
            mapping = (int(begin, 16), int(end, 16)) if file != "0" and "w" not in rights else None
        elif line.startswith("Rss:"):
            resident = int(line.split()[1]) * 1_024
        # A page that was written to, such as what a loader relocates, is the process' own: it would be lost.
        elif line.startswith("Anonymous:") and mapping and resident >= LEAST and line.split()[1] == "0":
            found.append(mapping)
    return found
