"""The few rows that `where_is` needs, looked up before DuckDB plans a query.

The macros name their image and cluster only by way of subqueries, so that DuckDB opens every file of the
tables, several times. Where a query reads nothing but `where_is` of images that it names, their rows are all
that it can see: found by value, they take the tables' place for that query.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Iterator, Sequence
from typing import Any, NamedTuple

import duckdb
import pyarrow as pa
import pyarrow.dataset as pads

from congeal.results.published_tables import PublishedTables
from congeal.results.queries.macros import VIEWS
from congeal.results.schema.instances import INSTANCE
from congeal.results.schema.tables import TABLES

MACRO = "where_is"
IMAGES_AT = (0, 3)  # which of the macro's arguments name images
IMAGE_ID = re.compile("[0-9a-f]{32}")
# Columns that the macro reads.
IMAGES = ("image_id", "uri", "status", "error", "cluster_id", "width", "height")
CORRESPONDENCES = ("cluster_id", "point_id", "u", "v", "image_id", "x", "y", "confidence", INSTANCE)
_WITHOUT_ROWS = {"JOIN", "SUBQUERY", "EMPTY", "EMPTY_FROM", "EXPRESSION_LIST"}


class Rows(NamedTuple):
    """What takes the place of two tables: some rows, and the columns that the macro reads."""

    images: pa.Table
    correspondences: pa.Table


def named_images(connection: duckdb.DuckDBPyConnection, text: str) -> list[str]:
    """The images that a query names in `where_is`; empty if it may read anything else of the tables."""
    if MACRO not in text.lower():
        return []
    (answer,) = connection.execute("SELECT json_serialize_sql(?)", [text]).fetchall()
    try:
        parsed = json.loads(answer[0])
    except RecursionError:
        return []  # some hundred chained terms, which DuckDB can do
    if parsed["error"]:
        return []  # no SELECT, such as a PIVOT: DuckDB does it, or says what is wrong
    names: list[str] = []
    for node, ctes in _nodes(parsed):
        # Whatever rows can come from has a sample.
        if "sample" not in node or node.get("type") in (*_WITHOUT_ROWS, "SELECT_NODE"):
            continue
        found = _images_of(node)
        if not found and not _is_cte(node, ctes):
            return []
        names += found
    return sorted(set(names))


def _nodes(parsed: Any) -> Iterator[tuple[dict[str, Any], frozenset[str]]]:
    """Every node of a parsed statement, with the names in lower case of the CTEs that it can see."""
    waiting: list[tuple[Any, frozenset[str]]] = [(parsed, frozenset())]
    while waiting:
        node, ctes = waiting.pop()
        if isinstance(node, list):
            waiting += [(one, ctes) for one in node]
        if not isinstance(node, dict):
            continue
        # A CTE sees those before it, and itself in the recursive part alone: its own name in its body is
        # otherwise that of what lies outside.
        for one in (node.get("cte_map") or {}).get("map", ()):
            waiting.append((one["value"], ctes))
            ctes |= {str(one["key"]).lower()}
        yield node, ctes
        for key, value in node.items():
            recursive = key == "right" and node.get("type") == "RECURSIVE_CTE_NODE"
            itself = {str(node["cte_name"]).lower()} if recursive else set()
            if key != "cte_map":
                waiting.append((value, ctes | itself))


def _is_cte(node: dict[str, Any], ctes: frozenset[str]) -> bool:
    plain = not node.get("schema_name") and not node.get("catalog_name")
    name = str(node.get("table_name", "")).lower()
    # The tables and views are never taken for CTEs, whatever a statement calls its own.
    return node.get("type") == "BASE_TABLE" and plain and name in ctes - {*TABLES, *VIEWS}


def _images_of(node: dict[str, Any]) -> list[str]:
    """The images in a call of the macro; empty if it is no call, or they are not plain texts."""
    if node.get("type") != "TABLE_FUNCTION" or node["function"]["function_name"].lower() != MACRO:
        return []
    arguments = node["function"]["arguments"]
    if len(arguments) <= max(IMAGES_AT) or any(one["name"] for one in arguments):
        return []
    literals = [arguments[at]["expression"].get("literal") or {} for at in IMAGES_AT]
    texts = [str(one["text"]) for one in literals if one.get("kind") == "STRING"]
    return texts if len(texts) == len(IMAGES_AT) else []


def rows_of(connection: duckdb.DuckDBPyConnection, tables: PublishedTables, images: Sequence[str]) -> Rows:
    """All rows that `where_is` of these images can come to.

    connection: one that has the view images.
    """
    # Sorted by path: one row group has it.
    found = tables.dataset("images").to_table(
        columns=list(IMAGES), filter=pads.field("uri").isin(list(images))
    )
    ids = {name for name in images if IMAGE_ID.fullmatch(name)}
    # A duplicate's name leads to the image that it is a copy of.
    named = found.select(["image_id", "status"]).to_pylist()
    ids |= {row["image_id"] for row in named if row["status"] == "duplicate"}
    if ids:
        known = ~pads.field("uri").isin(list(images))
        found = pa.concat_tables([found, _by_id(connection, ids).filter(known).cast(found.schema)])
    wanted = pads.field("image_id").isin(found["image_id"].unique())
    parts = [
        tables.dataset("correspondences", cluster).to_table(
            columns=list(CORRESPONDENCES), filter=(pads.field("cluster_id") == cluster) & wanted
        )
        for cluster in sorted(set(found["cluster_id"].drop_null().to_pylist()))
    ]
    none = TABLES["correspondences"].empty_table().select(list(CORRESPONDENCES))
    return Rows(found, pa.concat_tables(parts) if parts else none)


def _by_id(connection: duckdb.DuckDBPyConnection, ids: Iterable[str]) -> pa.Table:
    """Their rows of the table images; by DuckDB, which asks its Bloom filters, as pyarrow does not."""
    among = duckdb.ColumnExpression("image_id").isin(*map(duckdb.ConstantExpression, sorted(ids)))
    return connection.view("images").filter(among).select(", ".join(IMAGES)).to_arrow_table()
