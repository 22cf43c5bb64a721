"""Scores in the formats of others: lm-eval's results JSON, and Every Eval Ever."""

from __future__ import annotations

import calendar
from collections.abc import Mapping, Sequence
from typing import Any

from allmend.evaluate.suite import Suite

Rows = Sequence[Mapping[str, Any]]


def lm_eval(suite: Suite, rows: Rows, model: Mapping[str, Any]) -> dict[str, Any]:
    """The means as lm-eval 0.4 writes them: `results.<task>.<metric>,none`, and what hangs on it.

    Source:
        lm-evaluation-harness 0.4.13, `lm_eval.evaluator.simple_evaluate`: names and nesting of its results.
    """
    means = {
        name: [row for row in rows if row["task"] == name and row["language"] is None] for name in sorted(suite.tasks)
    }
    return {
        "results": {
            name: {"alias": name, **{f"{row['metric']},none": row["value"] for row in found}} for name, found in means.items()
        },
        "group_subtasks": {},
        "configs": {name: {"task": name, **task.model_dump(mode="json")} for name, task in sorted(suite.tasks.items())},
        "versions": dict.fromkeys(means, 1),
        "n-shot": dict.fromkeys(means, 0),
        "higher_is_better": {name: {row["metric"]: row["higher_is_better"] for row in found} for name, found in means.items()},
        "n-samples": {name: {"original": found[0]["n"], "effective": found[0]["n"]} for name, found in means.items()},
        "config": {"model": "allmend", "model_args": "", "model_num_parameters": model.get("parameters_total"), "batch_size": "auto"},
    }  # fmt: skip


def every_eval_ever(suite: Suite, rows: Rows, model: Mapping[str, Any], digest: str, date: str) -> dict[str, Any]:
    """All scores as an Every Eval Ever record.

    Args:
        digest: what names the model: SHA-256 of its weights.
        date: the recipe's date; the record's time is that day's midnight, since no clock enters an artifact.

    Source:
        EvalEval Coalition, `eval.schema.json`, version 0.2.1: the newest that could be read when this was written.
    """
    time = str(calendar.timegm((*map(int, date.split("-")), 0, 0, 0)))
    name = f"allmend/{model.get('family', 'model')}-{model.get('preset', '')}-{digest[:12]}"
    return {
        "schema_version": "0.2.1",
        "evaluation_id": f"{suite.name}/{name}/{time}",
        "retrieved_timestamp": time,
        "source_metadata": {
            "source_type": "evaluation_run", "source_organization_name": "Allmend", "evaluator_relationship": "first_party",
        },
        "eval_library": {"name": "allmend", "version": "0.1.0"},
        "model_info": {"name": name.partition("/")[2], "id": name},
        "evaluation_results": [_result(suite, row) for row in rows],
    }  # fmt: skip


def _result(suite: Suite, row: Mapping[str, Any]) -> dict[str, Any]:
    language = f"/{row['language']}" if row["language"] else ""
    ends = [row["value"], row["baseline"]]
    details: dict[str, Any] = {"score": row["value"]}
    if row["low"] is not None:
        between = {
            "lower": row["low"],
            "upper": row["high"],
            "confidence_level": 0.95,
            "method": "percentile bootstrap",
        }
        details["uncertainty"] = {"confidence_interval": between, "num_samples": row["n"]}
    return {
        "evaluation_name": f"{row['task']}{language}/{row['metric']}",
        "source_data": {"dataset_name": suite.tasks[row["task"]].data, "source_type": "other"},
        "metric_config": {
            "evaluation_description": f"{row['metric']}, {row['unit']}", "lower_is_better": not row["higher_is_better"],
            "score_type": "continuous", "min_score": 0, "max_score": 1 if row["higher_is_better"] else max(ends),
        },
        "score_details": details,
    }  # fmt: skip
