"""Names: `recipe/step` → key and digest, with the whole history. One small file an entry, made by link(2); the highest number wins."""

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

_number = re.compile(r"(\d{6,})\.json").fullmatch


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
        for n in self._numbers(name):
            try:
                found.append(self.read(name, n))
            except DamagedError:
                continue
        return found

    def latest(self, name: str) -> Named | None:
        for n in reversed(self._numbers(name)):
            try:
                return self.read(name, n)
            except DamagedError:
                continue
        return None

    def read(self, name: str, n: int) -> Named:
        path = self.folder(name) / f"{n:06d}.json"
        try:
            value = json.loads(path.read_bytes())
            return Named(name, n, value["key"], value["digest"], value["manifest"], value["plan_key"], value["at"])
        except (OSError, ValueError, KeyError, TypeError) as error:
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
        folder = self.folder(name)
        folder.mkdir(parents=True, exist_ok=True)
        at = datetime.datetime.now(datetime.UTC).isoformat(timespec="seconds")
        value: dict[str, Any] = {
            "format": 1,
            "key": key,
            "digest": digest,
            "manifest": manifest,
            "plan_key": plan_key,
            "at": at,
        }
        temporary = self.tmp / uuid.uuid4().hex
        with temporary.open("w") as file:
            json.dump(value, file)
            file.flush()
            os.fsync(file.fileno())
        n = max(self._numbers(name), default=0)
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

    def hashes(self) -> dict[tuple[str, str], set[str]]:
        """(key, digest) → manifest hashes that any name's history holds."""
        found: dict[tuple[str, str], set[str]] = {}
        for name in self.all():
            for entry in self.history(name):
                found.setdefault((entry.key, entry.digest), set()).add(entry.manifest)
        return found

    def _numbers(self, name: str) -> list[int]:
        try:
            found = os.listdir(self.folder(name))
        except FileNotFoundError:
            return []
        return sorted(int(match[1]) for each in found if (match := _number(each)))
