"""Which domain gets a sample: a tree of two-way splits, within 1.68 samples of every target at every prefix."""

from __future__ import annotations

import math
from collections.abc import Sequence
from fractions import Fraction
from heapq import heapify, heappop, heappush

import numpy as np

from allmend.kinds.errors import StepFailed

PERIOD = 2**30
"""Weights are whole numbers of this many slots; every domain's count is exact at each multiple of it."""


def whole_weights(shares: Sequence[float]) -> tuple[int, ...]:
    """Shares as integers of sum 2³⁰, each at least 1, by largest remainder; ties go to the earlier one.

    Exact fractions, since floating-point remainders depend on the order of summation.

    Raises:
        StepFailed: there is no share, or one is not a positive number.
    """
    if not shares or not all(math.isfinite(share) and share > 0 for share in shares):
        raise StepFailed(f"domain weights must be positive numbers, at least one; given {list(shares)}.")
    exact = [Fraction(share) for share in shares]
    total = sum(exact)
    wanted = [share * PERIOD / total for share in exact]
    weights = [max(1, math.floor(each)) for each in wanted]
    missing = PERIOD - sum(weights)
    by_remainder = sorted(range(len(weights)), key=lambda index: (weights[index] - wanted[index], index))
    for index in by_remainder[: max(0, missing)]:
        weights[index] += 1
    if missing < 0:  # the minimum of 1 gave away too much: the largest can spare it
        weights[max(range(len(weights)), key=lambda index: (weights[index], -index))] += missing
    return tuple(weights)


class SplitTree:
    """A Huffman tree over the domains; each node shares its slots between two children as evenly as integers allow.

    Of a node's first i slots its left child gets ⌊i·a/t + ½⌋, where a of the node's t units of weight are the left
    child's. The error of a leaf is at most the sum of half samples damped along its path: below 1.68 by a Fibonacci
    bound on Huffman paths.
    """

    def __init__(self, weights: Sequence[int]) -> None:
        assert sum(weights) == PERIOD and min(weights) >= 1, f"weights sum to {sum(weights)}, not to 2³⁰"
        count = len(weights)
        self.weights = np.array(weights, np.int64)
        nodes = 2 * count - 1
        self._first, self._both = np.zeros(nodes, np.int64), np.zeros(nodes, np.int64)
        self._left, self._right = np.zeros(nodes, np.int64), np.zeros(nodes, np.int64)
        self._parent, self._is_right = np.full(nodes, -1, np.int64), np.zeros(nodes, bool)
        heap = [(weight, domain) for domain, weight in enumerate(weights)]
        heapify(heap)
        for node in range(count, nodes):
            (a, left), (b, right) = heappop(heap), heappop(heap)
            self._first[node], self._both[node], self._left[node], self._right[node] = a, a + b, left, right
            self._parent[left] = self._parent[right] = node
            self._is_right[right] = True
            heappush(heap, (a + b, node))
        self._root = nodes - 1

    def _lefts(self, node: np.ndarray | int, slots: np.ndarray | int) -> np.ndarray:
        """How many of a node's first `slots` slots its left child gets."""
        return (2 * slots * self._first[node] + self._both[node]) // (2 * self._both[node])

    def find(self, slots: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Slots → (domains, how many slots of its domain came before each).

        Args:
            slots: int64 [N], from 0, in any order.
        """
        periods, left_over = np.divmod(slots, PERIOD)
        node = np.full(len(slots), self._root)
        inside = np.arange(len(slots) if len(self.weights) > 1 else 0)  # those still above a leaf
        while len(inside):
            at, index = node[inside], left_over[inside]
            before = self._lefts(at, index)
            goes_left = self._lefts(at, index + 1) > before
            left_over[inside] = np.where(goes_left, before, index - before)
            node[inside] = np.where(goes_left, self._left[at], self._right[at])
            inside = inside[node[inside] >= len(self.weights)]
        return node, periods * self.weights[node] + left_over

    def slot(self, domain: int, counts: np.ndarray) -> np.ndarray:
        """The inverse of `find`: the slots of a domain's samples number `counts`."""
        periods, k = np.divmod(counts, self.weights[domain])
        node = domain
        while self._parent[node] >= 0:
            right, node = self._is_right[node], self._parent[node]
            first, both = self._first[node], self._both[node]
            k = (2 * k + 1) * both // (2 * (both - first)) if right else -(-(2 * k + 1) * both // (2 * first)) - 1
        return periods * PERIOD + k

    def counts(self, slots: int) -> np.ndarray:
        """How many of the first `slots` slots each domain gets: int64 [domains]."""
        periods, rest = divmod(slots, PERIOD)
        found = np.zeros(len(self._both), np.int64)
        found[self._root] = rest
        for node in range(self._root, len(self.weights) - 1, -1):
            left = self._lefts(node, int(found[node]))
            found[self._left[node]], found[self._right[node]] = left, found[node] - left
        return periods * self.weights + found[: len(self.weights)]
