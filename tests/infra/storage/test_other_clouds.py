"""Google's and Azure's stores, against emulators; skipped where these are not installed.

pip install gcsfs gcp-storage-emulator adlfs && npm install -g azurite
"""

from __future__ import annotations

import importlib
import shutil
import socket
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from sample_runs import photographs, put, run, tiny, weights

import congeal
from infra.errors import MissingError, StorageError
from infra.settings import StorageSettings
from infra.storage.conditional_writes import require_conditional_puts
from infra.storage.location import Location
from tasks.maintenance.verify import verify

__all__ = ["weights"]

# What the stores' own packages warn of is not ours.
pytestmark = [pytest.mark.slow, pytest.mark.filterwarnings("ignore")]
# The one account that every Azurite has, and that nobody keeps secret.
KEY = "Eby8vdM02xNOcqFlqUwJPLlmEtlCDXJ1OUzFT50uSRZ6IFsuFq2UVErCz4I6tq/K1SZFPTOtr/KBHBeksoGMGw=="


def needed(module: str) -> Any:
    """A module; without it the test is skipped."""
    try:
        return importlib.import_module(module)
    except ImportError:
        pytest.skip(f"{module} is not installed")


def free_port() -> int:
    with socket.socket() as one:
        one.bind(("127.0.0.1", 0))
        return int(one.getsockname()[1])


@pytest.fixture
def google(monkeypatch: pytest.MonkeyPatch) -> Iterator[tuple[str, StorageSettings]]:
    monkeypatch.setenv("GCSFS_EXPERIMENTAL_ZB_HNS_SUPPORT", "false")  # the emulator knows no such buckets
    needed("gcsfs")
    port = free_port()
    server = needed("gcp_storage_emulator.server").create_server(
        "127.0.0.1", port, in_memory=True, default_bucket="bucket"
    )
    server.start()
    yield (
        "gs://bucket",
        StorageSettings(options={"token": "anon", "endpoint_url": f"http://127.0.0.1:{port}"}),
    )
    server.stop()


@pytest.fixture
def azure() -> Iterator[tuple[str, StorageSettings]]:
    adlfs = needed("adlfs")
    command = shutil.which("azurite-blob")
    if command is None:
        pytest.skip("azurite is not installed")
    port = free_port()
    flags = ["--blobPort", str(port), "--silent", "--skipApiVersionCheck", "--inMemoryPersistence"]
    process = subprocess.Popen([command, *flags], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    try:
        for _ in range(600):
            with socket.socket() as one:
                if one.connect_ex(("127.0.0.1", port)) == 0:
                    break
            time.sleep(0.1)
        account = f"AccountName=devstoreaccount1;AccountKey={KEY}"
        place = f"http://127.0.0.1:{port}/devstoreaccount1"
        options = {"connection_string": f"DefaultEndpointsProtocol=http;{account};BlobEndpoint={place};"}
        adlfs.AzureBlobFileSystem(**options).mkdir("bucket")
        yield "az://bucket", StorageSettings(options=options)
    finally:
        process.kill()
        process.wait()


@pytest.mark.parametrize("cloud", ["google", "azure"])
def test_a_run_from_one_place_of_a_store_to_another(
    request: pytest.FixtureRequest, weights: Path, cloud: str
) -> None:
    url, storage = request.getfixturevalue(cloud)
    source, out = (Location.parse(f"{url}/{name}", storage) for name in ("photos", "out"))
    put(source, photographs(2))
    assert sorted(item.path for item in source.objects()) == ["a/0.png", "a/1.png", "b/0.png", "b/1.png"]
    with pytest.raises(MissingError, match="does not exist"):
        (source / "nothing.png").read_bytes()
    if cloud == "google":
        # Google's own store keeps the condition of a put; its emulator does not, and is found out.
        with pytest.raises(StorageError, match="ignores If-None-Match"):
            require_conditional_puts(out)
        storage = storage.model_copy(update={"single_writer": True})
        source, out = (Location.parse(place.url, storage) for place in (source, out))
    settings = tiny(weights, "report.enabled=false", storage=storage)
    facts = run(source, out, settings)
    assert (facts["images"]["ok"], facts["published"]) == (4, True)
    opened = congeal.open(out.url, **storage.model_dump(exclude_unset=True))
    assert opened.images["uri"].tolist() == ["a/0.png", "a/1.png", "b/0.png", "b/1.png"]
    assert opened.image("a/0.png").shape == (60, 80, 3)
    assert verify(out)["faults"] == []
    assert run(source, out, settings)["up_to_date"]
