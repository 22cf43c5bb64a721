"""Finding artifacts: by name, version of a name, digest prefix or path; and their ancestors."""

from __future__ import annotations

import os
import re
from dataclasses import dataclass
from pathlib import Path

from allmend.kinds.errors import DamagedError, NotInLedgerError, nearest
from allmend.ledger.manifest import Manifest
from allmend.ledger.store import Ledger, Stored

_version = re.compile(r"(.+?)~(\d+)").fullmatch
_prefix = re.compile(r"[0-9a-f]{6,64}").fullmatch


@dataclass(frozen=True)
class Found:
    """An artifact, and the name it was found by."""

    name: str
    stored: Stored


def resolve(ledger: Ledger, text: str) -> Found:
    """The artifact that a text means.

    Args:
        text: `recipe/step`, `recipe/step/0007`, `recipe/step~2` (two different digests ago), ≥ 6 digits of a content digest or
            build key, or the path of an artifact's folder.

    Raises:
        NotInLedgerError: nothing or several are meant; names the nearest.
        DamagedError: it is there, but its manifest can't be read.
    """
    match = _version(text)
    name, back = (match[1], int(match[2])) if match else (text, 0)
    versions = ledger.names.versions(name)
    if versions:
        if back >= len(versions):
            raise NotInLedgerError(f"{name} has {len(versions)} versions; `~{back}` would be older than the first.")
        entry = versions[back]
        if not (ledger.objects / entry.key / entry.digest / "manifest.json").is_file():
            raise NotInLedgerError(
                f"{text} meant {entry.digest[:12]} on {entry.at[:10]}, and that artifact isn't here any more (collected, set aside, or "
                "not pulled). `allmend run` makes it again."
            )
        return Found(name, ledger.get(entry.key, entry.digest))
    if _prefix(text):
        return _by_digest(ledger, text)
    folder = Path(text)
    if (folder / "manifest.json").is_file():
        return Found("", Stored(folder, Manifest.read(folder)))
    raise NotInLedgerError(f"nothing here is called {text}.{nearest(text, ledger.names.all())}")


def _by_digest(ledger: Ledger, prefix: str) -> Found:
    found = []
    for key in sorted(os.listdir(ledger.objects)):
        for digest in ledger.digests(key):
            if digest.startswith(prefix) or key.startswith(prefix):
                found.append((key, digest))
    digests = {digest for _, digest in found}
    if not found:
        raise NotInLedgerError(f"no artifact's digest or key begins with {prefix}.")
    if len(digests) > 1:
        raise NotInLedgerError(
            f"{prefix} is the beginning of {len(digests)} digests; write more of it: {', '.join(sorted(digests))}."
        )
    return Found("", ledger.get(*found[0]))


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
