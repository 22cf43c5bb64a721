"""`Work`: where and with what a step runs. Never hashed: nothing in it may change what a step makes."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from contextlib import AbstractContextManager
from pathlib import Path
from typing import Any, Protocol

import numpy as np
import pyarrow as pa

from allmend.kinds.artifact import Artifact, View

Mappable = Artifact | View


class Bar(Protocol):
    """A progress bar that a step moves."""

    def advance(self, count: int = 1) -> None: ...


class Work(Protocol):
    """What `flow` hands to a step. `allmend.flow.Work.alone(folder)` makes one for a test, without a ledger."""

    folder: Path
    """Where the artifact's files are written."""
    scratch: Path
    """Emptied when the step ends."""
    state: Path
    """Kept between attempts of a key: checkpoints live here until the step commits."""
    workers: int
    """Processes that this step may use."""
    device: str
    """Accelerator type as `torch.accelerator` names it, or `cpu`."""
    rank: int
    world: int
    earlier: Sequence[Artifact]
    """Older builds under the same name, newest first. They may save work (a checkpoint whose hash proves that it fits), never
    change a byte of the result."""

    @property
    def stop(self) -> bool:
        """True once the run was asked to stop: finish the batch, write a checkpoint, raise `Interrupted`."""
        ...

    def rng(self, name: str) -> np.random.Generator:
        """A generator seeded by the build key and a name: the same in every build of this key, whatever the part or worker."""
        ...

    def map(
        self,
        function: Callable[..., Any],
        over: Sequence[Mappable],
        whole: Sequence[Mappable] = (),
        *,
        own: Mapping[str, Any] | None = None,
        cut: int = 0,
        counted: int = 1,
    ) -> Any:
        """Run `function(config, *parts, *whole)` once a part; write the tables and arrays it returns; give the step's artifact.

        Args:
            function: at module level; returns {table name: pa.Table or np.ndarray}; `rejected` holds the rows left out.
            over: artifacts (or views of one table) with equal part names; each call gets one part of each.
            whole: artifacts that every call gets in full; they enter each part's key.
            own: part name → a JSON value for that part alone, given to the function last and in that part's key: what a step cuts by
                part itself, its config field being named in `Step(apart=…)`. A part without one gets None.
            cut: a power of two: what the parts return is cut anew by document id into so many parts, sorted by id, a repeated
                id rejected as `repeated_record`. 0 keeps the input's parts.
            counted: rows of the first so many of `over` must equal the rows of the first table returned plus the rejected;
                0 counts nothing.
        """
        ...

    def sql(self, query: str, tables: Mapping[str, Mappable | Sequence[Path] | pa.Table], into: str = "") -> pa.Table:
        """One SQL text over Parquet, in bounded memory.

        Args:
            query: CAST every aggregate; aliases with AS; a total ORDER BY.
            tables: name in the query → an artifact's main table, a view, Parquet files or a table in memory.
            into: write the rows as `<into>.parquet` in the folder, in bounded memory, and return none.
        """
        ...

    def progress(self, label: str, total: int, unit: str) -> AbstractContextManager[Bar]:
        """A bar with rate and time left."""
        ...

    def beat(self, step: int, phase: str) -> None:
        """A sign of life of this rank, with the step and phase it is in."""
        ...

    def log(self, sentence: str) -> None:
        """One line for the person at the terminal; kept in `_run/log.txt`."""
        ...

    def secret(self, name: str) -> str:
        """Value of a secret. Never write it anywhere: logs and errors are searched for it."""
        ...
