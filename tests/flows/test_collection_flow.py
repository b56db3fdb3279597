"""The flow as Prefect runs it; a handful of tests behind one server."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from sample_runs import chosen, folder, photographs, results, tiny

from infra.errors import UserError

pytestmark = [pytest.mark.prefect]


@pytest.fixture(scope="module", autouse=True)
def server() -> Iterator[None]:
    from prefect.testing.utilities import prefect_test_harness

    with prefect_test_harness(server_startup_timeout=120):
        yield


def parameters(weights: Path, *more: str) -> dict[str, Any]:
    return dict(text.split("=", 1) for text in chosen(weights, *more))


def test_the_flow_makes_what_a_plain_run_makes(finished: Path, tmp_path: Path, weights: Path) -> None:
    from prefect.client.orchestration import get_client

    from flows.collection import collection

    source, destination = str(finished / "source"), str(tmp_path / "out")
    state = collection(source, destination, parameters(weights), return_state=True)
    facts = state.result()
    assert facts["published"]
    assert results(tmp_path / "out") == results(finished / "destination")
    with get_client(sync_client=True) as client:
        runs = client.read_task_runs()
    assert {run.name.split("-")[0] for run in runs} >= {
        "catalog",
        "features",
        "clusters",
        "atlases",
        "index",
        "publish",
    }
    assert len(runs) < 10
    assert collection(source, destination, parameters(weights))["up_to_date"]


def test_the_other_deployments_flows_and_what_their_pages_show(finished: Path, tmp_path: Path) -> None:
    from prefect.client.orchestration import get_client

    from flows.deployments.destination_slots import slot_name
    from flows.further_flows import new_images, report, resolve, verification
    from infra.errors import DamagedError

    shutil.copytree(finished, tmp_path / "home")
    source, destination = str(tmp_path / "home/source"), str(tmp_path / "home/destination")
    (tmp_path / "home/source/broken.jpg").unlink()
    assert new_images(source, destination)["images"]["failed"] == 0
    state = resolve(source, destination, ["nobody"], return_state=True)
    assert (state.name, "nobody" in state.message) == ("Failed", True)
    assert report(destination)["report"].endswith("/report/index.html")
    assert verification(destination, shallow=True)["faults"] == []
    max((tmp_path / "home/destination/stages/atlases").rglob("*.png")).write_bytes(b"damaged")
    with pytest.raises(DamagedError, match="is damaged, it has 7 bytes"):
        verification(destination)
    with get_client(sync_client=True) as client:
        artifacts = sorted(client.read_artifacts(), key=lambda each: str(each.created))
    found = {each.key: each.data for each in artifacts if each.key}
    mine = slot_name(destination)
    assert found.keys() >= {f"{mine}-{what}" for what in ("summary", "clusters", "report", "verification")}
    assert "as the settings ask for it" in found[f"{mine}-summary"]
    assert "not sound" in found[f"{mine}-verification"]


@pytest.mark.slow
def test_what_the_user_has_to_cure_is_not_tried_again(
    tmp_path: Path, weights: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from flows.collection import collection
    from tasks.clusters import clusters_stage

    calls = []

    def fail(*_: object) -> None:
        calls.append(1)
        raise UserError("There is no space left: free some.")

    monkeypatch.setattr(clusters_stage, "sort", fail)
    source = folder(tmp_path / "source", photographs(2))
    with pytest.raises(UserError, match="no space left"):
        collection(str(source), str(tmp_path / "out"), parameters(weights))
    assert calls == [1]


@pytest.mark.slow
def test_a_fault_of_the_machinery_is_tried_again(
    tmp_path: Path, weights: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from flows import collection as module
    from flows.runs import retries
    from tasks.clusters import clusters_stage

    real, calls = clusters_stage.sort, []

    def once(*arguments: Any) -> Any:
        calls.append(1)
        if len(calls) == 1:
            raise ConnectionResetError("the other side went away")
        return real(*arguments)

    monkeypatch.setattr(clusters_stage, "sort", once)
    monkeypatch.setattr(retries, "DELAYS", [0, 0])
    source = folder(tmp_path / "source", photographs(2))
    facts = module.collection(str(source), str(tmp_path / "out"), parameters(weights))
    assert facts["published"]
    assert len(calls) == 2


@pytest.mark.slow
def test_a_job_that_is_handed_over_is_not_prepared_again(
    tmp_path: Path, weights: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from flows import collection as module
    from flows.runs.prepare import prepare
    from infra.compute.progress import Progress

    source = folder(tmp_path / "source", photographs(2))
    job = prepare(str(source), str(tmp_path / "out"), tiny(weights))
    monkeypatch.setattr(module, "prepare", lambda *_, **__: pytest.fail("prepared again"))
    module.hand_over(job, Progress(quiet=True))
    assert module.collection(job.source.url, job.destination.url)["published"]


@pytest.mark.parametrize(
    ("given", "sentence"),
    [
        ({}, "The parameter source is missing"),
        ({"source": "photographs", "destination": 5}, "destination cannot be 5"),
        ({"source": "photographs", "destination": "out", "settings": [1]}, "settings cannot be [1]"),
        (
            {"source": "photographs", "destination": "out", "settings": {"image_size": 448}},
            "did you mean features.image_size?",
        ),
        ({"source": "/no/such/place", "destination": "out"}, "/no/such/place"),
    ],
)
def test_what_cannot_be_run_ends_as_failed_with_a_sentence(given: dict[str, Any], sentence: str) -> None:
    from flows.collection import collection

    state = collection(**given, return_state=True)
    assert state.name == "Failed"
    assert sentence in state.message
    with pytest.raises(UserError):
        state.result()


def test_what_a_deployment_needs_is_tried(tmp_path: Path) -> None:
    from prefect.client.orchestration import get_client
    from prefect.client.schemas.actions import WorkPoolCreate

    from congeal.settings import Settings
    from flows.deployments.checks import checks

    found = {one.name: one for one in checks(Settings(), None, str(tmp_path), "no-such-pool")}
    assert found["server"].passed
    assert "prefect work-pool create no-such-pool --type process" in found["pool"].says
    with get_client(sync_client=True) as client:
        client.create_work_pool(WorkPoolCreate(name="empty-pool", type="process"))
    found = {one.name: one for one in checks(Settings(), None, str(tmp_path), "empty-pool")}
    assert found["pool"].passed
    assert "prefect worker start --pool empty-pool" in found["worker"].says
    assert "prefect --no-prompt deploy --all" in found["deployments"].says


def test_a_slot_that_nobody_holds_is_taken(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A server that is started again has forgotten the leases, and counts their slots for ever."""
    from types import SimpleNamespace

    from prefect import flow
    from prefect.client.orchestration import get_client
    from prefect.client.schemas.actions import GlobalConcurrencyLimitUpdate

    from flows.deployments import destination_slots
    from flows.deployments.destination_slots import alone_on, slot_name

    name = slot_name(str(tmp_path))
    with get_client(sync_client=True) as client:
        client.upsert_global_concurrency_limit_by_name(name, limit=1)
        client.update_global_concurrency_limit(name, GlobalConcurrencyLimitUpdate(active_slots=1))

        def slots() -> int:
            return client.read_global_concurrency_limit_by_name(name).active_slots

        monkeypatch.setattr(destination_slots, "PATIENCE", 0.1)
        monkeypatch.setattr(
            destination_slots.runtime, "deployment", SimpleNamespace(id="of a deployment"), raising=False
        )

        @flow(name="holder")
        def holder() -> int:
            with alone_on(str(tmp_path)):
                return slots()

        assert holder() == 1
        assert slots() == 0
