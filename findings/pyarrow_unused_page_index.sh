#!/usr/bin/env bash
# pyarrow 26.0.1 and DuckDB 2.0.0: pyarrow writes page indexes and Bloom filters, and reads without either.
#
# One would guess: a table written with write_page_index and bloom_filter_options, both documented as what lets
#   readers skip, is read by the same library by skipping; more so where every page is small.
# What happens: pyarrow skips whole row groups by their least and largest values, and nothing else. A value that
#   lies anywhere (a digest) costs the whole column, just as without index and filter. DuckDB
#   asks the same file's filters first and reads the few row groups that may have the value.
# Seen with: pyarrow 26.0.1, duckdb 2.0.0, fsspec 2026.9.0, Python 3.11.
# Seen output: "column 13,589,011 bytes; read: pyarrow 13,661,947 without and 13,654,547 with index and filter;
#   DuckDB 1,401,005".
# Why it matters to image collections: "this image's row" by content digest, in a table of a million images in a
#   bucket, is some thirty megabytes with pyarrow and pandas, and a tenth of that with DuckDB.
# Fails (exit 1) when pyarrow reads less than nine tenths of the column, or DuckDB more than half of it.
set -euo pipefail
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
python3 -m venv "$work/venv"
"$work/venv/bin/pip" install --quiet --disable-pip-version-check pyarrow==26.0.1 duckdb==2.0.0 fsspec==2026.9.0 2>/dev/null
cat >"$work/look.py" <<'PY'
import hashlib
import sys
from pathlib import Path

import duckdb
import pyarrow as pa
import pyarrow.parquet as pq
from fsspec.implementations.local import LocalFileOpener, LocalFileSystem

folder = Path(sys.argv[1])
ROWS = 400_000
names = [f"{number:08d}.jpg" for number in range(ROWS)]
digests = [hashlib.md5(name.encode()).hexdigest() for name in names]
table = pa.table({"name": names, "digest": digests})
wanted = digests[ROWS // 3]
read = 0


class Counted(LocalFileOpener):
    def read(self, length=-1):
        global read
        data = self.f.read(length)
        read += len(data)
        return data

    def readinto(self, buffer):
        global read
        count = self.f.readinto(buffer)
        read += count
        return count


class Counting(LocalFileSystem):
    protocol = "counting"

    def _open(self, path, mode="rb", **options):
        return Counted(path.removeprefix("counting://"), mode, fs=self)


def with_pyarrow(path):
    global read
    read = 0
    with Counting()._open(str(path)) as file:
        found = pq.read_table(file, columns=["digest"], filters=[("digest", "==", wanted)])
    assert found.num_rows == 1
    return read


def with_duckdb(path):
    global read
    read = 0
    connection = duckdb.connect()
    connection.register_filesystem(Counting())
    query = f"SELECT digest FROM read_parquet('counting://{path}') WHERE digest = '{wanted}'"
    assert connection.sql(query).fetchall() == [(wanted,)]
    return read


group = {"row_group_size": 20_000, "data_page_size": 8192}
pq.write_table(table, folder / "plain.parquet", **group)
filters = {"digest": {"ndv": 20_000, "fpp": 0.01}}
pq.write_table(table, folder / "helped.parquet", write_page_index=True, bloom_filter_options=filters, **group)
file = pq.ParquetFile(folder / "helped.parquet")
column = sum(file.metadata.row_group(g).column(1).total_compressed_size for g in range(file.num_row_groups))
assert file.metadata.row_group(0).column(1).has_offset_index
plain, helped = with_pyarrow(folder / "plain.parquet"), with_pyarrow(folder / "helped.parquet")
other = with_duckdb(folder / "helped.parquet")
print(f"column {column:,} bytes; read: pyarrow {plain:,} without and {helped:,} with index and filter; DuckDB {other:,}")
sys.exit(not (helped > 0.9 * column and helped > 0.95 * plain and other < 0.5 * column))
PY
"$work/venv/bin/python" "$work/look.py" "$work"
