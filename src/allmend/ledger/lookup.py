"""Finding artifacts: by name, version of a name, digest prefix or path; their ancestors and children."""

from __future__ import annotations

import os
import re
from dataclasses import dataclass
from pathlib import Path

from allmend.kinds.errors import DamagedError, NotInLedgerError, nearest
from allmend.ledger.index import Index
from allmend.ledger.manifest import Manifest
from allmend.ledger.names import is_name
from allmend.ledger.store import Ledger, Stored

_version = re.compile(r"(.+?)~(\d{1,9})").fullmatch
_prefix = re.compile(r"[0-9a-f]{6,64}").fullmatch


@dataclass(frozen=True)
class Found:
    """An artifact, and the name it was found by (empty for digests and paths)."""

    name: str
    stored: Stored


def resolve(ledger: Ledger, text: str, project_root: Path | None = None) -> Found:
    """The artifact that a text means.

    Args:
        text: `recipe/step`, `recipe/step/0007`, `recipe/step~2` (two different digests ago), ≥ 6 digits of a content
            digest or build key, or the path of an artifact's folder.
        project_root: where a relative path starts, if there is nothing at it from the current folder.

    Raises:
        NotInLedgerError: nothing or several are meant; names the nearest.
        DamagedError: it is there, but its manifest can't be read.
    """
    name, folder = locate(ledger, text, project_root)
    return Found(name, Stored(folder, Manifest.read(folder)))


def locate(ledger: Ledger, text: str, project_root: Path | None = None) -> tuple[str, Path]:
    """The name and the folder that a text means, without reading the manifest: `verify` must reach damaged ones too.

    Raises:
        NotInLedgerError: as `resolve`.
    """
    match = _version(text)
    name, back = (match[1], int(match[2])) if match else (text, 0)
    versions = ledger.names.versions(name) if is_name(name) else []
    if versions:
        if back >= len(versions):
            has = "one version" if len(versions) == 1 else f"{len(versions)} versions"
            raise NotInLedgerError(f"{name} has {has}; `~{back}` would be older than the first.")
        entry = versions[back]
        folder = ledger.objects / entry.key / entry.digest
        if not (folder / "manifest.json").is_file():
            raise NotInLedgerError(
                f"{text} meant {entry.digest[:12]} on {entry.at[:10]}, and that artifact isn't here any more "
                "(collected, set aside, or not pulled). `allmend run` makes it again."
            )
        return name, folder
    if _prefix(text):
        return "", _by_prefix(ledger, text)
    for base in (Path(), *([project_root] if project_root else [])):
        if os.path.isfile(base / text / "manifest.json"):  # False for a text that can't be a path
            return "", Path(os.path.abspath(base / text))
    raise NotInLedgerError(f"nothing here is called {text}.{nearest(text, ledger.names.all())}")


def _by_prefix(ledger: Ledger, prefix: str) -> Path:
    found = []
    for key in sorted(os.listdir(ledger.objects)):
        for digest in ledger.digests(key):
            if digest.startswith(prefix) or key.startswith(prefix):
                found.append((digest, key))
    digests = sorted({digest for digest, _ in found})
    if not found:
        raise NotInLedgerError(f"no artifact's digest or key begins with {prefix}.")
    if len(digests) > 1:
        raise NotInLedgerError(
            f"{prefix} is the beginning of {len(digests)} digests; write more of it: {', '.join(digests)}."
        )
    digest, key = min(found)
    return ledger.objects / key / digest


def ancestors(ledger: Ledger, stored: Stored) -> list[Stored]:
    """An artifact and all that it was made from, parents before children; absent or unreadable ones are left out."""
    done: dict[tuple[str, str], Stored] = {}
    stack: list[tuple[Stored, bool]] = [(stored, False)]
    seen: set[tuple[str, str]] = set()
    while stack:
        one, ready = stack.pop()
        here = (one.manifest.key, one.manifest.digest)
        if ready:
            done[here] = one
            continue
        if here in seen:
            continue
        seen.add(here)
        stack.append((one, True))
        for parent in reversed(one.manifest.parents()):
            if (parent.key, parent.digest) not in seen:
                try:
                    stack.append((ledger.get(parent.key, parent.digest), False))
                except DamagedError:
                    continue
    return list(done.values())


def children(ledger: Ledger, stored: Stored, index: Index | None = None) -> list[Stored]:
    """The artifacts that were made from one, by key; unreadable ones are left out."""
    found = []
    for key, digest in (index or Index.open(ledger)).children(stored.manifest.key, stored.manifest.digest):
        try:
            found.append(ledger.get(key, digest))
        except DamagedError:
            continue
    return found
