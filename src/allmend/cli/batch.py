"""`allmend batch RUN STEP`"""

from __future__ import annotations

from dataclasses import asdict
from typing import Annotated, Any

import typer

from allmend.cli.options import Json, Workspace, open_ledger, print_json

Run = Annotated[
    str,
    typer.Argument(help="A trained model: recipe/step, recipe/step~2, a digest prefix, or a path.", show_default=False),
]
StepNumber = Annotated[int, typer.Argument(metavar="STEP", help="The step, from 0.", show_default=False)]


def batch(run: Run, step: StepNumber, workspace: Workspace = None, json: Json = False) -> None:
    """Which documents a training step read, recomputed from the run's order and its shards."""
    from allmend.ledger import resolve
    from allmend.train import Record

    ledger = open_ledger(workspace)
    found = resolve(ledger, run)
    record = Record.of(ledger, found.stored)
    parts = [{**asdict(part), **shown} for part, shown in record.batch(step)]
    known = {
        "run": found.name or found.stored.manifest.digest, "digest": found.stored.manifest.digest, "step": step,
        "samples": record.order.batch(step)[1], "batch_hash": record.hash(step),
    }  # fmt: skip
    if json:
        print_json({**known, "documents": parts})
    else:
        _print(known, parts)


def _print(known: dict[str, Any], parts: list[dict[str, Any]]) -> None:
    ids = {part["id"] for part in parts}
    skipped = "" if not parts or parts[0]["fed"] else " This step was skipped: nobody was fed."
    print(
        f"step {known['step']} of {known['run']}: {known['samples']} samples, parts of {len(ids)} documents.{skipped}"
    )
    print(f"batch hash {known['batch_hash']}")
    for part in parts:
        span = f"tokens {part['start']:,}–{part['end'] - 1:,}"
        withdrawn = ", withdrawn" if part["withdrawn_at"] else ""
        print(f"{part['sample']:>10,}  {part['domain']:10} {part['id']}  {span:24} {part['url'] or ''}{withdrawn}")
