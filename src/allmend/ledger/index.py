"""`index.sqlite`: a cache of all manifests, for questions by plan key and for children. The files are the truth; losing it costs time."""

from __future__ import annotations

import contextlib
import os
import sqlite3
import uuid
from typing import TYPE_CHECKING

from allmend.kinds.errors import AllmendError

if TYPE_CHECKING:
    from allmend.ledger.store import Ledger

SCHEMA = """
CREATE TABLE builds (key TEXT, digest TEXT, plan_key TEXT, step TEXT, kind TEXT, size INTEGER, PRIMARY KEY (key, digest));
CREATE TABLE inputs (key TEXT, digest TEXT, parent_key TEXT, parent_digest TEXT);
CREATE INDEX by_plan ON builds (plan_key);
CREATE INDEX by_parent ON inputs (parent_digest);
PRAGMA user_version = 1;
"""


class Index:
    """The cache in memory, brought up to date with the ledger when opened.

    `index.sqlite` is read whole, artifacts that it lacks are added and gone ones dropped; `save` writes it whole and renames it,
    so that no reader on a shared file system ever meets a half-written one.
    """

    def __init__(self, ledger: Ledger) -> None:
        self.ledger = ledger
        self.path = ledger.root / "index.sqlite"
        self.memory = sqlite3.connect(":memory:")
        self.fresh = False

    @classmethod
    def open(cls, ledger: Ledger) -> Index:
        index = cls(ledger)
        index._load()
        index._catch_up()
        return index

    @classmethod
    def rebuild(cls, ledger: Ledger) -> Index:
        """The cache from the files alone, saved."""
        index = cls(ledger)
        index.memory.executescript(SCHEMA)
        index._catch_up()
        index.fresh = True
        index.save()
        return index

    def _load(self) -> None:
        try:
            self.memory.deserialize(self.path.read_bytes())
            assert self.memory.execute("PRAGMA user_version").fetchone()[0] == 1
            self.memory.execute("SELECT count(*) FROM builds, inputs LIMIT 1").fetchone()
        except (OSError, sqlite3.Error, AssertionError, ValueError):
            self.memory = sqlite3.connect(":memory:")
            self.memory.executescript(SCHEMA)

    def _catch_up(self) -> None:
        there = {
            (key, digest) for key in sorted(os.listdir(self.ledger.objects)) for digest in self.ledger.digests(key)
        }
        known = set(self.memory.execute("SELECT key, digest FROM builds"))
        for key, digest in sorted(known - there):
            self.memory.execute("DELETE FROM builds WHERE key = ? AND digest = ?", (key, digest))
            self.memory.execute("DELETE FROM inputs WHERE key = ? AND digest = ?", (key, digest))
            self.fresh = True
        for key, digest in sorted(there - known):
            with contextlib.suppress(AllmendError):  # a damaged manifest is for `verify` to name
                self.add(key, digest)

    def add(self, key: str, digest: str) -> None:
        """Take one artifact in."""
        manifest = self.ledger.get(key, digest).manifest
        row = (key, digest, manifest.plan_key, manifest.step, manifest.kind, manifest.size)
        self.memory.execute("INSERT OR REPLACE INTO builds VALUES (?, ?, ?, ?, ?, ?)", row)
        parents = [(key, digest, parent.key, parent.digest) for parent in manifest.parents()]
        self.memory.executemany("INSERT INTO inputs VALUES (?, ?, ?, ?)", parents)
        self.fresh = True

    def save(self) -> None:
        """Write `index.sqlite` if anything is new."""
        if not self.fresh:
            return
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
