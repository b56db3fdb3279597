"""What storage raises: which faults pass by themselves and are tried again, and a sentence for the others."""

from __future__ import annotations

import errno
from collections.abc import Callable
from http.client import IncompleteRead
from types import TracebackType
from typing import TYPE_CHECKING, Literal, TypeVar

from infra.errors import MissingError, StorageError

if TYPE_CHECKING:
    import tenacity

T = TypeVar("T")
Action = Literal["read", "write", "list", "delete"]

ATTEMPTS = 5
# None: longer and longer, up to 5 s. Replaced by tests, which do not sleep.
WAIT: tenacity.wait.wait_base | None = None

TRANSIENT = {
    errno.EBUSY,
    errno.EREMOTEIO,
    errno.ECONNRESET,
    errno.ECONNABORTED,
    errno.ECONNREFUSED,
    errno.EPIPE,
    errno.ETIMEDOUT,
    errno.EAGAIN,
    errno.ESTALE,
}
_TRANSIENT_CODES = {"SlowDown", "RequestTimeout", "InternalError", "ServiceUnavailable"}
# Two conditional writes met in the store; it asks for the request to be sent again.
_TRANSIENT_CODES |= {"ConditionalRequestConflict", "OperationAborted"}
_BAD_CREDENTIALS = {"InvalidAccessKeyId", "SignatureDoesNotMatch", "ExpiredToken", "InvalidToken"}

_CREDENTIALS = "set AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY, or AWS_PROFILE"
_BY_TYPE: tuple[tuple[type[Exception] | tuple[type[Exception], ...], str], ...] = (
    (FileNotFoundError, "{url} does not exist: check the path for a mistake."),
    (PermissionError, "No permission to {action} {url}: grant it, or use another place or account."),
    (IsADirectoryError, "{url} is a folder where a file is expected: check the path."),
    ((NotADirectoryError, FileExistsError), "{url} lies below something that is a file: check the path."),
    (ImportError, "{url} needs a package that is not installed ({brief}): install it."),
    (NotImplementedError, "The store of {url} cannot {action} as congeal needs it: use another store."),
)
_BY_NUMBER = {
    errno.ENOSPC: "No space left on {url}: free some or choose another destination.",
    errno.EDQUOT: "No space left on {url}: the quota is used up; free some or choose another destination.",
    errno.EROFS: "{url} is on a read-only file system: choose another destination.",
    errno.ENAMETOOLONG: "The name {url} is too long for its store: choose a shorter one.",
    errno.ENOSYS: "The store of {url} cannot {action} as congeal needs it ({brief}): use another store.",
}


def attempt(function: Callable[[], T], passes: Callable[[BaseException], bool] | None = None) -> T:
    """Call ``function`` up to ``ATTEMPTS`` times while its faults are transient; the last is re-raised.

    passes: which faults are, None: ``is_transient``. Attempts within attempts multiply: one layer a request.
    """
    passes = passes or is_transient
    try:
        return function()
    except Exception as fault:
        if not passes(fault):
            raise
        first = [fault]
    import tenacity  # and with it tornado, for what hardly ever happens

    def again() -> T:
        if first:
            raise first.pop()
        return function()

    retrying = tenacity.Retrying(
        retry=tenacity.retry_if_exception(passes),
        stop=tenacity.stop_after_attempt(ATTEMPTS),
        wait=WAIT or tenacity.wait_random_exponential(multiplier=0.2, max=5),
        reraise=True,
    )
    return retrying(again)


class translated:  # noqa: N801 - reads as a verb: with translated("read", url)
    """Turns what a store raises inside the block into a ``StorageError`` with a sentence about ``url``."""

    def __init__(self, action: Action, url: str) -> None:
        self.action: Action = action
        self.url = url

    def __enter__(self) -> None:
        return None

    def __exit__(
        self, kind: type[BaseException] | None, fault: BaseException | None, trace: TracebackType | None
    ) -> None:
        if fault is not None and _is_storage_fault(fault):
            error = MissingError if isinstance(fault, FileNotFoundError) else StorageError
            raise error(sentence(fault, self.action, self.url)) from fault


def is_transient(fault: BaseException) -> bool:
    """True for faults that are likely to pass: throttling, resets, timeouts, an endpoint that restarts."""
    code, status = _response(fault)
    if code in _TRANSIENT_CODES or status == 429:
        return True
    if status >= 500:
        return status != 501
    if isinstance(fault, TimeoutError | ConnectionError):
        return True
    if isinstance(fault, OSError) and fault.errno is not None:
        return fault.errno in TRANSIENT
    return isinstance(fault, (IncompleteRead, *_transport_faults()))


def is_taken(fault: BaseException) -> bool:
    """True if a conditional write was refused because there is an object already.

    s3fs says FileExistsError only where the answer names the condition that failed; Ceph and its like do not.
    """
    code, status = _response(fault)
    return isinstance(fault, FileExistsError) or status == 412 or code == "PreconditionFailed"


def is_conflict(fault: BaseException) -> bool:
    """True if a conditional write met another one under way, whatever the store calls that."""
    return is_transient(fault) or _response(fault)[1] == 409


def sentence(fault: BaseException, action: Action, url: str) -> str:
    """One sentence for ``fault``, met while doing ``action`` on ``url``, with what to do about it."""
    text = _about_the_account(fault)
    if text is None:
        text = next((text for kind, text in _BY_TYPE if isinstance(fault, kind)), None)
    if text is None and isinstance(fault, OSError) and fault.errno is not None:
        text = _BY_NUMBER.get(fault.errno)
    if text is None and is_transient(fault):
        text = "The store of {url} failed {attempts} times to {action} ({brief}): try again later."
    if text is None:
        text = "Cannot {action} {url}: {brief}; check the path and the storage settings."
    return text.format(url=url, action=action, brief=_brief(fault), attempts=ATTEMPTS)


def _about_the_account(fault: BaseException) -> str | None:
    code, _ = _response(fault)
    if code in _BAD_CREDENTIALS:
        return "The store refused the credentials for {url}: " + _CREDENTIALS + "."
    if code == "NoSuchBucket":
        return "The bucket of {url} does not exist: create it or correct its name."
    if isinstance(fault, OSError) and not isinstance(fault, ConnectionRefusedError):
        return None
    from botocore import exceptions as boto

    if isinstance(fault, boto.NoCredentialsError | boto.PartialCredentialsError):
        return "There are no credentials for {url}: " + _CREDENTIALS + " (storage.anonymous if it is public)."
    if isinstance(fault, boto.ProfileNotFound):
        return "{brief}: set AWS_PROFILE to a profile that your AWS configuration has."
    if isinstance(fault, boto.EndpointConnectionError | boto.ConnectTimeoutError | ConnectionRefusedError):
        return "The endpoint of {url} cannot be reached: check storage.endpoint_url or AWS_ENDPOINT_URL."
    if isinstance(fault, ValueError):
        return "{brief}: set storage.endpoint_url to a URL such as http://host:port."
    return None


def _brief(fault: BaseException) -> str:
    text = (fault.strerror if isinstance(fault, OSError) else None) or str(fault) or type(fault).__name__
    return " ".join(text.split()).rstrip(".")


def _response(fault: BaseException) -> tuple[str, int]:
    """The error code and HTTP status that a store answered with; empty and 0 if it did not answer."""
    for link in (fault, fault.__cause__):
        response = getattr(link, "response", None)
        if isinstance(response, dict):
            number = response.get("ResponseMetadata", {}).get("HTTPStatusCode", 0)
            return str(response.get("Error", {}).get("Code", "")), int(number)
    status = getattr(fault, "status", 0)
    return "", status if isinstance(status, int) else 0


def _is_storage_fault(fault: BaseException) -> bool:
    if isinstance(fault, OSError | ImportError | NotImplementedError | IncompleteRead):
        return True
    if isinstance(fault, ValueError):
        # botocore's answer to an endpoint that is no URL.
        return "Invalid endpoint" in str(fault)
    from botocore.exceptions import BotoCoreError

    return isinstance(fault, (BotoCoreError, *_transport_faults()))


def _transport_faults() -> tuple[type[BaseException], ...]:
    # Imported only when something has failed: local runs never pay for the S3 client.
    import aiohttp
    from botocore import exceptions as boto
    from botocore.parsers import ResponseParserError
    from fsspec.exceptions import FSTimeoutError

    return (
        aiohttp.ClientError,
        boto.ConnectionError,
        boto.HTTPClientError,
        boto.ResponseStreamingError,
        ResponseParserError,
        FSTimeoutError,
    )
