"""Intervals that say how far a score could be off, had other items been drawn."""

from __future__ import annotations

import numpy as np

REPLICATES = 2000


def interval(
    numerators_N: np.ndarray,
    denominators_N: np.ndarray,
    clusters_N: np.ndarray,
    rng: np.random.Generator,
    level: float = 0.95,
) -> tuple[float, float]:
    """Percentile bootstrap of a ratio of sums, resampling whole clusters with replacement.

    A mean is the ratio with denominators of 1. Items of one passage or page go together, since they are alike; with
    fewer than about ten clusters such intervals are too narrow, and with one cluster they have no width.

    Args:
        numerators_N, denominators_N: float [N], what each item adds above and below the line.
        clusters_N: int [N], the cluster of each item.
        level: share of replicates between the ends.

    Returns:
        Lower and upper end.

    Source:
        Efron and Tibshirani 1993, An Introduction to the Bootstrap, chapter 13; clusters as in Miller 2024 (arXiv 2411.00640).
    """
    _, index_N = np.unique(clusters_N, return_inverse=True)
    above_C, below_C = np.bincount(index_N, numerators_N), np.bincount(index_N, denominators_N)
    count = len(above_C)
    draws_RC = rng.integers(0, count, (REPLICATES, count))
    ratios_R = above_C[draws_RC].sum(1) / below_C[draws_RC].sum(1)
    low, high = np.quantile(ratios_R, [(1 - level) / 2, (1 + level) / 2])
    return float(low), float(high)
