"""Fixtures of all tests: a clean environment, an S3 server in this process, and a place in each store.

Another S3 server takes its place where CONGEAL_TEST_S3 says its address, with the keys of the AWS variables.
"""

from __future__ import annotations

import os
import shutil
import tempfile
import threading
import uuid
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from unittest.mock import patch

import hypothesis
import pytest

_HOME = tempfile.mkdtemp(prefix="congeal-tests-")
OTHER_S3 = os.environ.get("CONGEAL_TEST_S3")


def _clean_environment() -> None:
    # Before torch, botocore or Prefect are imported, for they read it once.
    keys = ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY") if OTHER_S3 else ()
    mine = {name: os.environ.get(name, "testing") for name in keys}
    for name in list(os.environ):
        if name.startswith(("AWS_", "PREFECT_", "DASK_")) or (
            name.startswith("CONGEAL_") and name != "CONGEAL_SHARED"
        ):
            del os.environ[name]
    os.environ |= {
        "AWS_ACCESS_KEY_ID": "testing",
        "AWS_SECRET_ACCESS_KEY": "testing",
        "AWS_DEFAULT_REGION": "us-east-1",
        "AWS_EC2_METADATA_DISABLED": "true",
        "AWS_CONFIG_FILE": os.devnull,
        "AWS_SHARED_CREDENTIALS_FILE": os.devnull,
        "CONGEAL_CACHE": f"{_HOME}/cache",
        "DO_NOT_TRACK": "1",
        "OMP_NUM_THREADS": "1",
        "PREFECT_HOME": f"{_HOME}/prefect",
        "PREFECT_LOGGING_LEVEL": "WARNING",
        "PREFECT_SERVER_ANALYTICS_ENABLED": "false",
        "PREFECT_SERVER_EPHEMERAL_STARTUP_TIMEOUT_SECONDS": "120",
        **mine,
    }


_clean_environment()

from s3_stub import s3_stub, url_of  # noqa: E402

from infra.settings import StorageSettings  # noqa: E402
from infra.storage.location import Location  # noqa: E402

# How long an example takes is the machine's business.
hypothesis.settings.register_profile("congeal", deadline=None)
hypothesis.settings.load_profile("congeal")


def pytest_unconfigure() -> None:
    shutil.rmtree(_HOME, ignore_errors=True)


@pytest.fixture(scope="session")
def s3_endpoint() -> Iterator[str]:
    """URL of moto's S3 server, running in a thread of this process; or of another one."""
    if OTHER_S3:
        yield OTHER_S3
        return
    from moto.s3.responses import S3Response
    from moto.server import ThreadedMotoServer

    # moto 5 looks whether an object is there and then writes it: on a busy machine two of a race have won.
    lock, put = threading.Lock(), S3Response.put_object

    def put_alone(response: S3Response) -> Any:
        with lock:
            return put(response)

    server = ThreadedMotoServer(ip_address="127.0.0.1", port=0, verbose=False)
    with patch.object(S3Response, "put_object", put_alone):
        server.start()
        host, port = server.get_host_and_port()
        yield f"http://{host}:{port}"
        server.stop()


@pytest.fixture(scope="session")
def s3_settings(s3_endpoint: str) -> StorageSettings:
    """Storage settings that reach the S3 server."""
    return StorageSettings(endpoint_url=s3_endpoint)


@pytest.fixture(scope="session")
def s3_bucket(s3_endpoint: str) -> str:
    """Name of a bucket on the S3 server; take a prefix of its own for each test."""
    import botocore.session

    name = f"bucket-{uuid.uuid4().hex[:8]}"
    botocore.session.get_session().create_client("s3", endpoint_url=s3_endpoint).create_bucket(Bucket=name)
    return name


@pytest.fixture
def s3_location(s3_bucket: str, s3_settings: StorageSettings) -> Location:
    """An empty prefix on S3."""
    return Location.parse(f"s3://{s3_bucket}/{uuid.uuid4().hex}", s3_settings)


@pytest.fixture
def memory_location() -> Iterator[Location]:
    """An empty prefix in this process's memory."""
    place = Location.parse(f"memory://{uuid.uuid4().hex}")
    yield place
    place.delete()


@pytest.fixture(scope="session")
def plain_s3_settings() -> Iterator[StorageSettings]:
    """Storage settings that reach an S3 server whose 412 does not name the condition, as Ceph's does not."""
    with s3_stub("unnamed") as server:
        yield StorageSettings(endpoint_url=url_of(server))


@pytest.fixture
def plain_s3_location(plain_s3_settings: StorageSettings) -> Location:
    """An empty prefix on that server."""
    return Location.parse(f"s3://bucket/{uuid.uuid4().hex}", plain_s3_settings)


@pytest.fixture(
    params=[
        "file",
        "memory",
        pytest.param("s3", marks=pytest.mark.s3),
        pytest.param("plain_s3", marks=pytest.mark.s3),
    ]
)
def location(request: pytest.FixtureRequest, tmp_path: Path) -> Location:
    """An empty place in each of the stores in turn."""
    if request.param == "file":
        return Location.parse(tmp_path / "place")
    place: Location = request.getfixturevalue(f"{request.param}_location")
    return place


@pytest.fixture
def no_waiting(monkeypatch: pytest.MonkeyPatch) -> None:
    """Attempts to reach a store follow one another at once."""
    import tenacity

    monkeypatch.setattr("infra.storage.storage_errors.WAIT", tenacity.wait_none())
