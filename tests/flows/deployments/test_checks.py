"""`congeal deployment check`, without a server; with one in tests/flows/test_collection_flow.py."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

import pytest
from s3_stub import s3_stub
from sample_runs import folder, photographs
from typer.testing import CliRunner

from congeal.settings import Settings
from flows.cli import app
from flows.deployments.checks import Check, checks
from infra.settings import EngineSettings, StorageSettings

ALL = [
    "server", "pool", "worker", "deployments", "credentials", "source", "destination", "conditional writes",
    "listing", "engine", "device",
]  # fmt: skip


def looked_at(
    source: str | None, destination: str | None, settings: Settings | None = None
) -> dict[str, Check]:
    found = {one.name: one for one in checks(settings or Settings(), source, destination, "congeal-pool")}
    assert list(found) == ALL
    assert not any("\n" in one.says for one in found.values())
    return found


@pytest.fixture(autouse=True)
def no_server(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    from prefect.settings import PREFECT_API_URL, temporary_settings

    monkeypatch.delenv("PREFECT_API_URL", raising=False)
    with temporary_settings(restore_defaults={PREFECT_API_URL}):
        yield


def test_places_on_this_machine(tmp_path: Path) -> None:
    source, out = folder(tmp_path / "source", photographs(2)), tmp_path / "out"
    found = looked_at(str(source), str(out))
    assert {name for name, one in found.items() if one.passed} >= {
        "source", "destination", "conditional writes", "listing", "device",
    }  # fmt: skip
    assert found["server"].passed is False
    assert "set PREFECT_API_URL" in found["server"].says
    assert found["credentials"].passed is None
    assert not [path for path in out.rglob("*") if path.is_file()]


def test_what_is_wrong_is_said_and_the_rest_is_tried(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("no folder")
    (tmp_path / "empty").mkdir()
    found = looked_at(str(tmp_path / "empty"), str(tmp_path / "file" / "out"))
    assert found["source"].passed is False
    assert "none is an image" in found["source"].says
    assert found["destination"].passed is False
    assert (found["listing"].passed, found["device"].passed) == (None, True)


def test_a_dask_scheduler_is_tried(monkeypatch: pytest.MonkeyPatch) -> None:
    import distributed

    monkeypatch.setattr("infra.compute.dask_clients.ANSWER", 0.2)
    assert looked_at(None, None)["engine"].passed is None
    nobody = looked_at(None, None, Settings(engine=EngineSettings(address="tcp://127.0.0.1:1")))["engine"]
    assert (nobody.passed, nobody.says) == (
        False, "No Dask scheduler answers at tcp://127.0.0.1:1: check engine.address.",
    )  # fmt: skip
    place = {"host": "127.0.0.1", "dashboard_address": "127.0.0.1:0", "n_workers": 1, "threads_per_worker": 2}
    with distributed.LocalCluster(processes=False, protocol="tcp://", **place) as cluster:
        engine = EngineSettings(address=cluster.scheduler_address)
        found = looked_at(None, None, Settings(engine=engine))["engine"]
    assert found.passed
    assert found.says.endswith("answers; 1 worker with 2 threads has Congeal")


@pytest.mark.parametrize(("condition", "kept"), [("unnamed", True), ("ignored", False)])
def test_a_store_that_ignores_conditions_is_named(condition: str, kept: bool) -> None:
    with s3_stub(condition) as server:
        storage = StorageSettings(endpoint_url=f"http://127.0.0.1:{server.server_port}")
        found = looked_at(None, "s3://bucket/out", Settings(storage=storage))
    assert found["conditional writes"].passed is kept
    assert kept or "ignores If-None-Match" in found["conditional writes"].says


@pytest.mark.s3
def test_an_object_store(s3_endpoint: str, s3_settings: StorageSettings, s3_bucket: str) -> None:
    found = looked_at(None, f"s3://{s3_bucket}/checked", Settings(storage=s3_settings))
    assert all(found[name].passed for name in ("destination", "conditional writes", "listing")), found


def test_the_exit_code_and_a_line_each(tmp_path: Path) -> None:
    source = folder(tmp_path / "source", photographs(1))
    result = CliRunner().invoke(app, ["deployment", "check", str(source), str(tmp_path / "out")])
    assert result.exit_code == 1
    lines = result.stdout.splitlines()
    assert [line[4:].split("  ")[0] for line in lines] == ALL
    assert lines[0].startswith("NO  server")
    result = CliRunner().invoke(app, ["deployment", "check", "--json"])
    assert result.exit_code == 1
    facts = json.loads(result.stdout.splitlines()[-1])
    assert facts["ok"] is False
    assert [one["name"] for one in facts["checks"]] == ALL
