"""A Zarr store whose objects are checked when they are read whole; parts carry checksums of their own."""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING, Any

from zarr.abc.store import OffsetByteRequest, RangeByteRequest, Store
from zarr.storage import WrapperStore

from infra.storage import near_copies
from infra.storage.seals import Seals, is_sound, missing, require_sound

if TYPE_CHECKING:
    from zarr.abc.store import ByteRequest
    from zarr.core.buffer import Buffer, BufferPrototype


class SealedStore(WrapperStore[Any]):
    """seals: by key; url: of the store. A sealed object that is not there is damage, not a fill value."""

    def __init__(self, store: Store, url: str, seals: Seals) -> None:
        super().__init__(store)
        self._url = url
        self._seals = seals

    def _with_store(self, store: Store) -> SealedStore:
        return type(self)(store, self._url, self._seals)

    def __str__(self) -> str:
        return self._url

    async def get(
        self, key: str, prototype: BufferPrototype, byte_range: ByteRequest | None = None
    ) -> Buffer | None:
        """As the store underneath; raises DamagedError or MissingError for what is not as it was written."""
        found = self._near(key, prototype, byte_range)
        if found is None:
            found = await self._store.get(key, prototype, byte_range)
        return self._checked(key, found, byte_range)

    async def get_partial_values(
        self, prototype: BufferPrototype, key_ranges: Iterable[tuple[str, ByteRequest | None]]
    ) -> list[Buffer | None]:
        """The same of several."""
        wanted = list(key_ranges)
        near = [self._near(key, prototype, part) for key, part in wanted]
        far = [one for one, data in zip(wanted, near, strict=True) if data is None]
        rest = iter(await self._store.get_partial_values(prototype, far) if far else ())
        found = [next(rest) if data is None else data for data in near]
        return [self._checked(key, data, part) for (key, part), data in zip(wanted, found, strict=True)]

    def _near(self, key: str, prototype: BufferPrototype, part: ByteRequest | None) -> Buffer | None:
        """A near copy of what was asked for; None if there is none."""
        seal = self._seals.get(key)
        if seal is None:
            return None
        if part is None:
            data = near_copies.read(seal.sha256)
            data = data if data is not None and is_sound(seal, data) else None
        elif isinstance(part, RangeByteRequest):
            data = near_copies.read(seal.sha256, part.start, part.end)
        elif isinstance(part, OffsetByteRequest):
            data = near_copies.read(seal.sha256, part.offset)
        else:
            data = near_copies.read(seal.sha256, -part.suffix)
        return None if data is None else prototype.buffer.from_bytes(data)

    def _checked(self, key: str, found: Buffer | None, byte_range: ByteRequest | None) -> Buffer | None:
        seal = self._seals.get(key)
        if seal is None:
            return found
        if found is None:
            raise missing(f"{self._url}/{key}")
        if byte_range is None:
            data = found.to_bytes()
            require_sound(f"{self._url}/{key}", seal, data)
            near_copies.keep(seal.sha256, data, self._url.partition("://")[0])
        return found
