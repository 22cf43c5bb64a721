"""`Ledger`: artifacts by digest, on a plain file system.

ledger.json                                 the format
objects/<build key>/<content digest>/       an artifact: its files as hard links, manifest.json, _run/
files/<sha256>                              each content file's bytes, once, read-only
parts/<part key>.json                       a finished part of a step: which files it made
names/<recipe>/<step>.name/000007.json      what a name meant, with its history
leases/ state/ tmp/                         work in progress
index.sqlite                                a cache of the above, rebuilt by `allmend ledger index`
"""

from __future__ import annotations

import contextlib
import errno
import json
import os
import shutil
import stat
import time
import uuid
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from allmend.kinds import KINDS, RUN, Artifact, canonical_json, content_digest, sha256_file
from allmend.kinds.errors import DamagedError, DriftError, LedgerError, NewerFormatError
from allmend.ledger.lease import Lease, Watcher, living
from allmend.ledger.manifest import FORMAT, Entry, Manifest, check_entry
from allmend.ledger.names import Names

COLLECTING = "gc"
"""Key of the lease that gc holds while it works."""
WAIT_S = 0.1
Known = dict[str, Entry]
"""Path in a draft → what is known of the file already, so that it isn't hashed twice."""


@dataclass(frozen=True)
class Stored:
    """An artifact as it lies in a ledger."""

    folder: Path
    manifest: Manifest

    @property
    def artifact(self) -> Artifact:
        """The artifact as steps take it; LedgerError if no installed room defines its kind."""
        kind = KINDS.get(self.manifest.kind)
        if kind is None:
            raise LedgerError(
                f"{self.folder}: no installed room knows the kind of artifact {self.manifest.kind[:80]!r}, which "
                f"{self.manifest.step[:80]} made. Install the package that has that step."
            )
        return kind(self.folder, {entry.path: entry.sha256 for entry in self.manifest.files})


class Ledger:
    """A workspace's artifacts. Opening makes the folders; a ledger of a newer format is refused.

    Args:
        root: the workspace folder (`.allmend`).
        create: make it if it isn't there; otherwise that is an error.
    """

    def __init__(self, root: Path, create: bool = True) -> None:
        self.root = root.absolute()
        self.objects, self.files, self.parts = self.root / "objects", self.root / "files", self.root / "parts"
        self.leases, self.state, self.tmp = self.root / "leases", self.root / "state", self.root / "tmp"
        self.names = Names(self.root / "names", self.tmp)
        self._open(create)

    def _open(self, create: bool) -> None:
        marker = self.root / "ledger.json"
        try:
            found = json.loads(marker.read_bytes())["format"]
        except FileNotFoundError:
            if not create:
                raise LedgerError(f"{self.root}: there is no ledger here. `allmend run RECIPE` makes one.") from None
            self._make(marker)
            return
        except (ValueError, KeyError, TypeError, OSError, RecursionError) as error:
            raise DamagedError(f'{marker}: can\'t be read ({error}); it should hold {{"format": {FORMAT}}}.') from error
        if type(found) is not int:
            raise DamagedError(f"{marker}: the format {found!r} isn't a number.")
        if found > FORMAT:
            raise NewerFormatError(
                f"{self.root} is a ledger of format {found}, and this Allmend knows formats up to "
                f"{FORMAT}. Install a newer Allmend; nothing was touched."
            )
        with contextlib.nullcontext() if create else contextlib.suppress(OSError):  # it may be read-only
            self._make_folders()  # a store that was pushed to, or a clone by git, has only some of them

    def _make_folders(self) -> None:
        for folder in (self.objects, self.files, self.parts, self.leases, self.state, self.tmp, self.names.root):
            folder.mkdir(parents=True, exist_ok=True)

    def _make(self, marker: Path) -> None:
        self._make_folders()
        ignore = self.root / ".gitignore"
        if not ignore.exists():
            ignore.write_text("*\n")
        temporary = self.tmp / uuid.uuid4().hex
        temporary.write_text(json.dumps({"format": FORMAT}) + "\n")
        os.replace(temporary, marker)

    # --- reading ---

    def digests(self, key: str) -> list[str]:
        """Content digests of the whole builds of a key, sorted. A folder counts only if it has a manifest."""
        try:
            found = sorted(os.listdir(self.objects / key))
        except FileNotFoundError:
            return []
        return [digest for digest in found if (self.objects / key / digest / "manifest.json").is_file()]

    def get(self, key: str, digest: str) -> Stored:
        """One artifact; `DamagedError` if its manifest can't be read."""
        folder = self.objects / key / digest
        return Stored(folder, Manifest.read(folder))

    def manifest_hash(self, key: str, digest: str) -> str:
        return sha256_file(self.objects / key / digest / "manifest.json")

    # --- work in progress ---

    def draft(self) -> Path:
        """A fresh folder in `tmp/` for an artifact to be written in."""
        folder = self.tmp / uuid.uuid4().hex
        folder.mkdir()
        return folder

    def watch(self, key: str) -> Watcher:
        return Watcher(self.leases, key)

    def busy(self) -> list[str]:
        """Keys that somebody builds now, and a name for each run or pull that goes on."""
        return living(self.leases)

    @contextlib.contextmanager
    def running(self) -> Iterator[None]:
        """Held by a whole run or pull, so that `gc` can't take away what no name reaches yet; waits for a gc to end."""
        lease = self.watch(f"run-{uuid.uuid4().hex}").acquire()
        assert lease is not None, "a fresh key"
        try:
            while COLLECTING in self.busy():  # each writes its own lease first and looks for the other's then
                time.sleep(WAIT_S)
            yield
        finally:
            lease.release()

    def state_of(self, lease: Lease) -> Path:
        """The folder kept between attempts of a key. It belongs to one lease: who wakes up late finds it gone."""
        mine = self.state / f"{lease.key}.{lease.token}"
        if not mine.exists():
            for path in sorted(self.state.glob(f"{lease.key}.*"), key=lambda path: path.stat().st_mtime_ns)[-1:]:
                os.rename(path, mine)
        mine.mkdir(exist_ok=True)
        return mine

    def trash(self, path: Path) -> None:
        """Delete a folder. It is renamed first: no orphan must ever rename a half-deleted folder into `objects/`."""
        with contextlib.suppress(FileNotFoundError):
            aside = self.tmp / f"trash-{uuid.uuid4().hex}"
            os.rename(path, aside)
            shutil.rmtree(aside, ignore_errors=True) if aside.is_dir() else aside.unlink()

    # --- files ---

    def whole(self, sha256: str) -> bool:
        """Are the stored bytes of this digest there and unchanged? A damaged file is set aside; nothing may link it."""
        path = self.files / sha256
        if not path.is_file():
            return False
        if sha256_file(path) == sha256:
            return True
        with contextlib.suppress(FileNotFoundError):  # another process was faster
            self.set_aside(path)
        return False

    def set_aside(self, path: Path) -> Path:
        """Move something damaged out of the way, into `damaged/`, for a person to look at."""
        folder = self.root / "damaged"
        folder.mkdir(exist_ok=True)
        target = folder / f"{path.name}-{uuid.uuid4().hex[:8]}"
        os.rename(path, target)
        return target

    def keep(self, path: Path, entry: Entry, checked: set[str] | None = None) -> None:
        """Put a file's bytes into `files/` and make `path` a link to them.

        Args:
            checked: digests whose stored bytes this caller has found whole already; added to.
        """
        stored = self.files / entry.sha256
        if (checked is not None and entry.sha256 in checked) or self.whole(entry.sha256):
            temporary = path.with_name(f".{uuid.uuid4().hex}")
            link(stored, temporary)
            os.replace(temporary, path)
        else:
            path.chmod(stat.S_IRUSR | stat.S_IRGRP | stat.S_IROTH)
            with contextlib.suppress(FileExistsError):
                link(path, stored)
        if checked is not None:
            checked.add(entry.sha256)

    # --- parts ---

    def find_part(self, key: str) -> dict[str, Any] | None:
        """The record of a finished part, if all its files are there and whole."""
        path = self.parts / f"{key}.json"
        try:
            record: dict[str, Any] = json.loads(path.read_bytes())
            entries = [Entry(*each) for each in record["files"]]
            for entry in entries:
                check_entry(entry)
        except (OSError, ValueError, KeyError, TypeError, RecursionError):
            return None
        return record if all(self.whole(entry.sha256) for entry in entries) else None

    def put_part(self, key: str, record: dict[str, Any]) -> None:
        """Record a finished part.

        It isn't synced to disk: after a power cut a torn file is found by its hash and made again.
        """
        temporary = self.tmp / uuid.uuid4().hex
        temporary.write_bytes(canonical_json(record))
        os.replace(temporary, self.parts / f"{key}.json")

    # --- commit ---

    def commit(self, draft: Path, manifest: Manifest, lease: Lease | None = None, known: Known | None = None) -> Stored:
        """Make a draft an artifact: whole or not at all.

        Args:
            manifest: as the caller knows it; `digest`, `files` and `run` are filled in here.
            lease: checked right before the artifact appears.
            known: files of the draft whose size and digest are known already and whose bytes lie in `files/`.

        Raises:
            DriftError: this key has a build with other bytes, and the step promises equal bits.
            LedgerError: a file has a name that no artifact may hold.
        """
        if lease is not None:
            lease.check()
        known = known or {}
        contents, runs = _walk(draft)
        files = [known.get(path) or _entry(draft, path) for path in contents]
        run = [_entry(draft, path) for path in runs]
        digest = content_digest(files)
        others = [other for other in self.digests(manifest.key) if other != digest]
        if others and manifest.reproducible == "bits":
            self._drifted(draft, manifest, digest, others[0])
        target = self.objects / manifest.key / digest
        if (target / "manifest.json").is_file():
            self.trash(draft)
            return self.get(manifest.key, digest)
        checked: set[str] = set()
        for entry in files:
            if entry.path not in known:
                self.keep(draft / entry.path, entry, checked)
        manifest = replace(manifest, digest=digest, files=files, run=run)
        (draft / "manifest.json").write_bytes(manifest.to_bytes())
        for path in ["manifest.json", *runs]:
            (draft / path).chmod(0o444)
        _sync([draft / path for path in ["manifest.json", *runs, *contents]])
        if lease is not None:
            lease.check()
        self.place(draft, manifest.key, digest)
        return self.get(manifest.key, digest)

    def place(self, draft: Path, key: str, digest: str) -> None:
        """Move a finished draft into `objects/`; if the artifact is there already, that one stays."""
        target = self.objects / key / digest
        target.parent.mkdir(exist_ok=True)
        if target.exists() and not (target / "manifest.json").exists():
            self.trash(target)  # somebody's half-removed object
        try:
            os.rename(draft, target)
        except OSError as error:
            if error.errno not in (errno.ENOTEMPTY, errno.EEXIST):
                raise
            self.trash(draft)  # another process committed the same bytes a moment ago

    def _drifted(self, draft: Path, manifest: Manifest, digest: str, other: str) -> None:
        when = self.names.first_seen(manifest.key, other)
        self.trash(draft)
        raise DriftError(
            f"{manifest.step} made {other[:12]} from this key{f' on {when[:10]}' if when else ''} and "
            f"makes {digest[:12]} now: "
            "same config, same inputs, other bytes. Raise its version, or find what drifted "
            f"(`allmend why {other[:12]}`)."
        )


def link(source: Path, target: Path) -> None:
    """Hard link; a copy where the file system or its link limit (65,000 on ext4) doesn't allow one."""
    try:
        os.link(source, target)
    except OSError as error:
        if error.errno not in (errno.EMLINK, errno.EXDEV, errno.EPERM, errno.ENOTSUP):
            raise
        temporary = target.with_name(f".{uuid.uuid4().hex}")
        shutil.copyfile(source, temporary)
        temporary.chmod(0o444)
        os.replace(temporary, target)


def _entry(folder: Path, path: str) -> Entry:
    full = folder / path
    status = full.lstat()
    assert stat.S_ISREG(status.st_mode), f"{full} is not a plain file"
    entry = Entry(path, status.st_size, sha256_file(full))
    try:
        check_entry(entry)
    except ValueError as error:
        raise LedgerError(f"{error}. Let the step give the file another name.") from error
    return entry


def _walk(folder: Path) -> tuple[list[str], list[str]]:
    """Paths of content files and of files under `_run/`, each sorted."""
    every = sorted(
        os.path.relpath(os.path.join(base, name), folder) for base, _, names in os.walk(folder) for name in names
    )
    return [path for path in every if not path.startswith(RUN + "/")], [
        path for path in every if path.startswith(RUN + "/")
    ]


def _sync(paths: list[Path]) -> None:
    """fsync files side by side.

    The file system's journal then commits them together, which costs little more than one.
    """

    def one(path: Path) -> None:
        handle = os.open(path, os.O_RDONLY)
        try:
            os.fsync(handle)
        finally:
            os.close(handle)

    paths = list({path.stat().st_ino: path for path in paths}.values())
    if len(paths) == 1:
        one(paths[0])
        return
    with ThreadPoolExecutor(min(8, len(paths))) as pool:
        list(pool.map(one, paths))
