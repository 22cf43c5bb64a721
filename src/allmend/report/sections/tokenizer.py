"""Fairness of the tokenizer: how much text of each language one token holds."""

from __future__ import annotations

import math
from typing import Any

from markupsafe import Markup

from allmend.kinds import Tokenizer
from allmend.report.book import Asked, Book, Column, Row
from allmend.report.charts import Bar, bars

KIND = "Tokenizer"
FILE = "fertility.parquet"
EACH_END = 12
"""Languages shown at each end of the order; the rest are in the file."""
COLUMNS = (
    Column("bytes_per_token", "bytes a token", "bytes", digits=2, sql="bytes / tokens"),
    Column("fertility", "tokens a word", "tokens", digits=2),
    Column("tokens", "tokens", "tokens"),
)
FIGURES = (
    Column("vocab", "entries of the vocabulary"),
    Column("worst_factor", "tokens a byte of the dearest language, in times of English", digits=2),
    Column("gini", "Gini of tokens a byte over languages", digits=3),
)


def fits(tokenizer: Tokenizer) -> bool:
    return tokenizer.path(FILE).is_file()


def context(book: Book, tokenizer: Tokenizer) -> dict[str, Any]:
    shown = book.rows(tokenizer, FILE, "language", COLUMNS, choose=_ends)
    count = book.ask(tokenizer, FILE, "SELECT count(*) FROM source", "languages measured", unit="languages")
    return {
        "headline": [{"name": Markup("language tags, cost in tokens known"), "number": count}],
        "count": count,
        "all_shown": isinstance(count, Asked) and len(shown) == count.value,
        "languages": shown,
        "figures": book.figures(tokenizer, "summary.json", FIGURES),
        "chart": bars(
            [Bar(row["name"], [(row["bytes_per_token"].value, "a")]) for row in shown],
            "Bytes that one token holds, by language",
        ),
    }


def _ends(rows: list[Row]) -> list[Row]:
    """The languages of which a token holds most, and those of which it holds least, in that order."""
    rows = sorted(rows, key=lambda row: (-(row["bytes"] or 0) / (row["tokens"] or math.inf), row["language"] or ""))
    return rows if len(rows) <= 2 * EACH_END else [*rows[:EACH_END], *rows[-EACH_END:]]
