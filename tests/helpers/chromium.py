"""Chromium, driven over its own protocol: pages are opened, pointed at and looked at.

Nothing is needed but the browser of the system and `websockets`, which Prefect brings.
"""

from __future__ import annotations

import base64
import json
import os
import shutil
import subprocess
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from websockets.sync.client import ClientConnection, connect

START = 60.0  # seconds to wait for the browser and for a page on a busy machine
NAMES = ("chromium", "chromium-browser", "google-chrome", "chrome")
KEYS = {
    "ArrowLeft": 37,
    "ArrowUp": 38,
    "ArrowRight": 39,
    "ArrowDown": 40,
    "Escape": 27,
    "Enter": 13,
    " ": 32,
    "Tab": 9,
}

FLAGS = """
--headless=new --no-sandbox --disable-gpu --no-first-run --disable-extensions --disable-sync --mute-audio
--disable-background-networking --disable-component-update --disable-dev-shm-usage --remote-debugging-port=0
"""


def executable() -> str:
    """The browser's path; without one the test is skipped."""
    found = next((path for name in NAMES if (path := shutil.which(name))), None)
    if found is None:
        pytest.skip("there is no Chromium on this machine")
    return found


class Page:
    """One tab.

    Attributes:
        errors: what the page wrote to the console as an error or a warning, and what it threw.
        requests: every address that it asked for.
    """

    def __init__(self, connection: ClientConnection, session: str) -> None:
        self._connection = connection
        self._session = session
        self._number = 0
        self._loaded = False
        self.errors: list[str] = []
        self.requests: list[str] = []
        self.received = 0
        for domain in ("Page", "Runtime", "Network", "Log"):
            self.call(f"{domain}.enable")

    def call(self, method: str, **parameters: Any) -> Any:
        """A call of the protocol, answered."""
        self._number += 1
        number = self._number
        message = {"id": number, "sessionId": self._session, "method": method, "params": parameters}
        self._connection.send(json.dumps(message))
        while True:
            answer = json.loads(self._connection.recv(timeout=START))
            if answer.get("id") == number and answer.get("sessionId") == self._session:
                if "error" in answer:
                    raise AssertionError(f"{method}: {answer['error']}")
                return answer["result"]
            self._note(answer)

    def _note(self, event: dict[str, Any]) -> None:
        about = event.get("params", {})
        match event.get("method"):
            case "Network.requestWillBeSent":
                self.requests.append(about["request"]["url"])
            case "Network.loadingFinished":
                self.received += int(about["encodedDataLength"])
            case "Runtime.exceptionThrown":
                details = about["exceptionDetails"]
                self.errors.append(details.get("exception", {}).get("description") or details["text"])
            case "Runtime.consoleAPICalled" if about["type"] in {"error", "warning", "assert"}:
                self.errors.append(
                    " ".join(str(part.get("value", part.get("description"))) for part in about["args"])
                )
            case "Log.entryAdded" if about["entry"]["level"] in {"error", "warning"}:
                self.errors.append(f"{about['entry']['text']} {about['entry'].get('url', '')}")
            case "Page.loadEventFired":
                self._loaded = True

    def size(self, width: int, height: int, *, dark: bool = False, ratio: float = 1) -> None:
        """The size of the window in CSS pixels, and the system's wish for light or dark."""
        self.call(
            "Emulation.setDeviceMetricsOverride",
            width=width,
            height=height,
            deviceScaleFactor=ratio,
            mobile=False,
        )
        scheme = {"name": "prefers-color-scheme", "value": "dark" if dark else "light"}
        self.call("Emulation.setEmulatedMedia", features=[scheme])

    def open(self, url: str) -> None:
        """Go somewhere and wait until it is loaded."""
        self._loaded = False
        self.call("Page.navigate", url=url)
        self.wait("document.readyState === 'complete'")

    def evaluate(self, expression: str) -> Any:
        """The value of an expression, awaited if it is a promise."""
        answer = self.call("Runtime.evaluate", expression=expression, returnByValue=True, awaitPromise=True)
        if "exceptionDetails" in answer:
            details = answer["exceptionDetails"]
            raise AssertionError(details.get("exception", {}).get("description") or details["text"])
        return answer["result"].get("value")

    def wait(self, condition: str, seconds: float = START) -> None:
        """Wait until an expression is true."""
        end = time.monotonic() + seconds
        while time.monotonic() < end:
            if self.evaluate(
                f"(() => {{ try {{ return Boolean({condition}); }} catch {{ return false; }} }})()"
            ):
                return
            self.call(
                "Runtime.evaluate", expression="new Promise(done => setTimeout(done, 20))", awaitPromise=True
            )
        raise AssertionError(f"never true: {condition}; errors: {self.errors}")

    def frame(self) -> None:
        """Wait for two frames, so that what was asked for has been drawn."""
        self.evaluate(
            "new Promise(done => requestAnimationFrame(() => requestAnimationFrame(() => done(1))))"
        )

    def place(self, selector: str, u: float = 0.5, v: float = 0.5) -> tuple[float, float]:
        """Pixels of the window at a share of an element, which is brought into view."""
        box = self.evaluate(
            f"(() => {{ const element = document.querySelector({json.dumps(selector)});"
            " element.scrollIntoView({block: 'center'}); const box = element.getBoundingClientRect();"
            " return [box.x, box.y, box.width, box.height]; })()"
        )
        return box[0] + u * box[2], box[1] + v * box[3]

    def mouse(self, kind: str, x: float, y: float, *, button: str = "none", modifiers: int = 0) -> None:
        """mouseMoved, mousePressed or mouseReleased at pixels of the window."""
        held = 1 if button == "left" and kind != "mouseReleased" else 0
        self.call(
            "Input.dispatchMouseEvent",
            type=kind,
            x=x,
            y=y,
            button=button,
            buttons=held,
            clickCount=0 if kind == "mouseMoved" else 1,
            modifiers=modifiers,
        )

    def hover(self, selector: str, u: float = 0.5, v: float = 0.5) -> None:
        x, y = self.place(selector, u, v)
        self.mouse("mouseMoved", x, y)
        self.frame()

    def click(self, selector: str, u: float = 0.5, v: float = 0.5) -> None:
        x, y = self.place(selector, u, v)
        self.mouse("mouseMoved", x, y)
        self.mouse("mousePressed", x, y, button="left")
        self.mouse("mouseReleased", x, y, button="left")
        self.frame()

    def drag(self, selector: str, path: list[tuple[float, float]], *, modifiers: int = 0) -> None:
        """Press at the first place (shares of the element), move along the others, let go at the last."""
        left, top = self.place(selector, 0, 0)
        right, bottom = self.place(selector, 1, 1)
        places = [(left + u * (right - left), top + v * (bottom - top)) for u, v in path]
        self.mouse("mouseMoved", *places[0], modifiers=modifiers)
        self.mouse("mousePressed", *places[0], button="left", modifiers=modifiers)
        for x, y in places[1:]:
            self.mouse("mouseMoved", x, y, button="left", modifiers=modifiers)
        self.frame()
        self.mouse("mouseReleased", *places[-1], button="left", modifiers=modifiers)
        self.frame()

    def key(self, key: str) -> None:
        about: dict[str, Any] = {"key": key, "windowsVirtualKeyCode": KEYS.get(key, ord(key[0]))}
        text = {"text": key} if len(key) == 1 else {}
        self.call("Input.dispatchKeyEvent", type="keyDown", **about, **text)
        self.call("Input.dispatchKeyEvent", type="keyUp", **about)
        self.frame()

    def screenshot(self, path: Path, *, full: bool = False) -> None:
        answer = self.call("Page.captureScreenshot", format="png", captureBeyondViewport=full)
        path.write_bytes(base64.b64decode(answer["data"]))


@contextmanager
def chromium() -> Iterator[Page]:
    """A fresh browser with one empty tab; it ends with the block."""
    with tempfile.TemporaryDirectory(prefix="chromium-", ignore_cleanup_errors=True) as profile:
        command = [executable(), *FLAGS.split(), f"--user-data-dir={profile}", "about:blank"]
        silent = {"stdout": subprocess.DEVNULL, "stderr": subprocess.DEVNULL}
        with subprocess.Popen(command, env=os.environ | {"HOME": profile}, **silent) as process:
            try:
                address = _address(Path(profile) / "DevToolsActivePort", process)
                with connect(address, max_size=None, open_timeout=START, proxy=None) as connection:
                    yield Page(connection, _session(connection))
            finally:
                process.terminate()
                try:
                    process.wait(10)
                except subprocess.TimeoutExpired:
                    process.kill()


def _address(file: Path, process: subprocess.Popen[bytes]) -> str:
    end = time.monotonic() + START
    while time.monotonic() < end and process.poll() is None:
        lines = file.read_text().split() if file.exists() else []
        if len(lines) == 2:
            return f"ws://127.0.0.1:{lines[0]}{lines[1]}"
        time.sleep(0.02)
    pytest.skip("Chromium does not start on this machine")


def _session(connection: ClientConnection) -> str:
    """Attach to the one tab."""

    def call(number: int, method: str, **parameters: Any) -> Any:
        connection.send(json.dumps({"id": number, "method": method, "params": parameters}))
        while True:
            answer = json.loads(connection.recv(timeout=START))
            if answer.get("id") == number:
                return answer["result"]

    pages = [target for target in call(-1, "Target.getTargets")["targetInfos"] if target["type"] == "page"]
    return str(call(-2, "Target.attachToTarget", targetId=pages[0]["targetId"], flatten=True)["sessionId"])
