"""Retries for what reads without ``Location``: files, and the file systems of Zarr and Arrow.

The S3 client's own attempts are switched off, since layers of attempts multiply.
"""

from __future__ import annotations

import functools
import io
from collections.abc import Callable, Mapping
from typing import IO, Any, ParamSpec, TypeVar, cast

from fsspec.implementations.asyn_wrapper import AsyncFileSystemWrapper, async_wrapper

from infra.storage.storage_errors import attempt

P = ParamSpec("P")
R = TypeVar("R")


class _RetryingFile(io.RawIOBase):
    """A file opened for reading, each of its reads tried again while its fault is transient."""

    def __init__(self, file: Any) -> None:
        super().__init__()
        self._file = file

    def readable(self) -> bool:
        return True

    def seekable(self) -> bool:
        return True

    def seek(self, offset: int, whence: int = io.SEEK_SET) -> int:
        return int(self._file.seek(offset, whence))

    def tell(self) -> int:
        return int(self._file.tell())

    def read(self, size: int | None = -1) -> bytes:
        wanted = -1 if size is None else size
        return bytes(_again(self._file.read)(wanted))

    def readall(self) -> bytes:
        return self.read()

    def readinto(self, buffer: Any) -> int:
        data = self.read(len(buffer))
        buffer[: len(data)] = data
        return len(data)

    def close(self) -> None:
        if not self.closed:
            self._file.close()
        super().close()


def retrying_file(file: Any) -> IO[bytes]:
    """``file``, opened for reading, with attempts at each read."""
    return cast(IO[bytes], _RetryingFile(file))


def asynchronous(filesystem: Any) -> Any:
    """``filesystem`` as Zarr wants it: its methods as coroutines, each with attempts."""
    # s3fs's own asynchronous form belongs to one event loop and is never closed; this one is.
    wrapper = AsyncFileSystemWrapper(filesystem, asynchronous=True)
    for name, method in list(vars(wrapper).items()):
        plain = getattr(method, "__wrapped__", None)
        if name == "_cat_file" and plain is not None and "s3" in protocols(filesystem):
            plain = functools.partial(plain, max_concurrency=filesystem.reads_at_once)
        if plain is not None:
            setattr(wrapper, name, async_wrapper(_again(plain), obj=wrapper))
    return wrapper


def arrow_filesystem(filesystem: Any, sealed: Mapping[str, Callable[[], IO[bytes]]] | None = None) -> Any:
    """``filesystem`` as a ``pyarrow.fs.FileSystem``, with attempts at looking, opening and reading.

    sealed: how some of its files are opened so that what is read of them is checked, by path.
    """
    import pyarrow as pa
    from pyarrow.fs import FSSpecHandler, PyFileSystem

    class Handler(FSSpecHandler):  # type: ignore[misc]
        def get_file_info(self, paths: Any) -> Any:
            return _again(super().get_file_info)(paths)

        def get_file_info_selector(self, selector: Any) -> Any:
            return _again(super().get_file_info_selector)(selector)

        def open_input_file(self, path: str) -> Any:
            opened = (sealed or {}).get(path.strip("/"))
            if opened is not None:
                return pa.PythonFile(opened(), mode="r")
            file = _again(self.fs.open)(path, mode="rb")
            return pa.PythonFile(_RetryingFile(file), mode="r")

        def open_input_stream(self, path: str) -> Any:
            return self.open_input_file(path)

    return PyFileSystem(Handler(filesystem))


def protocols(filesystem: Any) -> tuple[str, ...]:
    """What a file system's URLs begin with."""
    protocol = filesystem.protocol
    return (protocol,) if isinstance(protocol, str) else tuple(protocol)


def _again(function: Callable[P, R]) -> Callable[P, R]:
    @functools.wraps(function)
    def retried(*args: P.args, **kwargs: P.kwargs) -> R:
        return attempt(lambda: function(*args, **kwargs))

    return retried
