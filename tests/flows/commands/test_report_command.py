"""`congeal report` and `congeal figure`, the report at the end of a run, and the server."""

from __future__ import annotations

import http.client
import json
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import report_reader
from known_collection import BIRDS, known, known_collection
from sample_runs import folder, photographs, put, run, tiny, weights
from typer.testing import CliRunner

import congeal
from flows.cli import app
from flows.console.report_server import root_of, server_of
from flows.runs import site
from infra.errors import UserError
from infra.settings import StorageSettings
from infra.storage.location import Location

__all__ = ["known", "weights"]

NAMES = [
    'a "quoted" & <b>bold</b>.png',
    "two\nlines.png",
    "</script><!-- ü\u2028.png",
    "l" * 200 + "/" + "n" * 240 + ".png",
]


def call(*arguments: object) -> dict[str, Any]:
    done = CliRunner().invoke(app, [*map(str, arguments), "--json"])
    facts = json.loads(done.stdout.splitlines()[-1])
    assert isinstance(facts, dict)
    return facts


def test_a_report_is_made_and_then_left_as_it_is(tmp_path: Path) -> None:
    destination = known_collection(tmp_path)
    first = call("report", destination)
    assert first["ok"]
    assert not first["up_to_date"]
    assert first["report"] == f"file://{destination}/report/index.html"
    second = call("report", destination)
    assert second["up_to_date"]
    assert second["units_made"] == 0


def test_nothing_published_is_one_sentence(tmp_path: Path) -> None:
    facts = call("report", tmp_path)
    assert not facts["ok"]
    assert "nothing to report" in facts["error"]
    assert "congeal run" in facts["error"]


def test_a_folder_that_is_not_a_report_is_not_touched(known: Path, tmp_path: Path) -> None:
    (tmp_path / "index.html").write_text("mine")
    assert "index.html that is not congeal's" in call("report", known, "--out", tmp_path)["error"]
    assert (tmp_path / "index.html").read_text() == "mine"
    assert "is a destination" in call("report", known, "--out", known)["error"]


def test_marks_of_a_file_are_on_every_member(known: Path, tmp_path: Path) -> None:
    marks = {
        "images": [{"id": 1, "file_name": "a/0.png", "width": 80, "height": 60}],
        "categories": [{"id": 1, "name": "bird", "keypoints": ["bill", "tail"]}],
        "annotations": [
            {
                "id": 1,
                "image_id": 1,
                "category_id": 1,
                "keypoints": [40, 30, 2, 20, 25, 2],
                "bbox": [10, 10, 40, 30],
            }
        ],
    }
    file = tmp_path / "marks.json"
    file.write_text(json.dumps(marks))
    facts = call("report", known, "--out", tmp_path / "site", "--annotations", file)
    assert facts["annotations"] == {"file": "marks.json", "categories": ["bird"], "instances": 1, "images": 1}
    index = report_reader.index(tmp_path / "site")
    number = index["clusters"]["id"].index(BIRDS)
    path = tmp_path / "site" / index["clusters"]["annotations"][number]
    (page,) = report_reader.script(path, f"annotations/{BIRDS}")["pages"]
    found, _ = report_reader.members(tmp_path / "site", index, number)
    by_name = dict(zip(found["rows"]["uri"], page, strict=True))
    (by_hand,) = by_name["a/0.png"]
    assert by_hand["marked"]
    assert by_hand["keypoints"][0] == ["bill", 40.0, 30.0, 1.0, 1, 1]
    assert by_hand["bbox"] == [9.5, 9.5, 40.0, 30.0]  # COCO counts from the corner of the first pixel
    (carried,) = by_name["a/1.png"]  # the same at twice the size
    assert not carried["marked"]
    assert carried["keypoints"][0][1:3] == pytest.approx([80.5, 60.5], abs=0.1)
    assert by_name["a/misfit.png"] == []
    # Another file is another report; no marks, none.
    assert not call("report", known, "--out", tmp_path / "site")["up_to_date"]
    assert report_reader.index(tmp_path / "site")["annotations"] is None


def test_a_file_that_marks_nothing_here(known: Path, tmp_path: Path) -> None:
    (tmp_path / "marks.txt").write_text("?")
    facts = call("report", known, "--out", tmp_path / "site", "--annotations", tmp_path / "marks.txt")
    assert "neither COCO" in facts["error"]


def test_a_run_ends_with_the_report(tmp_path: Path, weights: Path) -> None:
    source = folder(tmp_path / "source", photographs(2))
    facts = run(source, tmp_path / "out", tiny(weights))
    assert facts["report"] == f"file://{tmp_path}/out/report/index.html"
    index = report_reader.index(tmp_path / "out/report")
    assert index["counts"]["ok"] == 4
    assert [row["stage"] for row in index["stages"]] == [
        "catalog",
        "features",
        "clusters",
        "atlases",
        "index",
    ]
    assert facts["report_seconds"] > 0


def test_names_stay_text(tmp_path: Path, weights: Path) -> None:
    pictures = photographs(2)
    files = dict(zip(NAMES, pictures.values(), strict=True))
    run(folder(tmp_path / "source", files), tmp_path / "out", tiny(weights))
    home = tmp_path / "out/report"
    index = report_reader.index(home)
    names = report_reader.script(home / index["map"]["names"], "names")["uri"]
    assert sorted(names) == sorted(NAMES)
    for file in (*home.rglob("*.js"), home / "index.html"):
        if "assets" not in file.parts:
            assert b"<b>bold" not in file.read_bytes()
            assert b"<script>alert" not in file.read_bytes()
    # No name is part of a path.
    assert not any("bold" in str(path) or "nnnn" in str(path) for path in home.rglob("*"))


def test_a_run_without_a_report(tmp_path: Path, weights: Path) -> None:
    source = folder(tmp_path / "source", photographs(2))
    facts = run(source, tmp_path / "out", tiny(weights, "report.enabled=false"))
    assert facts["report"] is None
    assert not (tmp_path / "out/report").exists()
    # It is no part of what the results depend on.
    again = run(source, tmp_path / "out", tiny(weights))
    assert again["up_to_date"]
    assert (tmp_path / "out/report/index.html").is_file()


@pytest.mark.s3
@pytest.mark.slow
def test_a_report_in_a_bucket_is_read_from_there(
    s3_location: Location, s3_settings: StorageSettings, weights: Path, tmp_path: Path
) -> None:
    source, destination = put(s3_location / "photographs", photographs(2)), s3_location / "out"
    facts = run(source, destination, tiny(weights, storage=s3_settings))
    assert facts["report"] == f"{destination.url}/report/index.html"
    for item in (destination / "report").objects():
        (Location.parse(tmp_path) / item.path).write_bytes((destination / "report" / item.path).read_bytes())
    index = report_reader.index(tmp_path)
    assert index["base"] == "../"
    found, maps = report_reader.members(tmp_path, index, 0)
    assert all(found["rows"]["shown"])
    assert len(maps) == 4


def test_a_report_that_fails_fails_no_run(
    tmp_path: Path, weights: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def broken(*_: Any, **__: Any) -> Any:
        raise OSError("no space left")

    monkeypatch.setattr(site, "_made", broken)
    facts = run(folder(tmp_path / "source", photographs(2)), tmp_path / "out", tiny(weights))
    assert facts["published"]
    assert facts["report"] is None
    assert "no space left" in facts["report_fault"]
    assert "congeal report" in facts["report_fault"]


@pytest.fixture
def server(tmp_path: Path) -> Iterator[tuple[str, int, Path]]:
    (tmp_path / "served").mkdir()
    (tmp_path / "served/a.js").write_bytes(bytes(range(200)))
    (tmp_path / "served/current.json").write_text("{}")
    (tmp_path / "secret.txt").write_text("no")
    (tmp_path / "served/link").symlink_to(tmp_path / "secret.txt")
    with server_of(tmp_path / "served") as made:
        thread = threading.Thread(target=made.serve_forever)
        thread.start()
        yield "127.0.0.1", made.server_port, tmp_path / "served"
        made.shutdown()
        thread.join()


def ask(server: tuple[str, int, Path], path: str, method: str = "GET", **headers: str) -> Any:
    connection = http.client.HTTPConnection(*server[:2], timeout=20)
    connection.request(method, path, headers=headers)
    answer = connection.getresponse()
    found = answer.status, answer.read(), dict(answer.getheaders())
    connection.close()
    return found


def test_the_server_answers_ranges(server: tuple[str, int, Path]) -> None:
    whole = bytes(range(200))
    status, body, headers = ask(server, "/a.js")
    assert (status, body, headers["Accept-Ranges"]) == (200, whole, "bytes")
    assert headers["Content-Type"].startswith("text/javascript")
    assert headers["Cache-Control"] == "max-age=3600"
    assert ask(server, "/current.json")[2]["Cache-Control"] == "no-cache"
    for asked, start, stop in (
        ("10-19", 10, 20),
        ("190-", 190, 200),
        ("-5", 195, 200),
        ("0-999", 0, 200),
    ):
        status, body, headers = ask(server, "/a.js", Range=f"bytes={asked}")
        assert (status, body) == (206, whole[start:stop])
        assert headers["Content-Range"] == f"bytes {start}-{stop - 1}/200"
    assert ask(server, "/a.js", Range="bytes=200-")[0] == 416
    assert ask(server, "/a.js", Range="bytes=-0")[0] == 416
    status, body, headers = ask(server, "/a.js", "HEAD", Range="bytes=0-3")
    assert (status, body, headers["Content-Length"]) == (206, b"", "4")


def test_the_server_shows_nothing_else(server: tuple[str, int, Path]) -> None:
    for path in ("/../secret.txt", "/%2e%2e/secret.txt", "/link", "/", "/nothing.js"):
        assert ask(server, path)[0] == 404, path
    assert ask(server, "/a.js", Host="evil.example")[0] == 403
    assert ask(server, "/a.js", "PUT")[0] == 501


def test_what_lies_in_a_bucket_is_not_served() -> None:
    with pytest.raises(UserError, match="CORS"):
        root_of(Location.parse("memory://bucket/out"), None)


@pytest.mark.slow
def test_figures(known: Path, tmp_path: Path) -> None:
    for form, start in (("png", b"\x89PNG"), ("pdf", b"%PDF"), ("svg", b"<?xml")):
        facts = call("figure", known, BIRDS, tmp_path / f"one.{form}")
        assert facts["ok"], facts
        data = (tmp_path / f"one.{form}").read_bytes()
        assert data.startswith(start)
        assert call("figure", known, BIRDS, tmp_path / f"one.{form}", "--overwrite")["ok"]
        assert (tmp_path / f"one.{form}").read_bytes() == data
    assert "already" in call("figure", known, BIRDS, tmp_path / "one.png")["error"]
    assert ".png, .pdf or .svg" in call("figure", known, BIRDS, tmp_path / "one.gif")["error"]
    assert "no cluster" in call("figure", known, "$x_", tmp_path / "two.png")["error"]
    assert "in the destination" in call("figure", known, BIRDS, known / "two.png")["error"]


def test_a_figure_shows_members_as_they_are_and_aligned(known: Path) -> None:
    figure = congeal.open(known).figure(BIRDS, members=3)
    pictures = [axes for axes in figure.axes if axes.images]
    assert len(pictures) == 1 + 2 * 3
    assert pictures[0].get_title() == "average after"
    assert figure.get_suptitle() == BIRDS


def test_a_cluster_is_shown_in_a_notebook(known: Path) -> None:
    view = congeal.open(known).show(BIRDS)
    assert f'["members/{BIRDS}/0"]' in view.document
    assert f'"start":"#/cluster/{BIRDS}"' in view.document
    assert 'src="' not in view.document.partition("<script>")[0]
    assert view._repr_html_().startswith("<iframe ")
    assert 'sandbox="allow-scripts"' in view._repr_html_()
    with pytest.raises(UserError, match="no cluster"):
        congeal.open(known).show("nope")
