"""What a tokenizer costs each language: tokens a byte and a word, and on parallel text the Gini coefficient."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pyarrow as pa

from allmend.kinds.errors import StepFailed


def gini(costs: Sequence[float]) -> float:
    """How unevenly costs are spread: 0 if all are equal, near 1 if one pays everything.

    Args:
        costs: tokens that each language needs for the same text, all > 0.

    Source:
        The Gini coefficient as the Apertus report (arXiv 2509.14233) gives it for tokenizers: with c₁ ≤ … ≤ cₙ,
        (1/n)·[n + 1 − 2·Σ (n + 1 − i)·cᵢ / Σ cᵢ].
    """
    assert costs and min(costs) > 0, costs
    ordered, n = sorted(costs), len(costs)
    weighted = sum((n - index) * cost for index, cost in enumerate(ordered))
    return (n + 1 - 2 * weighted / sum(ordered)) / n


def fertility(tokenizer: Any, sample: Sequence[tuple[str, str]]) -> pa.Table:
    """Documents, bytes, words and tokens of each language of a sample of (language, text).

    A word is what stands between white space, so fertility (tokens a word) says nothing of scripts that write none.
    The texts of two languages aren't the same text here; for that see `parallel_costs`.
    """
    counted: dict[str, list[int]] = {}
    encoded = tokenizer.encode_batch_fast([text for _, text in sample], add_special_tokens=False)
    for (language, text), one in zip(sample, encoded, strict=True):
        row = counted.setdefault(language, [0, 0, 0, 0])
        for index, count in enumerate((1, len(text.encode()), len(text.split()), len(one.ids))):
            row[index] += count
    languages = sorted(counted)
    columns = {
        name: [counted[each][index] for each in languages]
        for index, name in enumerate(("documents", "bytes", "words", "tokens"))
    }
    return pa.table(
        {
            "language": pa.array(languages, pa.string()),
            **{name: pa.array(each, pa.int64()) for name, each in columns.items()},
        }
    )


def parallel_costs(tokenizer: Any, file: Path) -> pa.Table:
    """Tokens a line of parallel text, by language: only articles that every page has, pages of one language averaged.

    Raises:
        StepFailed: a line isn't {base_language, articles: [{number, text}]}, or no article is common to all pages.
    """
    pages = [
        _page(file, number, line)
        for number, line in enumerate(file.read_text(encoding="utf-8").splitlines(), 1)
        if line
    ]
    most = max((len(articles) for _, articles in pages), default=0)
    whole = [(language, articles) for language, articles in pages if len(articles) == most]
    common = sorted(set.intersection(*(set(articles) for _, articles in whole))) if whole else []
    if not common:
        raise StepFailed(f"{file.name}: no article number is common to all pages, so nothing in it is parallel.")
    costs: dict[str, list[float]] = {}
    for language, articles in whole:
        encoded = tokenizer.encode_batch_fast([articles[number] for number in common], add_special_tokens=False)
        costs.setdefault(language, []).append(sum(len(each.ids) for each in encoded) / len(common))
    languages = sorted(costs)
    return pa.table({
        "language": pa.array(languages, pa.string()),
        "pages": pa.array([len(costs[each]) for each in languages], pa.int64()),
        "tokens_per_line": pa.array([sum(costs[each]) / len(costs[each]) for each in languages], pa.float64()),
    })  # fmt: skip


def _page(file: Path, number: int, line: str) -> tuple[str, dict[Any, str]]:
    try:
        value = json.loads(line)
        return value["base_language"], {each["number"]: each["text"] for each in value["articles"]}
    except (ValueError, KeyError, TypeError) as error:
        raise StepFailed(f"{file.name}, line {number}: {{base_language, articles}} is expected ({error}).") from error


def parallel_summary(costs: pa.Table) -> dict[str, Any]:
    """Gini over languages, the dearest language, and its cost in times of English."""
    by_language = dict(zip(costs["language"].to_pylist(), costs["tokens_per_line"].to_pylist(), strict=True))
    by_language.pop("und", None)
    worst = max(sorted(by_language), key=lambda language: by_language[language])
    found: dict[str, Any] = {
        "gini": gini(list(by_language.values())),
        "parallel_languages": len(by_language),
        "worst_language": worst,
    }
    if "en" in by_language:
        found["worst_to_english"] = by_language[worst] / by_language["en"]
    return found
