"""`index.sqlite`: a cache of all manifests and names, for questions by plan key and for children.

The files are the truth; losing it costs time.
"""

from __future__ import annotations

import contextlib
import os
import sqlite3
import uuid
from typing import TYPE_CHECKING

from allmend.kinds.errors import AllmendError
from allmend.ledger.manifest import Manifest

if TYPE_CHECKING:
    from allmend.ledger.store import Ledger

VERSION = 2
SCHEMA = f"""
CREATE TABLE builds (
    key TEXT, digest TEXT, plan_key TEXT, step TEXT, kind TEXT, size INTEGER, manifest_stamp INTEGER,
    PRIMARY KEY (key, digest));
CREATE TABLE inputs (key TEXT, digest TEXT, parent_key TEXT, parent_digest TEXT);
CREATE TABLE names (
    name TEXT, n INTEGER, key TEXT, digest TEXT, manifest TEXT, plan_key TEXT, at TEXT,
    PRIMARY KEY (name, n));
CREATE INDEX by_plan ON builds (plan_key);
CREATE INDEX by_parent ON inputs (parent_digest);
CREATE INDEX by_child ON inputs (key, digest);
CREATE INDEX by_named ON names (digest);
PRAGMA user_version = {VERSION};
"""
COLUMNS = {"builds": 7, "inputs": 4, "names": 7}


class Index:
    """The cache in memory, brought up to date with the ledger when opened.

    `index.sqlite` is read whole, artifacts that it lacks or whose manifest changed are read anew and gone ones
    dropped; `save` writes
    it whole and renames it, so that no reader on a shared file system ever meets a half-written one.
    """

    def __init__(self, ledger: Ledger) -> None:
        self.ledger = ledger
        self.path = ledger.root / "index.sqlite"
        self.memory = sqlite3.connect(":memory:")
        self.fresh = False

    @classmethod
    def open(cls, ledger: Ledger) -> Index:
        index = cls(ledger)
        if not index._load():
            index._empty()
        index._catch_up()
        return index

    @classmethod
    def rebuild(cls, ledger: Ledger) -> Index:
        """The cache from the files alone, saved."""
        index = cls(ledger)
        index._empty()
        index._catch_up()
        index.fresh = True
        index.save()
        return index

    def _empty(self) -> None:
        self.memory.close()
        self.memory = sqlite3.connect(":memory:")
        self.memory.executescript(SCHEMA)

    def _load(self) -> bool:
        """Read the file; False if it is absent, damaged, or of another version."""
        try:
            self.memory.deserialize(self.path.read_bytes())
            version = self.memory.execute("PRAGMA user_version").fetchone()
            whole = self.memory.execute("PRAGMA quick_check(1)").fetchone()
            widths = {table: len(self.memory.execute(f"PRAGMA table_info({table})").fetchall()) for table in COLUMNS}
        except (OSError, sqlite3.Error, ValueError, OverflowError, MemoryError):  # an empty file gives MemoryError
            return False
        return bool(version == (VERSION,) and whole == ("ok",) and widths == COLUMNS)

    def _catch_up(self) -> None:
        there = self._listed()
        known = {
            (key, digest): stamp
            for key, digest, stamp in self.memory.execute("SELECT key, digest, manifest_stamp FROM builds")
        }
        for key, digest in sorted(set(known) - set(there)):
            self._drop(key, digest)
        for (key, digest), stamp in sorted(there.items()):
            if known.get((key, digest)) != stamp:
                with contextlib.suppress(AllmendError):  # a damaged manifest is for `verify` to name
                    self._add(key, digest, stamp)
        self._catch_up_names()

    def _listed(self) -> dict[tuple[str, str], int]:
        """(key, digest) → time of its manifest's last change, of every artifact."""
        found = {}
        for key in os.listdir(self.ledger.objects):
            with contextlib.suppress(NotADirectoryError, FileNotFoundError):
                for digest in os.listdir(self.ledger.objects / key):
                    with contextlib.suppress(NotADirectoryError, FileNotFoundError):
                        found[key, digest] = os.stat(f"{self.ledger.objects}/{key}/{digest}/manifest.json").st_mtime_ns
        return found

    def _drop(self, key: str, digest: str) -> None:
        self.memory.execute("DELETE FROM builds WHERE key = ? AND digest = ?", (key, digest))
        self.memory.execute("DELETE FROM inputs WHERE key = ? AND digest = ?", (key, digest))
        self.fresh = True

    def _add(self, key: str, digest: str, stamp: int) -> None:
        self._drop(key, digest)
        manifest = Manifest.read(self.ledger.objects / key / digest)
        row = (key, digest, manifest.plan_key, manifest.step, manifest.kind, manifest.size, stamp)
        self.memory.execute("INSERT INTO builds VALUES (?, ?, ?, ?, ?, ?, ?)", row)
        parents = [(key, digest, parent.key, parent.digest) for parent in manifest.parents()]
        self.memory.executemany("INSERT INTO inputs VALUES (?, ?, ?, ?)", parents)
        self.fresh = True

    def _catch_up_names(self) -> None:
        """Entries of names never change once written, so only new numbers are read."""
        known = set(self.memory.execute("SELECT name, n FROM names"))
        there = {(name, n) for name in self.ledger.names.all() for n in self.ledger.names.numbers(name)}
        gone = sorted(known - there)
        self.memory.executemany("DELETE FROM names WHERE name = ? AND n = ?", gone)
        rows = []
        for name, n in sorted(there - known):
            with contextlib.suppress(AllmendError):
                entry = self.ledger.names.read(name, n)
                rows.append((name, n, entry.key, entry.digest, entry.manifest, entry.plan_key, entry.at))
        self.memory.executemany("INSERT INTO names VALUES (?, ?, ?, ?, ?, ?, ?)", rows)
        self.fresh = self.fresh or bool(gone or rows)

    def add(self, key: str, digest: str) -> None:
        """Take one new artifact in."""
        self._add(key, digest, (self.ledger.objects / key / digest / "manifest.json").stat().st_mtime_ns)

    def save(self) -> None:
        """Write `index.sqlite` if anything is new."""
        if not self.fresh:
            return
        self.memory.commit()
        temporary = self.ledger.tmp / uuid.uuid4().hex
        temporary.write_bytes(self.memory.serialize())
        os.replace(temporary, self.path)
        self.fresh = False

    def by_plan_key(self, plan_key: str) -> list[tuple[str, str]]:
        """(key, digest) of the artifacts made from a plan key."""
        return self.memory.execute(
            "SELECT key, digest FROM builds WHERE plan_key = ? ORDER BY key, digest", (plan_key,)
        ).fetchall()

    def children(self, key: str, digest: str) -> list[tuple[str, str]]:
        """(key, digest) of the artifacts that were made from one."""
        query = (
            "SELECT DISTINCT key, digest FROM inputs WHERE parent_key = ? AND parent_digest = ? ORDER BY key, digest"
        )
        return self.memory.execute(query, (key, digest)).fetchall()

    def names_of(self, digest: str) -> list[str]:
        """Names that mean or meant an artifact of this content, sorted."""
        return [
            name
            for (name,) in self.memory.execute(
                "SELECT DISTINCT name FROM names WHERE digest = ? ORDER BY name", (digest,)
            )
        ]
