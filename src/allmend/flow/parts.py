"""One part of a step, as a worker process runs it: tables come in, tables go out, rows are counted."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from allmend.flow.channel import Channel
from allmend.kinds import Artifact, Config, View, part_of, sha256_file, write_table
from allmend.kinds.corpus import REJECTED
from allmend.kinds.work import Mappable


@dataclass
class PartTask:
    """What a worker needs for one part."""

    function: Callable[..., Any]
    config: Config
    part: str
    views: list[View]
    whole: list[Mappable]
    own: Any
    takes_own: bool
    out: Path
    """The folder for all parts of a step: each writes `<table>/<part>.parquet` or `.bin` files of its own there."""
    counted: int
    key: str


def run_part(task: PartTask, channel: Channel) -> dict[str, Any]:
    """Run a part function and write what it returns.

    Returns:
        {"files": [[path, size, SHA-256]], "rows": {table: rows}}.
    """
    inputs = [view.load(task.part) for view in task.views]
    arguments = [*inputs, *task.whole, *([task.own] if task.takes_own else [])]
    returned = dict(task.function(task.config, *arguments))
    given = returned.pop("input_rows", None)
    kind = task.views[0].artifact
    rows: dict[str, int] = {}
    files: list[Path] = []
    for name, value in returned.items():
        path, rows[name] = _write(task.out, name, task.part, value)
        files.append(path)
    if given is None and task.counted:
        tables = inputs[: task.counted]
        given = (
            sum(table.num_rows for table in tables) if all(isinstance(table, pa.Table) for table in tables) else None
        )
    if given is not None:
        first = next(name for name in rows if name != "rejected")
        made = rows[first] + rows.get("rejected", 0)
        assert made == given, (
            f"{task.function.__name__}, part {task.part} of {kind}: {given} rows in, {made} out or rejected"
        )
    listed = [[f"{path.parent.name}/{path.name}", path.stat().st_size, sha256_file(path)] for path in files]
    return {"files": sorted(listed), "rows": rows}


def _write(out: Path, name: str, part: str, value: pa.Table | np.ndarray) -> tuple[Path, int]:
    assert "/" not in name, f"{name}: the name of a table is one word"
    if isinstance(value, pa.Table):
        path = out / name / f"{part}.parquet"
        return path, write_table(path, value)
    path = out / name / f"{part}.bin"
    path.parent.mkdir(parents=True, exist_ok=True)
    assert value.dtype.isnative and value.ndim == 1, f"{name}: a flat array of native byte order is expected"
    path.write_bytes(np.ascontiguousarray(value).astype(value.dtype.newbyteorder("<")).tobytes())
    return path, len(value)


@dataclass
class CutTask:
    """One new part, gathered from all old ones by document id."""

    source: Path
    parts: list[str]
    name: str
    index: int
    count: int
    out: Path
    kind: type[Artifact]


def run_cut(task: CutTask, channel: Channel) -> dict[str, int]:
    """Write one new part: rows of its ids from every old part, sorted by id; a repeated id goes to `rejected`."""
    rows: dict[str, int] = {}
    rejected: list[pa.Table] = []
    names = sorted(path.name for path in task.source.iterdir())
    for name in [each for each in names if each != "rejected"]:
        table = _gather(task, name)
        if table is None:
            continue
        kept, repeated = _split_repeated(table)
        rejected.append(repeated)
        rows[name] = write_table(task.out / name / f"{task.name}.parquet", kept)
    if "rejected" in names and (table := _gather(task, "rejected")) is not None:
        rejected.append(table.select(REJECTED.names).cast(REJECTED))
    if rejected:
        together = pa.concat_tables(rejected).sort_by(
            [(name, "ascending") for name in ("id", "url", "reason", "detail", "source")]
        )
        rows["rejected"] = write_table(task.out / "rejected" / f"{task.name}.parquet", together, REJECTED)
    return rows


def _gather(task: CutTask, name: str) -> pa.Table | None:
    """Rows of this part from every old part, in the old parts' order."""
    found = []
    low = f"{(task.index << 32) // task.count:08x}"
    high = f"{(((task.index + 1) << 32) // task.count) - 1:08x}~"
    for part in task.parts:
        path = task.source / name / f"{part}.parquet"
        if path.is_file():
            table = pq.read_table(path, filters=[("id", ">=", low), ("id", "<", high)], partitioning=None)
            found.append(table.filter(pa.array(part_of(table["id"], task.count) == task.index)))
    return pa.concat_tables(found) if found else None


def _split_repeated(table: pa.Table) -> tuple[pa.Table, pa.Table]:
    """Rows sorted by id with the first of each id kept; the others as rejected rows."""
    order = pc.sort_indices(
        table.append_column("_row", pa.array(np.arange(table.num_rows))), [("id", "ascending"), ("_row", "ascending")]
    )
    table = table.take(order)
    ids = table["id"].combine_chunks().to_numpy(zero_copy_only=False)
    first = np.ones(len(ids), bool)
    first[1:] = ids[1:] != ids[:-1]
    left = table.filter(pa.array(~first))
    columns: Sequence[Any] = [
        left["id"], left["url"], left["source"] if "source" in left.column_names else pa.nulls(left.num_rows, pa.string()),
        pa.array(["repeated_record"] * left.num_rows, pa.string()), pa.array([""] * left.num_rows, pa.string()),
    ]  # fmt: skip
    return table.filter(pa.array(first)), pa.table(dict(zip(REJECTED.names, columns, strict=True))).cast(REJECTED)
