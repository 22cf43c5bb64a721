"""`allmend show ARTIFACT`"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from allmend.cli.options import Artifact, Json, Workspace, open_ledger, print_json

if TYPE_CHECKING:
    from allmend.ledger import Found, Ledger

FILES_SHOWN = 40


def show(artifact: Artifact, workspace: Workspace = None, json: Json = False) -> None:
    """What an artifact is: its digest, files, numbers, inputs."""
    from allmend.ledger import resolve

    ledger = open_ledger(workspace)
    found = resolve(ledger, artifact)
    if json:
        print_json(_as_json(found))
    else:
        _print(ledger, found)


def _as_json(found: Found) -> dict[str, Any]:
    manifest = found.stored.manifest
    inputs = {
        name: [each._asdict() for each in value] if isinstance(value, list) else value._asdict()
        for name, value in manifest.inputs.items()
    }
    return {
        "digest": manifest.digest, "kind": manifest.kind, "path": str(found.stored.folder), "inputs": inputs,
        "metrics": manifest.metrics, "key": manifest.key, "step": manifest.step, "version": manifest.version,
        "config": manifest.config, "files": [entry._asdict() for entry in manifest.files],
    }  # fmt: skip


def _print(ledger: Ledger, found: Found) -> None:
    from allmend.cli.why import labelled
    from allmend.ledger import short_value, sources

    one = found.stored.manifest
    labels = ledger.names.labels(first=found.name.partition("/")[0])
    named = [entry.at[:10] for entry in ledger.names.versions(found.name) if entry.digest == one.digest]
    print(f"{labelled(labels, one)}: {one.kind} {one.digest}")
    print(f"  made by  {one.step} version {one.version}" + (f", {named[0]}" if named else ""))
    print(f"  key      {one.key}\n  folder   {found.stored.folder}")
    for name, value in one.config.items():
        print(f"  config   {name}: {short_value(value)}")
    for name, reference in sources(one):
        print(f"  input    {name}: {labelled(labels, reference)}, {reference.kind} {reference.digest[:12]}")
    for word, value in one.metrics.items():
        print(f"  number   {word}: {f'{value:,}' if type(value) is int else short_value(value)}")
    count = "one file" if len(one.files) == 1 else f"{len(one.files):,} files"
    print(f"  content  {count}, {one.size:,} bytes" + (", purged: only the manifest is left" if one.purged else ""))
    for entry in one.files[:FILES_SHOWN]:
        print(f"{entry.size:>16,}  {entry.sha256[:12]}  {entry.path}")
    if len(one.files) > FILES_SHOWN:
        print(f"                … and {len(one.files) - FILES_SHOWN:,} more (--json lists all)")
