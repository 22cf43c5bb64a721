"""Options that many verbs share, and the workspace that they mean."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

if TYPE_CHECKING:
    from allmend.ledger import Ledger

Workspace = Annotated[
    Path | None, typer.Option("--workspace", help="Folder of the ledger (default: .allmend in the project root).")
]
Json = Annotated[bool, typer.Option("--json", help="Print the result as one line of JSON on stdout.")]
Workers = Annotated[
    int | None, typer.Option("--workers", min=1, help="Processes to use side by side (default: all cores).")
]
DataRoot = Annotated[list[Path] | None, typer.Option("--data-root", help="A further folder that the recipe may read.")]
Artifact = Annotated[
    str, typer.Argument(help="recipe/step, recipe/step~2, a digest prefix, or a path.", show_default=False)
]
Shrink = Annotated[
    str | None, typer.Option("--shrink", help="N[:TOKENS]: the same recipe as a proxy of N non-embedding parameters.")
]


def open_ledger(workspace: Path | None, create: bool = False) -> Ledger:
    """The ledger of a workspace; without one named, that of the project around the current folder.

    Raises:
        NotInLedgerError: there is none, and none is to be made.
    """
    from allmend.flow import project_root
    from allmend.kinds.errors import NotInLedgerError
    from allmend.ledger import Ledger

    root = workspace or project_root(Path.cwd() / "_") / ".allmend"
    if not create and not (root / "ledger.json").is_file():
        raise NotInLedgerError(f"{root}: there is no ledger here. `allmend run RECIPE` makes one; or give --workspace.")
    return Ledger(root, create=create)


def print_json(value: Any) -> None:
    print(json.dumps(value, ensure_ascii=False, default=str))


def say(line: str) -> None:
    """A message for the person, on stderr; results go to stdout."""
    print(line, file=sys.stderr)
