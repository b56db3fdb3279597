from __future__ import annotations

import io
from typing import Any

import duckdb
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from congeal.results.schema import parquet_files
from congeal.results.schema.parquet_files import dataset, encode_table, record_batches, small_rows
from congeal.results.schema.tables import ALIGNMENTS, CLUSTERS, CORRESPONDENCES, IMAGES
from infra.errors import DamagedError, MissingError
from infra.storage.location import Location

ALL = [IMAGES, CLUSTERS, ALIGNMENTS, CORRESPONDENCES]


def images(count: int, start: int = 0) -> pa.Table:
    rows = range(start, start + count)
    columns: dict[str, Any] = {name: [None] * count for name in IMAGES.names}
    columns["image_id"] = [f"{row:032x}" for row in rows]
    columns["uri"] = [f"folder/{row}.jpg" for row in rows]
    columns["bytes"] = list(rows)
    columns["status"] = ["failed" if row % 7 == 0 else "ok" for row in rows]
    columns["outlier"] = [row % 3 == 0 for row in rows]
    return pa.table(columns)


@pytest.mark.parametrize("schema", ALL, ids=["images", "clusters", "alignments", "correspondences"])
def test_every_column_says_what_it_means(schema: pa.Schema) -> None:
    read = pq.read_schema(io.BytesIO(encode_table(schema.empty_table(), schema)))
    assert read.metadata[b"congeal.schema_version"] == b"7"
    assert b"centre of the top-left pixel" in read.metadata[b"congeal.coordinates"]
    assert b"align_corners=False" in read.metadata[b"congeal.coordinates"]
    assert read.equals(schema, check_metadata=True)
    assert all(len(field.metadata[b"description"]) > 5 for field in read)


def test_the_columns_that_users_rely_on() -> None:
    """A change here needs a new schema version."""
    assert IMAGES.names == [
        "image_id", "uri", "bytes", "etag", "width", "height", "format", "status", "error",
        "cluster_id", "outlier", "excluded", "features_unit", "features_row",
    ]  # fmt: skip
    assert CLUSTERS.names == [
        "cluster_id", "name", "status", "error", "n_images", "n_members", "n_outliers", "n_new",
        "medoid_image_id",
        "deformation", "maps_from", "fixed_camera", "match_agreement", "residual", "cycle_error",
        "fold_fraction", "coverage", "confidence", "margin", "drift", "backbone", "weights_fingerprint",
        "atlas_unit",
    ]  # fmt: skip
    assert ALIGNMENTS.names == [
        "image_id", "cluster_id", "instance_id", "role", "mirrored", "rotation", "scale", "translation_u",
        "translation_v", "residual", "cycle_error", "fold_fraction", "coverage", "outlier", "outlier_reason",
    ]  # fmt: skip
    assert CORRESPONDENCES.names == [
        "cluster_id", "point_id", "u", "v", "image_id", "instance_id", "x", "y", "confidence", "visible",
    ]  # fmt: skip


def test_columns_are_put_in_order_and_cast() -> None:
    table = images(10)
    data = encode_table(table.select(sorted(table.column_names)), IMAGES)
    read = pq.read_table(io.BytesIO(data))
    assert read.schema.equals(IMAGES)
    assert read.column("status").to_pylist()[:2] == ["failed", "ok"]
    assert data == encode_table(table, IMAGES)


@pytest.mark.parametrize("change", ["missing", "extra"])
def test_other_columns_are_refused(change: str) -> None:
    table = images(3)
    table = table.drop_columns("etag") if change == "missing" else table.append_column("more", [[1, 2, 3]])
    with pytest.raises(ValueError, match=f"{change} \\['"):
        encode_table(table, IMAGES)


def test_a_value_that_does_not_fit_is_refused() -> None:
    table = images(3).set_column(4, "width", [[2**40, 1, 1]])
    with pytest.raises(pa.ArrowInvalid):
        encode_table(table, IMAGES)


@settings(max_examples=20)
@given(st.lists(st.integers(0, 60), max_size=12))
def test_how_rows_are_cut_does_not_show_in_the_bytes(cuts: list[int]) -> None:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(parquet_files, "ROW_GROUP", 50)
        whole = images(sum(cuts))
        pieces, start = [], 0
        for size in cuts:
            pieces += images(size, start).to_batches()
            start += size
        assert encode_table(iter(pieces), IMAGES) == encode_table(whole, IMAGES)


def test_how_many_rows_are_cut_does_not_show_in_the_pages() -> None:
    whole = images(60_000)
    assert encode_table(whole.to_batches(max_chunksize=777), IMAGES) == encode_table(whole, IMAGES)


def correspondences(count: int) -> pa.Table:
    rows = range(count)
    columns = {
        "cluster_id": [f"c{row // 5000:04d}" for row in rows],
        "point_id": [row % 100 for row in rows],
        "u": [(row % 100) / 100 for row in rows],
        "v": [0.5 for _ in rows],
        "image_id": [f"{row // 100:032x}" for row in rows],
        "instance_id": [0 for _ in rows],
        "x": [row * 0.37 for row in rows],
        "y": [row * 0.73 for row in rows],
        "confidence": [0.5 for _ in rows],
        "visible": [True for _ in rows],
    }
    return pa.table(columns)


def test_a_reader_finds_a_cluster_or_an_image_without_reading_all() -> None:
    file = pq.ParquetFile(io.BytesIO(encode_table(correspondences(200_000), CORRESPONDENCES)))
    order = [
        CORRESPONDENCES.names[column.column_index] for column in file.metadata.row_group(0).sorting_columns
    ]
    assert order == ["cluster_id", "image_id", "instance_id", "point_id"]
    columns = {
        file.metadata.schema.names[k]: [
            file.metadata.row_group(group).column(k) for group in range(file.metadata.num_row_groups)
        ]
        for k in range(len(CORRESPONDENCES))
    }
    assert all(chunk.has_offset_index and chunk.has_column_index for chunk in columns["cluster_id"])
    assert [chunk.statistics.min for chunk in columns["cluster_id"]] == ["c0000", "c0013", "c0026", "c0039"]
    assert all(chunk.bloom_filter_length for chunk in columns["image_id"])
    for name in ("cluster_id", "image_id", "instance_id", "point_id", "u", "v"):
        assert all("RLE_DICTIONARY" in chunk.encodings for chunk in columns[name])
    for name in ("x", "y"):
        assert all("BYTE_STREAM_SPLIT" in chunk.encodings for chunk in columns[name])
    read = file.read(columns=["x", "image_id"])
    assert read["x"].to_pylist()[1234] == pytest.approx(1234 * 0.37, rel=1e-6)


def test_row_groups_are_full() -> None:
    batches = (images(1000, 1000 * number).to_batches()[0] for number in range(70))
    file = pq.ParquetFile(io.BytesIO(encode_table(batches, IMAGES)))
    assert [file.metadata.row_group(group).num_rows for group in range(2)] == [65_536, 70_000 - 65_536]
    assert file.metadata.row_group(0).column(0).compression == "ZSTD"
    assert file.read().column("bytes").to_pylist() == list(range(70_000))


def test_a_dataset_over_every_store(location: Location) -> None:
    places = [location / "a/images.parquet", location / "b/images.parquet"]
    places[0].write_bytes(encode_table(images(5), IMAGES))
    places[1].write_bytes(encode_table(images(5, 5), IMAGES))
    found = dataset(places, IMAGES)
    assert found.schema.equals(IMAGES)
    table = found.to_table(columns=["uri"], filter=pa.compute.field("bytes") > 7)
    assert sorted(table.column("uri").to_pylist()) == ["folder/8.jpg", "folder/9.jpg"]


def test_duckdb_and_pandas_read_it(location: Location) -> None:
    (location / "images.parquet").write_bytes(encode_table(images(20), IMAGES))
    images_view = dataset([location / "images.parquet"], IMAGES)
    query = "select status, count(*) from images_view group by status order by status"
    connection = duckdb.connect()
    connection.register("images_view", images_view)
    assert connection.execute(query).fetchall() == [("failed", 3), ("ok", 17)]
    frame = images_view.to_table().to_pandas()
    assert isinstance(frame, pd.DataFrame)
    assert frame.status.value_counts().to_dict() == {"ok": 17, "failed": 3}


def test_an_empty_dataset_has_the_columns() -> None:
    assert dataset([], CLUSTERS).to_table().schema.equals(CLUSTERS)


def _with_metadata(**facts: str) -> bytes:
    metadata = {
        **IMAGES.metadata,
        **{f"congeal.{name}".encode(): text.encode() for name, text in facts.items()},
    }
    sink = io.BytesIO()
    pq.write_table(IMAGES.empty_table().replace_schema_metadata(metadata), sink)
    return sink.getvalue()


@pytest.mark.parametrize(
    ("data", "sentence"),
    [
        (b"PAR1 not a table PAR1", "is no Parquet file"),
        (b"", "is no Parquet file"),
        (_with_metadata(schema_version="8"), "has the newer schema version 8: upgrade congeal"),
        (_with_metadata(table="clusters"), "does not hold the table images"),
        (encode_table(CLUSTERS.empty_table(), CLUSTERS), "does not hold the table images"),
    ],
)
def test_damage_is_named(memory_location: Location, data: bytes, sentence: str) -> None:
    (memory_location / "x.parquet").write_bytes(data)
    with pytest.raises(DamagedError, match=sentence) as caught:
        dataset([memory_location / "x.parquet"], IMAGES)
    assert "x.parquet" in str(caught.value)


def test_other_columns_are_damage(memory_location: Location) -> None:
    table = IMAGES.empty_table()
    sink = io.BytesIO()
    pq.write_table(table.drop_columns("uri"), sink)
    (memory_location / "x.parquet").write_bytes(sink.getvalue())
    with pytest.raises(DamagedError, match="has not the columns of images"):
        dataset([memory_location / "x.parquet"], IMAGES)


def of_version_2(schema: pa.Schema, **columns: Any) -> bytes:
    """One row of a table as it was written before some columns of the table clusters were there."""
    newer = ("error", "deformation", "fixed_camera", "name", "match_agreement", "maps_from")
    older = pa.schema(
        [
            field
            for field in schema
            if field.name not in ("excluded", "instance_id") and (field.name not in newer or schema is IMAGES)
        ],
        schema.metadata
        | {
            b"congeal.schema_version": b"2",
            b"congeal.sorted_by": schema.metadata[b"congeal.sorted_by"]
            .replace(b"instance_id, ", b"")
            .replace(b", instance_id", b""),
        },
    )
    row = dict.fromkeys(older.names) | columns
    return encode_table(pa.Table.from_pylist([row], schema=older), older)


@pytest.mark.parametrize("schema", ALL, ids=["images", "clusters", "alignments", "correspondences"])
def test_tables_of_schema_version_2_are_read(location: Location, schema: pa.Schema) -> None:
    (location / "old.parquet").write_bytes(of_version_2(schema, image_id="ab", cluster_id="c1"))
    found = dataset([location / "old.parquet"], schema)
    assert found.schema.equals(schema)
    assert found.schema.metadata[b"congeal.schema_version"] == b"2"
    (row,) = found.to_table().to_pylist()
    assert row == dict.fromkeys(schema.names) | {
        name: value for name, value in {"image_id": "ab", "cluster_id": "c1"}.items() if name in schema.names
    }


def test_an_older_table_says_what_its_columns_meant(memory_location: Location) -> None:
    (memory_location / "old.parquet").write_bytes(of_version_2(CLUSTERS, cycle_error=0.25))
    (memory_location / "new.parquet").write_bytes(encode_table(CLUSTERS.empty_table(), CLUSTERS))
    for name, meant in (("old", "not of the maps"), ("new", "of the images that fit, atlas units")):
        schema = dataset([memory_location / f"{name}.parquet"], CLUSTERS).to_table().schema
        assert meant in schema.field("cycle_error").metadata[b"description"].decode()
    table = dataset([memory_location / "old.parquet"], CLUSTERS).to_table()
    assert (table["cycle_error"].to_pylist(), table["deformation"].to_pylist()) == ([0.25], [None])
    both = dataset([memory_location / f"{name}.parquet" for name in ("new", "old")], CLUSTERS)
    assert b"schema version 2" in both.schema.field("cycle_error").metadata[b"description"]


def test_a_table_of_today_needs_the_columns_of_today(memory_location: Location) -> None:
    older = pq.read_table(io.BytesIO(of_version_2(CLUSTERS)))
    sink = io.BytesIO()
    pq.write_table(older.replace_schema_metadata(CLUSTERS.metadata), sink)
    (memory_location / "x.parquet").write_bytes(sink.getvalue())
    with pytest.raises(DamagedError, match="has not the columns of clusters"):
        dataset([memory_location / "x.parquet"], CLUSTERS)


def test_a_file_that_is_missing(memory_location: Location) -> None:
    with pytest.raises(MissingError, match=r"x\.parquet does not exist"):
        dataset([memory_location / "x.parquet"], IMAGES)


def test_rows_in_python_have_the_columns_of_their_tables() -> None:
    from congeal.results.schema import rows

    assert set(rows.ImageRow.__annotations__) == set(IMAGES.names)
    assert set(rows.AlignedRow.__annotations__) == set(IMAGES.names)
    assert set(rows.ClusterRow.__annotations__) == set(CLUSTERS.names)


@pytest.mark.parametrize("columns", [["cluster_id"], ["deformation", "n_images", "cluster_id"]])
def test_rows_of_small_files_are_those_of_the_dataset(memory_location: Location, columns: list[str]) -> None:
    table = pa.table({name: [None, None] for name in CLUSTERS.names} | {"cluster_id": ["a", "b"]})
    places = [memory_location / name for name in ("one.parquet", "two.parquet")]
    for place in places:
        place.write_bytes(encode_table(table.cast(CLUSTERS), CLUSTERS))
    assert small_rows(places, CLUSTERS, columns) == (
        dataset(places, CLUSTERS).to_table(columns=columns).to_pylist()
    )
    assert small_rows([], CLUSTERS, columns) == []
    places[0].write_bytes(b"no Parquet")
    with pytest.raises(DamagedError, match="is no Parquet file"):
        small_rows(places, CLUSTERS, columns)
    places[0].write_bytes(encode_table(images(1), IMAGES))
    with pytest.raises(DamagedError, match="does not hold the table clusters"):
        small_rows(places, CLUSTERS, columns)


@pytest.mark.parametrize("schema", ALL, ids=["images", "clusters", "alignments", "correspondences"])
@pytest.mark.parametrize("some", [None, ("cluster_id", "instance_id", "error")])
def test_a_table_that_is_read_in_order_is_that_of_the_dataset(
    memory_location: Location, schema: pa.Schema, some: tuple[str, ...] | None
) -> None:
    place = memory_location / "t.parquet"
    for data in (
        of_version_2(schema, image_id="ab", cluster_id="c1"),
        encode_table(schema.empty_table(), schema),
    ):
        place.write_bytes(data)
        names = schema.names if some is None else [name for name in schema.names if name in some]
        found = record_batches(place, schema, some).read_all()
        assert found.equals(dataset([place], schema).to_table(columns=names))
    place.write_bytes(b"no Parquet")
    with pytest.raises(DamagedError, match="is no Parquet file"):
        record_batches(place, schema)
