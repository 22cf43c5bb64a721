"""`allmend show ARTIFACT`"""

from __future__ import annotations

import json as json_module

from allmend.cli.options import Artifact, Json, Workspace, open_ledger, print_json


def show(artifact: Artifact, workspace: Workspace = None, json: Json = False) -> None:
    """What an artifact is: its digest, files, numbers, inputs."""
    from allmend.ledger import resolve

    found = resolve(open_ledger(workspace), artifact)
    manifest = found.stored.manifest
    inputs = {
        name: [each._asdict() for each in value] if isinstance(value, list) else value._asdict() for name, value in manifest.inputs.items()
    }  # fmt: skip
    if json:
        print_json({
            "digest": manifest.digest, "kind": manifest.kind, "path": str(found.stored.folder), "inputs": inputs,
            "metrics": manifest.metrics, "step": manifest.step, "version": manifest.version, "config": manifest.config,
        })  # fmt: skip
        return
    print(f"{manifest.kind} {manifest.digest}\nmade by {manifest.step} version {manifest.version}, key {manifest.key}")
    print(f"lies in {found.stored.folder}\nconfig {json_module.dumps(manifest.config, ensure_ascii=False)}")
    for name, value in manifest.inputs.items():
        for each in value if isinstance(value, list) else [value]:
            print(f"input {name}: {each.kind} {each.digest[:12]}")
    for word, value in manifest.metrics.items():
        print(f"{word}: {value}")
    for entry in manifest.files:
        print(f"{entry.size:>14,}  {entry.sha256[:12]}  {entry.path}")
