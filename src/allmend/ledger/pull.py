"""Pull: artifacts from a store elsewhere, checked on arrival.

What a store says is a stranger's word until its bytes agree.
"""

from __future__ import annotations

import hashlib
import json
import os
import re
import shutil
import uuid
from collections.abc import Collection, Sequence

from allmend.kinds.errors import (
    DamagedError,
    DriftError,
    NewerFormatError,
    NotInLedgerError,
    TransferError,
    UsageError,
    nearest,
)
from allmend.ledger.layout import (
    Meter,
    Progress,
    Transferred,
    lines_of,
    place_of,
    read_entries,
    read_index,
    same,
    side_by_side,
)  # fmt: skip
from allmend.ledger.manifest import FORMAT, Entry, Manifest
from allmend.ledger.names import Named, is_name
from allmend.ledger.remote import Remote
from allmend.ledger.store import Ledger, link


def pull(
    ledger: Ledger, names: Sequence[str], url: str, progress: Progress | None = None, only: bool = False
) -> Transferred:
    """Bring artifacts and their ancestors here: as data, none of it is run, and every byte is checked on arrival.

    Args:
        names: `recipe/step` or `recipe/step~2`.
        only: without the ancestors.

    Raises:
        NotInLedgerError: the store doesn't have it; names the nearest.
        DamagedError, NewerFormatError: what the store says is refused, before anything is written.
        DriftError: the same key is here with other bytes.
        TransferError: something broke off; what arrived whole is kept.
        Interrupted: Ctrl-C.
    """
    remote = Remote(url)
    _check_marker(remote.read("ledger.json"), remote.url)
    with ledger.running():
        return _pull(ledger, names, remote, progress, only)


def _pull(ledger: Ledger, names: Sequence[str], remote: Remote, progress: Progress | None, only: bool) -> Transferred:
    histories = {name.partition("~")[0]: _history(remote, name.partition("~")[0]) for name in names}
    roots = [_meant(name, histories[name.partition("~")[0]]) for name in names]
    found = _manifests(ledger, remote, roots, only)
    entries = [entry for history in histories.values() for entry in history]
    for manifest, data in found.values():
        others = read_entries(remote.read(f"names/by-digest/{manifest.digest}.json"))
        entries += [e for e in others if e.name not in histories and (e.key, e.digest) in found]
        _check_known(manifest, data, entries)
        _check_drift(ledger, manifest)
    done = _fetch(ledger, remote, list(found.values()), progress)
    _take_names(ledger, entries, histories)
    _take_notices(ledger, remote)
    return done


def _check_marker(data: bytes | None, url: str) -> None:
    if data is None:
        raise NotInLedgerError(f"{url}: there is no ledger.json, so nothing was pushed here yet; look at the address.")
    try:
        found = int(json.loads(data)["format"])
    except (ValueError, KeyError, TypeError, RecursionError) as error:
        raise DamagedError(f"{url}: its ledger.json can't be read ({error}).") from error
    if found > FORMAT:
        raise NewerFormatError(f"{url} has format {found}; this Allmend reads up to {FORMAT}. Install a newer Allmend.")


def _history(remote: Remote, name: str) -> list[Named]:
    if not is_name(name):
        raise UsageError(f"{name!r} is not a name; pull takes `recipe/step` or `recipe/step~2`.")
    data = remote.read(f"names/{name}.name/history.json")
    if data is None:
        known = read_index(remote.read("names/index.json"))
        raise NotInLedgerError(f"{remote.url} has nothing called {name}.{nearest(name, known)}")
    history = read_entries(data)
    if not history or any(entry.name != name for entry in history):
        raise DamagedError(f"{remote.url}: the history of {name} is empty or another name's.")
    return history


def _meant(name: str, history: list[Named]) -> Named:
    """The entry that `name` or `name~2` means."""
    back = name.partition("~")[2] or "0"
    versions = list({entry.digest: entry for entry in history}.values())  # the last entry of each digest …
    versions.sort(key=lambda entry: entry.n, reverse=True)  # … newest first
    if not re.fullmatch(r"[0-9]{1,9}", back) or int(back) >= len(versions):
        raise NotInLedgerError(f"{name} isn't there: the store has {len(versions)} versions of it.")
    return versions[int(back)]


def _manifests(
    ledger: Ledger, remote: Remote, roots: list[Named], only: bool
) -> dict[tuple[str, str], tuple[Manifest, bytes]]:
    """Manifests of the artifacts and their ancestors, read and checked, before anything is written here."""
    found: dict[tuple[str, str], tuple[Manifest, bytes]] = {}
    waiting = [(root.key, root.digest) for root in roots]
    while waiting:
        key, digest = waiting.pop()
        if (key, digest) in found:
            continue
        path = f"objects/{key}/{digest}/manifest.json"
        data = remote.read(path)
        if data is None:
            raise TransferError(
                f"{path} is missing on {remote.host}: the store is incomplete. Push again from where it is whole, or "
                "pull without what it was made from (--only)."
            )
        manifest = Manifest.from_bytes(data, f"{remote.host}: {path}")
        if (manifest.key, manifest.digest) != (key, digest):
            raise DamagedError(f"{remote.host}: {path} is the manifest of something else.")
        try:
            sound = manifest.expected_key() == key and manifest.expected_digest() == digest
        except ValueError:
            sound = False
        if not sound:
            raise DamagedError(f"{remote.host}: {path} doesn't give its own key and digest; it was changed.")
        found[key, digest] = (manifest, data)
        if not only:
            waiting += [(parent.key, parent.digest) for parent in manifest.parents()]
    return found


def _check_known(manifest: Manifest, data: bytes, entries: list[Named]) -> None:
    """The manifest's SHA-256 must stand in the history that came with it."""
    here = (manifest.key, manifest.digest, hashlib.sha256(data).hexdigest())
    if here not in {(entry.key, entry.digest, entry.manifest) for entry in entries}:
        raise DamagedError(
            f"the manifest of {manifest.digest[:12]} stands in no name's history of the store; it was changed."
        )


def _check_drift(ledger: Ledger, manifest: Manifest) -> None:
    others = [digest for digest in ledger.digests(manifest.key) if digest != manifest.digest]
    if others and manifest.reproducible == "bits":
        raise DriftError(
            f"{manifest.step} made {others[0][:12]} from this key here and {manifest.digest[:12]} "
            "there: same config, same inputs, "
            "other bytes. Nothing was pulled; find what drifted (`allmend why`)."
        )


def _fetch(
    ledger: Ledger, remote: Remote, found: list[tuple[Manifest, bytes]], progress: Progress | None
) -> Transferred:
    """Download the content files that aren't here, each once and several at a time; then put the artifacts together."""
    contents = {entry.sha256: entry for manifest, _ in found if not manifest.purged for entry in manifest.files}
    fresh = [(manifest, data) for manifest, data in found if manifest.digest not in ledger.digests(manifest.key)]
    runs = [entry for manifest, _ in fresh for entry in manifest.run]
    absent = [entry for entry in contents.values() if not (ledger.files / entry.sha256).exists()]
    _check_space(ledger, sum(entry.size for entry in (*absent, *runs)))
    meter = Meter(sum(entry.size for entry in (*contents.values(), *runs)), progress)
    done = Transferred(objects=len(fresh))
    for size in side_by_side(lambda entry: _fetch_file(ledger, remote, entry, meter), contents.values(), meter):
        done.count(size)
    for _ in side_by_side(lambda each: _place(ledger, remote, each[0], each[1], meter), fresh, meter):
        pass
    for entry in runs:
        done.count(entry.size)
    return done


def _fetch_file(ledger: Ledger, remote: Remote, entry: Entry, meter: Meter) -> int | None:
    """Bytes fetched into `files/`; None if they are here already."""
    if ledger.whole(entry.sha256):
        meter(entry.size)
        return None
    temporary = ledger.tmp / uuid.uuid4().hex
    try:
        remote.fetch(f"files/{entry.sha256}", entry.size, entry.sha256, temporary, meter)
        temporary.chmod(0o444)
        os.replace(temporary, ledger.files / entry.sha256)
    finally:
        temporary.unlink(missing_ok=True)
    return entry.size


def _check_space(ledger: Ledger, size: int) -> None:
    free = shutil.disk_usage(ledger.root).free
    if size > free:
        raise TransferError(
            f"this pull needs {size:,} bytes and {free:,} are free in {ledger.root}; nothing was written."
        )


def _place(ledger: Ledger, remote: Remote, manifest: Manifest, data: bytes, meter: Meter) -> None:
    """Put an artifact together in `tmp/`, and move it into `objects/`."""
    draft = ledger.draft()
    try:
        for entry in [] if manifest.purged else manifest.files:
            path = draft / entry.path
            path.parent.mkdir(parents=True, exist_ok=True)
            link(ledger.files / entry.sha256, path)
            if path.stat().st_size != entry.size:
                raise DamagedError(f"the manifest of {manifest.digest[:12]} gives {entry.path} a wrong size.")
        for entry in manifest.run:
            path = draft / entry.path
            path.parent.mkdir(parents=True, exist_ok=True)
            remote.fetch(f"{place_of(manifest)}/{entry.path}", entry.size, entry.sha256, path, meter)
            path.chmod(0o444)
        with (draft / "manifest.json").open("wb") as file:
            file.write(data)
            file.flush()
            os.fsync(file.fileno())
        (draft / "manifest.json").chmod(0o444)
        ledger.place(draft, manifest.key, manifest.digest)
    finally:
        ledger.trash(draft)


def _take_names(ledger: Ledger, entries: list[Named], asked: Collection[str]) -> None:
    """Append the entries that aren't here yet, in their order and with their times.

    A name that wasn't asked for (an ancestor's) means afterwards what it meant here before.
    """
    known: dict[str, set[tuple[str, ...]]] = {}
    before: dict[str, Named | None] = {}
    for entry in entries:
        if entry.name not in known:
            known[entry.name] = set(map(same, ledger.names.history(entry.name)))
            before[entry.name] = ledger.names.latest(entry.name)
        if same(entry) not in known[entry.name]:
            ledger.names.append(entry)
            known[entry.name].add(same(entry))
    for name, entry_before in before.items():
        if entry_before is not None and name not in asked and entry_before != ledger.names.latest(name):
            ledger.names.append(entry_before)


def _take_notices(ledger: Ledger, remote: Remote) -> None:
    """Withdrawals that others know of, for this workspace to act on."""
    mine = {line for file in ("withdrawals.jsonl", "notices.jsonl") for line in lines_of(ledger.root / file)}
    new = [line for line in (remote.read("withdrawals.jsonl") or b"").splitlines() if line.strip() and line not in mine]
    if new:
        path = ledger.root / "notices.jsonl"
        temporary = ledger.tmp / uuid.uuid4().hex
        temporary.write_bytes(b"".join(line + b"\n" for line in [*lines_of(path), *dict.fromkeys(new)]))
        os.replace(temporary, path)
