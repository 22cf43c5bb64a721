"""Shares between natural and equal, by a temperature."""

from __future__ import annotations

from collections.abc import Mapping
from typing import ClassVar

from allmend.kinds import Field
from allmend.kinds.config import Member


class Temperature(Member):
    """Share ∝ tokens^(1/T): T = 1 is natural, a large T gives small languages as much as large ones."""

    source: ClassVar[str] = "Arivazhagan et al. 2019 (arXiv 1907.05019), section 4.2: sampling with temperature"
    examples: ClassVar[list[tuple[dict[str, int], dict[str, float]]]] = [
        ({"a": 9, "b": 1}, {"a": 0.75, "b": 0.25}),
        ({"a": 4, "b": 4}, {"a": 0.5, "b": 0.5}),
    ]

    temperature: float = Field(2.0, gt=0, description="T; 1 is natural")

    def weights(self, tokens: Mapping[str, int]) -> dict[str, float]:
        """Domain → share."""
        largest = max(tokens.values())
        powers = {domain: (count / largest) ** (1 / self.temperature) for domain, count in sorted(tokens.items())}
        total = sum(powers.values())
        return {domain: power / total for domain, power in powers.items()}
