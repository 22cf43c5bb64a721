"""Push: artifacts to a store elsewhere, in an order in which no half is ever seen."""

from __future__ import annotations

import json
from collections.abc import Iterable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import NamedTuple

from allmend.kinds import sha256_file
from allmend.kinds.errors import DamagedError, UsageError
from allmend.ledger.layout import (
    Meter,
    Progress,
    Transferred,
    dump_entries,
    lines_of,
    place_of,
    read_entries,
    read_index,
    same,
    side_by_side,
)  # fmt: skip
from allmend.ledger.lookup import ancestors, resolve
from allmend.ledger.manifest import FORMAT, Entry
from allmend.ledger.names import Named, as_json
from allmend.ledger.remote import Remote
from allmend.ledger.store import Ledger, Stored


def push(ledger: Ledger, names: Sequence[str], url: str, progress: Progress | None = None) -> Transferred:
    """Send artifacts and all their ancestors: files, then `_run/`, then manifests, then names, so that no half is seen.

    Args:
        names: as `resolve` takes them.

    Raises:
        DamagedError: a file here isn't as it was written.
        TransferError: the store didn't take something in three tries; what arrived stays and is skipped next time.
        Interrupted: Ctrl-C.
    """
    remote = Remote(url)
    if remote.http:
        raise UsageError(f"{url}: a web server can only be pulled from. Push to a folder or an s3:// store.")
    family = _family(ledger, names)
    if remote.size("ledger.json") is None:
        remote.write("ledger.json", json.dumps({"format": FORMAT}).encode() + b"\n")
    contents = {entry.sha256: _content(ledger, one, entry) for one in family for entry in one.manifest.files}
    fresh = [one for one in family if remote.size(f"{place_of(one.manifest)}/manifest.json") is None]
    runs = [_run(one, entry) for one in fresh for entry in one.manifest.run]
    meter = Meter(sum(one.entry.size for one in (*contents.values(), *runs)), progress)
    done = Transferred(objects=len(fresh))
    for parcels in (list(contents.values()), runs):
        for size in side_by_side(lambda parcel: _send(remote, parcel, meter), parcels, meter):
            done.count(size)
    for one in fresh:
        remote.send(f"{place_of(one.manifest)}/manifest.json", one.folder / "manifest.json")
    _send_names(ledger, remote, family)
    _send_withdrawals(ledger, remote)
    return done


class Parcel(NamedTuple):
    """One file on its way."""

    entry: Entry
    source: Path
    target: str
    always: bool
    """Send it though a file of its size is there."""


def _content(ledger: Ledger, one: Stored, entry: Entry) -> Parcel:
    stored = ledger.files / entry.sha256
    source = stored if stored.is_file() else one.folder / entry.path
    return Parcel(entry, source, f"files/{entry.sha256}", always=False)


def _run(one: Stored, entry: Entry) -> Parcel:
    """A broken push may have left the `_run/` of another build of these bytes: it doesn't count before its manifest."""
    return Parcel(entry, one.folder / entry.path, f"{place_of(one.manifest)}/{entry.path}", always=True)


def _send(remote: Remote, parcel: Parcel, meter: Meter) -> int | None:
    """Bytes sent, after a look whether they are still those that were written; None if they are there already."""
    new = parcel.always or remote.size(parcel.target) != parcel.entry.size
    if new:
        if not parcel.source.is_file() or sha256_file(parcel.source) != parcel.entry.sha256:
            raise DamagedError(
                f"{parcel.source}: missing, or not as it was written, so it isn't pushed. `allmend verify` names what "
                "is damaged, `allmend verify --repair` sets it aside."
            )
        remote.send(parcel.target, parcel.source)
    meter(parcel.entry.size)
    return parcel.entry.size if new else None


def _family(ledger: Ledger, names: Iterable[str]) -> list[Stored]:
    """The artifacts named and their ancestors, parents first, each once."""
    found: dict[tuple[str, str], Stored] = {}
    for name in names:
        for one in ancestors(ledger, resolve(ledger, name).stored):
            found.setdefault((one.manifest.key, one.manifest.digest), one)
    return list(found.values())


def _send_names(ledger: Ledger, remote: Remote, family: list[Stored]) -> None:
    """Merge the histories of all names that mean something pushed into the store's."""
    pushed = {(one.manifest.key, one.manifest.digest) for one in family}
    by_digest: dict[str, list[Named]] = {}
    touched = []
    for name in ledger.names.all():
        entries = ledger.names.history(name)
        if any((entry.key, entry.digest) in pushed for entry in entries):
            touched.append(name)
            _send_history(remote, name, entries)
            for entry in entries:
                if (entry.key, entry.digest) in pushed:
                    by_digest.setdefault(entry.digest, []).append(entry)
    for digest, entries in sorted(by_digest.items()):
        path = f"names/by-digest/{digest}.json"
        there = read_entries(remote.read(path))
        new = [entry for entry in entries if same(entry) not in set(map(same, there))]
        if new:
            remote.write(path, dump_entries([*there, *new]))
    known = read_index(remote.read("names/index.json"))
    if set(touched) - set(known):
        remote.write("names/index.json", json.dumps(sorted({*known, *touched})).encode() + b"\n")


def _send_history(remote: Remote, name: str, entries: list[Named]) -> None:
    base = f"names/{name}.name"
    there = read_entries(remote.read(f"{base}/history.json"))
    known = set(map(same, there))
    merged = [*there, *(entry for entry in entries if same(entry) not in known)]
    if len(merged) == len(there):
        return
    merged = [replace(entry, n=n) for n, entry in enumerate(merged, start=1)]
    for entry in merged[len(there) :]:
        remote.write(f"{base}/{entry.n:06d}.json", json.dumps(as_json(entry)).encode())
    remote.write(f"{base}/history.json", dump_entries(merged))
    remote.write(f"{base}/latest.json", dump_entries(merged[-1:]))


def _send_withdrawals(ledger: Ledger, remote: Remote) -> None:
    """Notices travel with every push: those the store lacks are added."""
    mine = [line for file in ("withdrawals.jsonl", "notices.jsonl") for line in lines_of(ledger.root / file)]
    there = (remote.read("withdrawals.jsonl") or b"").splitlines()
    new = [line for line in dict.fromkeys(mine) if line not in set(there)]
    if new:
        remote.write("withdrawals.jsonl", b"".join(line + b"\n" for line in [*there, *new]))
