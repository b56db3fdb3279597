"""A Zarr store whose objects are checked when they are read whole; parts carry checksums of their own."""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING, Any

from zarr.abc.store import Store
from zarr.storage import WrapperStore

from infra.storage.seals import Seals, missing, require_sound

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
        found: Buffer | None = await self._store.get(key, prototype, byte_range)
        return self._checked(key, found, byte_range)

    async def get_partial_values(
        self, prototype: BufferPrototype, key_ranges: Iterable[tuple[str, ByteRequest | None]]
    ) -> list[Buffer | None]:
        """The same of several."""
        wanted = list(key_ranges)
        found: list[Buffer | None] = await self._store.get_partial_values(prototype, wanted)
        return [self._checked(key, data, part) for (key, part), data in zip(wanted, found, strict=True)]

    def _checked(self, key: str, found: Buffer | None, byte_range: ByteRequest | None) -> Buffer | None:
        seal = self._seals.get(key)
        if seal is None:
            return found
        if found is None:
            raise missing(f"{self._url}/{key}")
        if byte_range is None:
            require_sound(f"{self._url}/{key}", seal, found.to_bytes())
        return found
