from __future__ import annotations

import io
from pathlib import Path
from typing import Any

import pytest
from rich.console import Console
from sample_runs import folder, photographs, picture, run, tiny

from congeal.settings import CatalogSettings
from flows.console.summary import show_run, show_status
from infra.errors import UserError
from infra.storage.location import Location
from tasks.catalog import skipped_files
from tasks.catalog.skipped_files import kept
from tasks.catalog.source_listing import Survey
from tasks.maintenance.status import status

NOT_READ = {
    "a.cr2": "raw", "b.NEF": "raw", ".hidden.DNG": "raw", "c.jxl": "JPEG XL", "d.psd": "editor",
    "e.svg": "drawing", "f.dcm": "medical", "g.nii.gz": "medical", "h.MP4": "video", "i.npy": "array",
    "j.czi": "microscope", "k.exr": "format", "._a.jpg": "macOS", "Thumbs.db": "thumbnails",
}  # fmt: skip


def survey(place: Path, settings: CatalogSettings | None = None) -> tuple[int, dict[str, Any]]:
    with Survey(Location.parse(place), settings or CatalogSettings()) as found:
        return found.images, found.counted.facts()


@pytest.mark.parametrize(("name", "word"), NOT_READ.items())
def test_what_is_not_read_is_counted_with_the_reason(tmp_path: Path, name: str, word: str) -> None:
    folder(tmp_path, {"photo.png": picture(0, 1), f"below/{name}": b"whatever"})
    images, facts = survey(tmp_path)
    assert images == 1
    assert facts["total"] == 1
    assert facts["reasons"][0]["first"] == [f"below/{name}"]
    assert word in facts["reasons"][0]["reason"]


def test_other_files_are_none_of_our_business(tmp_path: Path) -> None:
    names = ("labels.csv", "a.txt", "points.tps", "read.me", "._notes.txt", ".DS_Store", "empty", "b.h5")
    folder(tmp_path, {"photo.png": picture(0, 1)} | {name: b"words" for name in names if name != "empty"})
    (tmp_path / "empty").touch()
    assert survey(tmp_path) == (1, {"total": 0, "reasons": []})


@pytest.mark.parametrize("name", ["no-ending", ".hidden", "a.jpg_large", "b.png~", "c.orig", "d.xyz"])
def test_a_picture_under_an_unknown_ending_is_known_by_its_bytes(tmp_path: Path, name: str) -> None:
    folder(tmp_path, {"photo.png": picture(0, 1), name: picture(0, 2), "other.xyz": b"no picture"})
    _, facts = survey(tmp_path)
    assert facts["total"] == 1
    assert "PNG image by its content" in facts["reasons"][0]["reason"]
    assert "catalog.extensions" in facts["reasons"][0]["reason"]


def test_medical_images_without_an_ending_are_known_by_their_bytes(tmp_path: Path) -> None:
    folder(
        tmp_path, {"photo.png": picture(0, 1), "IM000001": bytes(128) + b"DICM\x02\0", "other": bytes(200)}
    )
    _, facts = survey(tmp_path)
    assert [(one["first"], one["count"]) for one in facts["reasons"]] == [(["IM000001"], 1)]
    assert facts["reasons"][0]["reason"].startswith("a DICOM file by its content, which is not read: export")


def test_endings_that_are_not_asked_for_are_counted(tmp_path: Path) -> None:
    folder(tmp_path, {"a.png": picture(0, 1), "b.JPG": b"1", "c.tif": b"1"})
    images, facts = survey(tmp_path, CatalogSettings(extensions=(".png",)))
    assert (images, facts["total"]) == (1, 2)
    assert "catalog.extensions" in facts["reasons"][0]["reason"]


def test_many_unknown_files_are_not_all_looked_into(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("tasks.catalog.source_listing.MOST_LOOKED_INTO", 2)
    folder(tmp_path, {"a.png": picture(0, 1)} | {f"{n}.xyz": b"?" for n in range(5)})
    _, facts = survey(tmp_path)
    assert facts["total"] == 3
    assert "unknown name ending" in facts["reasons"][0]["reason"]


def test_heic_is_read_only_with_its_extra(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    folder(tmp_path, {"a.png": picture(0, 1), "b.HEIC": b"1"})
    assert survey(tmp_path)[0] == 2
    monkeypatch.setattr(skipped_files, "heif_is_read", lambda: False)
    images, facts = survey(tmp_path)
    assert (images, facts["total"]) == (1, 1)
    assert "congeal[heif]" in facts["reasons"][0]["reason"]


def test_reasons_come_with_counts_and_the_first_names(tmp_path: Path) -> None:
    folder(tmp_path, {f"{n}.cr2": b"1" for n in range(5)} | {"a.svg": b"1", "b.png": picture(0, 1)})
    _, facts = survey(tmp_path)
    assert facts["total"] == 6
    assert [(entry["count"], len(entry["first"])) for entry in facts["reasons"]] == [(5, 3), (1, 1)]


def test_a_source_of_other_formats_says_which(tmp_path: Path) -> None:
    folder(tmp_path, {"a.cr2": b"1", "b.cr2": b"1"})
    with (
        Survey(Location.parse(tmp_path), CatalogSettings()) as found,
        pytest.raises(UserError, match=r"2 objects were passed over, the first a\.cr2 \(a camera's"),
    ):
        found.require_images(CatalogSettings())


def said(show: Any, facts: dict[str, Any]) -> str:
    console = Console(width=200, file=io.StringIO())
    show(facts, console)
    return console.file.getvalue()


@pytest.mark.slow
def test_a_run_and_status_tell_it(tmp_path: Path, weights: Path) -> None:
    files = photographs(2) | {"a.cr2": b"1", "noend": picture(0, 9)}
    source = folder(tmp_path / "source", files)
    facts = run(source, tmp_path / "out", tiny(weights))
    place = Location.parse(tmp_path / "out")
    for report, show in ((facts, show_run), (status(place), show_status)):
        assert report["passed_over"]["total"] == 2
        text = said(show, report)
        assert "passed over: 2" in text
        assert "a camera's raw format" in text
        assert "(a.cr2)" in text
    # One more, and nothing else to do: it is counted all the same.
    folder(source, {"b.svg": b"1"})
    again = run(source, tmp_path / "out", tiny(weights))
    assert again["up_to_date"]
    assert again["passed_over"]["total"] == status(place)["passed_over"]["total"] == 3


def test_a_destination_from_before_has_nothing_to_tell(finished: Path) -> None:
    place = Location.parse(finished / "destination")
    assert kept(place) is None
    assert status(place)["passed_over"] == {"total": 0, "reasons": []}


@pytest.mark.parametrize(
    "data", [b"", b"[]", b'{"total": "many", "reasons": []}', b'{"total": 1, "reasons": [1]}']
)
def test_a_damaged_count_is_none(tmp_path: Path, data: bytes) -> None:
    place = Location.parse(tmp_path)
    (place / skipped_files.NAME).write_bytes(data)
    assert kept(place) is None
