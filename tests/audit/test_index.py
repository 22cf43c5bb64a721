"""The suffix array: order, bytes, holes, and what an auditor refuses to index."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays

from allmend.audit import STEPS
from allmend.audit.index import IndexConfig, suffix_array
from allmend.flow import run_alone
from allmend.kinds import Estimate, Index, Shards, document_id, read_table, write_table
from allmend.kinds.errors import DamagedError
from tests.audit.conftest import make_shards

INDEX = STEPS["index"]
DOCUMENTS = {"a": [9, 10, 11, 9, 10], "b": [10, 11], "c": [9, 10, 11], "d": [300, 9]}


def build(folder: Path, shards: Shards, workers: int = 1) -> Index:
    return run_alone(INDEX, folder, IndexConfig(), workers=workers, shards=shards)


def read(folder: Path) -> dict[str, bytes]:
    return {
        path.relative_to(folder).as_posix(): path.read_bytes() for path in sorted(folder.rglob("*")) if path.is_file()
    }


@settings(max_examples=200, deadline=None)
@given(
    arrays.arrays(np.uint16, st.integers(0, 60), elements=st.sampled_from([0, 1, 255, 256, 257, 65535])),
    st.sampled_from(["uint16", "uint32"]),
)
def test_suffixes_are_sorted_as_their_tokens(tokens: np.ndarray, dtype: str) -> None:
    """Values that differ only in the high or the low byte tell big from little endian."""
    wide = tokens.astype(dtype) * (1 if dtype == "uint16" else 65537)
    expected = sorted(range(len(wide)), key=lambda at: wide[at:].tolist())
    assert suffix_array(wide).tolist() == expected


def test_u16_and_u32_shards_give_the_same_order(tmp_path: Path) -> None:
    made = [
        build(tmp_path / f"i{d}", make_shards(tmp_path / d, DOCUMENTS, vocab=400, dtype=d))
        for d in ("uint16", "uint32")
    ]
    assert read(made[0].folder / "suffix") == read(made[1].folder / "suffix")


def test_workers_change_no_byte(tmp_path: Path) -> None:
    shards = make_shards(tmp_path / "shards", DOCUMENTS, vocab=400, parts=4)
    one, two = build(tmp_path / "one", shards), build(tmp_path / "two", shards, workers=2)
    assert read(one.folder) == read(two.folder)


def test_special_tokens_and_holes_are_not_in_the_array(tmp_path: Path) -> None:
    shards = make_shards(tmp_path / "shards", DOCUMENTS, vocab=400, parts=1, withdrawn=["a"])
    index = build(tmp_path / "index", shards)
    positions = np.fromfile(index.path("suffix/0.bin"), "<i4")
    assert sorted(positions.tolist()) == np.flatnonzero(shards.tokens("0") >= 8).tolist()
    assert index.json("index.json")["parts"]["0"]["withdrawn"] == 1


def test_a_part_without_documents_is_indexed(tmp_path: Path) -> None:
    index = build(tmp_path / "index", make_shards(tmp_path / "shards", {"a": [9]}, vocab=400, parts=2))
    assert index.describe() == {"parts": 2, "documents": 1, "tokens": 3, "withdrawn": 0}


def change(shards: Shards, **columns: list[object]) -> None:
    table = read_table(shards.part_path("0"))
    for name, values in columns.items():
        table = table.set_column(table.column_names.index(name), name, pa.array(values, table.schema.field(name).type))
    write_table(shards.part_path("0"), table)


@pytest.mark.parametrize(
    ("columns", "said"),
    [
        ({"withdrawn_at": ["2026-11-24", None]}, "it is withdrawn, and 4 of its tokens are still there"),
        ({"offset": [0, 5]}, "begins at token 5"),
        ({"length": [4, 9]}, "has 8"),
        ({"offset": [0, 3], "length": [3, 5]}, "<bod>"),
    ],
)
def test_shards_that_are_not_what_their_table_says_are_refused(
    tmp_path: Path, columns: dict[str, list[object]], said: str
) -> None:
    shards = make_shards(tmp_path / "shards", {"a": [9, 10], "b": [9, 10]}, vocab=400, parts=1)
    change(shards, **columns)
    with pytest.raises(DamagedError, match=said):
        build(tmp_path / "index", shards)


def test_touches_counts_what_brute_force_counts(tmp_path: Path) -> None:
    shards = make_shards(tmp_path / "shards", DOCUMENTS, vocab=400, parts=4, withdrawn=["d"])
    index = build(tmp_path / "index", shards)
    asked = {document_id(name, "") for name in ("a", "b", "d", "unknown")}
    rows = [row for row in shards.table().to_pylist() if row["id"] in asked and row["withdrawn_at"] is None]
    found = INDEX.touches(index, asked)
    assert (found.documents, found.tokens) == (2, 7 + 4) == (len(rows), sum(row["length"] for row in rows))
    assert found.shards == tuple(sorted({row["shard"] for row in rows}))
    assert found.by_domain == {"x": (2, 0, 11)}


def test_cost_grows_with_the_tokens() -> None:
    small, large = (INDEX.cost(IndexConfig(), {"shards": Estimate(tokens=n)}) for n in (10**6, 10**9))
    assert small.seconds < large.seconds and small.memory_bytes < large.memory_bytes
