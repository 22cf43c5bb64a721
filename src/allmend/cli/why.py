"""`allmend why ARTIFACT`"""

from __future__ import annotations

from typing import TYPE_CHECKING

from allmend.cli.options import Artifact, Json, Workspace, open_ledger, print_json

if TYPE_CHECKING:
    from allmend.ledger import Manifest


def why(artifact: Artifact, workspace: Workspace = None, json: Json = False) -> None:
    """Where an artifact comes from, and what changed since its last version."""
    from allmend.ledger import ancestors, resolve

    ledger = open_ledger(workspace)
    found = resolve(ledger, artifact)
    lineage = [stored.manifest for stored in ancestors(ledger, found.stored)]
    versions = ledger.names.versions(found.name) if found.name else []
    changes: list[str] = []
    if len(versions) > 1 and (ledger.objects / versions[1].key / versions[1].digest / "manifest.json").is_file():
        changes = changed(ledger.get(versions[1].key, versions[1].digest).manifest, found.stored.manifest)
    if json:
        rows = [
            {"digest": one.digest, "kind": one.kind, "step": one.step, "version": one.version, "config": one.config}
            for one in lineage
        ]
        print_json({"lineage": rows, "changed": changes})
        return
    for one in lineage:
        parents = ", ".join(parent.digest[:12] for parent in one.parents())
        print(f"{one.digest[:12]}  {one.kind:12} {one.step} v{one.version}" + (f"  ← {parents}" if parents else ""))
    if len(versions) > 1:
        print(f"\nSince {artifact}~1 ({versions[1].digest[:12]}, {versions[1].at[:10]}):")
        print("\n".join(changes) or "that version isn't here any more, so it can't be compared")


def changed(before: Manifest, after: Manifest) -> list[str]:
    """What differs between two artifacts, one sentence each."""
    found = []
    if (before.step, before.version) != (after.step, after.version):
        found.append(f"step: {before.step} v{before.version} → {after.step} v{after.version}")
    for label, left, right in (("config", before.config, after.config), ("numbers", before.metrics, after.metrics)):
        for name in sorted({*left, *right}):
            if left.get(name) != right.get(name):
                found.append(f"{label} {name}: {left.get(name, '(default)')} → {right.get(name, '(default)')}")
    for name in sorted({*before.inputs, *after.inputs}):
        left_inputs, right_inputs = before.inputs.get(name), after.inputs.get(name)
        if left_inputs != right_inputs:
            found.append(f"input {name}: {_short(left_inputs)} → {_short(right_inputs)}")
    left_files, right_files = ({entry.path: entry.sha256 for entry in one.files} for one in (before, after))
    differing = sorted(path for path in {*left_files, *right_files} if left_files.get(path) != right_files.get(path))
    if differing:
        found.append(
            f"files: {len(differing)} of {len({*left_files, *right_files})} differ: {', '.join(differing[:8])}"
        )
    return found


def _short(value: object) -> str:
    references = value if isinstance(value, list) else [value]
    return ", ".join(getattr(each, "digest", "none")[:12] for each in references)
