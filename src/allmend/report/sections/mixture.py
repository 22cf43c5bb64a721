"""How much of what the model reads."""

from __future__ import annotations

from typing import Any

from allmend.kinds import Mixture
from allmend.report.book import Book, Row, pointer
from allmend.report.charts import Bar, bars

KIND = "Mixture"
FILE = "mixture.json"


def fits(mixture: Mixture) -> bool:
    return bool(mixture.weights())


def context(book: Book, mixture: Mixture) -> dict[str, Any]:
    rows = [_row(book, mixture, domain) for domain in mixture.weights()]
    rows.sort(key=lambda row: (-row["share"].value, row["name"]))
    chart = bars(
        [Bar(row["name"], [(row["share"].value * 100, "a")]) for row in rows], "Share of each domain, in percent"
    )
    return {"law": mixture.json(FILE).get("law", ""), "domains": rows, "chart": chart}


def _row(book: Book, mixture: Mixture, domain: str) -> Row:
    sentence = "share of the samples that come from a domain"
    return {
        "name": domain,
        "share": book.ask(mixture, FILE, pointer("weights", domain), sentence, digits=2, style="%"),
        "tokens": book.ask(mixture, FILE, pointer("tokens", domain), "tokens that a domain has", unit="tokens"),
    }
