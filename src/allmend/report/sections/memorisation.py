"""What the model recites of planted passages, by how often it read them. Said as it was found, whatever it is."""

from __future__ import annotations

from typing import Any

from markupsafe import Markup

from allmend.kinds import Findings
from allmend.report.book import Book, Column
from allmend.report.charts import Line, lines

KIND = "Findings"
CURVE, SUMMARY = "curve.parquet", "summary.json"
COLUMNS = (
    Column("repeats", "copies planted of each passage", "copies"),
    Column("realised_mean", "copies that the model read of each passage, on average", "copies", digits=1),
    Column("probes", "passages", "passages"),
    Column("recalled", "passages recited word for word", "passages"),
    Column("recall", "share of passages recited word for word", digits=2),
    Column("low", "lower end of the interval of this share", digits=2),
    Column("high", "upper end of the interval of this share", digits=2),
    Column("matched_share", "longest run recited, as a share of the half asked for", digits=2),
    Column("nats_per_token", "surprise at the half asked for", "nats a token", digits=2),
    Column("nats_low", "lower end of the interval of this surprise", "nats a token", digits=2),
    Column("nats_high", "upper end of the interval of this surprise", "nats a token", digits=2),
)
FOUND = (
    Column("probes", "passages planted", "passages"),
    Column("recalled", "passages recited word for word", "passages"),
    Column("most_repeats", "copies planted of the most repeated passages", "copies"),
    Column("recall_at_most_repeats", "share of the most repeated passages recited word for word", digits=0, style="%"),
    Column("recall_unseen", "share of passages recited that were never planted", digits=0, style="%"),
    Column("nats_per_token_at_most_repeats", "surprise at the most repeated passages", "nats a token", digits=2),
    Column("nats_per_token_at_least_repeats", "surprise at the least repeated passages", "nats a token", digits=2),
    Column("copies_planted", "copies planted in all", "copies"),
    Column("copies_read", "copies that the model read", "copies"),
)


def fits(findings: Findings) -> bool:
    return findings.path(CURVE).is_file()


def context(book: Book, findings: Findings) -> dict[str, Any]:
    rows = book.rows(findings, CURVE, "repeats", COLUMNS)
    asked = book.figures(findings, SUMMARY, FOUND)
    found = {column.name: row["number"] for column, row in zip(FOUND, asked, strict=True)}
    return {
        "headline": [{"name": Markup("planted passages recited"), "number": found["recalled"]}],
        "found": found,
        "none_recalled": found["recalled"].value == 0,
        "order_known": findings.json(SUMMARY)["order_known"],
        "rows": rows,
        "charts": [
            lines(
                [
                    Line(
                        title,
                        [(row["repeats"].value, row[name].value) for row in rows],
                        intervals=[(row["repeats"].value, row[low].value, row[high].value) for row in rows],
                    )
                ],
                title,
                "copies planted of each passage",
                unit,
                at_x=[row["repeats"].value for row in rows],
            )
            for title, unit, name, low, high in (
                ("Share recited word for word", "", "recall", "low", "high"),
                ("Surprise at the half asked for", "nats a token", "nats_per_token", "nats_low", "nats_high"),
            )
        ],
    }
