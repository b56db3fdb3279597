"""The shipped deployments on a real server with a real worker, as docs/deployment.md has them."""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import pytest
from documented import commands
from prefect_server import Server, served, until
from sample_runs import chosen, folder, photographs

pytestmark = [pytest.mark.prefect, pytest.mark.timeout(1800)]
NIGHTLY = ("--no-prompt", "deploy", "--prefect-file", "examples/deployment/nightly.yaml", "--all")
# Commands that the prose names without their arguments.
NAMED_ALONE = ("deploy", "deployment run", "automation create")


@pytest.fixture(scope="module")
def nightly(prefect_server: Server, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The nightly deployment, made; the folder that has its source."""
    home = tmp_path_factory.mktemp("nightly")
    folder(home / "source", photographs(2))
    deploy_nightly(prefect_server, home)
    return home


@pytest.fixture(scope="module")
def on_demand(prefect_server: Server) -> str:
    """The deployment on-demand, made."""
    prefect_server.prefect("--no-prompt", "deploy", "--all")
    return "on-demand"


def deploy_nightly(server: Server, home: Path) -> None:
    places = {"NIGHTLY_SOURCE": str(home / "source"), "NIGHTLY_DESTINATION": str(home / "out")}
    server.prefect(*NIGHTLY, **places)


@pytest.mark.slow
def test_a_deployment_with_a_cron_gets_runs(prefect_server: Server, nightly: Path) -> None:
    (schedule,) = prefect_server.deployment("nightly")["schedules"]
    assert not schedule["active"]
    assert prefect_server.runs("nightly") == []
    prefect_server.prefect("deployment", "schedule", "resume", "collection/nightly", schedule["id"])
    runs = until(lambda: prefect_server.runs("nightly"), 300)
    assert {run["state_type"] for run in runs} == {"SCHEDULED"}
    assert all(run["auto_scheduled"] for run in runs)
    assert {run["expected_start_time"][11:16] for run in runs} == {"02:17"}
    assert all(run["parameters"]["source"] == str(nightly / "source") for run in runs)
    assert all(run["parameters"]["destination"] == str(nightly / "out") for run in runs)


@pytest.mark.slow
@pytest.mark.parametrize(
    ("unset", "command"),
    [
        ("NIGHTLY_SOURCE", NIGHTLY),
        ("NIGHTLY_DESTINATION", NIGHTLY),
        ("CONGEAL_HOME", ("--no-prompt", "deploy", "--all")),
    ],
)
def test_a_variable_that_is_not_set_is_refused_at_deploy(
    prefect_server: Server, unset: str, command: tuple[str, ...]
) -> None:
    places: dict[str, str | None] = {"NIGHTLY_SOURCE": "/s", "NIGHTLY_DESTINATION": "/d"}
    before = prefect_server.post("deployments/filter", {}).json()
    done = prefect_server.prefect(*command, ok=False, **(places | {unset: None}))
    assert done.returncode == 1
    assert f"error: {unset} is not set: export {unset} and deploy again." in done.stderr
    assert "Traceback" not in done.stdout + done.stderr
    assert prefect_server.post("deployments/filter", {}).json() == before


@pytest.mark.slow
def test_every_deploy_makes_the_schedules_of_the_file_anew(prefect_server: Server, nightly: Path) -> None:
    (before,) = prefect_server.deployment("nightly")["schedules"]
    if not before["active"]:
        prefect_server.prefect("deployment", "schedule", "resume", "collection/nightly", before["id"])
    deploy_nightly(prefect_server, nightly)
    (after,) = prefect_server.deployment("nightly")["schedules"]
    assert after["id"] != before["id"]
    assert not after["active"]


@pytest.mark.slow
def test_a_deploy_leaves_schedules_made_by_hand_alone(prefect_server: Server, on_demand: str) -> None:
    name = f"collection/{on_demand}"
    prefect_server.prefect("deployment", "schedule", "create", name, "--cron", "41 3 * * *")
    (made,) = prefect_server.deployment(on_demand)["schedules"]
    prefect_server.prefect("deployment", "schedule", "pause", name, made["id"])
    prefect_server.prefect("--no-prompt", "deploy", "--all")
    (kept,) = prefect_server.deployment(on_demand)["schedules"]
    assert (kept["id"], kept["active"]) == (made["id"], False)


@pytest.fixture(scope="module")
def worker(prefect_server: Server) -> Iterator[Server]:
    """The server, with a worker at its pool."""
    with prefect_server.worker():
        yield prefect_server


# By the server, before there is a run; and what it lets through, by the run.
REFUSED_AT_ONCE: list[tuple[str, dict[str, Any], str]] = [
    ("collection", {"source": None}, "source"),
    ("collection", {"source": 5}, "source"),
    ("collection", {"settings": [1]}, "settings"),
    ("collection", {"settings": {"feature": {"image_size": 448}}}, "settings.feature"),
    ("collection", {"settings": {"features": {"image_sise": 448}}}, "image_sise"),
    ("collection", {"settings": {"features": {"image_size": "big"}}}, "settings.features.image_size"),
    ("collection", {"settings": {"features.image_sise": 448}}, "features.image_sise"),
    ("collection", {"settings": {"storage": {"secret": "of mine"}}}, "secret"),
    ("resolve", {}, "clusters"),
    ("verification", {"source": None, "shallow": "yes"}, "shallow"),
]
REFUSED: list[tuple[dict[str, Any], str]] = [
    ({"setings": {}}, "setings is no parameter of a run: did you mean settings?"),
    ({"settings": {"atlases.solver.flow.finest": 3}}, "atlases.solver.flow.finest"),
    ({"source": "/no/such/place"}, "/no/such/place"),
    ({"settings": {"features.backbone": "vit_of_nobody"}}, "vit_of_nobody"),
]


@pytest.mark.slow
def test_the_server_refuses_wrong_keys_before_there_is_a_run(prefect_server: Server, on_demand: str) -> None:
    for flow, wrong, key in REFUSED_AT_ONCE:
        deployment = prefect_server.get(f"deployments/name/{flow}/{on_demand}")["id"]
        given = {"source": "/s", "destination": "/d"} | wrong
        body = {"parameters": {name: value for name, value in given.items() if value is not None}}
        answer = prefect_server.post(f"deployments/{deployment}/create_flow_run", body)
        assert answer.status_code == 409, (wrong, answer.text)
        assert key in answer.json()["detail"]
        assert "of mine" not in answer.text


@pytest.mark.slow
def test_what_cannot_be_run_fails_with_one_sentence(worker: Server, on_demand: str, tmp_path: Path) -> None:
    source = folder(tmp_path / "source", photographs(1))
    good = {"source": str(source), "destination": str(tmp_path / "out")}
    runs = [worker.start(on_demand, good | wrong) for wrong, _ in REFUSED]
    for run, (_, sentence) in zip(runs, REFUSED, strict=True):
        state, message = worker.ended(run, 600)
        assert (state, "\n" in message) == ("FAILED", False), message
        assert sentence in message
    # A backbone is looked for when the place has been claimed; nothing else is left there.
    left = {path.name for path in (tmp_path / "out").rglob("*") if path.is_file()}
    assert left <= {"congeal.json"}


@pytest.mark.slow
def test_a_run_makes_what_it_should(worker: Server, on_demand: str, tmp_path: Path, weights: Path) -> None:
    source = folder(tmp_path / "source", photographs(2))
    settings = dict(text.split("=", 1) for text in chosen(weights))
    done = worker.prefect(
        "deployment",
        "run",
        f"collection/{on_demand}",
        *("-p", f"source={source}", "-p", f"destination={tmp_path / 'out'}"),
        *("-p", f"settings={json.dumps(settings)}", "--watch"),
    )
    assert (tmp_path / "out" / "published").is_dir(), done.stdout


@pytest.mark.slow
def test_the_documented_commands_work_in_their_order(tmp_path: Path, weights: Path) -> None:
    source, out = folder(tmp_path / "source", photographs(2)), tmp_path / "out"
    fast = json.dumps(dict(text.split("=", 1) for text in chosen(weights)))
    places = {"NIGHTLY_SOURCE": str(source), "NIGHTLY_DESTINATION": str(out)}
    done = []
    with served(tmp_path / "server") as server, ExitStack() as running:
        for command in commands():
            text = " ".join(command.words[1:])
            if command.page != "deployment.md" or text in done or text in NAMED_ALONE:
                continue
            done.append(text)
            if text.startswith("server start"):
                continue  # as `served` has it
            if text.startswith("worker start"):
                if command.block:
                    running.enter_context(server.worker())
                continue
            words = [
                f"settings={fast}" if word.startswith("settings=") else word for word in command.words[1:]
            ]
            for written, meant in (
                ("s3://bucket/photographs", lambda: str(source)),
                ("s3://bucket/atlases", lambda: str(out)),
                ("SCHEDULE_ID", lambda: server.deployment("nightly")["schedules"][0]["id"]),
                (
                    "RUN_ID",
                    lambda: server.start("on-demand", {"source": str(source), "destination": str(out)}),
                ),
            ):
                words = [word.replace(written, meant()) if written in word else word for word in words]
            server.prefect(*words, **places)
        assert (out / "published").is_dir()
        assert not server.deployment("nightly")["schedules"][0]["active"]
        assert [each["name"] for each in server.post("automations/filter", {}).json()]
    assert len(done) >= 10


@pytest.mark.slow
def test_a_run_whose_machine_died_crashes_and_the_next_one_starts(tmp_path: Path, weights: Path) -> None:
    source = folder(tmp_path / "source", photographs(2))
    settings = dict(text.split("=", 1) for text in chosen(weights))
    parameters = {"source": str(source), "destination": str(tmp_path / "out"), "settings": settings}
    with served(tmp_path / "server") as server:
        server.prefect("work-pool", "create", "congeal-pool", "--type", "process")
        server.prefect("--no-prompt", "deploy", "--all")
        server.prefect("automation", "create", "--from-file", "examples/deployment/dead-runs.yaml")
        with server.worker():
            dead = server.start("on-demand", parameters)
            until(lambda: server.state(dead)[0] == "RUNNING", 300)
        with server.worker():
            following = server.start("on-demand", parameters)
            state, message = server.ended(dead, 300)
            assert (state, message.split(":")[0]) == ("CRASHED", "No sign of life for two minutes")
            assert server.ended(following, 300)[0] == "COMPLETED"
