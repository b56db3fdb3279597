"""s3fs with its requests counted. Apart, since only who reaches S3 is to pay for the import of its client."""

from __future__ import annotations

from typing import Any

from fsspec.asyn import sync_wrapper
from s3fs import S3FileSystem

from infra.storage.usage import DELETE, GET, HEAD, LIST, PUT, meter

_KINDS = (("get_", GET), ("head_", HEAD), ("list_", LIST), ("delete_", DELETE))


class MeteredS3(S3FileSystem):  # type: ignore[misc]  # s3fs has no types
    """s3fs, each of whose requests is counted, the ones that fail, too."""

    async def _call_s3(self, method: str, *arguments: Any, **options: Any) -> Any:
        kind = next((kind for start, kind in _KINDS if method.startswith(start)), PUT)
        body = options.get("Body")
        written = len(body) if isinstance(body, bytes | bytearray | memoryview) else 0
        read = 0
        try:
            answer = await super()._call_s3(method, *arguments, **options)
            read = int(answer.get("ContentLength") or 0) if kind == GET else 0
        finally:
            meter.add("s3", kind, read=read, written=written)
        return answer

    call_s3 = sync_wrapper(_call_s3)
