"""Decisions on documents: fates, reasons, opt-outs, licences, languages. From the counts that `data.decide` wrote."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from markupsafe import Markup

from allmend.kinds import Corpus
from allmend.report.book import Book, Column, Row
from allmend.report.charts import Bar, bars

KIND = "Corpus"
FATES, ANNOTATORS, SIGNALS = "counts/fates.parquet", "counts/annotators.parquet", "counts/optouts.parquet"
LICENCES, LANGUAGES = "counts/licences.parquet", "counts/languages.parquet"
SAID = {"keep": "kept as they are", "redact": "kept after redaction", "drop": "dropped"}
CSS = {"keep": "a", "redact": "b", "drop": "d"}
MOST = 24
"""Rows of a table; the rest are in the file."""

DOCUMENTS = Column("documents", "documents", "documents")
KEPT = Column("kept", "documents kept", "documents")
BYTES = Column("bytes", "bytes of text", "bytes")
DROPPED = Column("dropped", "documents dropped", "documents", sql="documents - kept")


def fits(corpus: Corpus) -> bool:
    return corpus.path(FATES).is_file()


def context(book: Book, corpus: Corpus) -> dict[str, Any]:
    fates = book.rows(corpus, FATES, "fate", [DOCUMENTS, BYTES], choose=_in_order)
    reasons = book.rows(corpus, ANNOTATORS, "annotator", [DOCUMENTS], choose=_most("annotator"))
    languages = book.rows(corpus, LANGUAGES, "language", [DOCUMENTS, KEPT, DROPPED, BYTES], choose=_most("language"))
    total = book.ask(corpus, FATES, "SELECT sum(documents) FROM source", "documents decided", unit="documents")
    kept_in = book.ask(
        corpus, LANGUAGES, "SELECT count(*) FROM source WHERE kept > 0", "languages of which a document was kept",
        unit="languages",
    )  # fmt: skip
    return {
        "headline": [
            {"name": Markup("documents decided"), "number": total},
            {"name": Markup("languages kept"), "number": kept_in},
        ],
        "total": total,
        "kept_in": kept_in,
        "fates": [_said(row) for row in fates],
        "fate_chart": bars(
            [Bar(Markup("documents"), [(row["documents"].value, CSS.get(row["name"], "c")) for row in fates])],
            "Documents by fate",
            [(CSS.get(row["name"], "c"), _said(row)["name"]) for row in fates],
        ),
        "reasons": reasons,
        "reason_chart": bars(
            [Bar(row["name"], [(row["documents"].value, "d")]) for row in reasons], "Documents by reason"
        ),
        "signals": book.rows(corpus, SIGNALS, "rule", [DOCUMENTS], choose=_most("rule")),
        "licences": book.rows(corpus, LICENCES, "licence", [DOCUMENTS, KEPT], choose=_most("licence")),
        "languages": languages,
        "language_chart": bars(
            [Bar(row["name"], [(row["kept"].value, "a"), (row["dropped"].value, "d")]) for row in languages],
            "Documents by language",
            [("a", "kept"), ("d", "dropped")],
        ),
    }


def _most(name: str) -> Callable[[list[Row]], list[Row]]:
    """The rows with the most documents, most first, equal ones by name."""
    return lambda rows: sorted(rows, key=lambda row: (-(row["documents"] or 0), row[name] or ""))[:MOST]


def _in_order(rows: list[Row]) -> list[Row]:
    """Fates as `SAID` lists them, others last."""
    return sorted(rows, key=lambda row: ([*SAID, row["fate"]].index(row["fate"]), row["fate"]))


def _said(row: Row) -> Row:
    """A fate in words."""
    return {**row, "name": Markup(SAID[row["name"]]) if row["name"] in SAID else row["name"]}
