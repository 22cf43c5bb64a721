"""The manifest of an artifact, and the keys computed from it."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, NamedTuple

from allmend.kinds import WRITER, content_digest, sha256_json
from allmend.kinds.errors import DamagedError, NewerFormatError

FORMAT = 1


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
        name: [each.digest for each in value] if isinstance(value, list) else value.digest for name, value in inputs.items()
    }  # fmt: skip


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
                    f"{where}: format {value['format']}, and this Allmend reads formats up to {FORMAT}. Install a newer Allmend."
                )
            value["inputs"] = {
                name: [Reference(**each) for each in item] if isinstance(item, list) else Reference(**item)
                for name, item in value["inputs"].items()
            }
            value["files"] = [Entry(**each) for each in value["files"]]
            value["run"] = [Entry(**each) for each in value["run"]]
            manifest = cls(**value)
            assert isinstance(manifest.key, str) and isinstance(manifest.digest, str)
            return manifest
        except (ValueError, KeyError, TypeError, AttributeError, AssertionError) as error:
            raise DamagedError(
                f"{where}: this manifest can't be read ({error}). `allmend verify --repair` sets it aside."
            ) from error

    @classmethod
    def read(cls, folder: Path) -> Manifest:
        path = folder / "manifest.json"
        try:
            data = path.read_bytes()
        except OSError as error:
            raise DamagedError(
                f"{path}: {error.strerror}. `allmend verify --repair` sets this artifact aside."
            ) from error
        return cls.from_bytes(data, str(path))
