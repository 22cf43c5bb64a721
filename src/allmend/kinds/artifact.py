"""`Artifact`: a folder of files in standard formats, that one step wrote and others read."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar

import pyarrow as pa

from allmend.kinds.tables import read_table

RUN = "_run"
"""Folder inside an artifact for what is true of one run but isn't content: timings, logs, host, checkpoints."""

KINDS: dict[str, type[Artifact]] = {}
"""Every artifact type by name; filled once, when the classes are defined."""


class Artifact:
    """Files on disk: tables as `<table>/<part>.parquet`, arrays as `<name>/<part>.bin`, the rest as its type says.

    Args:
        folder: where its files are.
        digests: path → SHA-256 of its files, where a ledger knows them.
    """

    main: ClassVar[str] = ""
    """The table that a part function gets when the artifact is mapped over; empty for artifacts without parts."""
    schemas: ClassVar[dict[str, pa.Schema]] = {}
    """Tables whose columns are fixed."""
    set_of: ClassVar[type[Artifact] | None] = None
    """For a set kind (`Mixtures`): the kind of its member folders `0000/`, `0001/`, …"""

    def __init__(self, folder: Path, digests: dict[str, str] | None = None) -> None:
        self.folder = folder
        self.digests = digests

    def __init_subclass__(cls) -> None:
        assert cls.__name__ not in KINDS or KINDS[cls.__name__].__module__ == cls.__module__, (
            f"two kinds named {cls.__name__}"
        )
        KINDS[cls.__name__] = cls

    def __repr__(self) -> str:
        return f"{type(self).__name__}({self.folder})"

    def files(self) -> list[str]:
        """Paths of the content files, sorted; `_run/` and the manifest are not content."""
        return sorted(path for path in _walk(self.folder) if path != "manifest.json" and not path.startswith(RUN + "/"))

    def path(self, name: str) -> Path:
        return self.folder / name

    def json(self, name: str) -> Any:
        return json.loads((self.folder / name).read_bytes())

    def parts(self, table: str = "") -> list[str]:
        """Names of the parts of a table (default: the main one), sorted."""
        folder = self.folder / (table or self.main)
        return sorted(path.stem for path in folder.iterdir()) if folder.is_dir() else []

    def part_path(self, part: str, table: str = "") -> Path:
        return self.folder / (table or self.main) / f"{part}.parquet"

    def load(self, part: str, table: str = "") -> Any:
        """One part as a part function gets it: a table here; other kinds may say otherwise."""
        return read_table(self.part_path(part, table))

    def paths(self, table: str = "") -> list[Path]:
        """Files of a table, one a part."""
        return [self.part_path(part, table) for part in self.parts(table)]

    def table(self, table: str = "", columns: list[str] | None = None) -> pa.Table:
        """A whole table in memory, parts in order."""
        table = table or self.main
        found = [read_table(path, columns) for path in self.paths(table)]
        if not found:
            schema = self.schemas[table]
            return (pa.schema([schema.field(name) for name in columns]) if columns else schema).empty_table()
        return pa.concat_tables(found)

    def view(self, table: str) -> View:
        """Another table than the main one, to map over."""
        return View(self, table)

    def members(self) -> list[str]:
        """For a set kind: names of the member folders, sorted."""
        return sorted(path.name for path in self.folder.iterdir() if path.is_dir() and path.name != RUN)

    def describe(self) -> dict[str, Any]:
        """What is in it, as few short numbers or words; shown in tables and kept in the manifest."""
        return {"files": len(self.files())}


@dataclass(frozen=True)
class View:
    """One table of an artifact, as an input of `work.map` or `work.sql`."""

    artifact: Artifact
    table: str

    def parts(self) -> list[str]:
        return self.artifact.parts(self.table)

    def load(self, part: str) -> Any:
        return self.artifact.load(part, self.table)

    def path(self, part: str) -> Path:
        return self.artifact.part_path(part, self.table)


def _walk(folder: Path, prefix: str = "") -> Iterator[str]:
    for path in sorted(folder.iterdir()):
        if path.is_dir() and not path.is_symlink():
            yield from _walk(path, f"{prefix}{path.name}/")
        else:
            yield f"{prefix}{path.name}"
