"""Columns of the collection's owner in the published tables; what a change of them costs."""

from __future__ import annotations

import datetime
import json
from pathlib import Path

import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from growing import made
from sample_runs import folder, photographs, picture, run, tiny

import congeal
from infra.storage.location import Location
from tasks.maintenance.prune import prune
from tasks.maintenance.verify import verify

ROWS = {
    "photos/a/0.png": ("duck", "2024-01-02", "1"),
    "photos/a/1.png": ("duck", "2024-01-03", "2"),
    "photos/a/2.png": ("goose", "", ""),
    "photos/b/0.png": ("goose", "2024-01-03", "4"),
    "photos/b/1.png": ("goose", "2024-01-05", "5"),
    "photos/b/2.png": ("duck", "2024-01-05", "6"),
}


def write(place: Path, rows: dict[str, tuple[str, str, str]]) -> Path:
    lines = [";".join([uri, *cells]) for uri, cells in rows.items()]
    place.write_text("\n".join(["\ufeffuri;species;seen on;n", *lines]) + "\n")
    return place


@pytest.mark.slow
def test_the_lists_columns_are_in_the_tables(tmp_path: Path, weights: Path) -> None:
    folder(tmp_path / "photos", photographs(4))
    source, out = write(tmp_path / "list.csv", ROWS), tmp_path / "out"
    asked = tiny(weights, "clusters.method=column:species", "report.enabled=false")
    facts = run(source, out, asked)
    assert facts["images"] == {"ok": 6, "failed": 0, "duplicate": 0}
    assert facts["clusters"] == 2
    assert facts["own_columns"] == {
        "columns": [["species", "string"], ["seen on", "date32[day]"], ["n", "int64"]],
        "without_row": {"count": 0, "first": []},
        "without_images": {"count": 0, "first": []},
    }
    before = congeal.open(out)
    images = before.images.set_index("uri")
    assert images["species"].to_dict() == {uri: cells[0] for uri, cells in ROWS.items()}
    assert images["n"].dtype == pd.Int64Dtype()
    assert images["n"].isna().to_list() == [False, False, True, False, False, False]
    assert images["seen on"]["photos/a/0.png"] == datetime.date(2024, 1, 2)
    assert images.groupby("species")["cluster_id"].nunique().to_dict() == {"duck": 1, "goose": 1}
    assert before.table("images", ["uri"], {"species": "duck"})["uri"].size == 3
    query = 'SELECT species, max("seen on") AS last, sum(n) AS n FROM images GROUP BY ALL ORDER BY ALL'
    assert before.query(query).to_pylist() == [
        {"species": "duck", "last": datetime.date(2024, 1, 5), "n": 9},
        {"species": "goose", "last": datetime.date(2024, 1, 5), "n": 9},
    ]
    described = json.loads((out / "published/tables.json").read_bytes())["tables"]["images"]["columns"]
    assert [(one["name"], one["type"]) for one in described[-3:]] == [
        ("species", "string"), ("seen on", "date32[day]"), ("n", "int64"),
    ]  # fmt: skip
    assert "| seen on | date32[day] |" in next(
        path.read_text() for path in out.rglob("dictionary.md") if "seen on" in path.read_text()
    )

    # The same list again: nothing to do. Another order of its rows: the same.
    assert run(source, out, asked)["up_to_date"]
    write(source, dict(reversed(ROWS.items())))
    assert run(source, out, asked)["up_to_date"]

    # A value that nothing is made from costs the table of images.
    write(source, ROWS | {"photos/a/0.png": ("duck", "2024-01-02", "100")})
    facts = run(source, out, asked)
    assert made(facts) == {"catalog": 1, "features": 0, "clusters": 0, "atlases": 0, "index": 1}
    assert congeal.open(out).find("photos/a/0.png")["n"] == 100
    assert before.find("photos/a/0.png")["n"] == 1

    # A column of another type, one that is gone, a row that has come.
    rows = {uri: (cells[0], "", "many") for uri, cells in ROWS.items()} | {
        "photos/a/3.png": ("duck", "", "one")
    }
    write(source, rows)
    facts = run(source, out, asked)
    assert congeal.open(out).images["n"].to_list() == ["many"] * 3 + ["one"] + ["many"] * 3
    assert set(congeal.open(out).images["cluster_id"]) == set(images["cluster_id"])
    assert verify(Location.parse(out))["faults"] == []
    for version in ("1", "2"):
        assert verify(Location.parse(out), version=version)["faults"] == []
    found = congeal.open(out, version="1").images
    assert list(found.columns[-3:]) == ["species", "seen on", "n"]
    prune(Location.parse(out), older_than=0)
    assert verify(Location.parse(out))["faults"] == []
    assert congeal.open(out).images["species"].to_list() == [
        "duck",
        "duck",
        "goose",
        "duck",
        "goose",
        "goose",
        "duck",
    ]
    # Without the list nothing of it is left.
    facts = run(
        tmp_path / "photos", tmp_path / "plain", asked.model_copy(update={"clusters": tiny(weights).clusters})
    )
    assert facts["own_columns"] is None
    assert "species" not in congeal.open(tmp_path / "plain").images.columns


@pytest.mark.parametrize("key", ["uri", pytest.param("image_id", marks=pytest.mark.slow)])
def test_a_table_is_joined_by_path_or_id(tmp_path: Path, weights: Path, key: str) -> None:
    source = folder(tmp_path / "photos", photographs(3) | {"a/copy.png": picture(0, 0)})
    out, table = tmp_path / "out", tmp_path / "more.parquet"
    plain = run(source, out, tiny(weights, "report.enabled=false"))
    assert plain["own_columns"] is None
    known = congeal.open(out).images
    keys = [*known[key][:3].tolist(), "nothing of ours"]
    pq.write_table(
        pa.table({key: keys, "camera": pa.array(["x", "y", None, "z"]).dictionary_encode()}), table
    )
    facts = run(source, out, tiny(weights, "report.enabled=false", f"source.columns={table}"))
    assert made(facts) == {"catalog": 1, "features": 0, "clusters": 0, "atlases": 0, "index": 1}
    found = congeal.open(out).images.set_index("uri")["camera"]
    # The copy has the row of its image where rows go by what images are.
    expected = {"a/0.png": "x", "a/1.png": "y", **({"a/copy.png": "x"} if key == "image_id" else {})}
    assert found.dropna().to_dict() == expected
    own = facts["own_columns"]
    assert own["without_images"] == {"count": 1, "first": ["nothing of ours"]}
    without = [uri for uri, image in zip(known["uri"], known[key], strict=True) if image not in keys]
    assert own["without_row"] == {"count": len(without), "first": without[:3]}
    assert run(source, out, tiny(weights, "report.enabled=false"))["own_columns"] is None
    assert "camera" not in congeal.open(out).images.columns
