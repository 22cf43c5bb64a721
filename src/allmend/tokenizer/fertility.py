"""What a tokenizer costs each language: tokens per byte and per word, Gini over languages, the worst against English."""

from __future__ import annotations

import fnmatch
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from statistics import median
from typing import Any

import pyarrow as pa

FERTILITY = pa.schema([
    ("language", pa.string()), ("pages", pa.int64()), ("bytes", pa.int64()), ("words", pa.int64()), ("tokens", pa.int64()),
    ("tokens_per_byte", pa.float64()), ("fertility", pa.float64()), ("parallel_pages", pa.int64()),
    ("tokens_per_parallel_page", pa.float64()),
])  # fmt: skip
NO_LANGUAGES = ("und", "mul", "zxx")
"""Tags of BCP 47 for no, several or an unknown language: rows of the table, but no languages in Gini."""
FRAGMENT = 0.1
"""A page of the parallel set with less than this share of the median page's bytes is only a piece of its text."""


@dataclass
class Page:
    """Lengths of one document."""

    language: str
    host: str
    bytes: int
    words: int
    tokens: int


@dataclass
class Language:
    """Sums over the pages of one language tag."""

    pages: int = 0
    bytes: int = 0
    words: int = 0
    tokens: int = 0
    parallel: list[int] = field(default_factory=list)

    def row(self, language: str) -> dict[str, Any]:
        return {
            "language": language, "pages": self.pages, "bytes": self.bytes, "words": self.words, "tokens": self.tokens,
            "tokens_per_byte": self.tokens / self.bytes if self.bytes else None,
            "fertility": self.tokens / self.words if self.words else None,
            "parallel_pages": len(self.parallel),
            "tokens_per_parallel_page": sum(self.parallel) / len(self.parallel) if self.parallel else None,
        }  # fmt: skip


def measure(pages: Iterable[Page], parallel: str | None) -> list[dict[str, Any]]:
    """One row a language, sorted by tag: schema FERTILITY.

    Args:
        parallel: glob over hosts whose pages are translations of one text; None: no page is.
    """
    pages = list(pages)
    same = [page for page in pages if parallel is not None and fnmatch.fnmatchcase(page.host, parallel)]
    least = FRAGMENT * median(page.bytes for page in same) if same else 0
    found: dict[str, Language] = {}
    for page in pages:
        language = found.setdefault(page.language, Language())
        language.pages += 1
        language.bytes += page.bytes
        language.words += page.words
        language.tokens += page.tokens
    for page in same:
        if page.bytes >= least:
            found[page.language].parallel.append(page.tokens)
    return [found[tag].row(tag) for tag in sorted(found)]


def gini(costs: Iterable[float]) -> float:
    """How unequal costs are: 0 if all are the same, (n − 1)/n if one bears all. With costs c₁ ≤ … ≤ cₙ it is
    (n + 1 − 2·Σ(n + 1 − i)·cᵢ / Σcᵢ) / n.

    Raises:
        ValueError: no costs, or none above zero.

    Source:
        Gini 1912; as a measure of tokenizers Foroutan et al. 2025, Parity-aware byte-pair encoding (arXiv 2508.04796).

    >>> gini([1, 1, 1]), gini([0, 0, 0, 8])
    (0.0, 0.75)
    """
    ranked = sorted(costs)
    count, total = len(ranked), sum(ranked)
    if not total > 0:
        raise ValueError(f"Gini of {count} costs that sum to {total}")
    return (count + 1 - 2 * sum((count - rank) * cost for rank, cost in enumerate(ranked)) / total) / count


def fairness(rows: list[dict[str, Any]], column: str) -> dict[str, Any]:
    """Gini over languages, and the worst language's cost over the English, for one column of costs.

    Returns:
        `languages`, `gini`, `worst_language`, `worst_factor`; the factor is None without an English row. Empty without
        costs.
    """
    costs: Mapping[str, float] = {
        row["language"]: row[column]
        for row in rows
        if row[column] and row["language"].split("-")[0] not in NO_LANGUAGES
    }
    if not costs:
        return {}
    worst = max(costs, key=lambda language: (costs[language], language))
    english = costs.get("en")
    factor = costs[worst] / english if english else None
    return {"languages": len(costs), "gini": gini(costs.values()), "worst_language": worst, "worst_factor": factor}
