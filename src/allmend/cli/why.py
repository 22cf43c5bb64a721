"""`allmend why ARTIFACT`"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from allmend.cli.options import Artifact, Json, Workspace, open_ledger, print_json

if TYPE_CHECKING:
    from allmend.ledger import Cause, Found, Ledger, Manifest, Named, Reference


def why(artifact: Artifact, workspace: Workspace = None, json: Json = False) -> None:
    """Where an artifact comes from, and what changed since its last version."""
    from allmend.ledger import ancestors, resolve

    ledger = open_ledger(workspace)
    found = resolve(ledger, artifact)
    one = found.stored.manifest
    labels = ledger.names.labels(first=found.name.partition("/")[0])
    lineage = [stored.manifest for stored in ancestors(ledger, found.stored)]
    older = _older(ledger, found)
    before = _before(ledger, older)
    if json:
        print_json(_as_json(ledger, lineage, before, one, labels))
        return
    print(f"{labels.get((one.key, one.digest), artifact)} is the {one.kind} {one.digest[:12]}")
    print(f"made by {one.step} version {one.version} with {_made_with(one)}\n")
    print("It comes from (each after what it was made from):")
    _print_lineage(lineage, labels)
    if older is not None:
        print(f"\nSince its last version {older.digest[:12]} of {older.at[:10]}:")
        _print_changes(ledger, before, one, labels)


def _older(ledger: Ledger, found: Found) -> Named | None:
    """The version of the name before the one asked about."""
    versions = ledger.names.versions(found.name) if found.name else []
    digests = [entry.digest for entry in versions]
    if found.stored.manifest.digest not in digests:
        return None
    return next(iter(versions[digests.index(found.stored.manifest.digest) + 1 :]), None)


def _before(ledger: Ledger, older: Named | None) -> Manifest | None:
    if older is None or older.digest not in ledger.digests(older.key):
        return None
    return ledger.get(older.key, older.digest).manifest


def _made_with(one: Manifest) -> str:
    """Versions and place: what to look at when equal keys give other bytes."""
    versions = ", ".join(f"{name} {version}" for name, version in sorted(one.versions.items()))
    world = one.placement.get("world", 1)
    place = " ".join(str(one.placement[name]) for name in ("device", "machine") if name in one.placement)
    ranks = f", {world} ranks" if world != 1 else ""
    return f"{versions or 'no versions noted'}, on {place or 'a machine not noted'}{ranks}"


def labelled(labels: dict[tuple[str, str], str], one: Manifest | Reference) -> str:
    """An artifact's name for people; the beginning of its digest where it has none."""
    return labels.get((one.key, one.digest), one.digest[:12])


def _print_lineage(lineage: list[Manifest], labels: dict[tuple[str, str], str]) -> None:
    from allmend.ledger import sources

    here = {(one.key, one.digest) for one in lineage}
    rows = []
    for one in lineage:
        inputs: dict[str, list[str]] = {}
        for name, reference in sources(one):
            absent = "" if (reference.key, reference.digest) in here else " (not here)"
            inputs.setdefault(name.partition("[")[0], []).append(labelled(labels, reference) + absent)
        shown = "; ".join(f"{name}: {', '.join(given)}" for name, given in inputs.items())
        rows.append((labelled(labels, one), one.digest[:12], one.kind, one.step, shown))
    widths = [max(len(row[column]) for row in rows) for column in range(4)]
    for row in rows:
        cells = [cell.ljust(width) for cell, width in zip(row, widths, strict=False)]
        print("  ".join(["", *cells, f"← {row[4]}" if row[4] else ""]).rstrip())


def _print_changes(ledger: Ledger, before: Manifest | None, one: Manifest, labels: dict[tuple[str, str], str]) -> None:
    from allmend.ledger import causes, differences

    if before is None:
        print("  that version isn't here any more, so it can't be compared")
        return
    by_sentence: dict[str, list[str]] = {}
    for cause in causes(ledger, before, one):
        for sentence in cause.sentences:
            by_sentence.setdefault(sentence, []).append(labelled(labels, cause.after))
    for sentence, names in reversed(by_sentence.items()):
        print(f"  {sentence}   in {', '.join(names)}")
    effects = [line for line in differences(before, one) if line.startswith(("number ", "files: "))]
    if effects:
        print("and so, in it:\n" + "\n".join(f"  {line}" for line in effects))


def _as_json(
    ledger: Ledger, lineage: list[Manifest], before: Manifest | None, one: Manifest, labels: dict[tuple[str, str], str]
) -> dict[str, Any]:
    from allmend.ledger import causes, differences

    def row(each: Manifest) -> dict[str, Any]:
        made = {"step": each.step, "version": each.version, "config": each.config}
        name = labels.get((each.key, each.digest))
        return {"name": name, "digest": each.digest, "key": each.key, "kind": each.kind, **made}

    found: list[Cause] = causes(ledger, before, one) if before else []
    return {
        "lineage": [row(each) for each in lineage],
        "changed": differences(before, one) if before else [],
        "causes": [{"digest": cause.after.digest, "changed": cause.sentences} for cause in found],
    }
