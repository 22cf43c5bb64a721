"""The engine: `map` over parts and `sql` over Parquet. Here on local processes and DuckDB; another engine gives the same bytes."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, Protocol, TypeAlias, TypeVar

import pyarrow as pa

from allmend.flow.channel import Channel, Pool
from allmend.kinds.errors import Interrupted, StepFailed

T = TypeVar("T")
Table: TypeAlias = "Sequence[Path] | pa.Table"
SQL_MEMORY = "1GB"
"""What DuckDB may hold before it spills to disk; placement, since results have a total order."""


class Engine(Protocol):
    """Two verbs; what a cluster's engine has to offer too."""

    def map(self, function: Callable[..., Any], tasks: Sequence[T], channel: Channel) -> Iterator[tuple[T, Any]]:
        """`function(task)` for each task, in any order, as they finish."""
        ...

    def sql(self, query: str, tables: Mapping[str, Table], scratch: Path) -> pa.RecordBatchReader:
        """Rows of one SELECT over named tables, in the query's own order."""
        ...


class ProcessEngine:
    """Local processes and DuckDB.

    Args:
        workers: processes for `map`, threads for `sql`. One runs in this very process.
    """

    def __init__(self, workers: int = 1) -> None:
        self.workers = workers

    def map(self, function: Callable[..., Any], tasks: Sequence[T], channel: Channel) -> Iterator[tuple[T, Any]]:
        if self.workers <= 1 or len(tasks) <= 1:
            for task in tasks:
                _go_on(channel)
                yield task, function(task, channel=channel)
            return
        waiting = list(reversed(tasks))
        with Pool(min(self.workers, len(tasks))) as pool:
            while waiting or pool.busy():
                while waiting and not channel.stopping.is_set() and (child := pool.idle()):
                    task = waiting.pop()
                    child.call(task, function, (task,))
                if not pool.busy():
                    break
                for task, message in pool.events(timeout=0.2):
                    if message[0] == "done":
                        yield task, message[1]
                    elif message[0] == "failed":
                        raise message[1]
                    elif message[0] == "died":
                        raise StepFailed(f"a worker ended: {message[1]}")
                    else:
                        channel.tell(*message)
        _go_on(channel)

    def sql(self, query: str, tables: Mapping[str, Table], scratch: Path) -> pa.RecordBatchReader:
        import duckdb

        assert "order by" in query.lower(), f"a query needs a total ORDER BY, so that its rows have one order: {query}"
        connection = duckdb.connect(
            config={"threads": self.workers, "memory_limit": SQL_MEMORY, "temp_directory": str(scratch)}
        )
        connection.execute("SET preserve_insertion_order = false")
        try:
            for name, table in tables.items():
                if isinstance(table, pa.Table):
                    connection.register(name, table)
                else:
                    listed = ", ".join("'" + str(path).replace("'", "''") + "'" for path in table)
                    connection.execute(f'CREATE VIEW "{name}" AS SELECT * FROM read_parquet([{listed}])')
            return connection.execute(query).to_arrow_reader(16_384)
        except duckdb.Error as error:
            raise StepFailed(f"SQL: {error}\n{query}") from error


def _go_on(channel: Channel) -> None:
    if channel.stopping.is_set():
        raise Interrupted("stopped between two parts; finished parts are kept")


def cores() -> int:
    """Processors this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
