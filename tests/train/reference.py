"""The data order once more, in plain integers, written from the specification. Imports nothing of `allmend.train`."""

from __future__ import annotations

import json
from bisect import bisect_right
from collections.abc import Iterator
from hashlib import sha256
from heapq import heapify, heappop, heappush
from itertools import count, pairwise
from math import isqrt
from struct import unpack
from typing import Any

PERIOD = 2**30
MASK = 2**64 - 1
PAD, BOD, EOD, WITHDRAWN = range(4)


def tree(weights: list[int]) -> tuple[dict[int, tuple[int, int, int, int]], dict[int, tuple[int, int]], int]:
    """Nodes (weight of the left child, of both, children), the way up (parent, is right), the root."""
    heap, node, up = [(weight, j) for j, weight in enumerate(weights)], {}, {}
    heapify(heap)
    while len(heap) > 1:
        (a, x), (b, y) = heappop(heap), heappop(heap)
        v = len(weights) + len(node)
        node[v], up[x], up[y] = (a, a + b, x, y), (v, 0), (v, 1)
        heappush(heap, (a + b, v))
    return node, up, heap[0][1]


def left(a: int, t: int, i: int) -> int:
    return (2 * i * a + t) // (2 * t)


def find(weights: list[int], i: int) -> tuple[int, int]:
    """Slot → (domain, how many of that domain came before)."""
    node, _, v = tree(weights)
    q, i = divmod(i, PERIOD)
    while v in node:
        a, t, x, y = node[v]
        n = left(a, t, i)
        v, i = (x, n) if left(a, t, i + 1) > n else (y, i - n)
    return v, q * weights[v] + i


def slot(weights: list[int], j: int, k: int) -> int:
    """The inverse: slot of domain j's k-th sample."""
    _, up, _ = (found := tree(weights))
    node = found[0]
    (q, k), v = divmod(k, weights[j]), j
    while v in up:
        v, right = up[v]
        a, t, _, _ = node[v]
        k = (2 * k + 1) * t // (2 * (t - a)) if right else -(-(2 * k + 1) * t // (2 * a)) - 1
    return q * PERIOD + k


def mix(x: int) -> int:
    x = (x ^ x >> 30) * 0xBF58476D1CE4E5B9 & MASK
    x = (x ^ x >> 27) * 0x94D049BB133111EB & MASK
    return x ^ x >> 31


def permute(x: int, n: int, key: list[Any], sign: int = 1) -> int:
    """Bijection of 0 … n-1; sign = -1 inverts it."""
    texts = [json.dumps([*key, block], separators=(",", ":"), ensure_ascii=False) for block in range(3)]
    keys = unpack("<12Q", b"".join(sha256(text.encode()).digest() for text in texts))
    rows = isqrt(n - 1) + 1
    columns = -(-n // rows)
    while True:
        l, r = divmod(x, columns)  # noqa: E741
        for i in range(12)[::sign]:
            if i % 2 == 0:
                l = (l + sign * ((mix(r + keys[i] & MASK) >> 32) * rows >> 32)) % rows  # noqa: E741
            else:
                r = (r + sign * ((mix(l + keys[i] & MASK) >> 32) * columns >> 32)) % columns
        x = l * columns + r
        if x < n:
            return x


def stage_of(order: dict[str, Any], i: int) -> dict[str, Any]:
    return [stage for stage in order["stages"] if stage["first_sample"] <= i][-1]


def sample(order: dict[str, Any], i: int) -> tuple[dict[str, Any], dict[str, Any], int, int]:
    """Sample → (stage, domain, epoch, window), from `order.json` as it is read."""
    stage = stage_of(order, i)
    j, k = find(stage["weights"], i - stage["first_sample"])
    domain, size = stage["domains"][j], stage["S"]
    n = -(-domain["tokens"] // size)
    epoch, k = divmod(domain["dealt"] + k, n)
    return stage, domain, epoch, permute(k, n, ["allmend order 1", order["seed"], domain["name"], size, n, epoch])


def samples(order: dict[str, Any], stage: dict[str, Any], j: int, w: int) -> Iterator[int]:
    """Window → its samples in a stage, ascending by epoch."""
    domain, size = stage["domains"][j], stage["S"]
    n = -(-domain["tokens"] // size)
    for epoch in count(domain["dealt"] // n):
        key = ["allmend order 1", order["seed"], domain["name"], size, n, epoch]
        k = epoch * n + permute(w, n, key, -1) - domain["dealt"]
        if k >= 0:
            i = slot(stage["weights"], j, k)
            if i >= stage["samples"]:
                return
            yield stage["first_sample"] + i


def batch_of(order: dict[str, Any], step: int) -> range:
    """Samples of a step."""
    first_step, first_sample, batch = order["steps"][bisect_right([row[0] for row in order["steps"]], step) - 1]
    begin = first_sample + (step - first_step) * batch
    return range(begin, begin + batch)


def fed_steps(order: dict[str, Any]) -> list[int]:
    """Steps that were fed, in order."""
    last = order["stages"][-1]
    total = last["first_sample"] + last["samples"]
    first_step, first_sample, batch = order["steps"][-1]
    steps = first_step + (total - first_sample) // batch
    skipped = {step for first, number in order["skipped"] for step in range(first, first + number)}
    return [step for step in range(steps) if step not in skipped]


def window_tokens(stream: list[int], size: int, w: int) -> list[int]:
    """Tokens [w·S, w·S + S] of a stream, padded; the look-ahead label is `<pad>` where no document goes on."""
    tokens = [*stream[w * size : w * size + size + 1]]
    tokens += [PAD] * (size + 1 - len(tokens))
    if tokens[-2] in (EOD, WITHDRAWN, PAD):
        tokens[-1] = PAD
    return tokens


def sample_hash(tokens: list[int]) -> bytes:
    return sha256(b"".join(token.to_bytes(4, "little") for token in tokens)).digest()


def batch_hashes(order: dict[str, Any], streams: dict[tuple[int, str], list[int]]) -> Iterator[tuple[int, str, str]]:
    """(step, batch hash, chain) of every fed step, from streams keyed by (number of the stage, domain)."""
    chain = sha256(b"allmend batches 1").digest()
    for step in fed_steps(order):
        hashes = []
        for i in batch_of(order, step):
            stage, domain, _, w = sample(order, i)
            stream = streams[order["stages"].index(stage), domain["name"]]
            hashes.append(sample_hash(window_tokens(stream, stage["S"], w)))
        batch = sha256(b"".join(hashes)).digest()
        chain = sha256(chain + batch).digest()
        yield step, batch.hex(), chain.hex()


def labels(tokens: list[int]) -> list[int | None]:
    """The label of each input, None where it doesn't count."""
    return [
        None if given in (EOD, WITHDRAWN, PAD) or target in (BOD, WITHDRAWN, PAD) else target
        for given, target in pairwise(tokens)
    ]


def segments(inputs: list[int]) -> tuple[list[int], list[int]]:
    """(segment, position in it) of each input: one starts at BoD and where a run of `<withdrawn>` or `<pad>` starts."""
    number, position, out = 0, -1, []
    for index, token in enumerate(inputs):
        starts = token == BOD or (token in (WITHDRAWN, PAD) and (index == 0 or inputs[index - 1] != token))
        number, position = (number + 1, 0) if starts and index else (number, position + 1)
        out.append((number, position))
    return [each[0] for each in out], [each[1] for each in out]
