"""Warm-up, stable, decay: the peak until the cooldown, then 1 − √ down to almost nothing."""

from __future__ import annotations

import math
from typing import ClassVar

from allmend.kinds import Config, Field, Share


class Wsd(Config):
    """Constant, then a cooldown by 1 − √. Nothing before the cooldown depends on the run's length."""

    source: ClassVar[str] = (
        "Hägele et al. 2024, Scaling Laws and Compute-Optimal Training Beyond Fixed Training Durations (arXiv "
        "2405.18392), equation 1; as Apertus uses it (arXiv 2509.14233)"
    )
    examples: ClassVar[dict[tuple[int, int], float]] = {
        (0, 100): 1.0,
        (80, 100): 1.0,
        (85, 100): 0.5,
        (99, 100): 1 - math.sqrt(0.95),
    }

    cooldown_share: Share = Field(0.2, description="fraction of the steps, at the end, in which the rate falls")

    def factor(self, step: int, steps: int) -> float:
        """Share of the peak rate that a step gets (steps count from 0)."""
        length = self.cooldown_share * steps
        into = step - (steps - length)
        return 1.0 if into <= 0 else 1 - math.sqrt(into / length)
