"""Claims: numbers that say where they come from. Read, written, printed and computed again here.

A claim names an artifact by content digest, one of its files, and a query on that file: one DuckDB SELECT over the
table `source` (a Parquet, CSV, JSON or JSONL file's rows), or an RFC 6901 JSON Pointer into a JSON file (it starts
with `/`). `shown.py` checks a report's pages against them.
"""

from __future__ import annotations

import contextlib
import json
import math
import re
import threading
from collections.abc import Iterable
from dataclasses import asdict, dataclass
from decimal import ROUND_HALF_EVEN, Decimal, InvalidOperation, localcontext
from pathlib import Path
from typing import Any

from allmend.kinds import canonical_json, sha256_json
from allmend.kinds.canonical import LARGEST_INTEGER
from allmend.kinds.errors import CheckFailed, DamagedError, NewerFormatError

FORMAT = 1
QUERY_TIMEOUT_S = 60.0
QUERY_MEMORY = "2GB"
Number = int | float

_id = re.compile(r"[A-Za-z][A-Za-z0-9_.:/-]{0,199}").fullmatch
_source = re.compile(r"\bsource\b", re.IGNORECASE).search
_printed = re.compile(
    r"([-−+]?)(\d{1,3}(?:[,\u202f]\d{3})+|\d+)(?:\.(\d+))?(?:e([-+]?\d{1,3}))?[\u00a0\u202f ]?([%kMGBT]?)", re.ASCII
).fullmatch
_scale = {"": 0, "%": -2, "k": 3, "M": 6, "G": 9, "B": 9, "T": 12}


@dataclass(frozen=True)
class Claim:
    """One number of a report, and how to get it again.

    Attributes:
        id: unique in its report; `data-claim` in the page.
        sentence: what is claimed, as a reader would say it.
        value: the number.
        unit: what it counts or measures; empty for a plain share.
        artifact: content digest of the source artifact.
        file: path of the file in it.
        file_sha256: that file's SHA-256.
        query: DuckDB SELECT over `source`, or a JSON Pointer.
        tolerance: largest difference allowed between `value` and the query's result.
        command: what a person types to make the artifact again.
    """

    id: str
    sentence: str
    value: Number
    unit: str
    artifact: str
    file: str
    file_sha256: str
    query: str
    tolerance: Number = 0
    command: str = ""

    @property
    def text(self) -> str:
        """The value as its one canonical text: what the attribute `value` in the page must hold."""
        return canonical_json(self.value).decode()

    def printed(self, digits: int = 0, style: str = "") -> str:
        """The value as a page may print it; see `print_number`."""
        return print_number(self.value, digits, style)


def print_number(value: Number, digits: int = 0, style: str = "") -> str:
    """A number rounded for reading, with `,` between thousands.

    Args:
        digits: digits after the point.
        style: `%` (times 100), `k`, `M`, `G`, `B` or `T` (divided); empty for the number itself.
    """
    with localcontext(prec=60):
        scaled = Decimal(value).scaleb(-_scale[style]).quantize(Decimal(1).scaleb(-digits), ROUND_HALF_EVEN)
    return f"{scaled:,}{style}" if scaled else f"{abs(scaled):,}{style}"


def is_rounding(text: str, value: Number) -> bool:
    """Is a printed text the correct rounding of a value, at the precision it is printed with?

    Ties of the exact binary value go to the even digit, as Python's `format` does.
    """
    match = _printed(text.strip())
    if not match:
        return False
    sign, whole, fraction, exponent, suffix = match.groups()
    fraction = fraction or ""
    shift = int(exponent or 0) + _scale[suffix]
    with localcontext(prec=400):
        shown = Decimal((1 if sign in ("-", "−") else 0, tuple(map(int, re.sub(r"\D", "", whole) + fraction)), 0))
        shown = shown.scaleb(shift - len(fraction))
        try:
            exact = Decimal(value).quantize(Decimal(1).scaleb(shift - len(fraction)), ROUND_HALF_EVEN)
        except InvalidOperation:
            return False
        return exact == shown


# --- claims.json ---


def write_claims(path: Path, claims: Iterable[Claim]) -> None:
    """Write `claims.json`: canonical JSON, sorted by id, sealed with a hash: no digit can change unseen.

    Raises:
        CheckFailed: an id is used twice, or a claim isn't well-formed.
    """
    rows = [asdict(claim) for claim in sorted(claims, key=lambda claim: claim.id)]
    for row in rows:
        _parse(row, path)
    if len({row["id"] for row in rows}) < len(rows):
        raise CheckFailed(f"{path}: two claims have the same id.")
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(canonical_json({"format": FORMAT, "claims": rows, "sha256": sha256_json(rows)}) + b"\n")


def read_claims(path: Path) -> dict[str, Claim]:
    """Claims by id.

    Raises:
        DamagedError: it can't be read, or isn't byte for byte what `write_claims` wrote.
        NewerFormatError: written by a newer Allmend.
    """
    try:
        data = path.read_bytes()
        value = json.loads(data, parse_int=_parse_int)
        if isinstance(value.get("format"), int) and value["format"] > FORMAT:
            raise NewerFormatError(
                f"{path}: format {value['format']}; this Allmend reads {FORMAT}. Install a newer one."
            )
        rows = value["claims"]
        claims = [_parse(row, path) for row in rows]
        whole = canonical_json({"format": FORMAT, "claims": rows, "sha256": sha256_json(rows)}) + b"\n" == data
    except (OSError, ValueError, KeyError, TypeError, AttributeError, RecursionError) as error:
        raise DamagedError(f"{path}: these claims can't be read ({error}).") from error
    if not whole or len({claim.id for claim in claims}) < len(claims):
        raise DamagedError(f"{path}: it was changed after it was written; its seal `sha256` doesn't fit.")
    return {claim.id: claim for claim in claims}


def _parse_int(digits: str) -> Number:
    """A whole number. Canonical JSON writes the double 1e18 without a point too; beyond ±2⁵³ it can only be one."""
    whole = int(digits)
    return whole if abs(whole) <= LARGEST_INTEGER else float(whole)


def _parse(row: dict[str, Any], path: Path) -> Claim:
    claim = Claim(**row)
    texts = (
        claim.id,
        claim.sentence,
        claim.unit,
        claim.artifact,
        claim.file,
        claim.file_sha256,
        claim.query,
        claim.command,
    )
    fine = all(isinstance(text, str) for text in texts) and bool(_id(claim.id))
    for number in (claim.value, claim.tolerance):
        fine = fine and type(number) in (int, float) and math.isfinite(number)
        fine = fine and (isinstance(number, float) or abs(number) <= LARGEST_INTEGER)
    if not fine or claim.tolerance < 0:
        raise DamagedError(f"{path}: the claim {str(row.get('id'))[:80]!r} isn't well-formed: {str(row)[:200]}")
    return claim


# --- computing again ---


def recompute(claim: Claim, file: Path) -> Number | Decimal:
    """What the claim's query gives on the source file now; raises as `Source.ask`."""
    with contextlib.closing(Source(file)) as source:
        return source.ask(claim)


class Source:
    """A source file, opened once for all claims on it. Close it after use.

    A query sees one table, `source`, and nothing else: no other file, no network, no extension.
    """

    def __init__(self, file: Path) -> None:
        self.file = file
        self._value: Any = None
        self._connection: Any = None

    def ask(self, claim: Claim) -> Number | Decimal:
        """The number that a claim's query gives.

        Raises:
            CheckFailed: the query isn't one SELECT over `source` or a pointer, fails, or gives anything but one number.
        """
        result = self._pointed(claim) if claim.query.startswith("/") else self._selected(claim)
        if isinstance(result, bool) or not isinstance(result, int | float | Decimal) or not math.isfinite(result):
            raise CheckFailed(f"claim {claim.id}: the query gives {str(result)[:80]!r}, which isn't a number.")
        return result

    def close(self) -> None:
        if self._connection is not None:
            self._connection.close()
            self._connection = None

    def _pointed(self, claim: Claim) -> Any:
        try:
            if self._value is None:
                self._value = json.loads(self.file.read_bytes())
            return _follow(self._value, claim.query)
        except (OSError, ValueError, KeyError, IndexError, RecursionError) as error:
            raise CheckFailed(f"claim {claim.id}: {claim.query} leads nowhere in {claim.file} ({error!r}).") from error

    def _selected(self, claim: Claim) -> Any:
        statement = _statement(claim)
        try:
            if self._connection is None:
                self._connection = _connect(_rows(self.file))
            watchdog = threading.Timer(QUERY_TIMEOUT_S, self._connection.interrupt)
            watchdog.start()
            try:
                rows = self._connection.execute(statement).fetchmany(2)
            finally:
                watchdog.cancel()
        except Exception as error:
            raise CheckFailed(f"claim {claim.id}: the query fails: {str(error)[:300]}") from error
        if len(rows) != 1 or len(rows[0]) != 1:
            raise CheckFailed(f"claim {claim.id}: the query must give one row of one column.")
        return rows[0][0]


def agrees(claim: Claim, result: Number | Decimal) -> bool:
    """Does a recomputed result stand by the claim's value, within its tolerance?"""
    with localcontext(prec=400):
        return abs(Decimal(result) - Decimal(claim.value)) <= Decimal(claim.tolerance) or float(result) == claim.value


def _follow(value: Any, pointer: str) -> Any:
    """What an RFC 6901 JSON Pointer leads to; KeyError or IndexError where it leads nowhere."""
    for part in pointer.split("/")[1:]:
        part = part.replace("~1", "/").replace("~0", "~")
        if isinstance(value, list) and re.fullmatch(r"0|[1-9][0-9]{0,17}", part):
            value = value[int(part)]
        elif isinstance(value, dict):
            value = value[part]
        else:
            raise KeyError(part)
    return value


def _connect(rows: Any) -> Any:
    """A DuckDB in memory that can see `rows` as `source` and reach nothing else."""
    import duckdb

    connection = duckdb.connect(
        ":memory:", config={"autoinstall_known_extensions": False, "autoload_known_extensions": False}
    )
    connection.register("source", rows)
    for setting in (
        "python_enable_replacements = false",
        f"memory_limit = '{QUERY_MEMORY}'",
        "threads = 1",
        "temp_directory = ''",
        "enable_external_access = false",
        "lock_configuration = true",
    ):
        connection.execute(f"SET {setting}")
    return connection


def _statement(claim: Claim) -> Any:
    import duckdb

    try:
        statements: list[Any] = duckdb.extract_statements(claim.query)
    except duckdb.Error as error:
        raise CheckFailed(f"claim {claim.id}: the query can't be parsed: {str(error)[:300]}") from error
    if len(statements) != 1 or statements[0].type != duckdb.StatementType.SELECT or not _source(claim.query):
        raise CheckFailed(
            f"claim {claim.id}: the query must be one SELECT over the table `source`: {claim.query[:200]}"
        )
    return statements[0]


def _rows(file: Path) -> Any:
    """A file's rows, for DuckDB to see as `source`; Parquet is read lazily."""
    import pyarrow.dataset

    if file.suffix == ".parquet":
        return pyarrow.dataset.dataset(file, format="parquet")
    if file.suffix == ".csv":
        return pyarrow.dataset.dataset(file, format="csv")
    if file.suffix == ".jsonl":
        return pyarrow.dataset.dataset(file, format="json")
    value = json.loads(file.read_bytes())
    return pyarrow.Table.from_pylist(value if isinstance(value, list) else [value])
