"""Which of many languages a text is in, told by the model's likelihood alone."""

from __future__ import annotations

from pathlib import Path
from typing import Any, ClassVar

import numpy as np

from allmend.evaluate.items import checked, read_pages
from allmend.evaluate.kinds import Kind, Outcome
from allmend.evaluate.statistics import interval
from allmend.kinds import BOD, Field
from allmend.kinds.errors import StepFailed


class LanguageIdentification(Kind):
    """Share of texts that are likeliest after a beginning in their own language. Chance is 1 / languages.

    For each language the first held-out article of its first page, cut to `context_tokens`, is the context. Items are
    the beginnings of the next `items` articles of the same page, cut to `target_tokens`. An item is scored after each
    language's context, BoD before it; the language under which it is likeliest is the answer (the first of equals).
    The bootstrap resamples languages.
    """

    source: ClassVar[str] = (
        "ours; scoring a continuation by its log-likelihood as in Gao et al. 2021, lm-evaluation-harness"
    )
    metric: ClassVar[str] = "accuracy"

    languages: list[str] = Field(min_length=2, description="base languages to choose among")
    items: int = Field(2, gt=0, description="texts a language")
    context_tokens: int = Field(40, gt=0, description="tokens of the beginning that tells the language")
    target_tokens: int = Field(48, gt=0, description="tokens of the text that is scored")

    def forward_tokens(self) -> int:
        """Each item after each language's beginning."""
        return len(self.languages) ** 2 * self.items * (self.context_tokens + self.target_tokens)

    def run(self, loaded: Any, file: Path, rng: np.random.Generator) -> Outcome:
        """Score every item under every language."""
        from allmend.model import log_probabilities

        if self.context_tokens + self.target_tokens + 1 > loaded.shape.context:
            raise StepFailed(
                f"language_identification reads {self.context_tokens} + {self.target_tokens} tokens and BoD, and the model's "
                f"context is {loaded.shape.context}. Make them shorter in the suite."
            )
        beginnings, items = self._items(loaded, file)
        out = Outcome()
        for language, target in items:
            sequences = [[BOD, *beginning, *target] for beginning in beginnings.values()]
            nats = checked(
                log_probabilities(loaded, sequences), [f"an item in {language} after {each}" for each in beginnings]
            )
            scores = {
                each: float(part[-len(target) :].astype(np.float64).sum())
                for each, part in zip(beginnings, nats, strict=True)
            }
            answer = max(scores, key=lambda each: scores[each])
            out.samples.append(
                {
                    "language": language,
                    "answer": answer,
                    "tokens": len(target),
                    "nats": -scores[language],
                    "nats_of_answer": -scores[answer],
                }
            )
        right = np.array([row["language"] == row["answer"] for row in out.samples], float)
        clusters = np.array([list(beginnings).index(row["language"]) for row in out.samples])
        low, high = interval(right, np.ones(len(right)), clusters, rng)
        out.rows.append({
            "language": None, "metric": self.metric, "value": float(right.mean()), "low": low, "high": high, "n": len(right),
            "unit": "share", "baseline": 1 / len(beginnings), "higher_is_better": True,
        })  # fmt: skip
        return out

    def _items(self, loaded: Any, file: Path) -> tuple[dict[str, list[int]], list[tuple[str, list[int]]]]:
        """Context tokens of each language, and the items as (language, tokens)."""
        beginnings: dict[str, list[int]] = {}
        items = []
        for language, pages in read_pages(file, self.languages).items():
            articles = [each for each in pages[0].articles if each.strip()]
            if len(articles) < 2:
                raise StepFailed(
                    f"{file.name}: the page {pages[0].code} has {len(articles)} articles; two are needed for `{language}`."
                )
            encoded = [each.ids for each in loaded.tokenizer.encode_batch_fast(articles, add_special_tokens=False)]
            beginnings[language] = encoded[0][: self.context_tokens]
            items += [(language, tokens[: self.target_tokens]) for tokens in encoded[1 : 1 + self.items]]
        return beginnings, items
