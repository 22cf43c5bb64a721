"""`allmend gc`"""

from __future__ import annotations

from dataclasses import asdict
from typing import TYPE_CHECKING, Annotated

import typer

from allmend.cli.bytes_bar import counted, size
from allmend.cli.options import Json, Workspace, open_ledger, print_json

if TYPE_CHECKING:
    from allmend.ledger import Collected


def gc(
    keep: Annotated[int, typer.Option("--keep", help="Versions of each name to keep.")] = 3,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Only say what would be removed.")] = False,
    workspace: Workspace = None,
    json: Json = False,
) -> None:
    """Remove what no name, release or pin reaches."""
    from allmend.ledger import collect

    ledger = open_ledger(workspace)
    labels = ledger.names.labels()
    found = collect(ledger, keep, dry_run)
    if json:
        print_json({"dry_run": dry_run, **asdict(found)})
    else:
        _print(found, labels, "would be removed" if dry_run else "removed")


def _print(found: Collected, labels: dict[tuple[str, str], str], verb: str) -> None:
    for key, digest in found.objects:
        print(f"{verb}: {digest[:12]}  {labels.get((key, digest), 'without a name')}")
    records, rest = counted(len(found.parts), "record"), counted(len(found.other), "left-over")
    gone = (
        f"{counted(len(found.objects), 'artifact')}, {counted(len(found.files), 'file')}, {size(found.removed_bytes)}"
    )
    print(f"{verb}: {gone}; also {records} of parts and {rest} of runs")
    stays = f"{counted(found.kept_objects, 'artifact')}, {counted(found.kept_files, 'file')}, {size(found.kept_bytes)}"
    print(f"kept: {stays}")
