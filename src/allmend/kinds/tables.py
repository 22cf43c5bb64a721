"""Byte-stable Parquet: the same rows give the same bytes, whatever the chunking, the threads or the worker."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from allmend.kinds.canonical import canonical_json

WRITER = 1
"""Enters every build key. Raise it when a writer here, or its library, changes bytes: `tests/pinned.json` tells."""

ROWS_A_GROUP = 16_384


def write_table(path: Path, table: pa.Table | Iterable[pa.RecordBatch], schema: pa.Schema | None = None) -> int:
    """Write rows as Parquet (zstd), cut into groups of 16,384 rows whatever chunks they came in.

    Args:
        table: a table, or record batches as a reader gives them (then memory holds one group).
        schema: the columns that the file must have; columns of the table are put in its order.

    Returns:
        Number of rows written.

    Raises:
        AssertionError: a column is missing, extra or of another type: that is a programming error.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    if isinstance(table, pa.Table):
        schema = schema or table.schema
        batches: Iterable[pa.RecordBatch] = [table] if table.num_rows else []
    else:
        batches = table
        schema = schema or getattr(table, "schema", None)
        assert schema is not None, "record batches without a schema"
    schema = schema.remove_metadata()
    rows = 0
    with pq.ParquetWriter(
        path, schema, compression="zstd", compression_level=3, version="2.6", store_schema=True
    ) as writer:
        for group in _groups(batches, schema):
            writer.write_table(group, row_group_size=ROWS_A_GROUP)
            rows += group.num_rows
    return rows


def _groups(batches: Iterable[Any], schema: pa.Schema) -> Iterable[pa.Table]:
    """Tables of exactly ROWS_A_GROUP rows (the last one shorter), each in one chunk."""
    waiting: list[pa.Table] = []
    rows = 0
    for batch in batches:
        table = conform(batch if isinstance(batch, pa.Table) else pa.Table.from_batches([batch]), schema)
        waiting.append(table)
        rows += table.num_rows
        while rows >= ROWS_A_GROUP:
            joined = pa.concat_tables(waiting)
            yield joined.slice(0, ROWS_A_GROUP).combine_chunks()
            waiting, rows = [joined.slice(ROWS_A_GROUP)], rows - ROWS_A_GROUP
    if rows:
        yield pa.concat_tables(waiting).combine_chunks()


def conform(table: pa.Table, schema: pa.Schema) -> pa.Table:
    """The table with the schema's columns in its order; types must agree or widen safely."""
    assert set(table.column_names) == set(schema.names), f"columns {table.column_names} instead of {schema.names}"
    return table.select(schema.names).cast(schema) if table.schema != schema else table


def read_table(path: Path, columns: list[str] | None = None) -> pa.Table:
    """Rows of one Parquet file."""
    return pq.read_table(path, columns=columns, partitioning=None)


def write_json(path: Path, value: Any) -> None:
    """Canonical JSON with a final newline: byte-stable."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(canonical_json(value) + b"\n")


def write_jsonl(path: Path, rows: Iterable[Any]) -> None:
    """One canonical JSON value a line: byte-stable."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("wb") as file:
        for row in rows:
            file.write(canonical_json(row) + b"\n")
