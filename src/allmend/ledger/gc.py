"""Removes what no name, pin or release reaches.

Names keep their whole history; what an older entry meant may be gone.
"""

from __future__ import annotations

import contextlib
import json
import os
import time
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from allmend.kinds.errors import AllmendError, DamagedError, LedgerError, UsageError
from allmend.ledger.manifest import Manifest, is_digest
from allmend.ledger.names import Address
from allmend.ledger.store import COLLECTING, Ledger

OLD_S = 24 * 3600.0
"""A draft in `tmp/` that nothing has touched for so long belongs to no living process."""
GIVEN_UP_S = 30 * 24 * 3600.0
"""Checkpoints of an unfinished build that nothing has touched for so long are given up."""


@dataclass
class Collected:
    """What was removed (or would be), and what stays.

    Attributes:
        objects: (key, digest) removed.
        files: SHA-256 of stored files removed.
        parts: keys of part records removed.
        other: left-over drafts, states and leases removed.
        removed_bytes: bytes of the files and `_run/` folders removed; what is shared with something kept doesn't count.
        kept_objects, kept_files, kept_bytes: what stays.
    """

    objects: list[Address] = field(default_factory=list)
    files: list[str] = field(default_factory=list)
    parts: list[str] = field(default_factory=list)
    other: list[str] = field(default_factory=list)
    removed_bytes: int = 0
    kept_objects: int = 0
    kept_files: int = 0
    kept_bytes: int = 0


def collect(ledger: Ledger, keep: int = 3, dry_run: bool = False) -> Collected:
    """Remove artifacts that are neither one of the last `keep` versions of a name, nor pinned, nor an ancestor of such.

    A pin is a file `pins/<any>.json` that holds {"key", "digest"} or a list of them; a release writes one.

    Args:
        keep: versions of each name to keep, at least 1; versions are different digests.
        dry_run: only say what would go.

    Raises:
        UsageError: `keep` is less than 1.
        LedgerError: somebody is building or pulling.
        DamagedError: a pin can't be read, so that nobody knows what it holds.
    """
    if keep < 1:
        raise UsageError(f"--keep {keep}: at least one version of each name is kept.")
    with _alone(ledger):
        found = _choose(ledger, keep)
        if not dry_run:
            _remove(ledger, found)
    return found


@contextlib.contextmanager
def _alone(ledger: Ledger) -> Iterator[None]:
    """Makes sure that nobody builds or pulls, and that whoever wants to waits until this is over."""
    lease = ledger.watch(COLLECTING).acquire()
    if lease is None:
        raise LedgerError("another gc is at work in this ledger; wait for it to end.")
    try:
        if busy := [key for key in ledger.busy() if key != COLLECTING]:
            raise LedgerError(
                f"somebody builds or pulls here now ({', '.join(key[:12] for key in busy[:5])}). Collecting would take "
                "the files away under their hands; wait for the run to end, or stop it."
            )
        yield
    finally:
        lease.release()


def _choose(ledger: Ledger, keep: int) -> Collected:
    if damaged := ledger.names.survey()[1]:
        raise DamagedError(
            f"{damaged[0]}: this entry of a name can't be read, so nobody knows what it keeps; nothing was collected. "
            "`allmend verify --repair` sets it aside."
        )
    kept = _reached(ledger, _roots(ledger, keep))
    found = Collected(kept_objects=len(kept))
    linked: set[str] = set()
    for address, folder in _objects(ledger):
        manifest = None
        with contextlib.suppress(AllmendError):
            manifest = Manifest.read(folder)
        run_bytes = sum(entry.size for entry in manifest.run) if manifest else 0
        if address in kept:
            linked |= {entry.sha256 for entry in manifest.files} if manifest else set()
            found.kept_bytes += run_bytes
        else:
            found.objects.append(address)
            found.removed_bytes += run_bytes
    _choose_parts_and_files(ledger, found, linked, {key for key, _ in kept})
    found.other = _left_over(ledger)
    return found


def _roots(ledger: Ledger, keep: int) -> Iterator[Address]:
    for name in ledger.names.all():
        versions = ledger.names.versions(name)[:keep]
        yield from ((entry.key, entry.digest) for entry in versions)
        digests = {entry.digest for entry in versions}  # the same bytes under another key belong to the version too
        yield from ((entry.key, entry.digest) for entry in ledger.names.history(name) if entry.digest in digests)
    for path in sorted((ledger.root / "pins").glob("*.json")):
        try:
            pins = json.loads(path.read_bytes())
            for pin in pins if isinstance(pins, list) else [pins]:
                if not is_digest(pin["key"]) or not is_digest(pin["digest"]):
                    raise ValueError("a digest in it isn't one")
                yield pin["key"], pin["digest"]
        except (OSError, ValueError, KeyError, TypeError) as error:
            raise DamagedError(f"{path}: this pin can't be read ({error}); nothing was collected.") from error


def _reached(ledger: Ledger, roots: Iterable[Address]) -> set[Address]:
    """Roots and all their ancestors that are there. A damaged manifest hides its parents: `verify --repair` first."""
    waiting, seen = list(roots), set()
    while waiting:
        address = waiting.pop()
        if address in seen or not (ledger.objects / address[0] / address[1] / "manifest.json").is_file():
            continue
        seen.add(address)
        manifest = Manifest.read(ledger.objects / address[0] / address[1])
        waiting += [(parent.key, parent.digest) for parent in manifest.parents()]
    return seen


def _objects(ledger: Ledger) -> Iterator[tuple[Address, Path]]:
    for key in sorted(os.listdir(ledger.objects)):
        if (ledger.objects / key).is_dir():
            for digest in sorted(os.listdir(ledger.objects / key)):
                yield (key, digest), ledger.objects / key / digest


def _choose_parts_and_files(ledger: Ledger, found: Collected, linked: set[str], keys: set[str]) -> None:
    """A part stays while all its files do; a record that names a kept build (`build`) keeps its files."""
    records: dict[str, Any] = {}
    for path in sorted(ledger.parts.glob("*.json")):
        try:
            value = json.loads(path.read_bytes())
            records[path.stem] = {each[2] for each in value["files"]}
            if value.get("build") in keys:
                linked |= records[path.stem]
        except (OSError, ValueError, KeyError, TypeError, IndexError, AttributeError, RecursionError):
            records[path.stem] = None
    found.parts = [key for key, files in records.items() if files is None or not files <= linked]
    for entry in sorted(os.scandir(ledger.files), key=lambda entry: entry.name):
        size = entry.stat(follow_symlinks=False).st_size
        if entry.name in linked:
            found.kept_files += 1
            found.kept_bytes += size
        else:
            found.files.append(entry.name)
            found.removed_bytes += size


def _left_over(ledger: Ledger) -> list[str]:
    """Paths of drafts that nobody writes any more, states of builds done or given up, and old leases."""
    old = time.time() - OLD_S
    found = [path for path in sorted(ledger.tmp.iterdir()) if path.name.startswith("trash-") or _newest(path) < old]
    for path in sorted(ledger.state.iterdir()):
        key = path.name.partition(".")[0]
        if _newest(path) < time.time() - GIVEN_UP_S or (is_digest(key) and ledger.digests(key)):
            found.append(path)
    for path in sorted(ledger.leases.iterdir()):  # nobody is busy, so each is dead, but for one that is just made
        key = path.name.rpartition(".")[0]
        if key != COLLECTING and (key or path.lstat().st_mtime < old):
            found.append(path)
    return [path.relative_to(ledger.root).as_posix() for path in found]


def _newest(path: Path) -> float:
    times = [path.lstat().st_mtime]
    for base, _, names in os.walk(path):
        for name in names:
            with contextlib.suppress(FileNotFoundError):
                times.append(os.lstat(os.path.join(base, name)).st_mtime)
    return max(times)


def _remove(ledger: Ledger, found: Collected) -> None:
    """Records first, then what they speak of, so that a kill at any moment leaves nothing that lies."""
    for key in found.parts:
        (ledger.parts / f"{key}.json").unlink(missing_ok=True)
    for key, digest in found.objects:
        ledger.trash(ledger.objects / key / digest)
        with contextlib.suppress(OSError):
            (ledger.objects / key).rmdir()
    for sha256 in found.files:
        (ledger.files / sha256).unlink(missing_ok=True)
    for path in found.other:
        ledger.trash(ledger.root / path)
