from __future__ import annotations

import base64
import io
import json
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import report_reader
from known_collection import BIRDS, known, known_collection, labelled
from PIL import Image

import congeal
from congeal.report import cluster_page, page_shell
from congeal.results.schema.parquet_files import encode_table
from congeal.results.schema.tables import CLUSTERS
from congeal.settings import load_settings
from congeal.transfer.points import transfer
from infra.compute.engine import LoopEngine
from infra.compute.progress import Progress
from infra.compute.thread_engine import ThreadEngine
from infra.errors import UserError
from infra.ledger.commits import find_marker, rewrite_unit
from infra.storage.location import Location
from tasks.report import annotation_marks, map_table, page_units, report_stage, site_index
from tasks.report.report_key import Made, Order, current, up_to_date
from tasks.report.report_stage import report

__all__ = ["known"]
SETTINGS = load_settings(None, (), {})


def made(destination: Path, **more: Any) -> Made:
    order = Order(Location.parse(destination), **more)
    return report(order, SETTINGS, LoopEngine(1), Progress(quiet=True))


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A destination with its report. To be read only."""
    destination = known_collection(tmp_path_factory.mktemp("site"))
    made(destination)
    return destination


def files(folder: Path) -> dict[str, tuple[int, bytes]]:
    return {
        str(path.relative_to(folder)): (path.stat().st_mtime_ns, path.read_bytes())
        for path in sorted(folder.rglob("*"))
        if path.is_file()
    }


def test_the_index_says_what_is_published(site: Path) -> None:
    facts = report_reader.index(site / "report")
    counts = {"images": 10, "ok": 8, "failed": 1, "duplicate": 1}
    assert facts["counts"] == counts | {"clusters": 2, "failed_clusters": 0, "outliers": 2}
    assert facts["version"] == 1
    assert facts["base"] == "../"
    assert facts["clusters"]["n_images"] == [5, 2]
    assert facts["failures"] == {"total": 1, "rows": [["broken.jpg", "not an image"]]}
    assert facts["duplicates"] == {"total": 1, "rows": [["a/copy.png", "a/0.png"]]}
    assert {row["stage"] for row in facts["stages"]} >= {"features", "atlases", "index"}
    histogram = facts["quality"]["histograms"]["confidence"]
    assert sum(histogram["fits"]) == 6
    assert sum(histogram["outliers"]) == 1


def test_every_path_is_there_and_lies_in_the_report(site: Path) -> None:
    folder = (site / "report").resolve()
    facts = report_reader.index(folder)
    paths = [facts["map"][name] for name in ("script", "names", "parquet")]
    paths += facts["sheets"]["path"] + facts["wall"]["path"] + facts["clusters"]["script"]
    content, home = report_reader.cluster(folder, facts, 0)
    for page in content["pages"]:
        paths += [str((home / page[name]).relative_to(folder)) for name in ("script", "maps", "small")]
    for path in paths:
        assert (folder / path).resolve().is_relative_to(folder)
        assert (folder / path).is_file(), path
    assert (site / content["zarr"] / "zarr.json").is_file()


def test_points_are_where_transfer_puts_them(site: Path) -> None:
    collection = congeal.open(site)
    found, maps = report_reader.members(site / "report", report_reader.index(site / "report"), 0)
    names = found["rows"]["uri"]
    random = np.random.default_rng(0)
    for start, first in zip(names, maps, strict=True):
        points = random.uniform(0, 1, (50, 2)) * [first.frame.width - 1, first.frame.height - 1]
        for end, second in zip(names, maps, strict=True):
            if start == end:
                continue
            there = collection.transfer(start, points, end)
            here = transfer(points, first, second)
            assert np.abs(here.xy - there[["x", "y"]].to_numpy()).max() <= 0.5
            # At the very edge of the image a point may be on this side or on that.
            off = np.abs(here.confidence - there["confidence"].to_numpy()) > 0.01
            assert off.mean() <= 0.02


def test_members_come_best_first_with_their_neighbours_and_thumbnails(site: Path) -> None:
    facts = report_reader.index(site / "report")
    found, _ = report_reader.members(site / "report", facts, 0)
    rows = found["rows"]
    assert rows["outlier"] == [False] * 4 + [True]
    assert rows["uri"][-1] == "a/misfit.png"
    assert rows["outlier_reason"][-1] == "few matches"
    assert all(rows["shown"])  # nothing was kept of them: made anew from the source
    assert [page for page, _ in rows["neighbours"][0]] == [0] * 4
    collection = congeal.open(site)
    nearest = collection.nearest(rows["uri"][0], k=1, same_cluster=True)["neighbour"][0]
    assert rows["uri"][rows["neighbours"][0][0][1]] == nearest
    sheet = Image.open(io.BytesIO(base64.b64decode(found["sheet"]))).convert("RGB")
    content, _ = report_reader.cluster(site / "report", facts, 0)
    assert sheet.size[0] == content["pages"][0]["columns"] * content["cell"]


def test_the_map_has_every_image_with_a_place(site: Path) -> None:
    facts = report_reader.index(site / "report")
    table = pq.read_table(site / "report" / facts["map"]["parquet"]).to_pylist()
    assert len(table) == facts["map"]["rows"] == 8
    by_name = {row["uri"]: row for row in table}
    assert by_name["c/outlier.png"]["status"] == 2
    assert by_name["c/outlier.png"]["cluster"] == -1
    assert by_name["a/misfit.png"]["status"] == 1
    assert facts["clusters"]["id"][by_name["b/1.png"]["cluster"]] != BIRDS
    assert all(0 <= row["x"] <= 1 and 0 <= row["y"] <= 1 for row in table)
    # Sheet and cell lead to the member's own place in its page.
    row = by_name["a/misfit.png"]
    assert (facts["sheets"]["cluster"][row["sheet"]], facts["sheets"]["page"][row["sheet"]]) == (0, 0)
    found, _ = report_reader.members(site / "report", facts, 0)
    assert found["rows"]["uri"][row["cell"]] == "a/misfit.png"
    names = report_reader.script(site / "report" / facts["map"]["names"], "names")
    assert names["uri"] == [row["uri"] for row in table]


def test_the_owners_columns_and_what_has_changed_are_told(tmp_path: Path) -> None:
    destination = known_collection(tmp_path)
    made(destination)
    assert report_reader.index(destination / "report")["changes"] is None
    labelled(destination)
    made(destination)
    facts = report_reader.index(destination / "report")
    label, taken = facts["map"]["own"]
    assert (label["name"], label["values"], label["counts"]) == ("status of it", ["a", "b", "c"], [4, 2, 1])
    assert (taken["name"], taken["kind"], taken["step"]) == ("taken", "date", 1.0)
    rows = pq.read_table(destination / "report" / facts["map"]["parquet"]).to_pylist()
    said = {row["uri"]: label["values"][row[label["column"]] - 1] for row in rows}
    assert said == {uri: uri[0] for uri in said}
    columns = report_reader.script(destination / "report" / facts["map"]["script"], "map")["columns"]
    codes = np.frombuffer(base64.b64decode(columns[label["column"]]["data"]), np.uint16)
    assert codes.tolist() == [row[label["column"]] for row in rows]

    told = report_reader.script(destination / "report" / facts["changes"]["script"], "changes")
    assert (told["before"], told["after"]) == (1, 2)
    assert told["images"]["gone"] == ["a/2.png"]
    assert facts["changes"]["images"]["gone"] == 1
    assert [(one["cluster_id"], one["left"], one["solved_anew"]) for one in told["changed"]] == [
        (BIRDS, 1, False)
    ]
    assert told["counts"] == {"new": 0, "gone": 0, "changed": 1, "unchanged": 1}

    # A version that has lost what it named costs its comparison, and nothing else.
    for old in (destination / "published/versions").glob("00001-*"):
        old.write_bytes(b"{}")
    shutil.rmtree(destination / "report")
    made(destination)
    facts = report_reader.index(destination / "report")
    assert facts["changes"] is None
    assert "since version 1 cannot be told" in facts["notes"][-1]


def test_when_nothing_has_changed_nothing_is_written(site: Path) -> None:
    before = files(site / "report")
    again = made(site)
    assert not again.written
    assert files(site / "report") == before
    assert up_to_date(Order(Location.parse(site)), current(Location.parse(site))) is not None


def test_a_lost_manifest_costs_nothing_but_the_index(tmp_path: Path) -> None:
    destination = known_collection(tmp_path)
    made(destination)
    (destination / "report/report.json").write_text("{not json")
    again = made(destination)
    assert again.written
    assert again.units_made == 0


def test_a_killed_report_is_taken_up(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    destination = known_collection(tmp_path)

    def dies(*_: Any) -> Any:
        raise KeyboardInterrupt

    with monkeypatch.context() as patched:
        patched.setattr(report_stage, "_MAKERS", {**report_stage._MAKERS, page_units.WallPayload: dies})
        with pytest.raises(KeyboardInterrupt):
            made(destination)
    assert not (destination / "report/index.html").exists()
    found = made(destination)
    assert found.units_made < found.units
    assert (destination / "report/index.html").is_file()
    report_reader.index(destination / "report")


def test_elsewhere_it_is_the_same_without_a_way_back(site: Path, tmp_path: Path) -> None:
    found = made(site, out=Location.parse(tmp_path / "elsewhere"))
    assert found.index.url.endswith("/elsewhere/index.html")
    facts = report_reader.index(tmp_path / "elsewhere")
    assert facts["base"] is None
    assert facts["clusters"] == report_reader.index(site / "report")["clusters"]
    # The folder alone is the whole site.
    moved = shutil.copytree(tmp_path / "elsewhere", tmp_path / "moved")
    report_reader.members(Path(moved), report_reader.index(Path(moved)), 1)


def test_threads_write_the_same_files(site: Path, tmp_path: Path) -> None:
    folder = tmp_path / "threads"
    report(
        Order(Location.parse(site), Location.parse(folder)), SETTINGS, ThreadEngine(3), Progress(quiet=True)
    )
    mine, theirs = (
        {
            str(path.relative_to(home)): path.read_bytes()
            for path in (home / "stages").rglob("*")
            if path.is_file() and path.name != "_commit.json"
        }
        for home in (folder, site / "report")
    )
    assert mine == theirs


def test_without_a_source_there_are_placeholders(tmp_path: Path) -> None:
    destination = known_collection(tmp_path)
    shutil.rmtree(tmp_path / "source")
    made(destination)
    found, _ = report_reader.members(destination / "report", report_reader.index(destination / "report"), 0)
    assert not any(found["rows"]["shown"])


def test_a_destination_without_anything_published(tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"Nothing is published .*congeal run"):
        made(tmp_path)


def test_the_manifest_names_what_the_page_is_made_of(site: Path) -> None:
    manifest = json.loads((site / "report/report.json").read_text())
    for path in manifest["named"]:
        if path.startswith("assets/") and not page_shell.assets():
            continue  # the page is not built
        assert (site / "report" / path).exists()


def test_a_large_cluster_is_cut_into_units(
    site: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    whole = report_reader.index(site / "report")
    everyone = report_reader.members(site / "report", whole, 0)[0]["rows"]["uri"]
    for module in (cluster_page, page_units, report_stage, site_index, map_table, annotation_marks):
        monkeypatch.setattr(module, "PAGE", 2, raising=False)
    monkeypatch.setattr(page_units, "BLOCK", 2)
    assert made(site, out=Location.parse(tmp_path)).units > 5
    facts = report_reader.index(tmp_path)
    content, _ = report_reader.cluster(tmp_path, facts, 0)
    assert (content["total"], len(content["pages"])) == (5, 3)
    assert content["outliers"][0][:3] == [2, 0, "a/misfit.png"]
    pages = [report_reader.members(tmp_path, facts, 0, page)[0] for page in range(3)]
    assert [name for page in pages for name in page["rows"]["uri"]] == everyone
    assert pages[1]["rows"]["neighbours"] == [[[1, 1]], [[1, 0]]]
    for row in pq.read_table(tmp_path / facts["map"]["parquet"]).to_pylist():
        if row["cluster"] == 0:
            rows = pages[facts["sheets"]["page"][row["sheet"]]]["rows"]
            assert rows["uri"][row["cell"]] == row["uri"]
            assert row["confidence"] == pytest.approx(rows["confidence"][row["cell"]], abs=1e-4)
    assert not made(site, out=Location.parse(tmp_path)).written


def test_clusters_that_are_not_to_be_trusted_are_told_with_the_backbone_that_may_show_more(
    tmp_path: Path,
) -> None:
    destination = known_collection(tmp_path)
    ((path, rows),) = _clusters(destination)
    rows[0] |= {"status": "nothing-in-common", "match_agreement": None}
    rows[1] |= {"status": "ok", "deformation": "flow", "match_agreement": 0.4}
    _rewrite(destination, path, rows)
    made(destination)
    facts = report_reader.index(destination / "report")
    assert facts["clusters"]["not_aligned"] == [True, False]
    assert facts["clusters"]["doubtful"] == [False, True]
    assert facts["stronger"] == "dinov2_vits14"


def _clusters(destination: Path) -> list[tuple[Path, list[dict[str, Any]]]]:
    found = destination.glob("stages/index/*/*/*/clusters.parquet")
    return [(path, pq.read_table(path).to_pylist()) for path in found]


def _rewrite(destination: Path, path: Path, rows: list[dict[str, Any]]) -> None:
    place = Location.parse(destination)
    marker = find_marker(place, "index", "/".join(path.parts[-4:-2]))
    assert marker is not None
    table = encode_table(pa.Table.from_pylist(rows, schema=CLUSTERS), CLUSTERS)
    rewrite_unit(place, marker, {"clusters.parquet": table}, marker.record)


def test_a_cluster_without_an_atlas_is_listed(tmp_path: Path) -> None:
    destination = known_collection(tmp_path)
    ((path, rows),) = _clusters(destination)
    rows[0] |= {"status": "failed", "error": "it killed its worker", "atlas_unit": None}
    _rewrite(destination, path, rows)
    made(destination)
    facts = report_reader.index(destination / "report")
    clusters = facts["clusters"]
    assert (clusters["script"][0], clusters["error"][0]) == (None, "it killed its worker")
    assert (clusters["wall_after"][0], clusters["doubt"][0]) == (-1, 1.0)
    table = pq.read_table(destination / "report" / facts["map"]["parquet"]).to_pylist()
    lost = [row for row in table if row["uri"].startswith("a/")]
    assert len(lost) == 5
    assert {row["status"] for row in lost} == {2}
    assert {facts["sheets"]["cluster"][row["sheet"]] for row in lost} == {-1}


def test_beyond_its_bound_the_map_of_the_page_is_a_sample(
    site: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(map_table, "SAMPLE", 4)
    made(site, out=Location.parse(tmp_path))
    facts = report_reader.index(tmp_path)
    assert (facts["map"]["rows"], facts["map"]["sample"]) == (8, 4)
    assert any("sample of 4 of 8 images" in note for note in facts["notes"])
    rows = pq.read_table(tmp_path / facts["map"]["parquet"]).to_pylist()
    names = report_reader.script(tmp_path / facts["map"]["names"], "names")["uri"]
    assert names == [row["uri"] for row in rows[:4]]
    assert {row["cluster"] for row in rows[:4]} == {-1, 0, 1}  # every cluster, and those without
    points = report_reader.script(tmp_path / facts["map"]["script"], "map")
    x = np.frombuffer(base64.b64decode(points["columns"]["x"]["data"]), np.uint16) / 65_535
    assert x == pytest.approx([row["x"] for row in rows[:4]], abs=1e-4)
    cluster = np.frombuffer(base64.b64decode(points["columns"]["cluster"]["data"]), np.uint32)
    assert (cluster == 0xFFFF_FFFF).sum() == 1
