"""`allmend diff A B`"""

from __future__ import annotations

from allmend.cli.options import Artifact, Json, Workspace, open_ledger, print_json


def diff(a: Artifact, b: Artifact, workspace: Workspace = None, json: Json = False) -> None:
    """What differs between two artifacts: configs, inputs, numbers, files."""
    from allmend.cli.why import changed
    from allmend.ledger import resolve

    ledger = open_ledger(workspace)
    found = changed(resolve(ledger, a).stored.manifest, resolve(ledger, b).stored.manifest)
    if json:
        print_json({"equal": not found, "changed": found})
    else:
        print("\n".join(found) or "equal")
