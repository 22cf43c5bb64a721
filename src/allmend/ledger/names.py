"""Names: `recipe/step` → key and digest, with the whole history.

One small file an entry, made by link(2); the highest number wins.
"""

from __future__ import annotations

import datetime
import json
import os
import re
import uuid
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from allmend.kinds.errors import DamagedError
from allmend.ledger.manifest import is_digest

_number = re.compile(r"(\d{6,})\.json").fullmatch
_segment = re.compile(r"[^\s./\\\x00-\x1f\x7f~][^/\\\x00-\x1f\x7f~]*").fullmatch
_time = re.compile(r"\d{4}-\d\d-\d\dT[0-9:.]{5,15}(Z|[+-]\d\d:\d\d)?", re.ASCII).fullmatch
LONGEST_SEGMENT = 200
"""Bytes of UTF-8 between two slashes of a name; file systems take 255, and `.name` is added."""


Address = tuple[str, str]
"""Build key and content digest: where an artifact lies in `objects/`."""


@dataclass(frozen=True)
class Named:
    """One entry of a name's history."""

    name: str
    n: int
    key: str
    digest: str
    manifest: str
    """SHA-256 of the artifact's manifest.json at that time: a changed `_run/` or manifest shows against it."""
    plan_key: str
    at: str


def parse_entry(name: str, n: int, value: Any) -> Named:
    """An entry from its JSON; ValueError, KeyError or TypeError if it isn't one."""
    entry = Named(name, n, value["key"], value["digest"], value["manifest"], value["plan_key"], value["at"])
    if not all(map(is_digest, (entry.key, entry.digest, entry.manifest))):
        raise ValueError("a digest in it isn't one")
    if not isinstance(entry.plan_key, str) or not isinstance(entry.at, str) or not _time(entry.at):
        raise ValueError("its plan key isn't text, or its time isn't one")
    return entry


def as_json(entry: Named) -> dict[str, Any]:
    """An entry as it is written; its name and number are the file's."""
    names = ("key", "digest", "manifest", "plan_key", "at")
    return {"format": 1, **{name: getattr(entry, name) for name in names}}


def is_name(name: object) -> bool:
    """May this be a name? Names become folders, and some come from strangers."""
    try:
        return isinstance(name, str) and all(
            _segment(part) and not part.endswith(".name") and len(part.encode()) <= LONGEST_SEGMENT
            for part in name.split("/")
        )
    except UnicodeEncodeError:  # a lone surrogate
        return False


class Names:
    """The names of a ledger."""

    def __init__(self, root: Path, tmp: Path) -> None:
        self.root, self.tmp = root, tmp

    def folder(self, name: str) -> Path:
        return self.root / f"{name}.name"

    def all(self) -> list[str]:
        """Every name, sorted."""
        if not self.root.is_dir():
            return []
        found = (os.path.relpath(base, self.root) for base, _, _ in os.walk(self.root) if base.endswith(".name"))
        return sorted(path.removesuffix(".name") for path in found)

    def history(self, name: str) -> list[Named]:
        """All entries of a name, oldest first; entries that can't be read are left out (`verify` names them)."""
        found = []
        for n in self.numbers(name):
            try:
                found.append(self.read(name, n))
            except DamagedError:
                continue
        return found

    def latest(self, name: str) -> Named | None:
        for n in reversed(self.numbers(name)):
            try:
                return self.read(name, n)
            except DamagedError:
                continue
        return None

    def read(self, name: str, n: int) -> Named:
        path = self.folder(name) / f"{n:06d}.json"
        try:
            return parse_entry(name, n, json.loads(path.read_bytes()))
        except (OSError, ValueError, KeyError, TypeError, RecursionError) as error:
            raise DamagedError(f"{path}: this entry of the name {name} can't be read ({error}).") from error

    def versions(self, name: str) -> list[Named]:
        """The last entry of each different digest in a row, newest first: what `~0`, `~1`, … mean."""
        found: list[Named] = []
        for entry in reversed(self.history(name)):
            if entry.digest not in {other.digest for other in found}:
                found.append(entry)
        return found

    def put(self, name: str, key: str, digest: str, manifest: str, plan_key: str) -> None:
        """Let a name mean an artifact; nothing is written if it does already."""
        latest = self.latest(name)
        if latest and (latest.key, latest.digest, latest.manifest, latest.plan_key) == (
            key,
            digest,
            manifest,
            plan_key,
        ):
            return
        at = datetime.datetime.now(datetime.UTC).isoformat(timespec="seconds")
        self.append(Named(name, 0, key, digest, manifest, plan_key, at))

    def append(self, entry: Named) -> None:
        """Add an entry, with its own time, at the end of its name's history."""
        assert is_name(entry.name), entry.name
        folder = self.folder(entry.name)
        folder.mkdir(parents=True, exist_ok=True)
        value = as_json(entry)
        temporary = self.tmp / uuid.uuid4().hex
        with temporary.open("w") as file:
            json.dump(value, file)
            file.flush()
            os.fsync(file.fileno())
        n = max(self.numbers(entry.name), default=0)
        while True:
            n += 1
            try:
                os.link(temporary, folder / f"{n:06d}.json")
                break
            except FileExistsError:
                continue
        temporary.unlink()

    def first_seen(self, key: str, digest: str) -> str:
        """When an artifact first had a name; empty if never."""
        times = [
            entry.at
            for name in self.all()
            for entry in self.history(name)
            if (entry.key, entry.digest) == (key, digest)
        ]
        return min(times, default="")

    def survey(self) -> tuple[dict[Address, set[str]], list[Path]]:
        """(key, digest) → manifest hashes that any name's history holds; and the entries that can't be read."""
        hashes: dict[Address, set[str]] = {}
        damaged = []
        for name in self.all():
            for n in self.numbers(name):
                try:
                    entry = self.read(name, n)
                    hashes.setdefault((entry.key, entry.digest), set()).add(entry.manifest)
                except DamagedError:
                    damaged.append(self.folder(name) / f"{n:06d}.json")
        return hashes, damaged

    def labels(self, first: str = "") -> dict[Address, str]:
        """(key, digest) → a name for people: `toy/corpus`, or `toy/corpus~2` for an older version.

        Args:
            first: names that begin so are taken before others, where an artifact has several.
        """
        found: dict[Address, str] = {}
        for name in sorted(self.all(), key=lambda name: (not name.startswith(first), name)):
            versions = [entry.digest for entry in self.versions(name)]
            for entry in reversed(self.history(name)):
                back = versions.index(entry.digest)
                found.setdefault((entry.key, entry.digest), f"{name}~{back}" if back else name)
        return found

    def numbers(self, name: str) -> list[int]:
        try:
            found = os.listdir(self.folder(name))
        except FileNotFoundError:
            return []
        return sorted(int(match[1]) for each in found if (match := _number(each)))
