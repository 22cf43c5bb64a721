"""Half a cosine from the peak to a floor."""

from __future__ import annotations

import math
from typing import ClassVar

from allmend.kinds import Config, Field, Share


class Cosine(Config):
    """Half a cosine over the whole run."""

    source: ClassVar[str] = "Loshchilov and Hutter 2017, SGDR (arXiv 1608.03983), equation 5 without restarts"
    examples: ClassVar[dict[tuple[int, int], float]] = {(0, 100): 1.0, (50, 100): 0.55, (100, 100): 0.1}

    floor_share: Share = Field(0.1, description="fraction of the peak rate at the end")

    def factor(self, step: int, steps: int) -> float:
        """Share of the peak rate that a step gets (steps count from 0)."""
        return self.floor_share + (1 - self.floor_share) * 0.5 * (1 + math.cos(math.pi * step / steps))
