"""`allmend diff A B`"""

from __future__ import annotations

from allmend.cli.options import Artifact, Json, Workspace, open_ledger, print_json


def diff(a: Artifact, b: Artifact, workspace: Workspace = None, json: Json = False) -> None:
    """What differs between two artifacts, from A to B: step, config, inputs, numbers, files."""
    from allmend.ledger import differences, resolve

    ledger = open_ledger(workspace)
    left, right = resolve(ledger, a).stored.manifest, resolve(ledger, b).stored.manifest
    found = differences(left, right)
    if json:
        print_json({"equal": left.digest == right.digest, "changed": found})
        return
    print(f"from {a}: {left.kind} {left.digest[:12]}\nto   {b}: {right.kind} {right.digest[:12]}")
    if left.digest == right.digest:
        print("every byte of their files is equal" + ("; they were made otherwise:" if found else ""))
    for line in found:
        print(f"  {line}")
