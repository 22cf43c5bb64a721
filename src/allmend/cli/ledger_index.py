"""`allmend ledger index`"""

from __future__ import annotations

from allmend.cli.options import Workspace, open_ledger, say


def index(workspace: Workspace = None) -> None:
    """Rebuild index.sqlite from the files."""
    from allmend.ledger import Index

    rebuilt = Index.rebuild(open_ledger(workspace))
    say(f"{rebuilt.path}: rebuilt")
