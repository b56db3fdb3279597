"""`congeal distill` with a tiny teacher and a tinier student."""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from sample_runs import folder, photographs
from typer.testing import CliRunner, Result

from congeal.backbones.extractor import BackboneSpec, load_backbone
from congeal.backbones.packed_checkpoint import about, pack
from congeal.distillation.student import Student
from congeal.settings import load_settings
from flows.cli import app
from tasks.distillation.student_setup import fitting
from tasks.features.run_backbone import check, locate

ROOT = Path(__file__).parents[3]
IMAGES = 70

KILLED = """
import os, signal, sys
import tasks.distillation.student_training
from flows.cli import app

keep, tasks.distillation.student_training.SAVE_EVERY = tasks.distillation.student_training._save, 0.0

def killed(training, place):
    keep(training, place)
    if training.step == 3:
        os.kill(os.getpid(), signal.SIGKILL)

tasks.distillation.student_training._save = killed
app(sys.argv[1:])
"""


@pytest.fixture(scope="module")
def source(tmp_path_factory: pytest.TempPathFactory) -> Path:
    home: Path = tmp_path_factory.mktemp("distill")
    return folder(home / "source", photographs(IMAGES // 2) | {"broken.jpg": b"no image"})


def sets(weights: Path, *more: str) -> list[str]:
    chosen = (
        "features.backbone=test_vit",
        f"features.weights={weights}",
        "features.image_size=64",
        "features.precision=float32",
        "distill.student=test_vit:0+3@16",
        "distill.bits=3.5",
        "distill.views=1",
        "distill.epochs=2",
        "distill.batch=16",
        "engine.kind=loop",
        "engine.threads=1",
    )
    return [part for text in (*chosen, *more) for part in ("--set", text)]


def call(*arguments: object) -> Result:
    return CliRunner().invoke(app, ["distill", *(str(argument) for argument in arguments)])


@pytest.fixture(scope="module")
def taught(source: Path, weights: Path, tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Any]:
    """OUT of a whole distillation and its facts."""
    out: Path = tmp_path_factory.mktemp("taught") / "out"
    result = call(source, out, *sets(weights), "--json")
    assert result.exit_code == 0, result.stderr
    return out, json.loads(result.stdout)


def test_a_student_comes_out_with_its_card(taught: tuple[Path, Any]) -> None:
    out, facts = taught
    said = about((out / "student.safetensors").read_bytes())
    card = json.loads((out / "card.json").read_text())
    assert said is not None
    assert said.backbone == card["student"]["backbone"] == facts["backbone"] == "test_vit:0+3@16"
    assert said.sha256 == card["student"]["sha256"]
    assert card["teacher"]["backbone"] == "test_vit.r160_in1k"
    assert card["data"]["images"] == 62
    assert card["data"]["views"] == {"views": 62, "held": 8}
    assert card["recipe"]["steps"] == 2 * 62 // 16
    assert card["recipe"]["bits"] == 3.5
    assert card["student"]["start"] == card["teacher"]["weights_fingerprint"]
    assert card["agreement"]["images"] == 8
    assert -1 <= card["agreement"]["token_cosine"] <= 1
    assert said.card["teacher"] == card["teacher"]


def test_the_student_shows_the_grid_of_its_teacher(taught: tuple[Path, Any]) -> None:
    data = (taught[0] / "student.safetensors").read_bytes()
    backbone = load_backbone(BackboneSpec(taught[1]["backbone"], image_size=64), data, "cpu")
    seen = backbone(np.zeros((1, 64, 64, 3), np.uint8))
    assert seen.features.shape == (1, 4, 4, 64)
    assert seen.saliency.shape == (1, 4, 4)


def test_without_a_name_the_student_is_its_teacher_on_fewer_cells(weights: Path) -> None:
    named = [f"features.weights={weights}", "features.backbone=test_vit"]
    settings = load_settings(None, named, environ={})
    learner = fitting(settings, check(locate(settings), settings))
    assert learner.name == "test_vit.r160_in1k@19"
    assert learner.shared


def test_another_architecture_starts_from_nothing_and_has_channels_of_its_own(tmp_path: Path) -> None:
    wide, place = "vit_tiny_patch16_224:1", tmp_path / "wide.safetensors"
    place.write_bytes(pack(Student(wide).model.state_dict(), wide, {}))
    named = [f"features.weights={place}", f"features.backbone={wide}", "distill.student=test_vit:1"]
    settings = load_settings(None, named, environ={})
    learner = fitting(settings, check(locate(settings), settings))
    assert (learner.start, learner.shared) == ("nothing", False)


def test_a_second_time_there_is_nothing_to_do(taught: tuple[Path, Any], source: Path, weights: Path) -> None:
    out, facts = taught
    before = {path: path.stat().st_mtime_ns for path in out.rglob("*") if path.is_file()}
    again = json.loads(call(source, out, *sets(weights), "--json").stdout)
    assert again["sha256"] == facts["sha256"]
    assert {path: path.stat().st_mtime_ns for path in out.rglob("*") if path.is_file()} == before


@pytest.fixture(scope="module")
def killed(source: Path, weights: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """OUT of a distillation that was killed after three steps of its training."""
    out: Path = tmp_path_factory.mktemp("killed") / "out"
    command = [sys.executable, "-c", KILLED, "distill", source, out, *sets(weights)]
    done = subprocess.run(
        [str(part) for part in command],
        env=os.environ | {"PYTHONPATH": str(ROOT)}, check=False, capture_output=True, text=True,
    )  # fmt: skip
    assert done.returncode == -signal.SIGKILL, done.stderr
    assert not (out / "student.safetensors").exists()
    return out


@pytest.mark.slow
def test_a_killed_training_is_taken_up_and_ends_the_same(
    taught: tuple[Path, Any], killed: Path, source: Path, weights: Path, tmp_path: Path
) -> None:
    out = tmp_path / "out"
    shutil.copytree(killed, out)
    targets = {path: path.stat().st_mtime_ns for path in out.glob("stages/targets/*/*/_commit.json")}
    assert targets
    result = call(source, out, *sets(weights), "--json")
    assert result.exit_code == 0, result.stderr
    assert "training, views: 48 of" in result.stderr
    assert {path: path.stat().st_mtime_ns for path in targets} == targets
    assert json.loads(result.stdout)["sha256"] == taught[1]["sha256"]
    assert not list((out / "training").glob("*"))


def refused(source: Path, out: Path, *settings: str) -> str:
    result = call(source, out, *settings)
    assert result.exit_code == 1
    assert result.stderr.startswith("error: ")
    assert result.stderr.count("\n") == 1
    return result.stderr


def test_a_source_too_small_to_distil_from(tmp_path: Path, weights: Path) -> None:
    few = folder(tmp_path / "few", photographs(3))
    said = [
        line for line in call(few, tmp_path / "out", *sets(weights)).stderr.splitlines() if "error" in line
    ]
    assert said == [
        f"error: {few.as_uri()} holds 6 sound images, too few to distil from: give a source with 64 or more."
    ]


def test_students_and_teachers_that_do_not_fit(source: Path, tmp_path: Path, weights: Path) -> None:
    out = tmp_path / "out"
    wide = refused(source, out, *sets(weights, "distill.student=vit_tiny_patch16_224:1"))
    assert "has 192 channels and its teacher test_vit.r160_in1k only 64" in wide
    assert "no backbone 'tset_vit'" in refused(source, out, *sets(weights, "distill.student=tset_vit:1"))
    assert "no number of blocks" in refused(source, out, *sets(weights, "distill.student=test_vit:no"))
    start = tmp_path / "start.safetensors"
    start.write_bytes(
        pack(Student("vit_tiny_patch16_224:1").model.state_dict(), "vit_tiny_patch16_224:1", {})
    )
    assert "do not fit test_vit:0+3@16" in refused(source, out, *sets(weights, f"distill.start={start}"))
    other = sets(weights, "distill.student=test_vit:1", f"distill.start={weights}")
    assert "distill.bits 3.5 suits a part of the teacher only" in refused(source, out, *other)
    assert "leave features.stride unset" in refused(source, out, *sets(weights, "features.stride=8"))
    assert "leave features.beside unset" in refused(source, out, *sets(weights, "features.beside=1.key"))


def test_the_embedded_backbone_teaches_nobody(source: Path, tmp_path: Path) -> None:
    assert "a student itself" in refused(source, tmp_path / "out", "--set", "features.backbone=embedded")


def test_a_damaged_start_is_named_by_its_checksum(source: Path, tmp_path: Path, weights: Path) -> None:
    start = tmp_path / "start.safetensors"
    start.write_bytes(pack(Student("test_vit:1").model.state_dict(), "test_vit:1", {})[:-9])
    said = refused(source, tmp_path / "out", *sets(weights, f"distill.start={start}"))
    assert "SHA-256 should be" in said


@pytest.mark.slow
def test_a_damaged_state_of_the_training_is_named(
    killed: Path, source: Path, tmp_path: Path, weights: Path
) -> None:
    out = tmp_path / "out"
    shutil.copytree(killed, out)
    (state,) = (out / "training").glob("*.safetensors")
    state.write_bytes(state.read_bytes()[:-100])
    said = call(source, out, *sets(weights)).stderr
    assert "cannot be read" in said
    assert "delete it" in said
