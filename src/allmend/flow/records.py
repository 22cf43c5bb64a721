"""`withdrawals.jsonl` of a workspace: one dated record a line, only ever appended to.

A withdrawal is `{"format": 1, "at", "reason", "selector": {"host": …}, "documents": [{"id", "url", "host", "language", "licence",
"domain", "tokens": {tokenizer digest: count}}]}`; its number is its line, from 1. `{"format": 1, "at", "reason", "undo": 3,
"of": SHA-256 of that record}` cancels number 3, wherever a push or pull has put its line; both stay. No text of a document is here.
"""

from __future__ import annotations

import contextlib
import datetime
import json
import os
import time
import uuid
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from allmend.kinds import Withdrawals, canonical_json, sha256_json
from allmend.kinds.errors import DamagedError, NewerFormatError, UsageError
from allmend.ledger import Ledger

FILE = "withdrawals.jsonl"
FORMAT = 1
POLL_S = 0.1
WRITING = sha256_json("withdrawals.jsonl")
"""Name of the lease under which a record is appended: two commands at once must not lose one's."""

Record = dict[str, Any]


def now() -> str:
    """The moment, as records carry it."""
    return datetime.datetime.now(datetime.UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


def read_history(workspace: Path | None) -> list[Record]:
    """All records, undone ones and undos included.

    Raises:
        DamagedError: a line isn't a record; names it.
        NewerFormatError: a record of a newer format.
    """
    path = workspace / FILE if workspace else None
    if path is None or not path.is_file():
        return []
    found = []
    for number, line in enumerate(path.read_bytes().splitlines(), 1):
        try:
            record = json.loads(line)
            if record["format"] > FORMAT:
                raise NewerFormatError(
                    f"{path}, line {number}: format {record['format']}, and this Allmend knows formats up to {FORMAT}. "
                    "Install a newer Allmend."
                )
            assert type(record.get("of")) is str or all(type(each["id"]) is str for each in record["documents"])
        except (ValueError, KeyError, TypeError, AttributeError, AssertionError, RecursionError) as error:
            shown = line[:80].decode(errors="replace")
            raise DamagedError(
                f"{path}, line {number} isn't a withdrawal record: {shown!r}. Nothing was run."
            ) from error
        found.append(record)
    return found


def numbers_in_force(history: Sequence[Record]) -> list[int]:
    """Numbers of the withdrawals that no undo cancels."""
    undone = {record["of"] for record in history if "of" in record}
    return [
        number
        for number, record in enumerate(history, 1)
        if "of" not in record and not (undone and sha256_json(record) in undone)
    ]


def in_force(history: Sequence[Record], compact: bool | int = False) -> Withdrawals:
    """What steps see of the history.

    Args:
        compact: True: no withdrawn document leaves a hole; a number: none of the records up to that one does.

    Raises:
        ValueError: there is no record of that number.
    """
    numbers = numbers_in_force(history)
    if compact is not True and compact > len(history):
        raise ValueError(f"given {compact}, and {FILE} has {len(history)} records")
    compacted = len(numbers) if compact is True else sum(number <= compact for number in numbers)
    return Withdrawals.of([history[number - 1] for number in numbers], compacted)


def check_undo(history: Sequence[Record], number: int) -> None:
    """UsageError unless this number is a withdrawal in force."""
    numbers = numbers_in_force(history)
    if number not in numbers:
        there = 0 < number <= len(history)
        state = "there is no record of this number"
        if there:
            state = "it is an undo itself" if "of" in history[number - 1] else "it is undone already"
        raise UsageError(f"--undo {number}: {state}. In force: {', '.join(map(str, numbers)) or 'none'}.")


@contextlib.contextmanager
def writing(ledger: Ledger) -> Iterator[None]:
    """The right to append to the file; waits for whoever has it."""
    watcher = ledger.watch(WRITING)
    while (lease := watcher.acquire()) is None:
        time.sleep(POLL_S)
    try:
        yield
    finally:
        lease.release()


def append(ledger: Ledger, record: Record) -> int:
    """Add a record at the end, whole or not at all; gives its number. Call it within `writing`.

    The file is written anew and renamed: a torn line would hide a person's withdrawal.
    """
    path = ledger.root / FILE
    before = path.read_bytes() if path.is_file() else b""
    before += b"" if before.endswith(b"\n") or not before else b"\n"
    temporary = ledger.tmp / uuid.uuid4().hex
    with temporary.open("wb") as file:
        file.write(before + canonical_json(record) + b"\n")
        file.flush()
        os.fsync(file.fileno())
    os.replace(temporary, path)
    return before.count(b"\n") + 1
