"""Byte-stable files: the same rows give the same bytes, however they came."""

from __future__ import annotations

import hashlib
import itertools
from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from allmend.kinds import read_table, write_json, write_jsonl, write_table
from allmend.kinds.tables import ROWS_A_GROUP

SCHEMA = pa.schema([("id", pa.string()), ("count", pa.int64()), ("tags", pa.list_(pa.string()))])


def rows(count: int, salt: int = 0) -> pa.Table:
    numbers = np.arange(count)
    return pa.table(
        {
            "id": [f"{number:08x}" for number in numbers],
            "count": (numbers * 7919 + salt) % 1000,
            "tags": [["x"] * (number % 3) if number % 5 else None for number in numbers],
        },
        SCHEMA,
    )


def digest(path: Path) -> str:
    return hashlib.sha256(path.read_bytes()).hexdigest()


def cut(table: pa.Table, places: list[int]) -> pa.Table:
    edges = [0, *sorted(place % (table.num_rows + 1) for place in places), table.num_rows]
    return pa.concat_tables([table.slice(a, b - a) for a, b in itertools.pairwise(edges)] or [table.slice(0, 0)])


@settings(max_examples=25, deadline=None)
@given(
    st.sampled_from([0, 1, 5, 1000, ROWS_A_GROUP, ROWS_A_GROUP + 1, 2 * ROWS_A_GROUP + 7]),
    st.lists(st.integers(0, 50_000), max_size=6),
)
def test_other_chunks_give_the_same_bytes(
    tmp_path_factory: pytest.TempPathFactory, count: int, places: list[int]
) -> None:
    folder = tmp_path_factory.mktemp("tables")
    table = rows(count)
    chunked = cut(table, places)
    assert write_table(folder / "whole.parquet", table) == count
    assert write_table(folder / "chunks.parquet", chunked) == count
    batches = iter(chunked.to_batches(max_chunksize=max(1, len(places) * 777)))
    assert write_table(folder / "batches.parquet", batches, SCHEMA) == count
    assert digest(folder / "whole.parquet") == digest(folder / "chunks.parquet") == digest(folder / "batches.parquet")
    assert read_table(folder / "whole.parquet").equals(table)


def test_the_columns_order_and_the_schemas_metadata_dont_count(tmp_path: Path) -> None:
    table = rows(100)
    write_table(tmp_path / "one.parquet", table, SCHEMA)
    turned = table.select(["tags", "id", "count"]).replace_schema_metadata({"made": "today"})
    write_table(tmp_path / "two.parquet", turned, SCHEMA)
    assert digest(tmp_path / "one.parquet") == digest(tmp_path / "two.parquet")


def test_a_dictionary_or_a_slice_of_a_larger_table_gives_the_same_bytes(tmp_path: Path) -> None:
    table = rows(300).slice(100, 100)
    write_table(tmp_path / "slice.parquet", table, SCHEMA)
    encoded = table.set_column(0, "id", table["id"].dictionary_encode())
    write_table(tmp_path / "encoded.parquet", encoded, SCHEMA)
    write_table(tmp_path / "rows.parquet", pa.Table.from_pylist(table.to_pylist(), SCHEMA), SCHEMA)
    assert len({digest(path) for path in tmp_path.iterdir()}) == 1


def test_other_rows_give_other_bytes(tmp_path: Path) -> None:
    write_table(tmp_path / "one.parquet", rows(10))
    write_table(tmp_path / "two.parquet", rows(10, salt=1))
    assert digest(tmp_path / "one.parquet") != digest(tmp_path / "two.parquet")


def test_an_empty_table_keeps_its_columns(tmp_path: Path) -> None:
    write_table(tmp_path / "empty.parquet", rows(0))
    assert read_table(tmp_path / "empty.parquet").schema == SCHEMA


@pytest.mark.parametrize("columns", [["id", "count"], ["id", "count", "tags", "more"]])
def test_a_missing_or_extra_column_is_a_bug_of_ours(tmp_path: Path, columns: list[str]) -> None:
    table = rows(3).append_column("more", pa.array([1, 2, 3])).select(columns)
    with pytest.raises(AssertionError, match="columns"):
        write_table(tmp_path / "x.parquet", table, SCHEMA)


def test_json_is_canonical_and_ends_its_lines(tmp_path: Path) -> None:
    write_json(tmp_path / "deep" / "x.json", {"b": 1.0, "a": ["ä", None]})
    assert (tmp_path / "deep" / "x.json").read_bytes() == '{"a":["ä",null],"b":1}\n'.encode()
    write_jsonl(tmp_path / "x.jsonl", [{"b": 1, "a": 2}, []])
    assert (tmp_path / "x.jsonl").read_bytes() == b'{"a":2,"b":1}\n[]\n'
