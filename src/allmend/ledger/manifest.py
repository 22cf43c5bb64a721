"""The manifest of an artifact, and the keys computed from it."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, NamedTuple

from allmend.kinds import RUN, WRITER, content_digest, sha256_json
from allmend.kinds.errors import DamagedError, NewerFormatError

FORMAT = 1
LARGEST_FILE = 2**50
"""Bytes. A manifest that speaks of a larger file is wrong or hostile."""
LONGEST_NAME, LONGEST_PATH = 255, 1024
"""Bytes of UTF-8: of one name between slashes (Linux's limit), and of a whole path inside an artifact."""

_digest = re.compile(r"[0-9a-f]{64}").fullmatch


class Entry(NamedTuple):
    """One file of an artifact."""

    path: str
    size: int
    sha256: str


class Reference(NamedTuple):
    """How a child cites an input: never by the manifest's hash, since a parent built again has other clock times."""

    kind: str
    key: str
    digest: str


References = Mapping[str, Reference | list[Reference]]
"""Input name → what it was; a list for inputs that take several."""


def build_key(
    step: str, version: int, config: Mapping[str, Any], inputs: Mapping[str, str | list[str]], writer: int = WRITER
) -> str:
    """SHA-256 over step name, version, canonical config and the inputs' digests (their plan keys give the plan key)."""
    return sha256_json(
        {"writer": writer, "step": step, "version": version, "config": dict(config), "inputs": dict(inputs)}
    )


def digests_of(inputs: References) -> dict[str, str | list[str]]:
    """Input name → content digest, or list of them: what a build key holds of the inputs."""
    return {
        name: [each.digest for each in value] if isinstance(value, list) else value.digest
        for name, value in inputs.items()
    }


def is_digest(text: object) -> bool:
    """64 lower-case hex digits, and so safe as a file name."""
    return isinstance(text, str) and _digest(text) is not None


def check_entry(entry: Entry) -> None:
    """Refuse a path that could leave the artifact's folder, a digest that isn't one, and an absurd size.

    Raises:
        ValueError: says what is wrong.
    """
    path = entry.path
    if not isinstance(path, str) or not path or "\0" in path or "\\" in path or path == "manifest.json":
        raise ValueError(f"{str(path)[:80]!r} can't be a file of an artifact")
    if any(part in ("", ".", "..") for part in path.split("/")):
        raise ValueError(f"the path {path[:80]!r} leaves the artifact's folder")
    if len(path.encode()) > LONGEST_PATH or any(len(part.encode()) > LONGEST_NAME for part in path.split("/")):
        raise ValueError(f"the path {path[:80]!r} is longer than file systems take")
    if not is_digest(entry.sha256):
        raise ValueError(f"{path}: {str(entry.sha256)[:80]!r} is not a SHA-256")
    if type(entry.size) is not int or not 0 <= entry.size <= LARGEST_FILE:
        raise ValueError(f"{path}: a file of {entry.size!r} bytes is not believable")


@dataclass(frozen=True)
class Manifest:
    """What an artifact is and how it was made. Clock times and hosts are not here but in `_run/`."""

    key: str
    digest: str
    plan_key: str
    step: str
    version: int
    kind: str
    config: dict[str, Any]
    inputs: dict[str, Reference | list[Reference]]
    files: list[Entry]
    run: list[Entry]
    metrics: dict[str, Any]
    reproducible: str = "bits"
    placement: dict[str, Any] = field(default_factory=dict)
    versions: dict[str, str] = field(default_factory=dict)
    writer: int = WRITER
    purged: bool = False
    format: int = FORMAT

    @property
    def size(self) -> int:
        """Bytes of the content files."""
        return sum(entry.size for entry in self.files)

    def parents(self) -> list[Reference]:
        """All inputs, flat."""
        return [each for value in self.inputs.values() for each in (value if isinstance(value, list) else [value])]

    def expected_key(self) -> str:
        return build_key(self.step, self.version, self.config, digests_of(self.inputs), self.writer)

    def expected_digest(self) -> str:
        return content_digest(self.files)

    def to_bytes(self) -> bytes:
        value = {name: getattr(self, name) for name in self.__dataclass_fields__}
        value["inputs"] = {
            name: [each._asdict() for each in item] if isinstance(item, list) else item._asdict()
            for name, item in self.inputs.items()
        }
        value["files"] = [entry._asdict() for entry in self.files]
        value["run"] = [entry._asdict() for entry in self.run]
        return json.dumps(value, indent=1, sort_keys=True, ensure_ascii=False).encode() + b"\n"

    @classmethod
    def from_bytes(cls, data: bytes, where: str) -> Manifest:
        """Read a manifest.

        Raises:
            NewerFormatError: written by a newer Allmend.
            DamagedError: not what `to_bytes` writes; a flipped byte must end here, not in a traceback.
        """
        try:
            value = json.loads(data)
            if isinstance(value, dict) and isinstance(value.get("format"), int) and value["format"] > FORMAT:
                raise NewerFormatError(
                    f"{where}: format {value['format']}, and this Allmend reads formats up to "
                    f"{FORMAT}. Install a newer Allmend."
                )
            value["inputs"] = {
                name: [Reference(**each) for each in item] if isinstance(item, list) else Reference(**item)
                for name, item in value["inputs"].items()
            }
            value["files"] = [Entry(**each) for each in value["files"]]
            value["run"] = [Entry(**each) for each in value["run"]]
            manifest = cls(**value)
            manifest._check()
            return manifest
        except (ValueError, KeyError, TypeError, AttributeError, RecursionError) as error:
            raise DamagedError(
                f"{where}: this manifest can't be read ({error}). `allmend verify --repair` sets it aside."
            ) from error

    def _check(self) -> None:
        """Types, digests and paths: what this manifest says becomes paths on disk, and it may come from a stranger."""
        typed = {"config": dict, "inputs": dict, "metrics": dict, "placement": dict, "versions": dict, "purged": bool}
        for name, kind in {**typed, "step": str, "kind": str, "plan_key": str, "reproducible": str}.items():
            if not isinstance(getattr(self, name), kind):
                raise ValueError(f"`{name}` is not a {kind.__name__}")
        if not all(type(number) is int for number in (self.version, self.writer, self.format)) or self.format < 1:
            raise ValueError("`version`, `writer` and `format` must be whole numbers")
        for text in (
            self.key,
            self.digest,
            *(part for parent in self.parents() for part in (parent.key, parent.digest)),
        ):
            if not is_digest(text):
                raise ValueError(f"{str(text)[:80]!r} is not a SHA-256")
        for entry in (*self.files, *self.run):
            check_entry(entry)
        if any(_in_run(entry) for entry in self.files) or not all(map(_in_run, self.run)):
            raise ValueError(f"a file is listed on the wrong side of {RUN}/")
        paths = [entry.path for entry in (*self.files, *self.run)]
        if len(set(paths)) < len(paths):
            raise ValueError("a path is listed twice")
        folders = {path[:at] for path in paths for at, mark in enumerate(path) if mark == "/"}
        if both := sorted(folders & set(paths)):
            raise ValueError(f"{both[0][:80]!r} is listed as a file and used as a folder")

    @classmethod
    def read(cls, folder: Path) -> Manifest:
        """The manifest of an artifact's folder; raises as `from_bytes`."""
        path = folder / "manifest.json"
        try:
            data = path.read_bytes()
        except OSError as error:
            raise DamagedError(
                f"{path}: {error.strerror}. `allmend verify --repair` sets this artifact aside."
            ) from error
        return cls.from_bytes(data, str(path))


def _in_run(entry: Entry) -> bool:
    return entry.path.startswith(RUN + "/")
