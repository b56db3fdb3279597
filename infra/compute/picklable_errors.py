"""Errors on their way to another process."""

from __future__ import annotations

import pickle


def picklable(error: Exception) -> Exception:
    """The error, or, of one that cannot be pickled and made again, a RuntimeError of its name and its text.

    So is one whose class asks for more, to be made, than the message that it keeps.
    """
    try:
        pickle.loads(pickle.dumps(error))  # noqa: S301 - made a line ago
    except Exception:  # whatever a class raises of its own when it is pickled and made again
        told = RuntimeError(f"{type(error).__name__}: {error}")
        for note in getattr(error, "__notes__", ()):
            told.add_note(note)
        return told
    return error
