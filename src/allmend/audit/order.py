"""How often a run read each planted probe: derived anew from `order.json` and the probes, by the rules of the order.

The trainer has code of its own for this. An audit that used it would repeat its mistakes.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Mapping, Sequence
from functools import cached_property
from hashlib import sha256
from heapq import heapify, heappop, heappush
from struct import unpack
from typing import Any

from blake3 import blake3

from allmend.kinds import canonical_json
from allmend.kinds.errors import StepFailed

PERIOD = 2**30
"""Slots after which each domain has had exactly its weight."""
DOMAIN = "probes"
_low64 = 2**64 - 1


def realised_repeats(
    order: Mapping[str, Any], probes: Sequence[Mapping[str, Any]], digest: str
) -> dict[str, int] | None:
    """How often a run fed each probe whole to the model.

    Args:
        order: `order.json` of the model.
        probes: rows with `id, repeats, tokens`.
        digest: content digest of these probes.

    Returns:
        Probe id → copies read, over all stages and epochs, skipped steps left out. None if the run read none of these.

    Raises:
        StepFailed: the order has another number of windows than these probes fill.
    """
    stages = [stage for stage in order["stages"] if _index(stage) is not None and stage.get("probes") == digest]
    if not stages:
        return None
    read = dict.fromkeys((probe["id"] for probe in probes), 0)
    for stage in stages:
        windows = packed(probes, stage["S"])
        for window, times in windows_read(order, stage, len(windows)).items():
            for probe in windows[window]:
                read[probe] += times
    return read


def packed(probes: Sequence[Mapping[str, Any]], context: int) -> list[list[str]]:
    """The probes in each window of `context` tokens: copies whole, best fit decreasing by (length descending, copy id).

    A copy goes where it leaves the least room, into the earliest of several such windows.
    """
    copies = sorted(
        (-len(probe["tokens"]), blake3(f"{probe['id']}\0{number}".encode()).hexdigest(length=16), probe["id"])
        for probe in probes
        for number in range(probe["repeats"])
    )
    windows: list[list[str]] = []
    room: list[int] = []
    for minus_length, _, probe in copies:
        fits = [window for window, free in enumerate(room) if free >= -minus_length]
        window = min(fits, key=lambda each: (room[each], each), default=len(room))
        if window == len(room):
            windows.append([])
            room.append(context)
        windows[window].append(probe)
        room[window] += minus_length
    return windows


def windows_read(order: Mapping[str, Any], stage: Mapping[str, Any], count: int) -> Counter[int]:
    """How often a stage fed each of the `count` windows of the probes."""
    index = _index(stage)
    assert index is not None
    domain = stage["domains"][index]
    listed = -(-domain["tokens"] // stage["S"])
    if listed != count:
        raise StepFailed(
            f"order.json gives the domain `{DOMAIN}` {listed} windows of {stage['S']} tokens, and packing these probes "
            f"whole gives {count}: its trainer packs otherwise than the rules say."
        )
    split = Split(stage["weights"])
    read: Counter[int] = Counter()
    for k in range(split.before(index, stage["samples"])):
        if not _skipped(order, stage["first_sample"] + split.slot(index, k)):
            epoch, turn = divmod(domain["dealt"] + k, count)
            read[permute(turn, count, ["allmend order 1", order["seed"], DOMAIN, stage["S"], count, epoch])] += 1
    return read


def _index(stage: Mapping[str, Any]) -> int | None:
    return next((number for number, domain in enumerate(stage["domains"]) if domain["name"] == DOMAIN), None)


def _skipped(order: Mapping[str, Any], sample: int) -> bool:
    """Whether the step that has this sample was fed to nobody."""
    if not order["skipped"]:
        return False
    first_step, first_sample, batch = max(row for row in order["steps"] if row[1] <= sample)
    step = first_step + (sample - first_sample) // batch
    return any(first <= step < first + count for first, count in order["skipped"])


class Split:
    """Which slots of a stage each domain gets: a Huffman tree whose nodes deal their slots evenly to two children.

    Args:
        weights: slots of each domain in a period; they sum to 2³⁰.
    """

    def __init__(self, weights: Sequence[int]) -> None:
        assert sum(weights) == PERIOD, sum(weights)
        self.weights = weights
        self.parent: dict[
            int, tuple[int, int, int, bool]
        ] = {}  # node → parent, parent's left and whole weight, am I right
        heap = [(weight, number) for number, weight in enumerate(weights)]
        heapify(heap)
        for node in range(len(weights), 2 * len(weights) - 1):
            (a, x), (b, y) = heappop(heap), heappop(heap)
            self.parent[x], self.parent[y] = (node, a, a + b, False), (node, a, a + b, True)
            heappush(heap, (a + b, node))

    @cached_property
    def root(self) -> int:
        return 2 * len(self.weights) - 2

    def before(self, domain: int, slots: int) -> int:
        """How many of the first `slots` are the domain's."""
        periods, rest = divmod(slots, PERIOD)
        for left, whole, right in reversed(self._path(domain)):
            share = (2 * rest * left + whole) // (2 * whole)
            rest = rest - share if right else share
        return periods * self.weights[domain] + rest

    def slot(self, domain: int, k: int) -> int:
        """The domain's k-th slot."""
        periods, k = divmod(k, self.weights[domain])
        for left, whole, right in self._path(domain):
            twice = (2 * k + 1) * whole
            k = twice // (2 * (whole - left)) if right else -(-twice // (2 * left)) - 1
        return periods * PERIOD + k

    def _path(self, node: int) -> list[tuple[int, int, bool]]:
        """(left weight, whole weight, came from the right) of each node above, upwards."""
        path = []
        while node in self.parent:
            node, left, whole, right = self.parent[node]
            path.append((left, whole, right))
        return path


def permute(x: int, n: int, key: Sequence[Any]) -> int:
    """The x-th window of an epoch: a bijection of 0 … n − 1 (12 mixed-radix Feistel rounds with cycle walking)."""
    digest = b"".join(sha256(canonical_json([*key, block])).digest() for block in range(3))
    keys = unpack("<12Q", digest)
    rows = math.isqrt(n - 1) + 1
    columns = -(-n // rows)
    while True:
        row, column = divmod(x, columns)
        for number, key_word in enumerate(keys):
            if number % 2 == 0:
                row = (row + ((_mix((column + key_word) & _low64) >> 32) * rows >> 32)) % rows
            else:
                column = (column + ((_mix((row + key_word) & _low64) >> 32) * columns >> 32)) % columns
        x = row * columns + column
        if x < n:
            return x


def _mix(x: int) -> int:
    """The finaliser of splitmix64 (Steele, Lea and Flood 2014, Fast splittable pseudorandom number generators)."""
    x = (x ^ x >> 30) * 0xBF58476D1CE4E5B9 & _low64
    x = (x ^ x >> 27) * 0x94D049BB133111EB & _low64
    return x ^ x >> 31
