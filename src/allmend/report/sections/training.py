"""The run: its size, its curves, what it read of each domain."""

from __future__ import annotations

from typing import Any

from allmend.kinds import Model, read_table
from allmend.report.book import Book, Column, Row
from allmend.report.charts import Line, lines

KIND = "Model"
METRICS, DOMAINS = "metrics.parquet", "domains.parquet"
SAMPLED = 12
"""Rows of the table beside the curves; all steps are in the file."""
SMALL = 50_000_000
"""Parameters. The smallest models known to write fluent text of any kind have some millions, on children's stories
alone (Eldan and Li 2023, TinyStories, arXiv 2305.07759); on the open web it takes far more."""
FIGURES = (
    Column("parameters_total", "parameters", "parameters"),
    Column("parameters_non_embedding", "of them besides the embeddings", "parameters"),
    Column("tokens", "tokens read", "tokens"),
    Column("steps", "steps", "steps"),
    Column("final_loss", "nats a token, the loss at the end", "nats a token", digits=3),
)
STEP = (
    Column("step", "number of a step"),
    Column("loss", "loss", "nats a token", digits=3),
    Column("lr", "learning rate", digits=5),
    Column("grad_norm", "gradient norm", digits=2),
)
DOMAIN = (
    Column("samples", "samples read", "samples"),
    Column("epochs", "times read", "epochs", digits=2),
    Column("loss", "loss over the last quarter of the run", "nats a token", digits=3),
)


def fits(model: Model) -> bool:
    return model.path(METRICS).is_file()


def context(book: Book, model: Model) -> dict[str, Any]:
    rows = read_table(model.path(METRICS), ["step", "loss", "lr"]).sort_by("step").to_pylist()
    summary, figures = model.json("summary.json"), book.figures(model, "summary.json", FIGURES)
    return {
        "headline": [row for row in figures if row["name"] in ("parameters", "tokens read")],
        "family": summary.get("family", ""),
        "preset": summary.get("preset", ""),
        "small": summary.get("parameters_total", SMALL) < SMALL,
        "figures": figures,
        "charts": [
            lines([Line(name, [(row["step"], _number(row[name])) for row in rows])], title, "step", unit)
            for name, title, unit in (("loss", "Loss", "nats a token"), ("lr", "Learning rate", ""))
        ],
        "steps": book.rows(model, METRICS, "step", STEP, choose=_sampled),
        "evidence": f"evidence/{book.digest(model)}/{METRICS}",
        "domains": book.rows(model, DOMAINS, "domain", DOMAIN) if model.path(DOMAINS).is_file() else [],
    }


def _sampled(rows: list[Row]) -> list[Row]:
    """A few steps at equal distances, the first and the last among them."""
    rows = sorted(rows, key=lambda row: row["step"])
    places = {index * (len(rows) - 1) // (SAMPLED - 1) for index in range(SAMPLED)}
    return [rows[place] for place in sorted(places)] if rows else []


def _number(value: float | None) -> float:
    return float("nan") if value is None else value
