"""A value must not be below a limit."""

from __future__ import annotations

from typing import ClassVar

from allmend.data.rule import Reason, Rule, Verdict, value_at
from allmend.kinds import Field


class AtLeast(Rule):
    """Drops documents whose value is below the limit. A document without the value passes."""

    source: ClassVar[str] = "Rae et al. 2021, Gopher (arXiv 2112.11446), appendix A1.1: thresholds on values"
    keeps: ClassVar[tuple[Verdict, ...]] = ({"quality": {"words": 50}}, {"quality": {"words": None}})
    drops: ClassVar[tuple[Verdict, ...]] = ({"quality": {"words": 49}},)

    value: str = Field("quality.words", pattern=r"^\w+\.\w+$", description="annotator and value, as `quality.words`")
    limit: float = Field(50, description="smallest value kept")

    def needs(self) -> list[str]:
        return [self.value]

    def reasons(self, verdict: Verdict) -> list[Reason]:
        found = value_at(verdict, self.value)
        annotator, _, name = self.value.partition(".")
        return (
            []
            if found is None or found >= self.limit
            else [Reason(annotator, f"{name} at least {self.limit:g}", f"{found:g}")]
        )
