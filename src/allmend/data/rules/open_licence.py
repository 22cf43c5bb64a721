"""The page stands under a licence of the list."""

from __future__ import annotations

import re
from typing import ClassVar

from allmend.data.rule import Reason, Rule, Verdict
from allmend.kinds import Field


class OpenLicence(Rule):
    """Drops documents whose licence isn't listed. `unknown` is a licence too: list it to keep pages that name none."""

    source: ClassVar[str] = "Open Definition 2.1, conformant licences (opendefinition.org)"
    keeps: ClassVar[tuple[Verdict, ...]] = ({"licence": {"label": "CC-BY-4.0", "evidence": "u"}},)
    drops: ClassVar[tuple[Verdict, ...]] = (
        {"licence": {"label": "CC-BY-NC-4.0", "evidence": "u"}},
        {"licence": {"label": "unknown", "evidence": None}},
    )

    allowed: list[str] = Field(
        ["CC0-1.0", "CC-BY-*"], min_length=1, description="SPDX ids; `CC-BY-*` is every version of that licence"
    )

    def needs(self) -> list[str]:
        return ["licence"]

    def reasons(self, verdict: Verdict) -> list[Reason]:
        licence = verdict["licence"]
        if any(_is(pattern, licence["label"]) for pattern in self.allowed):
            return []
        return [Reason("licence", f"{licence['label']} is not allowed", licence["evidence"] or "no licence is stated")]


def _is(pattern: str, label: str) -> bool:
    """`*` stands for a version and a country (`4.0`, `3.0-AT`), never for a condition such as NC."""
    return re.fullmatch(re.escape(pattern).replace(r"\*", r"\d[\w.]*(?:-[A-Z]{2,3})?"), label) is not None
