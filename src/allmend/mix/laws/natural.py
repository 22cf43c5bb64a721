"""Shares as large as the domains are."""

from __future__ import annotations

from collections.abc import Mapping
from typing import ClassVar

from allmend.kinds.config import Member


class Natural(Member):
    """Each domain's share is its share of the tokens."""

    source: ClassVar[str] = "the natural distribution p₀ of Olmix (Ai2), which its mixtures start from"
    examples: ClassVar[list[tuple[dict[str, int], dict[str, float]]]] = [
        ({"a": 3, "b": 1}, {"a": 0.75, "b": 0.25}),
        ({"only": 9}, {"only": 1.0}),
    ]

    def weights(self, tokens: Mapping[str, int]) -> dict[str, float]:
        """Domain → share."""
        total = sum(tokens.values())
        return {domain: count / total for domain, count in sorted(tokens.items())}
