from __future__ import annotations

import io

import pytest
from rich.console import Console

from infra.compute.progress import Progress


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> list[float]:
    """What the clock shows."""
    now = [0.0]
    monkeypatch.setattr("infra.compute.progress.time.perf_counter", lambda: now[0])
    return now


def console(terminal: bool) -> tuple[Console, io.StringIO]:
    sink = io.StringIO()
    return Console(file=sink, force_terminal=terminal, width=120, color_system=None), sink


def test_elsewhere_than_on_a_terminal_a_stage_is_two_lines(clock: list[float]) -> None:
    screen, sink = console(terminal=False)
    with Progress(console=screen) as progress, progress.stage("features", total=1500) as advance:
        for _ in range(3):
            clock[0] += 5.0
            advance(500)
    assert sink.getvalue() == "features: started\nfeatures: 1,500 of 1,500 in 15.0 s, 100.0 /s\n"


def test_a_long_stage_says_now_and_then_how_far_it_is(clock: list[float]) -> None:
    screen, sink = console(terminal=False)
    with Progress(console=screen) as progress, progress.stage("features", total=100) as advance:
        for _ in range(10):
            clock[0] += 20.0
            advance(10)
    lines = sink.getvalue().splitlines()
    assert lines[1] == "features: 20 of 100, 2.0 s each, 0:02:40 left"
    assert len(lines) == 2 + 4


def test_what_was_done_before_does_not_count_for_the_speed(clock: list[float]) -> None:
    screen, sink = console(terminal=False)
    with Progress(console=screen) as progress, progress.stage("features", total=100, done=90) as advance:
        clock[0] += 50.0
        advance(10)
    assert sink.getvalue() == (
        "features: 90 of 100 at the start\nfeatures: 100 of 100 in 50.0 s, 5.0 s each\n"
    )


def test_a_total_that_is_not_known(clock: list[float]) -> None:
    screen, sink = console(terminal=False)
    with Progress(console=screen) as progress, progress.stage("listing") as advance:
        clock[0] += 2.0
        advance(10)
    assert "listing: 10 in 2.0 s, 5.0 /s" in sink.getvalue()


def test_a_terminal_shows_items_speed_and_time_left() -> None:
    screen, sink = console(terminal=True)
    with Progress(console=screen) as progress, progress.stage("features", total=20) as advance:
        assert progress._bars is not None
        progress._bars.refresh()
        assert "so far" in sink.getvalue()  # how fast it goes is not known yet
        advance(10)
        progress._bars.refresh()
        assert "10/20" in sink.getvalue()
        advance(10)
    text = sink.getvalue()
    assert "features" in text
    assert "20/20" in text
    assert "/s" in text
    assert "- /s" not in text
    assert "started" not in text


def test_a_stage_that_fails_does_not_say_that_it_ended(clock: list[float]) -> None:
    screen, sink = console(terminal=False)
    with (
        pytest.raises(ZeroDivisionError),
        Progress(console=screen) as progress,
        progress.stage("atlases", total=2),
    ):
        _ = 1 / 0
    assert sink.getvalue() == "atlases: started\n"


@pytest.mark.parametrize("terminal", [True, False])
def test_quiet_shows_nothing(terminal: bool) -> None:
    screen, sink = console(terminal)
    with Progress(quiet=True, console=screen) as progress, progress.stage("features", total=2) as advance:
        advance(1)
        progress.note("a note")
    assert sink.getvalue() == ""


@pytest.mark.parametrize("terminal", [True, False])
def test_notes_are_shown_as_they_are(terminal: bool) -> None:
    screen, sink = console(terminal)
    with Progress(console=screen) as progress:
        progress.note("a marker [bold]is[/bold] damaged")
    assert "a marker [bold]is[/bold] damaged\n" in sink.getvalue()


def test_it_goes_to_stderr(capsys: pytest.CaptureFixture[str]) -> None:
    with Progress() as progress, progress.stage("catalog", total=1) as advance:
        advance(1)
    captured = capsys.readouterr()
    assert captured.out == ""
    assert "catalog: started" in captured.err
