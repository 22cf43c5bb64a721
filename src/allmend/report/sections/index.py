"""The index by which answers are traced to documents."""

from __future__ import annotations

from typing import Any

from allmend.kinds import Index
from allmend.report.book import Book, Column

KIND = "Index"
FILE = "summary.json"
FIGURES = (
    Column("tokens", "tokens searched", "tokens"),
    Column("documents", "documents searched", "documents"),
    Column("withdrawn", "documents withdrawn, and so in no answer", "documents"),
)


def fits(index: Index) -> bool:
    return index.path(FILE).is_file()


def context(book: Book, index: Index) -> dict[str, Any]:
    return {"figures": book.figures(index, FILE, FIGURES)}
