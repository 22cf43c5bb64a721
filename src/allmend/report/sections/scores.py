"""Scores with their intervals, beside chance and general compressors."""

from __future__ import annotations

from typing import Any

from markupsafe import Markup

from allmend.kinds import Evaluation, read_table
from allmend.report.book import Book, Column, Missing, Row, matches
from allmend.report.charts import Dots, dots

KIND = "Evaluation"
FILE = "scores.parquet"
COMPRESSORS = {"gzip": "b", "ppmd": "c"}
"""Metrics that are another program's score on the same text, each with its colour."""
CHANCE = Column("baseline", "score of blind chance", digits=3)
VALUES = (
    Column("value", "score", digits=3),
    Column("low", "lower end of the score's interval", digits=3),
    Column("high", "upper end of the score's interval", digits=3),
    Column("n", "items scored"),
)


def fits(evaluation: Evaluation) -> bool:
    return evaluation.path(FILE).is_file()


def context(book: Book, evaluation: Evaluation) -> dict[str, Any]:
    rows = read_table(evaluation.path(FILE)).to_pylist()
    scored = sorted({(row["task"], row["metric"]) for row in rows if row["metric"] not in COMPRESSORS})
    tasks = [_task(book, evaluation, task, metric, rows) for task, metric in scored]
    return {"headline": [one for task in tasks for one in task["means"][:1]], "tasks": tasks}


def _task(book: Book, evaluation: Evaluation, task: str, metric: str, every: list[Row]) -> dict[str, Any]:
    """One metric of a task: a row a language, and what stands beside it."""
    rows = [row for row in every if row["task"] == task and row["metric"] == metric]
    unit = rows[0]["unit"]
    rivals = [name for name in COMPRESSORS if any(_is(row, task, name) and row["unit"] == unit for row in every)]
    chance = [CHANCE] if any(row["baseline"] is not None for row in rows) else []
    shown = book.rows(evaluation, FILE, "language", [*VALUES, *chance], within={"task": task, "metric": metric})
    for rival in rivals:
        _add(book, evaluation, task, rival, shown)
    beside = [*((rival, rival, COMPRESSORS[rival]) for rival in rivals), *(("baseline", "chance", "d") for _ in chance)]
    points = [
        Dots(
            row["name"] or "all", row["value"].value, row["low"].value, row["high"].value,
            [(row[name].value, css) for name, _, css in beside],
        )
        for row in shown
    ]  # fmt: skip
    legend = [("a", "this model"), *((css, words) for _, words, css in beside)]
    return {
        "name": task,
        "metric": metric,
        "higher_is_better": rows[0]["higher_is_better"],
        "rows": [{**row, "name": row["name"] or Markup("all")} for row in shown],
        "beside": [(name, words) for name, words, _ in beside],
        "chart": dots(points, "Scores with their intervals", legend),
        "means": [_mean(book, evaluation, task, name) for name in (metric, *rivals)] if len(rows) > 1 else [],
        "wins": [_wins(book, evaluation, task, metric, rival) for rival in rivals],
    }


def _is(row: Row, task: str, metric: str) -> bool:
    return bool(row["task"] == task and row["metric"] == metric)


def _add(book: Book, evaluation: Evaluation, task: str, rival: str, shown: list[Row]) -> None:
    """Another program's score of each language, into the rows."""
    column = Column(rival, f"score of {rival}", digits=3, sql="value")
    theirs = book.rows(evaluation, FILE, "language", [column], within={"task": task, "metric": rival})
    of_language = {row["name"]: row[rival] for row in theirs}
    for row in shown:
        row[rival] = of_language.get(row["name"], Missing())


def _mean(book: Book, evaluation: Evaluation, task: str, metric: str) -> Row:
    query = f"SELECT avg(value) FROM source WHERE {matches({'task': task, 'metric': metric})}"
    return {"name": metric, "number": book.ask(evaluation, FILE, query, "mean score over languages", digits=2)}


def _wins(book: Book, evaluation: Evaluation, task: str, metric: str, rival: str) -> Row:
    """In how many languages the model is better than another program."""
    better = "CASE WHEN model.higher_is_better THEN model.value > rival.value ELSE model.value < rival.value END"
    query = (
        f"SELECT count(*) FILTER ({better}) FROM source AS model JOIN source AS rival USING (task, language) "
        f"WHERE {matches({'task': task, 'model.metric': metric, 'rival.metric': rival})}"
    )
    sentence = f"languages in which the model's score is better than that of {rival}"
    return {"name": rival, "number": book.ask(evaluation, FILE, query, sentence, unit="languages")}
