"""Withdrawal records, resolved to documents once, so that each part gets only its own."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

from allmend.kinds import Withdrawals
from allmend.kinds.errors import StepFailed, nearest

Row = dict[str, Any]
SELECTORS: dict[str, Callable[[Row], Any]] = {
    "document": lambda row: row["id"],
    "host": lambda row: (row["host"] or "").lower(),
    "licence": lambda row: row["licence"],
    "source": lambda row: row["source"],
    "url": lambda row: row["url"],
}
"""What a record may select documents by, and where a document has it; of several, all must hold
(`allmend.flow.withdraw`).
"""


@dataclass(frozen=True)
class Withdrawn:
    """One withdrawn document.

    Attributes:
        at: when it was withdrawn, as the record says.
        hole: it leaves holes in shards made before, and its copies aren't promoted; False once a build is compact.
        record: what the record keeps of the document (URL, domain, tokens by tokenizer); empty if it wasn't there then.
    """

    at: str
    reason: str
    selector: str
    hole: bool
    record: Row


def resolve(withdrawals: Withdrawals, rows: Iterator[Row]) -> dict[str, Withdrawn]:
    """Document id → its withdrawal, the first that names it.

    A record names the documents that it touched when it was written, and by its selector also those that came later.

    Args:
        rows: {id, url, host, licence, source} of every document; read only if there are records.
    """
    found: dict[str, Withdrawn] = {}
    for number, record in enumerate(withdrawals.records, 1):
        for document in record.get("documents", ()):
            found.setdefault(document["id"], _withdrawn(withdrawals, number, record, document))
    if withdrawals.records:
        selectors = [
            (number, record, _selector(record, number)) for number, record in enumerate(withdrawals.records, 1)
        ]
        for row in rows:
            for number, record, wanted in selectors:
                if (
                    wanted
                    and row["id"] not in found
                    and all(SELECTORS[key](row) == value for key, value in wanted.items())
                ):
                    found[row["id"]] = _withdrawn(withdrawals, number, record, {})
    return found


def _withdrawn(withdrawals: Withdrawals, number: int, record: Row, document: Row) -> Withdrawn:
    said = ", ".join(f"{key} {value}" for key, value in sorted(record.get("selector", {}).items()))
    return Withdrawn(record["at"], record.get("reason", ""), said, number > withdrawals.compacted, document)


def _selector(record: Row, number: int) -> dict[str, str]:
    wanted = record.get("selector", {})
    for key in wanted:
        if key not in SELECTORS:
            raise StepFailed(
                f"withdrawals.jsonl, record {number} in force selects by `{key}`, which data.decide doesn't know.{nearest(key, SELECTORS)} "
                "Nothing was decided, since a withdrawal must not be passed over."
            )
    return {key: value.lower() if key == "host" else value for key, value in wanted.items()}
