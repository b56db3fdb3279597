"""The name of weights by their content; needs no torch."""

from __future__ import annotations

import hashlib


def fingerprint(data: bytes) -> str:
    """Fingerprint of a weights file: "sha256:" and 16 hex digits."""
    return f"sha256:{hashlib.sha256(data).hexdigest()[:16]}"
