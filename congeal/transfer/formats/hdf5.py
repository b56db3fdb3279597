"""HDF5 of unknown origin: what a file must not do before any of it is read."""

from __future__ import annotations

import io
from typing import Any

from congeal.errors import CongealError

SIGNATURE = b"\x89HDF\r\n\x1a\n"
LARGEST = 1 << 30  # bytes of all arrays of a file


def is_hdf5(data: bytes) -> bool:
    """Whether it is HDF5."""
    return data.startswith(SIGNATURE)


def self_contained(data: bytes) -> None:
    """Raise CongealError for a file that reaches into others, or whose arrays claim more than a gigabyte.

    A link may lead to any file that this process can read, and a few bytes may claim terabytes of zeros.
    """
    import h5py

    claimed = 0

    def problem(name: str, link: Any) -> str | None:
        # Said, not raised: h5py lets no error of a visitor through.
        nonlocal claimed
        if isinstance(link, h5py.ExternalLink):
            return f"{name} in it lies in another file"
        found = None if isinstance(link, h5py.SoftLink) else file[name]
        if isinstance(found, h5py.Dataset):
            if found.external or found.is_virtual:
                return f"{name} in it lies in another file"
            claimed += found.nbytes
        return f"its arrays claim more than {LARGEST >> 30} GiB" if claimed > LARGEST else None

    try:
        with h5py.File(io.BytesIO(data), "r") as file:
            said = file.visititems_links(problem)
    except (OSError, KeyError, ValueError, RuntimeError, TypeError, SystemError) as error:
        raise CongealError(f"it is no HDF5 file that h5py reads ({error})") from error
    if said is not None:
        raise CongealError(said)
