"""pyiceberg's view of a destination: every byte that it reads or writes goes through `infra.storage`."""

from __future__ import annotations

import io
from types import TracebackType

from pyiceberg.io import FileIO, InputFile, InputStream, OutputFile, OutputStream

from infra.errors import MissingError
from infra.storage.location import Location


class LocationFiles(FileIO):
    """Files below one place, by their whole URLs. FileNotFoundError for one that is not there."""

    def __init__(self, root: Location) -> None:
        super().__init__()
        self._root = root

    def new_input(self, location: str) -> _File:
        """A file to be read."""
        return _File(self._place(location))

    def new_output(self, location: str) -> _File:
        """A file to be written, whole or not at all."""
        return _File(self._place(location))

    def delete(self, location: str | InputFile | OutputFile) -> None:
        """Nothing is taken away through a table: `prune` does that."""
        raise PermissionError(f"{location} belongs to a destination: it goes by `congeal prune`.")

    def _place(self, location: str) -> Location:
        if not location.startswith(f"{self._root.url}/"):
            raise FileNotFoundError(f"{location} does not lie below {self._root}")
        return self._root / location.removeprefix(f"{self._root.url}/")


class _File(InputFile, OutputFile):
    def __init__(self, place: Location) -> None:
        super().__init__(place.url)
        self.place = place

    def __len__(self) -> int:
        return self.place.size()

    def exists(self) -> bool:
        return self.place.exists()

    def open(self, seekable: bool = True) -> InputStream:
        try:
            # Footers and manifests: small, and read in parts.
            return self.place.open()
        except MissingError as error:
            raise FileNotFoundError(str(error)) from error

    def create(self, overwrite: bool = False) -> OutputStream:
        if not overwrite and self.place.exists():
            raise FileExistsError(f"{self.place} exists")
        return _Writer(self.place)

    def to_input_file(self) -> InputFile:
        return self


class _Writer(io.BytesIO):
    """Bytes that are put in place when they are all there, and not after an error."""

    def __init__(self, place: Location) -> None:
        super().__init__()
        self._place = place

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        if kind is not None:
            super().close()
        else:
            self.close()

    def close(self) -> None:
        if not self.closed:
            self._place.write_bytes(self.getvalue())
        super().close()
