from __future__ import annotations

import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from known_index import CLUSTERS_THERE, LATTICE, image_id, known_index, pixels, uri

import congeal
from congeal.geometry.frames import cell_centres
from congeal.results.schema.parquet_files import encode_table
from congeal.results.schema.tables import CORRESPONDENCES
from infra.errors import DamagedError, UserError
from infra.settings import StorageSettings
from infra.storage.location import Location

HERE, THERE = CLUSTERS_THERE


@pytest.fixture(scope="module")
def destination(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path: Path = tmp_path_factory.mktemp("known [1]* 'quoted'") / "destination"
    known_index(Location.parse(path))
    return path


@pytest.fixture(scope="module")
def opened(destination: Path) -> Any:
    return congeal.open(destination)


def files(destination: Path) -> dict[Path, bytes]:
    return {path: path.read_bytes() for path in destination.rglob("*") if path.is_file()}


def at(frame: pd.DataFrame) -> np.ndarray:
    return frame[["x", "y"]].to_numpy(np.float64)


def test_where_is_follows_the_truth_between_lattice_points(opened: Any) -> None:
    random = np.random.default_rng(0)
    for uv in random.uniform(-0.6, 0.6, (6, 2)):
        for source, target in ((0, 1), (1, 2), (3, 0)):
            x, y = pixels(source, uv)
            found = opened.sql(f"FROM where_is('{uri(HERE, source)}', {x}, {y}, '{uri(HERE, target)}')")
            assert found["image_id"].tolist() == [image_id(HERE, target)]
            assert found["uri"].tolist() == [uri(HERE, target)]
            np.testing.assert_allclose(at(found)[0], pixels(target, uv), atol=0.2)
            assert found["confidence"][0] == pytest.approx(0.9, abs=0.02)
            assert found["visible"].all()


def test_everywhere_is_where_is_for_all(opened: Any) -> None:
    uv = np.array([0.31, -0.17])
    x, y = pixels(2, uv)
    found = opened.sql(f"FROM everywhere('{image_id(HERE, 2)}', {x}, {y})").set_index("uri")
    assert sorted(found.index) == [uri(HERE, number) for number in range(4)]
    for number in range(4):
        np.testing.assert_allclose(at(found.loc[[uri(HERE, number)]])[0], pixels(number, uv), atol=0.2)


def test_off_the_object_nothing_is_sure(opened: Any) -> None:
    """Salient is the middle square of the atlas: confidence falls as a point moves out of it."""
    sure = []
    for u in (0.0, 0.75, 0.85, 1.1):
        x, y = pixels(0, np.array([u, 0.0]))
        found = opened.sql(f"FROM where_is('{uri(HERE, 0)}', {x}, {y}, '{uri(HERE, 2)}')")
        sure.append(0.0 if found.empty else float(found["confidence"][0]))
    assert sure[0] == pytest.approx(0.9, abs=0.01)
    assert sure[0] > sure[1] > sure[2] > sure[3]
    assert sure[3] < 0.05


def test_a_landmark_by_its_number_and_by_its_place(opened: Any) -> None:
    uv = cell_centres(LATTICE).reshape(-1, 2).astype(np.float64)[100]
    by_number = opened.sql(f"FROM landmark('{THERE}', 100)").set_index("uri").sort_index()
    by_place = opened.sql(f"FROM landmark('{THERE}', {uv[0]}, {uv[1]})").set_index("uri").sort_index()
    assert list(by_number.index) == list(by_place.index) == [uri(THERE, number) for number in range(4)]
    truth = np.stack([pixels(number, uv) for number in range(4)])
    np.testing.assert_allclose(at(by_number), truth, atol=1e-3)
    np.testing.assert_allclose(at(by_place), truth, atol=0.2)
    between = opened.sql(f"FROM landmark('{THERE}', 0.123, -0.234)").set_index("uri").sort_index()
    truth = np.stack([pixels(number, np.array([0.123, -0.234])) for number in range(4)])
    np.testing.assert_allclose(at(between), truth, atol=0.2)


def test_views_join_what_belongs_together(opened: Any) -> None:
    members = opened.sql("SELECT uri, cluster_id, role FROM members ORDER BY uri")
    # Copies of an image are not counted twice.
    assert members["uri"].tolist() == [uri(c, number) for c in CLUSTERS_THERE for number in range(4)]
    whole = opened.sql("SELECT count(*) AS n, count(DISTINCT uri) AS images FROM landmarks")
    assert whole["n"][0] == len(opened.correspondences())
    assert whole["images"][0] == 8
    assert opened.sql("SELECT seconds, device FROM clusters")["seconds"].tolist() == [1.5, 1.5]
    copy = opened.sql(f"FROM find_image('z/copy of {uri(HERE, 1)}')")
    assert (copy["image_id"][0], copy["status"][0]) == (image_id(HERE, 1), "duplicate")


def test_an_unknown_image_is_named(opened: Any) -> None:
    with pytest.raises(UserError, match=r"There is no image no/such\.jpg: give an image id or a path"):
        opened.sql(f"FROM where_is('no/such.jpg', 1, 1, '{uri(HERE, 1)}')")
    with pytest.raises(UserError, match=r"There is no image no/such\.jpg: give an image id or a path"):
        opened.sql(f"FROM where_is('{uri(HERE, 1)}', 1, 1, 'no/such.jpg')")
    with pytest.raises(UserError, match="are in different clusters"):
        opened.sql(f"FROM where_is('{uri(HERE, 1)}', 1, 1, '{uri(THERE, 1)}')")


PATHS = ("'published://correspondences/0.parquet'", "'published://mine.parquet'", "'{outside}/mine.parquet'")
WRITING = (
    "COPY images TO {path}",
    "COPY (FROM images) TO {path} (FORMAT csv)",
    "ATTACH {path} AS mine",
    "EXPORT DATABASE {path}",
)


@pytest.mark.parametrize("path", PATHS)
@pytest.mark.parametrize("query", WRITING)
def test_nothing_can_be_written(destination: Path, tmp_path: Path, query: str, path: str) -> None:
    """Wherever it would go: one sentence, the destination keeps its bytes, and nothing appears."""
    before = files(destination)
    with pytest.raises(UserError, match=r"^One reading statement is allowed: SELECT, FROM"):
        congeal.open(destination).sql(query.format(path=path.format(outside=tmp_path)))
    assert files(destination) == before
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    "query",
    [
        "INSERT INTO images SELECT * FROM images",
        "DELETE FROM clusters",
        "UPDATE clusters SET device = 'mine'",
        "DROP VIEW landmarks",
        "CREATE TABLE mine AS SELECT 1",
        "CREATE VIEW mine AS SELECT 1",
        "CREATE OR REPLACE MACRO find_image(image) AS TABLE SELECT 1",
        "EXPLAIN CREATE TABLE mine AS SELECT 1",
        "INSTALL httpfs",
        "LOAD httpfs",
        "PRAGMA database_size",
        "SET threads = 1",
        "RESET threads",
        "CALL pragma_version()",
        "SELECT 1; SELECT 2",
        "BEGIN",
        "",
    ],
)
def test_nothing_can_be_changed(
    opened: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, query: str
) -> None:
    monkeypatch.chdir(tmp_path)
    with pytest.raises(UserError, match=r"^One reading statement is allowed: SELECT, FROM"):
        opened.sql(query)
    assert list(tmp_path.iterdir()) == []
    assert opened.sql("SELECT count(*) AS n FROM clusters")["n"][0] == 2


@pytest.mark.parametrize(
    "query",
    [
        "FROM read_text('{outside}')",
        "FROM '{outside}'",
        "FROM read_csv('{destination}/congeal.json')",
        "FROM '{destination}/congeal.json'",
        "FROM read_parquet('{destination}/**/*.parquet')",
        "FROM glob('{destination}/*')",
    ],
)
def test_nothing_else_can_be_read(opened: Any, destination: Path, tmp_path: Path, query: str) -> None:
    """Neither a file of the user's nor one of the destination, by its path."""
    (tmp_path / "mine.csv").write_text("a,b\n1,2\n")
    paths = {"destination": str(destination).replace("'", "''"), "outside": str(tmp_path / "mine.csv")}
    with pytest.raises(UserError, match="disabled by configuration"):
        opened.sql(query.format(**paths))


def test_there_is_no_temporary_folder_to_write_to(opened: Any) -> None:
    assert opened.sql("SELECT current_setting('temp_directory') AS folder")["folder"].tolist() == [""]


def test_errors_are_those_of_duckdb_whole(opened: Any) -> None:
    with pytest.raises(UserError) as raised:
        opened.sql("SELECT confidnce FROM correspondences")
    text = str(raised.value)
    assert text.startswith('Binder Error: Referenced column "confidnce" not found')
    assert "confidence" in text
    assert "Candidate bindings" in text


def test_explaining_and_describing_are_reading(opened: Any) -> None:
    assert len(opened.sql("EXPLAIN SELECT 1")) == 1
    assert "Total Time" in opened.sql("EXPLAIN ANALYZE FROM images")["explain_value"][0]
    assert len(opened.sql("DESCRIBE correspondences")) == len(CORRESPONDENCES)
    assert len(opened.sql("PIVOT images ON status USING count(*)")) >= 1


@pytest.mark.parametrize(
    "data", [b"PAR1 no more", encode_table(CORRESPONDENCES.empty_table(), CORRESPONDENCES)]
)
def test_a_file_that_is_not_what_was_published_is_one_sentence(
    memory_location: Location, data: bytes
) -> None:
    known_index(memory_location)
    tables = congeal.results.collection.Collection(memory_location)._published.tables
    place = tables.files("correspondences")[0]
    place.write_bytes(data)
    words = "is damaged, .*: `congeal repair memory://"
    for ask in (lambda c: c.sql("SELECT 1"), lambda c: c.correspondences(cluster=HERE)):
        with pytest.raises(DamagedError, match=words):
            ask(congeal.results.collection.Collection(memory_location))
    # What is whole can be read nevertheless.
    assert len(congeal.results.collection.Collection(memory_location).correspondences(cluster=THERE)) > 0


def test_a_number_that_is_none_in_an_own_column_is_found(memory_location: Location) -> None:
    known_index(memory_location, prices=(1.5, float("nan"), 0.25, 0.5))
    opened = congeal.open(memory_location.url)
    unknown = [uri(HERE, 1), uri(THERE, 1)]
    seen = opened.sql("SELECT uri FROM images WHERE isnan(price) AND status = 'ok' ORDER BY uri")
    assert seen["uri"].tolist() == unknown
    known = opened.sql("SELECT max(price) AS most, count(*) AS n FROM images WHERE NOT isnan(price)")
    assert (known["most"][0], known["n"][0]) == (1.5, 12)


def test_a_cluster_is_read_from_its_own_file(opened: Any) -> None:
    tables = opened._published.tables
    assert len(tables.files("correspondences")) == 2
    (one,) = tables.files("correspondences", THERE)
    assert one == tables.files("correspondences")[1]
    assert tables.files("correspondences", "c0") == []
    found = opened.correspondences(cluster=THERE)
    assert set(found["cluster_id"]) == {THERE}


@pytest.mark.s3
def test_on_s3(s3_location: Location, s3_settings: StorageSettings, s3_endpoint: str) -> None:
    known_index(s3_location)
    opened = congeal.open(s3_location.url, endpoint_url=s3_endpoint)
    x, y = pixels(0, np.array([0.1, 0.2]))
    found = opened.sql(f"FROM where_is('{uri(HERE, 0)}', {x}, {y}, '{uri(HERE, 1)}')")
    np.testing.assert_allclose(at(found)[0], pixels(1, np.array([0.1, 0.2])), atol=0.2)


def test_several_threads_at_once(opened: Any) -> None:
    from concurrent.futures import ThreadPoolExecutor

    expected = opened.sql("SELECT sum(x) AS s FROM correspondences")["s"][0]
    with ThreadPoolExecutor(4) as pool:
        sums = list(
            pool.map(lambda _: opened.sql("SELECT sum(x) AS s FROM correspondences")["s"][0], range(12))
        )
    np.testing.assert_allclose(sums, expected)


def test_an_open_database_leaves_no_noise_at_the_end(destination: Path) -> None:
    code = "import sys, congeal; c = congeal.open(sys.argv[1]); print(len(c.sql('FROM landmarks LIMIT 3')))"
    done = subprocess.run(
        [sys.executable, "-c", code, str(destination)], capture_output=True, text=True, check=True
    )
    assert (done.stdout.strip(), done.stderr) == ("3", "")
