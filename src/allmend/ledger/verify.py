"""Checks an artifact and all that it was made from, byte by byte; sets aside what isn't as it was written."""

from __future__ import annotations

import json
import os
import stat
from collections.abc import Iterable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from allmend.kinds import sha256_file
from allmend.kinds.errors import AllmendError
from allmend.ledger.layout import Meter, Progress
from allmend.ledger.manifest import Entry, Manifest
from allmend.ledger.names import Address
from allmend.ledger.store import Ledger, Stored, link

THREADS = 2
Sort = Literal["manifest", "file", "run", "extra", "absent", "purged", "name", "history"]


@dataclass(frozen=True)
class Problem:
    """One thing that isn't as it was written.

    Attributes:
        severity: `failed`, or `note` for what is allowed to be so (an ancestor that wasn't pulled, a purged artifact).
        sort: what kind of thing is wrong; `repair` goes by it.
        key, digest: names of the folder that holds the artifact and of its own; empty for a name's entry.
        path: file inside the artifact, or the path of a name's entry.
        message: a sentence for a person.
    """

    severity: Literal["failed", "note"]
    sort: Sort
    key: str
    digest: str
    path: str
    message: str

    def __str__(self) -> str:
        return self.message


def verify(ledger: Ledger | None, what: Stored | Path, progress: Progress | None = None) -> list[Problem]:
    """Check an artifact and all its ancestors, byte by byte, and the names' entries.

    Args:
        ledger: without one, only the artifact's own files are checked, against the manifest beside them.
        what: the artifact, or its folder (which works where its manifest can't be read).
        progress: called with bytes hashed and bytes in all.

    Returns:
        Problems, ancestors first; an empty list, or one of notes only, means that every byte is as it was written.
    """
    folder = _in_ledger(ledger, what.folder if isinstance(what, Stored) else what)
    known, damaged = ledger.names.survey() if ledger else ({}, [])
    problems = [
        Problem("failed", "name", "", "", str(path), f"{path}: this entry of a name can't be read.") for path in damaged
    ]
    found: list[tuple[Path, Manifest]] = []
    for here, manifest in _family(ledger, folder):
        if isinstance(manifest, AllmendError):
            problems.append(_unreadable(here, manifest))
        elif manifest is None:
            problems.append(_absent(here, known))
        else:
            found.append((here, manifest))
            problems += _check_manifest(ledger, here, manifest, known)
    meter = Meter(sum(entry.size for _, manifest in found for entry in (*manifest.files, *manifest.run)), progress)
    hashes = _Hashes(meter)
    for here, manifest in reversed(found):
        problems += _check_files(here, manifest, hashes)
    return problems


def _in_ledger(ledger: Ledger | None, folder: Path) -> Path:
    """The folder as it lies in the ledger's `objects/`, where a symbolic link led to it."""
    real = folder.resolve()
    inside = ledger is not None and real.parent.parent == ledger.objects.resolve()
    return ledger.objects / real.parent.name / real.name if ledger and inside else folder


def _family(ledger: Ledger | None, folder: Path) -> Iterator[tuple[Path, Manifest | AllmendError | None]]:
    """Folders of an artifact and its ancestors, each once, with the manifest; None for an ancestor that isn't here."""
    waiting, seen = [folder], {folder}
    while waiting:
        here = waiting.pop()
        if here != folder and not here.exists():
            yield here, None
            continue
        try:
            manifest = Manifest.read(here)
        except AllmendError as error:
            yield here, error
            continue
        for parent in manifest.parents() if ledger else []:
            path = ledger.objects / parent.key / parent.digest  # type: ignore[union-attr]
            if path not in seen:
                seen.add(path)
                waiting.append(path)
        yield here, manifest


def _unreadable(folder: Path, error: AllmendError) -> Problem:
    return Problem("failed", "manifest", folder.parent.name, folder.name, "manifest.json", str(error))


def _absent(folder: Path, known: Mapping[Address, set[str]]) -> Problem:
    """An ancestor that isn't here: fine if only its child was pulled, but what had a name here must not just vanish."""
    key, digest = folder.parent.name, folder.name
    if (key, digest) in known:
        message = f"{folder}: this ancestor is missing, though it had a name here. `allmend run` makes it again."
        return Problem("failed", "absent", key, digest, "", message)
    message = f"{digest[:12]}, an ancestor, isn't in this ledger (it was never pulled); it could not be checked."
    return Problem("note", "absent", key, digest, "", message)


def _check_manifest(
    ledger: Ledger | None, folder: Path, manifest: Manifest, known: Mapping[Address, set[str]]
) -> Iterator[Problem]:
    """Keys, digests, and the manifest's own hash against the names' histories."""

    def failed(message: str, sort: Sort = "manifest") -> Problem:
        text = f"{folder / 'manifest.json'}: {message}"
        return Problem("failed", sort, folder.parent.name, folder.name, "manifest.json", text)

    key, digest = manifest.key, manifest.digest
    inside = ledger is not None and folder.parent.parent == ledger.objects
    if inside and (key, digest) != (folder.parent.name, folder.name):
        yield failed(f"it is the manifest of {key[:12]}/{digest[:12]}, not of the folder it lies in.")
    try:
        expected_key, expected_digest = manifest.expected_key(), manifest.expected_digest()
    except ValueError as error:
        yield failed(f"its key can't be computed ({error}).")
        return
    if key != expected_key:
        yield failed(f"it says build key {key[:12]}, and its step, config and inputs give {expected_key[:12]}.")
    if digest != expected_digest:
        yield failed(f"it says digest {digest[:12]}, and the files it lists give {expected_digest[:12]}.")
    if inside and sha256_file(folder / "manifest.json") not in known.get((key, digest), set()):
        yield failed("its SHA-256 stands in no name's history: it was changed, or never got a name.", "history")


def _check_files(folder: Path, manifest: Manifest, hashes: _Hashes) -> list[Problem]:
    """Every listed file whole, and no other."""
    key, digest = folder.parent.name, folder.name
    found = dict(_walk(folder))
    found.pop("manifest.json", None)
    problems = []
    if manifest.purged:
        message = f"{digest[:12]} ({manifest.step}) was purged: its content was erased on request, its manifest stays."
        problems.append(Problem("note", "purged", key, digest, "", message))
    present: list[tuple[Entry, Sort]] = []
    listed: list[tuple[list[Entry], Sort]] = [(manifest.files, "file"), (manifest.run, "run")]
    for entries, sort in listed:
        for entry in entries:
            is_file = found.pop(entry.path, None)
            if is_file is None and not manifest.purged:
                problems.append(
                    Problem("failed", sort, key, digest, entry.path, f"{folder / entry.path}: this file is missing.")
                )
            elif is_file is not None and not is_file:
                message = f"{folder / entry.path}: not a plain file."
                problems.append(Problem("failed", sort, key, digest, entry.path, message))
            elif is_file:
                present.append((entry, sort))
    for (entry, sort), sentence in zip(present, hashes.compare(folder, [entry for entry, _ in present]), strict=True):
        if sentence:
            problems.append(Problem("failed", sort, key, digest, entry.path, f"{folder / entry.path}: {sentence}"))
    for path in sorted(found):
        problems.append(
            Problem("failed", "extra", key, digest, path, f"{folder / path}: the manifest doesn't list this file.")
        )
    return problems


def _walk(folder: Path) -> Iterator[tuple[str, bool]]:
    """Path of everything below a folder that isn't a folder, and whether it is a plain file; links are not followed."""
    for base, folders, names in os.walk(folder):
        for name in [*names, *(name for name in folders if os.path.islink(os.path.join(base, name)))]:
            full = os.path.join(base, name)
            yield os.path.relpath(full, folder), stat.S_ISREG(os.lstat(full).st_mode)


class _Hashes:
    """SHA-256 of files, several at a time, and each inode once."""

    def __init__(self, meter: Meter) -> None:
        self.meter = meter
        self.seen: dict[tuple[int, int], str] = {}

    def compare(self, folder: Path, entries: list[Entry]) -> list[str]:
        """What is wrong with each file; empty where nothing is."""
        if len(entries) < 2 or sum(entry.size for entry in entries) < 1 << 20:
            return [self._compare(folder / entry.path, entry) for entry in entries]
        with ThreadPoolExecutor(THREADS) as pool:
            return list(pool.map(lambda entry: self._compare(folder / entry.path, entry), entries))

    def _compare(self, path: Path, entry: Entry) -> str:
        try:
            status = path.stat()
            if status.st_size != entry.size:
                return f"{status.st_size} bytes instead of {entry.size}."
            inode = (status.st_dev, status.st_ino)
            sha256 = self.seen.get(inode) or sha256_file(path)
        except OSError as error:
            return f"can't be read ({error.strerror})."
        self.seen[inode] = sha256
        self.meter(entry.size)
        return "" if sha256 == entry.sha256 else f"its bytes have the SHA-256 {sha256[:12]}…, not {entry.sha256[:12]}…."


def repair(ledger: Ledger, problems: Iterable[Problem]) -> list[Path]:
    """Move what `verify` found damaged to `damaged/`, with all artifacts that link it: the next run makes them again.

    No more than must: an extra file goes alone, and a file whose bytes still lie whole in `files/` is linked anew.

    Returns:
        What was moved, by the path it had.
    """
    moved: list[Path] = []
    folders: set[Path] = set()
    files: list[tuple[Path, str]] = []
    for problem in problems:
        folder = ledger.objects / problem.key / problem.digest
        if problem.sort == "name":
            moved += _aside(ledger, Path(problem.path))
        elif problem.severity == "failed" and problem.sort == "extra":
            moved += _aside(ledger, folder / problem.path)
        elif problem.severity == "failed" and problem.sort == "file":
            files.append((folder, problem.path))
        elif problem.severity == "failed":
            folders.add(folder)
    bad: set[str] = set()
    for folder, path in files:
        if folder not in folders:
            moved += _link_anew(ledger, folder, path, bad)
    return moved + _set_aside(ledger, folders, bad)


def _link_anew(ledger: Ledger, folder: Path, path: str, bad: set[str]) -> list[Path]:
    """Replace an artifact's damaged file by the stored one; if that is no better, its digest goes to `bad`."""
    sha256 = next(entry.sha256 for entry in Manifest.read(folder).files if entry.path == path)
    if not _is_whole(ledger.files / sha256, sha256):
        bad.add(sha256)
        return []
    moved = _aside(ledger, folder / path)
    (folder / path).parent.mkdir(parents=True, exist_ok=True)
    link(ledger.files / sha256, folder / path)
    return moved


def _set_aside(ledger: Ledger, folders: set[Path], bad: set[str]) -> list[Path]:
    """Set aside artifacts, damaged stored files, and all artifacts and parts that hold these."""
    moved = []
    if bad:
        folders = folders | {folder for folder in _all_folders(ledger) if _holds(folder, bad)}
        _drop_parts(ledger, bad)
    for path in [*(ledger.files / sha256 for sha256 in sorted(bad)), *sorted(folders)]:
        moved += _aside(ledger, path)
    return moved


def _is_whole(path: Path, sha256: str) -> bool:
    return path.is_file() and sha256_file(path) == sha256


def _holds(folder: Path, bad: set[str]) -> bool:
    """Does an artifact hold one of these files, damaged? A copy made where links failed may be whole."""
    try:
        entries = Manifest.read(folder).files
    except AllmendError:
        return False
    return any(entry.sha256 in bad and not _is_whole(folder / entry.path, entry.sha256) for entry in entries)


def _all_folders(ledger: Ledger) -> list[Path]:
    return [
        ledger.objects / key / digest for key in sorted(os.listdir(ledger.objects)) for digest in ledger.digests(key)
    ]


def _aside(ledger: Ledger, path: Path) -> list[Path]:
    try:
        ledger.set_aside(path)
    except FileNotFoundError:
        return []
    return [path]


def _drop_parts(ledger: Ledger, bad: set[str]) -> None:
    """Records of parts that made a damaged file, and unreadable ones."""
    for path in sorted(ledger.parts.glob("*.json")):
        try:
            gone = any(each[2] in bad for each in json.loads(path.read_bytes())["files"])
        except (OSError, ValueError, KeyError, TypeError, IndexError, RecursionError):
            gone = True
        if gone:
            path.unlink(missing_ok=True)
