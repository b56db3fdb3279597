"""The errors of the science: each says in one sentence what is wrong and, where there is one, the cure."""


class CongealError(ValueError):
    """Something the caller can mend: an argument, an image, a weights file."""


class ImageError(CongealError):
    """An image that cannot be used; `reason` is short enough for a table's cell."""

    def __init__(self, reason: str) -> None:
        super().__init__(reason)
        self.reason = reason


class ReaderMissingError(ImageError):
    """A sound image, perhaps, for which an optional package is not installed here."""


class ImageLimitError(ImageError):
    """A sound image, perhaps, that takes more memory or time to decode than it may."""


class BackboneError(CongealError):
    """A backbone, its settings or its weights that do not fit each other or this machine."""
