"""The policies of docs/permissions.md: enough for every call that is sent, and nothing beyond."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from fnmatch import fnmatchcase
from pathlib import Path
from typing import Any

import pytest
from sample_runs import photographs, put, run, tiny, weights

from congeal.results.collection import open as open_destination
from infra.settings import StorageSettings
from infra.storage.location import Location
from tasks.maintenance.prune import prune
from tasks.maintenance.status import status
from tasks.maintenance.verify import verify

__all__ = ["weights"]

pytestmark = pytest.mark.s3

DOCUMENT = Path(__file__).resolve().parent.parent / "docs" / "permissions.md"
SOURCE, DESTINATION = "photographs-bucket/photographs", "results-bucket/congealed"
# The action by which S3 judges an operation, where it is not the operation's own name.
ACTIONS = {
    "HeadBucket": "ListBucket",
    "ListObjectsV2": "ListBucket",
    "HeadObject": "GetObject",
    "DeleteObjects": "DeleteObject",
    "CreateMultipartUpload": "PutObject",
    "UploadPart": "PutObject",
    "CompleteMultipartUpload": "PutObject",
}

Call = tuple[str, dict[str, Any]]


def policies() -> dict[str, list[dict[str, Any]]]:
    """The statements of each policy, by the heading it stands under."""
    found = re.findall(r"^## (\w+)\n```json\n(.*?)^```", DOCUMENT.read_text(), flags=re.DOTALL | re.MULTILINE)
    return {heading: json.loads(text)["Statement"] for heading, text in found}


def listed(value: str | list[str]) -> list[str]:
    return [value] if isinstance(value, str) else value


def allows(statement: dict[str, Any], action: str, resource: str, prefix: str | None) -> bool:
    condition = statement.get("Condition", {}).get("StringLike", {}).get("s3:prefix")
    return (
        action in listed(statement["Action"])
        and any(fnmatchcase(resource, pattern) for pattern in listed(statement["Resource"]))
        and (
            condition is None or (prefix is not None and any(fnmatchcase(prefix, each) for each in condition))
        )
    )


def asked(call: Call) -> Iterator[tuple[str, str, str | None]]:
    """Action, resource and prefix of everything that a call must be allowed to do."""
    operation, sent = call
    action = f"s3:{ACTIONS.get(operation, operation)}"
    bucket = f"arn:aws:s3:::{sent['Bucket']}"
    if action == "s3:ListBucket":
        yield action, bucket, sent.get("Prefix")
    elif operation == "DeleteObjects":
        for each in sent["Delete"]["Objects"]:
            yield action, f"{bucket}/{each['Key']}", None
    else:
        yield action, f"{bucket}/{sent['Key']}", None


@pytest.fixture
def calls(monkeypatch: pytest.MonkeyPatch) -> list[Call]:
    """Every operation that is sent to S3 from here on, with its parameters."""
    from aiobotocore.client import AioBaseClient

    sent: list[Call] = []
    original = AioBaseClient._make_api_call

    def recorded(self: Any, operation: str, parameters: dict[str, Any]) -> Any:
        sent.append((operation, parameters))
        return original(self, operation, parameters)

    monkeypatch.setattr(AioBaseClient, "_make_api_call", recorded)
    return sent


@pytest.fixture
def places(s3_endpoint: str, s3_settings: StorageSettings) -> Iterator[tuple[Location, Location]]:
    import urllib.request

    for place in (SOURCE, DESTINATION):
        bucket = place.split("/")[0]
        with urllib.request.urlopen(urllib.request.Request(f"{s3_endpoint}/{bucket}", method="PUT")):
            pass
    source, destination = (Location.parse(f"s3://{place}", s3_settings) for place in (SOURCE, DESTINATION))
    yield put(source, photographs(2)), destination
    source.delete()
    destination.delete()


def suffices(name: str, calls: list[Call]) -> set[str]:
    """Fail for a call that the policy does not allow; the actions that were asked for."""
    statements = policies()[name]
    for call in calls:
        for action, resource, prefix in asked(call):
            assert any(allows(statement, action, resource, prefix) for statement in statements), (
                f"{name}: {call[0]} asks for {action} on {resource}, prefix {prefix}"
            )
    return {action for call in calls for action, _, _ in asked(call)}


def granted(name: str) -> set[str]:
    return {action for statement in policies()[name] for action in listed(statement["Action"])}


@pytest.mark.slow
def test_the_policies_allow_what_is_sent_and_no_more(
    places: tuple[Location, Location], weights: Path, s3_settings: StorageSettings, calls: list[Call]
) -> None:
    source, destination = places

    run(source, destination, tiny(weights, storage=s3_settings))
    first = list(calls)
    put(source, {"later.png": photographs(3)["a/2.png"]})
    calls[:] = first  # whoever takes photographs may write them
    assert run(source, destination, tiny(weights, storage=s3_settings))["published"]
    # A failed upload in parts is aborted; there is none here.
    assert suffices("Runs", calls) == granted("Runs") - {"s3:AbortMultipartUpload"}

    calls.clear()
    collection = open_destination(destination.url, endpoint_url=s3_settings.endpoint_url)
    assert len(collection.images) == 5
    assert len(collection.sql("FROM correspondences")) > 0
    assert collection.atlas(collection.clusters.cluster_id[0]).features.size
    assert collection.image(collection.images.uri[0]).size
    assert collection.nearest(collection.images.uri[0], 2).size
    status(destination)
    assert not verify(destination)["faults"]
    assert suffices("Readers", calls) == granted("Readers")

    calls.clear()
    assert prune(destination, keep=1, older_than=0)["removed_versions"]
    assert suffices("Pruning", calls) == granted("Pruning")


def test_an_upload_in_parts_is_allowed(
    places: tuple[Location, Location], calls: list[Call], monkeypatch: pytest.MonkeyPatch
) -> None:
    from s3fs import S3FileSystem

    # Parts of 5 MiB, the least that S3 takes, in place of 50.
    monkeypatch.setattr(S3FileSystem._pipe_file, "__defaults__", (5 * 2**20, None, "overwrite"))
    (places[1] / "stages/large").write_bytes(bytes(11 * 2**20))
    assert {"CreateMultipartUpload", "UploadPart"} <= {operation for operation, _ in calls}
    suffices("Runs", calls)
