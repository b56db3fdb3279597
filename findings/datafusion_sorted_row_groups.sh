#!/usr/bin/env bash
# datafusion 55.0.0: a Parquet file whose row groups are sorted, each in itself, loses ORDER BY and gains groups.
#
# One would guess: `sorting_columns` in a Parquet footer changes how fast a query is, never what it answers. The
#   format has one such note in every row group, of the rows in that row group; it says nothing of the file.
# What happens: where all row groups carry the same note, DataFusion takes the whole file for sorted. ORDER BY that
#   column then does nothing (rows come as they lie in the file), LIMIT after it takes the first rows of the first row
#   group, and GROUP BY, DISTINCT and count(DISTINCT) close a group as soon as the value changes, so that a
#   value that comes back in the next row group is counted anew. Without the note all are right. DuckDB and
#   polars answer right with it and without.
# Seen with: datafusion 55.0.0, pyarrow 26.0.1 (writes the files), duckdb 2.0.1, polars 2.1.0, Python 3.11.
# Seen output: "20000 images in 3 row groups / plain: sorted, 20000 images, first three img-00000 img-00000 img-00000 /
#   noted: not sorted, 60000 images, first three img-00000 img-00001 img-00002 / duckdb: sorted, 20000 images /
#   polars: sorted, 20000 images". With one partition, so that the number is always the same; by default there
#   is one a core: some 56,000 images with two, 28,000 with four, and the order is as wrong with sixteen.
# Why it matters to image collections: a table to which every batch, shard or set adds a row group, sorted by image,
#   is the usual one, and a careful writer notes the order. "How many images have a landmark" is then wrong
#   by as many times as there are batches, and nothing says so.
# Fails (exit 1) when any of the five changes.
set -euo pipefail
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
python3 -m venv "$work/venv"
"$work/venv/bin/pip" install --quiet --disable-pip-version-check datafusion==55.0.0 pyarrow==26.0.1 duckdb==2.0.1 \
    polars==2.1.0 2>/dev/null
cat >"$work/look.py" <<'PY'
import sys
from pathlib import Path

import datafusion
import duckdb
import polars
import pyarrow as pa
import pyarrow.parquet as pq

folder = Path(sys.argv[1])
IMAGES, BATCHES = 20_000, 3
names = [f"img-{number:05d}" for number in range(IMAGES)]
schema = pa.schema([("image", pa.string()), ("landmark", pa.int32())])
true_order = sorted(names * BATCHES)


def written(name, **options):
    """One landmark of every image a batch; every batch, sorted by image, is a row group."""
    path = str(folder / f"{name}.parquet")
    with pq.ParquetWriter(path, schema, **options) as writer:
        for batch in range(BATCHES):
            writer.write_table(pa.table({"image": names, "landmark": [batch] * IMAGES}, schema=schema))
    assert pq.read_metadata(path).num_row_groups == BATCHES
    return path


def told(name, order, images):
    print(f"{name}: {'sorted' if order == true_order else 'not sorted'}, {images} images, first three", *order[:3])
    return order == true_order, images


def with_datafusion(name, path):
    context = datafusion.SessionContext(datafusion.SessionConfig().with_target_partitions(1))
    context.register_parquet("marks", path)
    ask = lambda query: context.sql(query).to_pydict()
    order = ask("SELECT image FROM marks ORDER BY image")["image"]
    counted = ask("SELECT count(DISTINCT image) AS n FROM marks")["n"][0]
    assert len(ask("SELECT image, count(*) AS n FROM marks GROUP BY image")["image"]) == counted
    first = ask("SELECT image FROM marks ORDER BY image LIMIT 3")["image"]
    assert first == order[:3]
    return told(name, order, counted)


plain = written("plain")
noted = written("noted", sorting_columns=[pq.SortingColumn(0)])
print(f"{IMAGES} images in {BATCHES} row groups")
right = with_datafusion("plain", plain)
wrong = with_datafusion("noted", noted)
duck = [row[0] for row in duckdb.sql(f"SELECT image FROM '{noted}' ORDER BY image").fetchall()]
by_duckdb = told("duckdb", duck, duckdb.sql(f"SELECT count(DISTINCT image) FROM '{noted}'").fetchall()[0][0])
lazy = polars.scan_parquet(noted)
pole = lazy.sort("image").collect()["image"].to_list()
by_polars = told("polars", pole, lazy.group_by("image").len().collect().height)
expected = (True, IMAGES)
sys.exit(not (right == by_duckdb == by_polars == expected and wrong == (False, IMAGES * BATCHES)))
PY
"$work/venv/bin/python" "$work/look.py" "$work"
