"""A value must not be above a limit."""

from __future__ import annotations

from typing import ClassVar

from allmend.data.rule import Reason, Rule, Verdict, value_at
from allmend.kinds import Field


class AtMost(Rule):
    """Drops documents whose value is above the limit. A document without the value passes."""

    source: ClassVar[str] = "Rae et al. 2021, Gopher (arXiv 2112.11446), appendix A1.1: thresholds on values"
    keeps: ClassVar[tuple[Verdict, ...]] = ({"toxicity": {"score": 0.04}}, {"toxicity": {"score": None}})
    drops: ClassVar[tuple[Verdict, ...]] = ({"toxicity": {"score": 0.05}},)

    value: str = Field("toxicity.score", pattern=r"^\w+\.\w+$", description="annotator and value, as `toxicity.score`")
    limit: float = Field(0.04, description="largest value kept")

    def needs(self) -> list[str]:
        return [self.value]

    def reasons(self, verdict: Verdict) -> list[Reason]:
        found = value_at(verdict, self.value)
        annotator, _, name = self.value.partition(".")
        return (
            []
            if found is None or found <= self.limit
            else [Reason(annotator, f"{name} at most {self.limit:g}", f"{found:g}")]
        )
