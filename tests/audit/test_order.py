"""Repeats realised, derived anew: known answers of the data order, and brute force over small orders."""

from __future__ import annotations

import itertools
from collections import Counter
from heapq import heapify, heappop, heappush
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from allmend.audit.order import PERIOD, Split, packed, permute, realised_repeats
from allmend.kinds.errors import StepFailed

HALVES = [536870912, 322122547, 214748365]


def key(n: int, context: int, epoch: int, domain: str = "de", seed: int = 7) -> list[Any]:
    return ["allmend order 1", seed, domain, context, n, epoch]


def find(weights: list[int], slot: int) -> tuple[int, int]:
    """Slot → (domain, how many of it came before): the reference's descent, to hold `Split` against."""
    heap, node = [(weight, number) for number, weight in enumerate(weights)], {}
    heapify(heap)
    while len(heap) > 1:
        (a, x), (b, y) = heappop(heap), heappop(heap)
        node[len(weights) + len(node)] = (a, a + b, x, y)
        heappush(heap, (a + b, len(weights) + len(node) - 1))
    (_, at), (periods, slot) = heap[0], divmod(slot, PERIOD)
    while at in node:
        a, t, x, y = node[at]
        here, after = ((2 * i * a + t) // (2 * t) for i in (slot, slot + 1))
        at, slot = (x, here) if after > here else (y, slot - here)
    return at, periods * weights[at] + slot


def weights_of(parts: list[int]) -> list[int]:
    """Whole weights ≥ 1 that sum to the period."""
    found = [max(1, part * PERIOD // (sum(parts) + 1)) for part in parts]
    found[0] += PERIOD - sum(found)
    return found


@pytest.mark.parametrize(
    ("places", "n", "context", "epoch", "expected"),
    [
        (range(10), 10, 256, 0, [5, 8, 0, 2, 1, 3, 7, 4, 6, 9]),
        (range(5), 1000003, 4096, 2, [376638, 907877, 81747, 150460, 626339]),
        ([123456789], 3662109375, 4096, 0, [1634544897]),
    ],
)  # fmt: skip
def test_permutation_gives_the_known_answers(
    places: Any, n: int, context: int, epoch: int, expected: list[int]
) -> None:
    assert [permute(place, n, key(n, context, epoch)) for place in places] == expected


def test_split_gives_the_known_answers() -> None:
    domains = [0, 1, 0, 2, 0, 1, 0, 2, 0, 1, 0, 1, 0, 2, 0, 1, 0, 2, 0, 1]
    assert [find(HALVES, slot)[0] for slot in range(20)] == domains
    assert Split(HALVES).slot(2, 5) == 27
    for count in range(21):
        assert [Split(HALVES).before(domain, count) for domain in range(3)] == [
            domains[:count].count(d) for d in range(3)
        ]


@pytest.mark.parametrize("n", [1, 2, 3, 8, 9, 10, 99, 100, 101])
def test_permutation_reads_every_window_once_an_epoch(n: int) -> None:
    assert sorted(permute(place, n, key(n, 64, 1)) for place in range(n)) == list(range(n))


@settings(max_examples=60, deadline=None)
@given(st.lists(st.integers(1, 1000), min_size=1, max_size=9), st.integers(0, 2 * PERIOD))
def test_split_inverts_the_reference(parts: list[int], slot: int) -> None:
    weights = weights_of(parts)
    domain, k = find(weights, slot)
    assert Split(weights).slot(domain, k) == slot
    assert Split(weights).before(domain, slot) == k
    assert Split(weights).before(domain, slot + 1) == k + 1


def probe(number: int, length: int, repeats: int) -> dict[str, Any]:
    return {"id": f"p{number}", "repeats": repeats, "tokens": list(range(length))}


def test_packing_is_best_fit_decreasing() -> None:
    """60 and 50 open windows of 100; 45 fits best beside 50, 38 beside 60, 10 nowhere but in a third."""
    windows = packed([probe(length, length, 1) for length in (10, 38, 45, 50, 60)], 100)
    assert windows == [["p60", "p38"], ["p50", "p45"], ["p10"]]


@settings(max_examples=60, deadline=None)
@given(st.lists(st.tuples(st.integers(2, 64), st.integers(0, 5)), min_size=1, max_size=8))
def test_packing_keeps_every_copy_whole_and_no_window_overfull(shapes: list[tuple[int, int]]) -> None:
    probes = [probe(number, *shape) for number, shape in enumerate(shapes)]
    windows = packed(probes, 64)
    length = {each["id"]: len(each["tokens"]) for each in probes}
    assert all(sum(length[one] for one in window) <= 64 for window in windows)
    assert Counter(itertools.chain(*windows)) == Counter({each["id"]: each["repeats"] for each in probes})


def an_order(samples: int, windows: int, skipped: list[list[int]], dealt: int = 0) -> dict[str, Any]:
    domains = [{"name": "de", "tokens": 4096, "dealt": 0}, {"name": "probes", "tokens": windows * 64, "dealt": dealt}]
    stage = {
        "first_sample": 0, "samples": samples, "S": 64, "shards": "s", "weights": [PERIOD * 3 // 4, PERIOD // 4],
        "domains": domains, "probes": "digest",
    }  # fmt: skip
    return {"format": 1, "seed": 7, "stages": [stage], "steps": [[0, 0, 4], [5, 20, 8]], "skipped": skipped}


PROBES = [probe(0, 30, 3), probe(1, 40, 2), probe(2, 20, 0), probe(3, 64, 1)]


@pytest.mark.parametrize(("samples", "skipped", "dealt"), [(20, [], 0), (100, [[3, 2], [7, 1]], 0), (60, [[0, 1]], 2)])
def test_realised_repeats_are_those_of_reading_sample_by_sample(
    samples: int, skipped: list[list[int]], dealt: int
) -> None:
    windows = packed(PROBES, 64)
    order = an_order(samples, len(windows), skipped, dealt)
    steps = [0] * 20 + [0] * 80
    for sample in range(100):
        steps[sample] = sample // 4 if sample < 20 else 5 + (sample - 20) // 8
    fed = Counter({each["id"]: 0 for each in PROBES})
    for sample in range(samples):
        domain, k = find(order["stages"][0]["weights"], sample)
        if domain == 1 and not any(first <= steps[sample] < first + count for first, count in skipped):
            epoch, k = divmod(dealt + k, len(windows))
            fed.update(windows[permute(k, len(windows), key(len(windows), 64, epoch, "probes"))])
    assert realised_repeats(order, PROBES, "digest") == dict(fed)


def test_one_epoch_realises_what_was_planted() -> None:
    windows = len(packed(PROBES, 64))
    assert realised_repeats(an_order(4 * windows, windows, []), PROBES, "digest") == {
        "p0": 3,
        "p1": 2,
        "p2": 0,
        "p3": 1,
    }


def test_other_probes_or_none_were_not_read() -> None:
    order = an_order(20, len(packed(PROBES, 64)), [])
    assert realised_repeats(order, PROBES, "another digest") is None
    del order["stages"][0]["domains"][1]
    assert realised_repeats(order, PROBES, "digest") is None


def test_an_order_that_packed_otherwise_is_refused() -> None:
    with pytest.raises(StepFailed, match="gives the domain `probes` 9 windows"):
        realised_repeats(an_order(20, 9, []), PROBES, "digest")
