"""Bytes from outside and secrets, as field types of a config. A key holds name, size and SHA-256, never the place."""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import IO, Any, ClassVar

from pydantic import GetCoreSchemaHandler, GetJsonSchemaHandler, ValidationInfo
from pydantic_core import CoreSchema, core_schema

from allmend.kinds.canonical import sha256_file, sha256_json


class Outside:
    """Base of the field types below; a subclass reads itself from text with the help of the recipe's resolver."""

    written: ClassVar[dict[str, Any]] = {"type": "string"}
    """JSON Schema of how a recipe writes it."""

    def identity(self) -> Any:
        """The JSON value that enters the key."""
        raise AssertionError(type(self).__name__)

    @classmethod
    def read(cls, value: Any, resolver: Any) -> Any:
        raise AssertionError(cls.__name__)

    @classmethod
    def __get_pydantic_core_schema__(cls, source: Any, handler: GetCoreSchemaHandler) -> CoreSchema:
        def check(value: Any, info: ValidationInfo) -> Any:
            return value if isinstance(value, cls) else cls.read(value, (info.context or {}).get("outside") or Here())

        return core_schema.with_info_plain_validator_function(check)

    @classmethod
    def __get_pydantic_json_schema__(cls, schema: CoreSchema, handler: GetJsonSchemaHandler) -> dict[str, Any]:
        return {**cls.written, "description": (cls.__doc__ or "").splitlines()[0]}


@dataclass(frozen=True)
class InputFile(Outside):
    """One file from outside the ledger, named by a path relative to the project root."""

    name: str
    size: int
    sha256: str
    path: Path = field(compare=False)
    seen: tuple[int, ...] = field(default=(), compare=False, repr=False)
    """What the file system said when the bytes were hashed (size, mtime, ctime, inode): checked again after the step read them."""

    def identity(self) -> Any:
        return {"name": self.name, "size": self.size, "sha256": self.sha256}

    def open(self) -> IO[bytes]:
        return self.path.open("rb")

    @classmethod
    def read(cls, value: Any, resolver: Any) -> Any:
        if not isinstance(value, str):
            raise ValueError("a path is expected, as text")
        return resolver.file(value)


@dataclass(frozen=True)
class InputFiles(Outside):
    """Files from outside the ledger: a glob, a path, or a list of both, relative to the project root."""

    written: ClassVar = {"anyOf": [{"type": "string"}, {"type": "array", "items": {"type": "string"}, "minItems": 1}]}
    files: tuple[InputFile, ...]

    def identity(self) -> Any:
        return [file.identity() for file in self.files]

    def __iter__(self) -> Iterator[InputFile]:
        return iter(self.files)

    def __len__(self) -> int:
        return len(self.files)

    @classmethod
    def read(cls, value: Any, resolver: Any) -> Any:
        patterns = [value] if isinstance(value, str) else value
        if (
            not isinstance(patterns, list | tuple)
            or not patterns
            or not all(isinstance(pattern, str) for pattern in patterns)
        ):
            raise ValueError("a glob or a list of globs is expected, as text")
        found = [file for pattern in patterns for file in resolver.files(pattern)]
        return cls(tuple(sorted(set(found), key=lambda file: (file.name, file.size, file.sha256))))


@dataclass(frozen=True)
class InputURL(Outside):
    """Bytes behind an fsspec URL (`s3://…`, `https://…`): text, or {url, sha256} where the digest is known already."""

    written: ClassVar = {
        "anyOf": [
            {"type": "string"},
            {
                "type": "object",
                "properties": {"url": {"type": "string"}, "sha256": {"type": "string"}},
                "required": ["url", "sha256"],
                "additionalProperties": False,
            },
        ]
    }
    name: str
    size: int
    sha256: str
    url: str = field(compare=False)

    def identity(self) -> Any:
        return {"name": self.name, "size": self.size, "sha256": self.sha256}

    @classmethod
    def read(cls, value: Any, resolver: Any) -> Any:
        if isinstance(value, str):
            return resolver.url(value, None)
        if (
            isinstance(value, dict)
            and set(value) == {"url", "sha256"}
            and all(isinstance(item, str) for item in value.values())
        ):
            return resolver.url(value["url"], value["sha256"])
        raise ValueError("a URL is expected, as text or as {url, sha256}")


@dataclass(frozen=True)
class Withdrawals(Outside):
    """The workspace's withdrawals (`withdrawals.jsonl`) that are in force; filled by `flow`, never written in a recipe.

    Attributes:
        records: as `allmend.flow.withdraw` describes them, in order; records that an undo cancelled, and the undo, are left out.
        sha256: over `records`, so that an undo brings the old key back; empty if there are none.
        compacted: documents of so many records, from the first on, leave no hole: the recipe's head says `compact:`.
    """

    written: ClassVar = {"not": {}}

    records: tuple[dict[str, Any], ...] = field(default=(), hash=False)
    sha256: str = ""
    compacted: int = 0

    @classmethod
    def of(cls, records: Sequence[dict[str, Any]], compacted: int = 0) -> Withdrawals:
        return cls(tuple(records), sha256_json(list(records)) if records else "", compacted)

    def identity(self) -> Any:
        return {"sha256": self.sha256, **({"compacted": self.compacted} if self.compacted else {})}

    @classmethod
    def read(cls, value: Any, resolver: Any) -> Any:
        if value is not None:
            raise ValueError("withdrawals are read from the workspace; leave this field out")
        return resolver.withdrawals()


@dataclass(frozen=True)
class Secret(Outside):
    """A secret by its name, written `{secret: NAME}`. Its value is asked from `work.secret(name)` and is never stored."""

    written: ClassVar = {
        "type": "object",
        "properties": {"secret": {"type": "string"}},
        "required": ["secret"],
        "additionalProperties": False,
    }

    name: str

    def identity(self) -> Any:
        return {"secret": self.name}

    @classmethod
    def read(cls, value: Any, resolver: Any) -> Any:
        if isinstance(value, dict) and set(value) == {"secret"} and isinstance(value["secret"], str):
            return cls(value["secret"])
        raise ValueError("a secret is named, never held: write {secret: NAME} and set NAME in the environment")


def stamp(status: os.stat_result) -> tuple[int, ...]:
    """What tells that a file changed. With ctime and inode: a copy that keeps size and mtime still shows."""
    return (status.st_size, status.st_mtime_ns, status.st_ctime_ns, status.st_ino)


class Here:
    """Resolver for configs made by hand (tests, notebooks): paths as they stand, seen from the current folder."""

    def file(self, text: str) -> InputFile:
        path = Path(text)
        if not path.is_file():
            raise ValueError(f"no file {text}")
        status = path.stat()
        return InputFile(path.name, status.st_size, sha256_file(path), path, stamp(status))

    def files(self, pattern: str) -> list[InputFile]:
        path = Path(pattern)
        found = [path] if path.is_file() else sorted(Path(path.anchor or ".").glob(str(path.relative_to(path.anchor))))
        if not found:
            raise ValueError(f"no file matches {pattern}")
        return [self.file(str(each)) for each in found]

    def url(self, url: str, sha256: str | None) -> InputURL:
        raise ValueError("URLs are read through a recipe")

    def withdrawals(self) -> Withdrawals:
        return Withdrawals()
