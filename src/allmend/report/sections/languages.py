"""How languages were found: the page's own `lang`, the detector, and where each is wrong."""

from __future__ import annotations

from typing import Any

from markupsafe import Markup

from allmend.kinds import Verdicts
from allmend.report.book import Book, Number, Row, matches
from allmend.report.charts import Bar, bars

KIND = "Verdicts"
FILE = "counts/languages.parquet"
BASES = {
    "lang": "the page, since the detector doesn't know its language",
    "detector": "the detector, whose score passes",
    "declared": "the page, since the detector's score doesn't pass",
    "und": "neither: it stays unknown",
}


def fits(verdicts: Verdicts) -> bool:
    return verdicts.path(FILE).is_file()


def context(book: Book, verdicts: Verdicts) -> dict[str, Any]:
    def count(where: str, sentence: str) -> Number:
        query = f"SELECT coalesce(sum(documents), 0) FROM source WHERE {where}"
        return book.ask(verdicts, FILE, query, sentence, unit="documents")

    bases: list[Row] = [
        {
            "name": Markup(words),
            "documents": count(matches({"basis": basis}), f"documents whose language comes from {words}"),
        }
        for basis, words in BASES.items()
    ]
    compared = "FROM source WHERE known AND agrees IS NOT NULL"
    return {
        "bases": bases,
        "chart": bars(
            [Bar(basis, [(row["documents"].value, "a")]) for basis, row in zip(BASES, bases, strict=True)],
            "Documents by where their language comes from",
        ),
        "known": count("known AND agrees IS NOT NULL", "documents that declare a language which the detector knows"),
        "unknown": count(
            "NOT known AND agrees IS NOT NULL", "documents that declare a language which the detector doesn't know"
        ),
        "wrong": count(
            "NOT known AND agrees IS NOT NULL AND confident", "of these, documents to which the detector gives a label with a passing score"
        ),
        "accuracy": book.ask(
            verdicts, FILE, f"SELECT sum(documents) FILTER (agrees) / sum(documents) {compared}",
            "share of pages on which detector and page agree, among languages that the detector knows", digits=1, style="%",
        ),
    }  # fmt: skip
