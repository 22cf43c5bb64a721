"""`allmend seen DOCUMENT`"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import asdict
from typing import TYPE_CHECKING, Annotated, Any

import typer

from allmend.cli.options import Json, Workspace, open_ledger, print_json

if TYPE_CHECKING:
    from allmend.ledger import Found, Ledger

Document = Annotated[str, typer.Argument(help="A document's id (32 hex digits), or a probe's.", show_default=False)]
RunName = Annotated[
    str | None, typer.Option("--run", help="Only in this trained model (default: every model that has a name).")
]
STEPS_SHOWN = 40


def seen(document: Document, run: RunName = None, workspace: Workspace = None, json: Json = False) -> None:
    """At which training steps a document was read, from each run's order and its shards."""
    from allmend.kinds.errors import CheckFailed
    from allmend.ledger import resolve
    from allmend.train import Record

    ledger = open_ledger(workspace)
    runs: list[dict[str, Any]] = []
    for found in [resolve(ledger, run)] if run else _models(ledger):
        parts = Record.of(ledger, found.stored).seen(document)
        if parts is not None:
            digest = found.stored.manifest.digest
            runs.append({"run": found.name or digest, "digest": digest, "parts": [asdict(part) for part in parts]})
    if not runs:
        where = f"the shards of {run}" if run else "the shards of any named model here"
        raise CheckFailed(f"no document {document} is in {where}.")
    if json:
        print_json({"document": document, "runs": runs})
    else:
        for one in runs:
            _print(document, one)


def _models(ledger: Ledger) -> Iterator[Found]:
    """The trained models that names mean now, each once."""
    from allmend.ledger import Found

    known = set()
    for name in ledger.names.all():
        entry = ledger.names.latest(name)
        if entry is None or entry.digest in known or entry.digest not in ledger.digests(entry.key):
            continue
        stored = ledger.get(entry.key, entry.digest)
        if stored.manifest.kind == "Model" and (stored.folder / "order.json").is_file():
            known.add(entry.digest)
            yield Found(name, stored)


def _print(document: str, one: dict[str, Any]) -> None:
    parts = one["parts"]
    steps = sorted({part["step"] for part in parts if part["fed"]})
    if not steps:
        print(f"{one['run']} never read {document}: its shards hold it, its mixture or length left it out.")
        return
    print(f"{one['run']} read {document} in {len(steps):,} steps, first in {steps[0]:,}:")
    for part in parts[:STEPS_SHOWN]:
        span = f"tokens {part['start']:,}–{part['end'] - 1:,}"
        skipped = "" if part["fed"] else "  (skipped: nobody was fed)"
        print(f"{part['step']:>10,}  sample {part['sample']:<10,} epoch {part['epoch']:<4} {span}{skipped}")
    if len(parts) > STEPS_SHOWN:
        print(f"           … and {len(parts) - STEPS_SHOWN:,} more readings (--json lists all)")
