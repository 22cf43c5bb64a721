"""`evaluate.run`: a suite on a model."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any

import pyarrow as pa

from allmend.evaluate.exports import every_eval_ever, lm_eval
from allmend.evaluate.suite import Suite, load_suite
from allmend.kinds import (
    Config,
    Date,
    Estimate,
    Evaluation,
    Field,
    InputFile,
    InputFiles,
    Model,
    Work,
    sha256_file,
    write_json,
    write_jsonl,
    write_table,
)

SCORES = pa.schema([
    ("task", pa.string()), ("language", pa.string()), ("metric", pa.string()), ("value", pa.float64()), ("low", pa.float64()),
    ("high", pa.float64()), ("n", pa.int64()), ("unit", pa.string()), ("baseline", pa.float64()), ("higher_is_better", pa.bool_()),
])  # fmt: skip
FLOPS_A_SECOND = 4e9
"""Of one CPU thread on a model of about 1 M parameters; a guess for `plan`."""


class RunConfig(Config):
    """Which suite, on which data."""

    suite: InputFile = Field(description="YAML file with the tasks")
    data: InputFiles = Field(description="the files that the suite's tasks name")
    date: Date = Field(description="date of the exported records; the recipe's")


def cost(config: RunConfig, inputs: dict[str, Estimate]) -> Estimate:
    """Forward passes only: 2 FLOPs a parameter and token."""
    suite, _ = load_suite(config.suite, config.data)
    tokens = sum(task.forward_tokens() for task in suite.tasks.values())
    flops = 2.0 * tokens * inputs["model"].parameters.get("active", 0)
    return Estimate(flops=flops, seconds=flops / FLOPS_A_SECOND)


def run(config: RunConfig, model: Model, work: Work) -> Evaluation:
    """Score a model on every task of a suite; scores with intervals, samples, and the same in others' formats."""
    import torch

    from allmend.model import load_model

    torch.set_num_threads(1)  # sums in another order are other digits
    suite, paths = load_suite(config.suite, config.data)
    loaded = load_model(model.folder)
    rows: list[dict[str, Any]] = []
    with work.progress("score", len(suite.tasks), "tasks") as bar:
        for name, task in sorted(suite.tasks.items()):
            found = task.run(loaded, paths[task.data], work.rng(name))
            rows += [{"task": name, **row} for row in found.rows]
            write_jsonl(work.folder / "samples" / f"{name}.jsonl", found.samples)
            bar.advance()
    rows.sort(key=lambda row: (row["task"], row["metric"], row["language"] or ""))
    write_table(work.folder / "scores.parquet", pa.Table.from_pylist(rows, SCORES))
    summary = _summary(suite, rows)
    write_json(work.folder / "summary.json", summary)
    _export(work.folder, model, suite, rows, config.date)
    return Evaluation(work.folder)


def _summary(suite: Suite, rows: list[dict[str, Any]]) -> dict[str, Any]:
    """The mean of each task, by `<task>.<metric>`."""
    means = {f"{row['task']}.{row['metric']}": row["value"] for row in rows if row["language"] is None}
    assert all(math.isfinite(value) for value in means.values()), means
    return {"suite": suite.name, "tasks": len(suite.tasks), **means}


def _export(folder: Path, model: Model, suite: Suite, rows: list[dict[str, Any]], date: str) -> None:
    described = model.json("summary.json") if model.path("summary.json").is_file() else {}
    digest = (model.digests or {}).get("model.safetensors") or sha256_file(model.path("model.safetensors"))
    write_json(folder / "lm_eval.json", lm_eval(suite, rows, described))
    write_json(folder / "every_eval_ever.json", every_eval_ever(suite, rows, described, digest, date))
