"""What a run would take: asked without leaving a trace, and told by the numbers of a sample."""

from __future__ import annotations

import hashlib
import io
import json
import os
import subprocess
import sys
import tempfile
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from rich.console import Console
from sample_runs import chosen, folder, photographs, results, run, tiny, weights
from typer.testing import CliRunner

from congeal.settings import load_settings
from flows.cli import app
from flows.planning.expected_sets import atlas_bytes, atlas_seconds, expected_sets
from flows.planning.forecast import peak_memory
from flows.planning.machine import slowed_down
from flows.planning.plan import plan
from flows.planning.sample import Sampled, Seen, SetCost
from flows.planning.sets_look import Look
from flows.planning.shown import show_plan
from infra.compute import temporary_folders
from infra.errors import UserError

__all__ = ["weights"]


def asked(weights: Path, *more: str) -> Any:
    return tiny(weights, "plan.sample=16", "report.enabled=false", *more)


@pytest.mark.slow
def test_a_plan_says_what_a_run_takes_and_writes_nothing(tmp_path: Path, weights: Path) -> None:
    source, out = folder(tmp_path / "source", photographs(12)), tmp_path / "out"
    facts = plan(str(source), str(out), asked(weights))
    assert not out.exists()
    assert (facts["images"], facts["usable"], facts["sets"]) == (24, 24, 1)
    assert facts["source_bytes"] == sum(path.stat().st_size for path in source.rglob("*.png"))
    assert facts["sample"] == {"images": 16, "ok": 16, "sets": 1, "looked_at": 0}
    assert facts["done"] == {"catalog": 0, "features": 0, "atlases": 0}
    assert [one["stage"] for one in facts["stages"]] == [
        "catalog",
        "features",
        "clusters",
        "atlases",
        "index",
    ]
    assert facts["read_bytes"] >= 2 * facts["source_bytes"]
    assert facts["requests"]["source"] == {"list": 1, "head": 0, "get": 48}
    assert facts["price"]["once"] == facts["price"]["storage_per_month"] == 0  # a disk
    console = Console(file=io.StringIO(), width=200)
    show_plan(facts, console)
    told = console.file.getvalue()
    assert "images: 24 (" in told
    assert "peak memory" in told

    # What it says of bytes is what a run then writes, to within a quarter: the sample's images are like all.
    run(source, out, asked(weights))
    written = sum(path.stat().st_size for path in (out / "stages/features").rglob("*") if path.is_file())
    assert facts["writes"]["features"] == pytest.approx(written, rel=0.25)
    before = results(out)
    again = plan(str(source), str(out), asked(weights))
    assert (again["up_to_date"], again["version"]) == (True, 1)
    show_plan(again, console)
    folder(
        source, {f"c/{seed}.png": data for seed, data in enumerate(photographs(20).values()) if seed >= 32}
    )
    grown = plan(str(source), str(out), asked(weights))
    assert grown["images"] == 32
    assert 16 <= grown["done"]["catalog"] <= 24
    assert grown["done"]["features"] == 24  # those of the slice that is to be made anew, too
    assert results(out) == before


def test_what_a_killed_plan_has_left_goes_with_the_next(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    with subprocess.Popen([sys.executable, "-c", ""]) as ended:
        pass
    left = tmp_path / f"congeal-plan-{ended.pid}-x"
    left.mkdir()
    os.utime(left, (0, 0))
    temporary_folders._clear_once.cache_clear()  # as in a process of its own
    with pytest.raises(UserError, match="does not exist"):
        plan(str(tmp_path / "source"), None, load_settings(None, ()))
    assert not list(tmp_path.iterdir())


def test_a_source_without_a_sound_image_is_named_and_no_list_of_the_plan(
    tmp_path: Path, weights: Path
) -> None:
    source = folder(tmp_path / "source", {"a.jpg": b"no image"})
    with pytest.raises(UserError) as raised:
        plan(str(source), None, asked(weights))
    assert str(raised.value) == (
        f"The only image of a sample of file://{source} cannot be used: file://{source}/a.jpg: not an image."
    )


def test_dry_runs_and_lists_on_the_command_line(tmp_path: Path, weights: Path) -> None:
    folder(tmp_path / "p", photographs(3))
    rows = [f"p/{kind}/{seed}.png,{kind}" for kind in "ab" for seed in range(3)]
    (tmp_path / "l.csv").write_text("uri,kind\n" + "\n".join(rows) + "\n")
    out = tmp_path / "out"
    settings = [
        f"--set={one}" for one in chosen(weights, "report.enabled=false", "clusters.method=column:kind")
    ]
    for command in (["run", "--dry-run"], ["plan"]):
        answer = CliRunner().invoke(app, [*command, str(tmp_path / "l.csv"), str(out), "--json", *settings])
        facts = json.loads(answer.stdout.splitlines()[-1])
        assert facts["ok"], facts
        assert facts["sets"] == 2
        assert facts["sets_between"] == [2, 2]
        assert facts["requests"]["source"]["list"] == 0
        assert not out.exists()
    answer = CliRunner().invoke(app, ["plan", str(tmp_path / "none"), "--json", *settings])
    assert answer.exit_code == 1
    assert "does not exist" in json.loads(answer.stdout)["error"]
    with pytest.raises(UserError, match="lies inside"):
        plan(str(tmp_path / "p"), str(tmp_path / "p/out"), tiny(weights))


def test_groups_of_a_table_by_image_id_are_those_of_the_plan(
    tmp_path: Path, weights: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("os.getloadavg", lambda: (1_000.0, 1_000.0, 1_000.0))
    monkeypatch.setattr("tasks.features.engine_choice.confirm", None)  # left to a run
    files = photographs(3)
    source = folder(tmp_path / "p", files)
    kinds = {name: hashlib.sha256(data).hexdigest()[:32] for name, data in files.items()}
    rows = [f"{image},{name[0]}" for name, image in kinds.items()]
    (tmp_path / "t.csv").write_text("\n".join(["image_id,kind", *rows, "0123456789,c"]) + "\n")
    wanted = asked(weights, f"source.columns={tmp_path / 't.csv'}", "clusters.method=column:kind")
    facts = plan(str(source), None, wanted)
    assert (facts["sets"], facts["without_set"], facts["sample"]["sets"]) == (2, 0, 2)
    assert "busy with other work (load 1000" in facts["notes"][-1]
    assert "not in the forecast" in facts["notes"][-2]


@pytest.mark.slow
def test_where_sets_are_not_known_more_images_are_looked_at_than_run(tmp_path: Path, weights: Path) -> None:
    source = folder(tmp_path / "source", photographs(12))
    wanted = asked(weights, "clusters.method=auto", "features.image_size=224", "plan.sample=8")
    facts = plan(str(source), None, wanted)
    assert facts["sample"]["looked_at"] == 24
    assert facts["sample"]["images"] == 8
    assert facts["sets_between"][0] >= 1
    assert sum(stage["seconds"] for stage in facts["stages"]) + facts["start_seconds"] == pytest.approx(
        facts["seconds"], abs=1
    )


@pytest.mark.slow
def test_a_longer_listing_and_pytorch_are_not_in_one_process(tmp_path: Path, weights: Path) -> None:
    source = folder(tmp_path / "source", photographs(20))
    wanted = ["report.enabled=false", "plan.sample=8"]
    code = (
        "import json, sys, congeal_floors.first\n"
        "from congeal.settings import load_settings\n"
        "from flows.planning.plan import plan\n"
        "facts = plan(sys.argv[1], sys.argv[2], load_settings(None, sys.argv[3:]))\n"
        "print(json.dumps([facts, 'torch' in sys.modules, 'pandas' in sys.modules]))\n"
    )
    command = [sys.executable, "-c", code, str(source), str(tmp_path / "out"), *chosen(weights, *wanted)]
    answer = subprocess.run(command, capture_output=True, text=True, check=True, cwd=tmp_path)
    facts, *loaded = json.loads(answer.stdout)
    assert loaded == [False, True]  # pandas with what is done already, when all is computed
    assert (facts["images"], facts["sample"]["images"], facts["sample"]["looked_at"]) == (40, 8, 0)
    assert facts["peak_memory_bytes"] > 2**28
    assert not (tmp_path / "out").exists()


@pytest.mark.slow
def test_an_image_that_kills_its_process_ends_a_plan_in_a_sentence(
    tmp_path: Path, weights: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    source = folder(tmp_path / "source", photographs(20))
    monkeypatch.setattr("flows.planning.sample_process._looked", _die)
    with pytest.raises(UserError, match=r"has ended \(exit code 7\), most likely of an image"):
        plan(str(source), None, asked(weights))


def _die(asked: object) -> None:
    os._exit(7)


def sample(*sizes: int, lone: int = 0) -> Sampled:
    count = sum(sizes) + lone
    return Sampled(count, count, {}, tuple(SetCost(size, 1.0) for size in sizes), {}, lone, "cpu")


def test_sets_are_expected_by_their_share_of_a_sample() -> None:
    settings = load_settings(None, [], environ={})
    found = expected_sets(sample(6, 10, lone=4), 200, None, settings)
    assert (found.least, found.most, len(found.sizes)) == (2, 6, 4)
    assert found.sizes == (60.0, 100.0, 10.0, 10.0)
    assert found.lone == 20.0
    # All of them were looked at: those without a set have none.
    assert expected_sets(sample(6, 10, lone=4), 20, None, settings).sizes == (6.0, 10.0)
    known = expected_sets(sample(6), 100, [50, 2, 40], settings)
    assert (known.sizes, known.lone, known.least, known.most) == ((50.0, 40.0), 10.0, 2, 2)


def test_a_wider_look_says_what_sets_there_are() -> None:
    settings = load_settings(None, [], environ={})
    seen = replace(sample(12), seen=Seen((30, 20, 10), 64, 4))
    found = expected_sets(seen, 640, None, settings)
    assert (found.least, found.most, found.sizes[:3]) == (3, 7, (300.0, 200.0, 100.0))


def test_of_a_wider_look_whole_sets_are_run_large_and_small_ones() -> None:
    sets = [
        [f"{name}{at}" for at in range(count)] for name, count in (("a", 30), ("b", 20), ("c", 12), ("d", 5))
    ]
    seen = Look(sets, ["x"])
    assert seen.images == 68
    assert [len(one) for one in seen.typical(64)] == [30, 5, 20]
    assert [len(one) for one in seen.typical(16)] == [16]
    assert seen.typical(30) == [sets[0]]
    assert Look([], ["x"]).typical(10) == []


def test_memory_is_that_of_each_process_or_of_the_one_with_its_backbone() -> None:
    settings = load_settings(None, ["clusters.method=single"], environ={})
    facts = {
        "stages": [
            {"stage": "features", "peak_memory_bytes": 90},
            {"stage": "atlases", "peak_memory_bytes": 80},
        ]
    }
    alone = replace(sample(4), facts=facts, backbone=30)
    assert peak_memory(alone, settings, 0, 0) == 110
    forked = replace(sample(4), facts=facts, memory=40, shared=50, base=60, workers=2)
    assert peak_memory(forked, settings, 0, 0) == 40 + 50 + 2 * (50 + 90 - 60)


def test_computing_at_once_is_never_called_faster_than_alone() -> None:
    assert slowed_down(1) == 1.0
    assert slowed_down(2) >= 1.0


def test_a_set_takes_a_while_and_each_image_more() -> None:
    costs = [SetCost(images, 2 + 0.5 * min(images, 24)) for images in (3, 10, 24, 60)]
    assert atlas_seconds(costs, 24) == pytest.approx((2, 0.5))
    assert atlas_seconds([], 24) == (0, 0)


def test_files_go_with_sets_and_bytes_with_images_too() -> None:
    costs = [SetCost(images, 1.0, 1_000 + 50 * images, 40) for images in (4, 6, 9)]
    assert atlas_bytes(costs, [100.0, 200.0]) == pytest.approx((2_000 + 50 * 300, 80))
    assert atlas_bytes([], [10.0]) == (0, 0)
