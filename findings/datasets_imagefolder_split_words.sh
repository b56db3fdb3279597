#!/usr/bin/env bash
# datasets 5.2.0: in a folder of photographs, one file with "test" or "dev" in its name makes all the others vanish.
#
# One would guess: `load_dataset("imagefolder", data_dir=FOLDER)` of a folder without splits holds every image in
#   it, labelled by its sub-folder.
# What happens: so it is, until a file or a folder has one of the words train, test, testing, eval, evaluation,
#   validation, valid, val or dev between separators. Then only files with such a word are in the data set; all
#   others are left out, and the labels too. No error, no warning.
# Seen with: datasets 5.2.0, Pillow 13.0.0, Python 3.11.
# Seen output: "plain: {'train': 3}, labels / c-test.png: {'test': 1}, no labels / dev/c.png: {'validation': 1}, no
#   labels / train/c.png: {'train': 1}, no labels".
# Why it matters to image collections: "lens-test.jpg", a folder "dev" of a photographer or "train" of things on
#   rails is in many a collection of ten thousand files. What is loaded is then a handful, and looks sound.
# Fails (exit 1) when any of it changes.
set -euo pipefail
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
python3 -m venv "$work/venv"
"$work/venv/bin/pip" install --quiet --disable-pip-version-check datasets==5.2.0 pillow==13.0.0 2>/dev/null
cat >"$work/look.py" <<'PY'
import os
import sys
from pathlib import Path

work = Path(sys.argv[1])
os.environ |= {"HF_HOME": str(work / "home"), "HF_DATASETS_OFFLINE": "1", "HF_DATASETS_DISABLE_PROGRESS_BARS": "1"}

from datasets import disable_progress_bars, load_dataset
from PIL import Image

disable_progress_bars()
OTHERS = ["birds/a.png", "planes/b.png"]


def loaded(name, third):
    """How many images of three each split has, and whether they are labelled."""
    folder = work / name
    for number, file in enumerate([*OTHERS, third]):
        (folder / file).parent.mkdir(parents=True, exist_ok=True)
        Image.new("RGB", (8, 8), (number * 50, 0, 0)).save(folder / file)
    found = load_dataset("imagefolder", data_dir=str(folder))
    labels = all("label" in split.features for split in found.values())
    return {split: len(rows) for split, rows in found.items()}, "labels" if labels else "no labels"


expected = {
    "planes/c.png": ({"train": 3}, "labels"),
    "planes/c-test.png": ({"test": 1}, "no labels"),
    "dev/c.png": ({"validation": 1}, "no labels"),
    "train/c.png": ({"train": 1}, "no labels"),
}
same = True
for number, (third, usual) in enumerate(expected.items()):
    seen = loaded(f"collection{number}", third)
    print(f"third image {third}:", *seen)
    same &= seen == usual
sys.exit(0 if same else 1)
PY
"$work/venv/bin/python" "$work/look.py" "$work"
