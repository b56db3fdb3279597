"""A Prefect server, workers and the command line as a user has them: processes, reached by their address."""

from __future__ import annotations

import os
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx
import psutil
import pytest

ROOT = Path(__file__).parents[2]
BIN = Path(sys.executable).parent


@dataclass(frozen=True)
class Server:
    """A running server: its address, its folder, its log."""

    api: str
    home: Path
    log: Path

    @property
    def environment(self) -> dict[str, str]:
        """The variables of a shell that speaks to this server; docs/deployment.md exports the same."""
        ours = {
            "PATH": f"{BIN}{os.pathsep}{os.environ['PATH']}",
            "PREFECT_API_URL": self.api,
            "PREFECT_HOME": str(self.home),
            "CONGEAL_HOME": str(ROOT),
            "COLUMNS": "400",
        }
        return {**os.environ, **ours}

    def prefect(
        self, *arguments: str, ok: bool = True, cwd: Path = ROOT, **variables: str | None
    ) -> subprocess.CompletedProcess[str]:
        """Run `prefect …` in the checkout; a variable given as None is not set."""
        environment = {k: v for k, v in {**self.environment, **variables}.items() if v is not None}
        done = subprocess.run(
            [str(BIN / "prefect"), *arguments],
            env=environment,
            cwd=cwd,
            check=False,
            capture_output=True,
            text=True,
            stdin=subprocess.DEVNULL,
        )
        assert not ok or done.returncode == 0, f"prefect {' '.join(arguments)}\n{done.stdout}{done.stderr}"
        return done

    def get(self, path: str) -> Any:
        """What the API answers to a GET."""
        return self._answer("GET", path).raise_for_status().json()

    def post(self, path: str, body: dict[str, Any]) -> httpx.Response:
        """The API's answer to a POST."""
        return self._answer("POST", path, body)

    def _answer(self, method: str, path: str, body: dict[str, Any] | None = None) -> httpx.Response:
        def answer() -> httpx.Response | None:
            found = httpx.request(method, f"{self.api}/{path}", json=body, timeout=60)
            # What it says while its SQLite is busy; Prefect's own client tries again, too.
            return None if found.status_code == 503 else found

        found: httpx.Response = until(lambda: (given := answer()) is not None and [given])[0]
        return found

    def deployment(self, name: str) -> dict[str, Any]:
        """A deployment of the flow `collection`, as the API shows it."""
        found: dict[str, Any] = self.get(f"deployments/name/collection/{name}")
        return found

    def start(self, deployment: str, parameters: dict[str, Any]) -> str:
        """Create a run as any program could, past the command line's checks; its id."""
        answer = self.post(
            f"deployments/{self.deployment(deployment)['id']}/create_flow_run",
            {"parameters": parameters, "state": {"type": "SCHEDULED"}},
        )
        assert answer.status_code == 201, answer.text
        return str(answer.json()["id"])

    def runs(self, deployment: str) -> list[dict[str, Any]]:
        """All runs of a deployment."""
        where = {"deployments": {"id": {"any_": [self.deployment(deployment)["id"]]}}}
        runs: list[dict[str, Any]] = self.post("flow_runs/filter", where).raise_for_status().json()
        return runs

    def state(self, run: str) -> tuple[str, str]:
        """Type and message of a run's state."""
        state = self.get(f"flow_runs/{run}")["state"]
        return state["type"], state["message"] or ""

    def ended(self, run: str, seconds: float = 240) -> tuple[str, str]:
        """Type and message of the state in which a run ended."""
        final = {"COMPLETED", "FAILED", "CRASHED", "CANCELLED"}
        return until(lambda: (state := self.state(run))[0] in final and state, seconds)

    @contextmanager
    def worker(self, **variables: str) -> Iterator[subprocess.Popen[bytes]]:
        """A worker of a pool; at the end it is killed with the runs that it started."""
        command = [str(BIN / "prefect"), "worker", "start", "--pool", "congeal-pool"]
        with (self.home / "worker.log").open("ab") as log:
            process = subprocess.Popen(
                command,
                env={**self.environment, "PREFECT_WORKER_QUERY_SECONDS": "1", **variables},
                cwd=self.home,
                stdout=log,
                stderr=subprocess.STDOUT,
            )
        try:
            yield process
        finally:
            kill(process)


def until(found: Callable[[], Any], seconds: float = 120) -> Any:
    """What `found` gives as soon as it gives anything."""
    deadline = time.monotonic() + seconds
    while not (result := found()):
        if time.monotonic() > deadline:
            raise AssertionError(f"not within {seconds} s")
        time.sleep(0.2)
    return result


@contextmanager
def served(home: Path, **variables: str) -> Iterator[Server]:
    """A server of its own on a free port, whose scheduler looks every second."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    home.mkdir(parents=True, exist_ok=True)
    server = Server(f"http://127.0.0.1:{port}/api", home, home / "server.log")
    with server.log.open("wb") as log:
        process = subprocess.Popen(
            [str(BIN / "prefect"), "server", "start", "--host", "127.0.0.1", "--port", str(port)],
            env={**server.environment, "PREFECT_SERVER_SERVICES_SCHEDULER_LOOP_SECONDS": "1", **variables},
            cwd=home,
            stdout=log,
            stderr=subprocess.STDOUT,
        )
    try:
        until(lambda: _healthy(server, process), 600)
        yield server
    finally:
        kill(process)


@pytest.fixture(scope="session")
def prefect_server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    """The session's server, with the pool of the documentation."""
    with served(tmp_path_factory.mktemp("prefect-server")) as server:
        server.prefect("work-pool", "create", "congeal-pool", "--type", "process")
        yield server


def _healthy(server: Server, process: subprocess.Popen[bytes]) -> bool:
    assert process.poll() is None, server.log.read_text()
    try:
        return bool(server.get("health"))
    except httpx.HTTPError:
        return False


def kill(process: subprocess.Popen[bytes]) -> None:
    """End a process and all that it started, without warning, as a power cut does."""
    try:
        # A worker's runs are in sessions of their own, so that a signal to its group would not reach them.
        family = psutil.Process(process.pid)
        everyone = [*family.children(recursive=True), family]
    except psutil.NoSuchProcess:
        everyone = []
    for member in everyone:
        with suppress(psutil.NoSuchProcess):
            member.kill()
    process.wait()
