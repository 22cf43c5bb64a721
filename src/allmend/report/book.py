"""`Book`: the claims of a report. A number enters a page only through it, asked from a source file by a query."""

from __future__ import annotations

import math
import re
import shutil
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from decimal import Decimal
from pathlib import Path
from types import MappingProxyType
from typing import Any

from markupsafe import Markup

from allmend.kinds import Artifact, content_digest, read_table, sha256_file
from allmend.kinds.canonical import LARGEST_INTEGER
from allmend.kinds.errors import CheckFailed
from allmend.ledger import Claim, Source, print_number, write_claims

EVIDENCE = "evidence"
LONGEST = 15
"""Digits after the point that a page prints at most."""
Row = dict[str, Any]
_not_slug = re.compile(r"[^A-Za-z0-9_.-]+")


@dataclass(frozen=True)
class Column:
    """What is asked of each row of a table, how a reader would say it, and how it is printed."""

    name: str
    sentence: str
    """Without digits: the page of claims prints it."""
    unit: str = ""
    digits: int = 0
    style: str = ""
    sql: str = ""
    """An expression over the file's columns; the column of that name if empty."""


@dataclass(frozen=True)
class Asked:
    """A number as pages use it: its claim, and how it is printed."""

    claim: Claim
    printed: str

    @property
    def value(self) -> float:
        """For lengths and places in a chart."""
        return float(self.claim.value)

    def __html__(self) -> Markup:
        """The number as text, linked to its line on the page of claims."""
        return Markup('<a class="n" href="claims.html#{}">{}</a>').format(self.claim.id, self.plain)

    @property
    def plain(self) -> Markup:
        """The number without the link."""
        template = '<data class="claim" value="{}" data-claim="{}">{}</data>'
        return Markup(template).format(self.claim.text, self.claim.id, self.printed)


@dataclass(frozen=True)
class Missing:
    """Where a source has no number (NULL, NaN, a division by zero). Pages show a dash, charts leave it out."""

    value: float = math.nan

    def __html__(self) -> Markup:
        return Markup('<abbr class="none" title="no value">–</abbr>')


Number = Asked | Missing


class Book:
    """Collects claims while pages are written. Close it after use.

    Args:
        command: what a person types to make all sources again.
    """

    def __init__(self, command: str) -> None:
        self.command = command
        self.claims: dict[str, Claim] = {}
        self.files: dict[tuple[str, str], Path] = {}
        self.kinds: dict[str, str] = {}
        self._names: dict[Claim, str] = {}
        self._sources: dict[Path, Source] = {}
        self._digests: dict[Path, str] = {}
        self._count: dict[str, int] = {}

    def ask(
        self,
        artifact: Artifact,
        file: str,
        query: str,
        sentence: str,
        *,
        unit: str = "",
        digits: int = 0,
        style: str = "",
    ) -> Number:
        """A number of an artifact's file.

        Args:
            query: one DuckDB SELECT over `source`, or a JSON Pointer.
            sentence: what is claimed; without digits, save in what `label` made of a name.
            digits, style: how it is printed (`allmend.ledger.print_number`).

        Raises:
            CheckFailed: the query fails, or gives anything but a number or none.
        """
        path, digest = artifact.path(file), self.digest(artifact)
        claim = Claim("", sentence, 0, unit, digest, file, self._file_digest(artifact, file), query, 0, self.command)
        source = self._sources.setdefault(path, Source(path))
        try:
            value = _plain(source.ask(claim))
        except CheckFailed:
            if _is_missing(source, claim, artifact):
                return Missing()
            raise
        claim = self._named(replace(claim, value=value))
        self.files[digest, file] = path
        self.kinds[digest] = type(artifact).__name__
        return Asked(claim, print_number(value, digits, style))

    def rows(
        self,
        artifact: Artifact,
        file: str,
        key: str,
        columns: Sequence[Column],
        *,
        within: Mapping[str, str | int | None] = MappingProxyType({}),
        choose: Callable[[list[Row]], list[Row]] | None = None,
    ) -> list[Row]:
        """The numbers of a table, one claim a cell.

        Args:
            key: the column that tells rows apart.
            within: only rows that hold these values.
            choose: which of the file's rows to show, in which order; all, sorted by the key, if not given.

        Returns:
            Dicts of `name`, the key as it is in the file, and the columns' numbers.
        """
        every: list[Row] = read_table(artifact.path(file)).to_pylist()
        found = [row for row in every if all(row[name] == value for name, value in within.items())]
        made = []
        for row in choose(found) if choose else sorted(found, key=lambda row: (row[key] is not None, row[key])):
            one = matches({**within, key: row[key]})
            numbers = {
                column.name: self.ask(
                    artifact, file, f"SELECT {column.sql or column.name} FROM source WHERE {one}",
                    f"{column.sentence}, {key.replace('_', ' ')} {label(row[key])}",
                    unit=column.unit, digits=column.digits, style=column.style,
                )
                for column in columns
            }  # fmt: skip
            made.append({"name": row[key], **numbers})
        return made

    def figures(self, artifact: Artifact, file: str, columns: Sequence[Column]) -> list[Row]:
        """The numbers at the top of a JSON file, each with its sentence as `name`; what the file lacks is left out."""
        there = artifact.json(file)
        return [
            {
                "name": Markup(column.sentence),
                "number": self.ask(
                    artifact, file, pointer(column.name), column.sentence,
                    unit=column.unit, digits=column.digits, style=column.style,
                ),
            }
            for column in columns
            if column.name in there
        ]  # fmt: skip

    def digest(self, artifact: Artifact) -> str:
        """Content digest of an artifact, from its files' hashes."""
        if artifact.folder not in self._digests:
            self._digests[artifact.folder] = content_digest(
                (path, artifact.path(path).stat().st_size, self._file_digest(artifact, path))
                for path in artifact.files()
            )
        return self._digests[artifact.folder]

    def write(self, folder: Path) -> None:
        """`claims.json`, and a copy of each source file in `evidence/`: the report can be checked without a ledger."""
        write_claims(folder / "claims.json", self.claims.values())
        for (digest, file), path in sorted(self.files.items()):
            target = folder / EVIDENCE / digest / file
            target.parent.mkdir(parents=True, exist_ok=True)
            shutil.copyfile(path, target)

    def close(self) -> None:
        for source in self._sources.values():
            source.close()

    def _named(self, claim: Claim) -> Claim:
        """With an id: short, and the same in every build. What is asked twice is one claim."""
        if claim not in self._names:
            stem = f"c{claim.artifact[:8]}.{_not_slug.sub('-', claim.file)}"
            self._count[stem] = self._count.get(stem, 0) + 1
            self._names[claim] = f"{stem}.{self._count[stem]}"
        named = replace(claim, id=self._names[claim])
        self.claims[named.id] = named
        return named

    def _file_digest(self, artifact: Artifact, file: str) -> str:
        known = artifact.digests or {}
        return known[file] if file in known else sha256_file(artifact.path(file))


def exact(value: int | float) -> str:
    """A value as the page of claims prints it: whole, or with six digits from the first that isn't zero."""
    if isinstance(value, int) or not value:
        return print_number(value)
    return print_number(value, min(max(0, 5 - math.floor(math.log10(abs(value)))), LONGEST))


# --- asking ---


def quoted(value: str | int) -> str:
    """A text or whole number as an SQL literal."""
    return str(value) if isinstance(value, int) else "'" + value.replace("'", "''") + "'"


def matches(columns: Mapping[str, str | int | None]) -> str:
    """An SQL condition: each of these columns holds this value."""
    return " AND ".join(
        f"{name} IS NULL" if value is None else f"{name} = {quoted(value)}" for name, value in columns.items()
    )


def pointer(*names: str) -> str:
    """An RFC 6901 JSON Pointer to a value under these names."""
    return "".join("/" + name.replace("~", "~0").replace("/", "~1") for name in names)


def label(name: str | int | None) -> str:
    """A name from the data within a sentence: in backticks, which the page of claims prints as code."""
    return "`" + ("none" if name is None else str(name).replace("`", "'")) + "`"


def _is_missing(source: Source, claim: Claim, artifact: Artifact) -> bool:
    """Is there no number because the source says so, and not because the query is wrong?"""
    if claim.query.startswith("/"):
        found: Any = artifact.json(claim.file)
        for name in claim.query.split("/")[1:]:
            found = found.get(name.replace("~1", "/").replace("~0", "~"), "") if isinstance(found, Mapping) else ""
        return found is None
    numbers = f"SELECT count(*) FROM ({claim.query}) AS asked(number) WHERE isfinite(CAST(number AS DOUBLE))"
    return source.ask(replace(claim, query=numbers)) == 0


def _plain(result: int | float | Decimal) -> int | float:
    """A query's result as a claim holds it: DuckDB gives sums as decimals, and JSON's integers end at ±2⁵³."""
    if isinstance(result, Decimal):
        result = int(result) if result == result.to_integral_value() else float(result)
    return result if isinstance(result, float) or abs(result) <= LARGEST_INTEGER else float(result)
