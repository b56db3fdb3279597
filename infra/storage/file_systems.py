"""The fsspec file systems behind locations: which protocols there are, how a store is reached."""

from __future__ import annotations

import base64
import difflib
import hashlib
import json
import os
import threading
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import fsspec
from pydantic import SecretStr

from infra.errors import StorageError

if TYPE_CHECKING:
    from infra.settings import StorageSettings

_PACKAGES = {"gs": "gcsfs", "gcs": "gcsfs", "az": "adlfs", "abfs": "adlfs", "abfss": "adlfs", "adl": "adlfs"}
# These take no storage options: settings that are meant for an object store do not fit them.
_WITHOUT_OPTIONS = {"file", "memory", "http", "https"}

_MEANT_BLANK = {"AWS_CONFIG_FILE", "AWS_SHARED_CREDENTIALS_FILE"}


def check_protocol(protocol: str) -> None:
    """Raise StorageError for a protocol that is not known, or whose package is not installed."""
    try:
        fsspec.get_filesystem_class(protocol)
    except ImportError as fault:
        package = _PACKAGES.get(protocol)
        if package is None:
            raise
        raise StorageError(
            f"{protocol}:// needs the package {package}, which is not installed: pip install {package}."
        ) from fault
    except ValueError as fault:
        near = difflib.get_close_matches(protocol, fsspec.available_protocols(), n=1)
        hint = f"did you mean {near[0]}://?" if near else "use file://, s3:// or memory://."
        raise StorageError(f"There is no protocol {protocol}://: {hint}") from fault


def without_blank_variables() -> None:
    """Take AWS variables that are blank out of the process: they are not set.

    Compose files and manifests pass on as blank what nobody has filled in, and botocore takes that for the
    name of a profile, a region, a file. Blank names of configuration files mean to it that there is none.
    """
    for name, value in list(os.environ.items()):
        if name.startswith("AWS_") and not value.strip() and name not in _MEANT_BLANK:
            del os.environ[name]


def options_for(protocol: str, settings: StorageSettings | None) -> dict[str, Any]:
    """How to reach a store, by the settings and the usual AWS variables."""
    if protocol in _WITHOUT_OPTIONS:
        return {}
    options: dict[str, Any] = {}
    if protocol == "s3":
        # Fixed here, so that a worker elsewhere reaches the same store.
        without_blank_variables()
        endpoint = os.environ.get("AWS_ENDPOINT_URL_S3") or os.environ.get("AWS_ENDPOINT_URL")
        region = os.environ.get("AWS_REGION") or os.environ.get("AWS_DEFAULT_REGION")
        options = {"endpoint_url": endpoint, "client_kwargs": {"region_name": region} if region else {}}
    if settings is None:
        return options
    if protocol == "s3":
        names = {"endpoint_url", "key", "secret", "token"}
        given = {name: getattr(settings, name) for name in sorted(names)}
        options |= {name: value for name, value in given.items() if value is not None}
        options |= {"anon": True} if settings.anonymous else {}
        options |= {"client_kwargs": {"region_name": settings.region}} if settings.region else {}
        options |= {"requester_pays": True} if settings.requester_pays else {}
        sent = _encryption(settings)
        options |= {"s3_additional_kwargs": sent} if sent else {}
    return options | settings.options


def _encryption(settings: StorageSettings) -> dict[str, Any]:
    """What the S3 client says with each request that knows it, so that the store encrypts and decrypts."""
    sent: dict[str, Any] = {}
    if settings.encryption or settings.kms_key:
        sent["ServerSideEncryption"] = settings.encryption or "aws:kms"
    if settings.kms_key:
        sent["SSEKMSKeyId"] = settings.kms_key
    if settings.customer_key:
        key = base64.b64decode(settings.customer_key.get_secret_value())
        sent |= {"SSECustomerAlgorithm": "AES256", "SSECustomerKey": key}
    return sent


_filesystems: dict[tuple[int, str], Any] = {}
_filesystems_lock = threading.Lock()


def way_to(protocol: str, options: Mapping[str, Any]) -> str:
    """The same for the same protocol and options, another for others; it says nothing of them."""
    known = json.dumps([protocol, _known(options)], sort_keys=True, default=repr)
    return hashlib.sha256(known.encode()).hexdigest()


def reached(protocol: str, options: Mapping[str, Any]) -> Any:
    """One file system a process for the same options; fsspec's own cache makes one a thread.

    Faults come out at the first failure: the caller repeats.
    """
    key = os.getpid(), way_to(protocol, options)
    with _filesystems_lock:
        if key not in _filesystems:
            _filesystems[key] = _make_filesystem(protocol, _known(options))
        return _filesystems[key]


def _known(options: Mapping[str, Any]) -> dict[str, Any]:
    return {name: _revealed(value) for name, value in options.items()}


def _make_filesystem(protocol: str, options: dict[str, Any]) -> Any:
    if protocol != "s3":
        return fsspec.filesystem(protocol, skip_instance_cache=True, **options)
    # Two of three layers of attempts are switched off: botocore's and s3fs's.
    config = {"retries": {"total_max_attempts": 1}, **options.get("config_kwargs", {})}
    options = {"use_listings_cache": False, **options, "config_kwargs": config}
    from infra.storage.metered_s3 import MeteredS3

    filesystem = MeteredS3(skip_instance_cache=True, **options)
    filesystem.retries = 1
    # Whole objects come in one request unless the user wants parts at once: for these s3fs asks for the size.
    filesystem.reads_at_once = options.get("max_concurrency", 1)
    return filesystem


def _revealed(value: Any) -> Any:
    return value.get_secret_value() if isinstance(value, SecretStr) else value
