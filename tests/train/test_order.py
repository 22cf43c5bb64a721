"""The data order against a second implementation (`reference.py`), and its promises. `case_NN`: group NN."""

from __future__ import annotations

import itertools
import json
import math
from collections import Counter
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from allmend.kinds.errors import DamagedError, NewerFormatError, StepFailed, UsageError
from allmend.train import Order
from allmend.train.permutation import permute, round_keys
from allmend.train.split import PERIOD, SplitTree, whole_weights
from tests.train import reference

BOUND = 1.68
names = st.text(st.characters(blacklist_categories=("Cs",)), min_size=1, max_size=8)
sizes = st.integers(1, 2**33)
shares = st.lists(st.floats(1e-12, 1.0), min_size=1, max_size=40)


def permuted(
    x: list[int], n: int, name: str = "de", context: int = 256, epoch: int = 0, inverse: bool = False
) -> list[int]:
    keys = np.tile(round_keys(7, name, context, n, epoch), (len(x), 1))
    return permute(np.array(x, np.int64), np.full(len(x), n), keys, inverse).tolist()


def order_of(shares: dict[str, float], tokens: dict[str, int], samples: int, context: int = 8, batch: int = 1) -> Order:
    return Order(7).with_stage(shares, tokens, context=context, batches=[(samples // batch, batch)], shards="a")


def found(order: Order, first: int, count: int) -> list[tuple[str, int, int]]:
    samples = order.samples(first, count)
    domains = [samples.stage.domains[index].name for index in samples.domain]
    return list(zip(domains, samples.epoch.tolist(), samples.window.tolist(), strict=True))


def expected(order: Order, first: int, count: int) -> list[tuple[str, int, int]]:
    record = json.loads(json.dumps(order.as_json()))
    return [
        (domain["name"], epoch, window)
        for _, domain, epoch, window in (reference.sample(record, i) for i in range(first, first + count))
    ]


# --- known answers, in both implementations ---


@pytest.mark.parametrize(("x", "n", "context", "epoch", "answer"), [
    (list(range(10)), 10, 256, 0, [5, 8, 0, 2, 1, 3, 7, 4, 6, 9]),
    (list(range(5)), 1_000_003, 4096, 2, [376638, 907877, 81747, 150460, 626339]),
    ([123456789], 3_662_109_375, 4096, 0, [1634544897]),
])  # fmt: skip
def test_case_02_known_permutations(x: list[int], n: int, context: int, epoch: int, answer: list[int]) -> None:
    assert permuted(x, n, "de", context, epoch) == answer
    assert [reference.permute(each, n, ["allmend order 1", 7, "de", context, n, epoch]) for each in x] == answer


def test_case_02_known_weights_and_domains() -> None:
    weights = whole_weights([0.5, 0.3, 0.2])
    assert weights == (536870912, 322122547, 214748365)
    answer = [0, 1, 0, 2, 0, 1, 0, 2, 0, 1, 0, 1, 0, 2, 0, 1, 0, 2, 0, 1]
    assert SplitTree(weights).find(np.arange(20))[0].tolist() == answer
    assert [reference.find(list(weights), i)[0] for i in range(20)] == answer
    assert SplitTree(weights).slot(2, np.array([5])).tolist() == [27] == [reference.slot(list(weights), 2, 5)]


# --- against the second implementation ---


@settings(max_examples=400, deadline=None)
@given(n=sizes, x=st.lists(st.integers(0, 2**33), min_size=1, max_size=6), name=names, epoch=st.integers(0, 5))
def test_case_02_permutations_agree_with_the_second_implementation(n: int, x: list[int], name: str, epoch: int) -> None:
    x = [each % n for each in x]
    there = permuted(x, n, name, 128, epoch)
    key = ["allmend order 1", 7, name, 128, n, epoch]
    assert there == [reference.permute(each, n, key) for each in x]
    assert (
        permuted(there, n, name, 128, epoch, inverse=True)
        == x
        == [reference.permute(each, n, key, -1) for each in there]
    )


@settings(max_examples=300, deadline=None)
@given(shares=shares, slots=st.lists(st.integers(0, 3 * PERIOD), min_size=1, max_size=6))
def test_case_01_the_tree_agrees_with_the_second_implementation(shares: list[float], slots: list[int]) -> None:
    weights = whole_weights(shares)
    tree = SplitTree(weights)
    domains, counts = tree.find(np.array(slots))
    pairs = list(zip(domains.tolist(), counts.tolist(), strict=True))
    assert pairs == [reference.find(list(weights), slot) for slot in slots]
    assert [tree.slot(domain, np.array([count]))[0] for domain, count in pairs] == slots
    assert [reference.slot(list(weights), domain, count) for domain, count in pairs] == slots


@settings(max_examples=150, deadline=None)
@given(data=st.data())
def test_case_02_whole_orders_agree_with_the_second_implementation(data: Any) -> None:
    domains = data.draw(
        st.dictionaries(names, st.tuples(st.floats(1e-6, 1), st.integers(1, 500)), min_size=1, max_size=6)
    )
    order = Order(data.draw(st.integers(0, 2**40)))
    for _ in range(data.draw(st.integers(1, 3))):
        some = data.draw(st.lists(st.sampled_from(sorted(domains)), min_size=1, unique=True))
        order = order.with_stage(
            {name: domains[name][0] for name in some}, {name: domains[name][1] for name in some},
            context=data.draw(st.sampled_from([4, 8])),
            batches=[(data.draw(st.integers(1, 9)), data.draw(st.integers(1, 4)))],
        )  # fmt: skip
    for stage in order.stages:
        assert found(order, stage.first_sample, stage.samples) == expected(order, stage.first_sample, stage.samples)


# --- group 1: sizes at the edges ---


@pytest.mark.parametrize("n", [1, 2, 3, 4, 5, 8, 9, 10, 24, 25, 26, 99, 100, 101, 1023, 1024, 1025])
def test_case_01_every_size_is_a_bijection(n: int) -> None:
    for epoch in range(3):
        there = permuted(list(range(n)), n, epoch=epoch)
        assert sorted(there) == list(range(n))
        assert permuted(there, n, epoch=epoch, inverse=True) == list(range(n))


@pytest.mark.parametrize("n", [2**32 + 1, 2**32 - 1, 65536**2, 65537**2 - 1, 65537**2 + 1, 2**40])
def test_case_01_large_sizes_agree(n: int) -> None:
    x = [0, 1, n // 2, n - 2, n - 1]
    assert permuted(x, n) == [reference.permute(each, n, ["allmend order 1", 7, "de", 256, n, 0]) for each in x]
    assert permuted(permuted(x, n), n, inverse=True) == x


@pytest.mark.parametrize("tokens", [1, 7, 8, 9, 16, 24, 25])
def test_case_01_windows_cover_every_token_once_an_epoch(tokens: int) -> None:
    order = order_of({"de": 1.0}, {"de": tokens}, samples=3 * -(-tokens // 8))
    windows = -(-tokens // 8)
    read = found(order, 0, 3 * windows)
    for epoch in range(3):
        assert sorted(window for _, at, window in read if at == epoch) == list(range(windows))


def test_case_01_a_domain_with_weight_and_no_tokens_is_an_error() -> None:
    with pytest.raises(StepFailed, match="`fr` has the weight"):
        order_of({"de": 1.0, "fr": 1.0}, {"de": 9, "fr": 0}, 4)


@pytest.mark.parametrize("shares", [[], [0.0], [1.0, -1.0], [math.nan], [math.inf]])
def test_case_01_weights_that_are_no_shares_are_an_error(shares: list[float]) -> None:
    with pytest.raises(StepFailed, match="positive"):
        whole_weights(shares)


def test_case_01_two_thousand_domains_tiny_weights_and_ties() -> None:
    many = SplitTree(whole_weights([1.0] * 2000))
    assert set(np.bincount(many.find(np.arange(2000))[0]).tolist()) <= {0, 1, 2, 3}
    weights = whole_weights([1.0, 1e-12, 1e-12])
    assert weights == (PERIOD - 2, 1, 1)
    tree = SplitTree(weights)
    assert tree.find(np.array([tree.slot(1, np.array([0]))[0]]))[0].tolist() == [1]
    assert SplitTree((PERIOD,)).find(np.array([0, PERIOD - 1, PERIOD, PERIOD + 5]))[1].tolist() == [
        0,
        PERIOD - 1,
        PERIOD,
        PERIOD + 5,
    ]


@settings(max_examples=100, deadline=None)
@given(shares=shares)
def test_case_01_counts_are_exact_at_the_period_and_its_neighbours(shares: list[float]) -> None:
    weights = whole_weights(shares)
    assert sum(weights) == PERIOD and min(weights) >= 1
    tree = SplitTree(weights)
    assert tree.counts(PERIOD).tolist() == list(weights) and tree.counts(2 * PERIOD).tolist() == [
        2 * each for each in weights
    ]
    domains, counts = tree.find(np.array([PERIOD - 1, PERIOD]))
    assert counts[0] == weights[domains[0]] - 1 and counts[1] == weights[domains[1]]
    assert pytest.approx(np.array(weights) / PERIOD, abs=len(weights) / PERIOD) == np.array(shares) / sum(shares)


# --- group 2: names ---


def test_case_02_the_order_of_domains_in_a_recipe_does_not_matter() -> None:
    tokens = {"zh-Hant": 900, "日本語": 70, "rm": 40, "ελ": 300}
    one = order_of({"zh-Hant": 0.4, "日本語": 0.3, "rm": 0.1, "ελ": 0.2}, tokens, 200)
    other = order_of({"ελ": 0.2, "rm": 0.1, "日本語": 0.3, "zh-Hant": 0.4}, dict(reversed(tokens.items())), 200)
    assert one == other and found(one, 0, 200) == expected(one, 0, 200)


# --- group 3: the mixture at every prefix, no repeats ---


@settings(max_examples=60, deadline=None)
@given(shares=shares)
def test_case_03_every_prefix_is_within_the_bound_of_its_target(shares: list[float]) -> None:
    weights = whole_weights(shares)
    tree, slots = SplitTree(weights), 4000
    domains, before = tree.find(np.arange(slots))
    counts = np.cumsum(domains[:, None] == np.arange(len(weights)), axis=0)
    target = np.arange(1, slots + 1)[:, None] * np.array(weights) / PERIOD
    assert np.abs(counts - target).max() < BOUND
    assert (counts[np.arange(slots), domains] - 1 == before).all() and (tree.counts(slots) == counts[-1]).all()


def test_case_03_the_deepest_trees_stay_within_the_bound() -> None:
    fibonacci = [1, 1]
    while len(fibonacci) < 30:
        fibonacci.append(fibonacci[-1] + fibonacci[-2])
    weights = whole_weights(fibonacci)
    domains, _ = SplitTree(weights).find(np.arange(20_000))
    counts = np.cumsum(domains[:, None] == np.arange(len(weights)), axis=0)
    worst = np.abs(counts - np.arange(1, 20_001)[:, None] * np.array(weights) / PERIOD).max()
    assert worst < BOUND


def test_case_03_no_window_twice_before_all_were_read_across_stages() -> None:
    tokens = {"de": 400, "fr": 333}
    order = Order(3)
    for shares in ({"de": 0.7, "fr": 0.3}, {"de": 0.2, "fr": 0.8}, {"fr": 1.0}, {"de": 0.9, "fr": 0.1}):
        order = order.with_stage(shares, tokens, context=8, batches=[(30, 1)])
    read: dict[str, list[tuple[int, int]]] = {"de": [], "fr": []}
    for stage in order.stages:
        for domain, epoch, window in found(order, stage.first_sample, stage.samples):
            read[domain].append((epoch, window))
    for domain, pairs in read.items():
        windows = -(-tokens[domain] // 8)
        assert len(set(pairs)) == len(pairs)
        assert [epoch for epoch, _ in pairs] == [
            number // windows for number in range(len(pairs))
        ]  # `de` left and came back
    assert order.stages[3].domains[0].dealt == sum(
        found(order, first, 30)[index][0] == "de" for first in (0, 30) for index in range(30)
    )


def test_case_03_another_context_starts_to_count_anew() -> None:
    order = order_of({"de": 1.0}, {"de": 100}, 5)
    other = order.with_stage({"de": 1.0}, {"de": 100}, context=16, batches=[(5, 1)])
    assert other.stages[1].domains[0].dealt == 0
    back = other.with_stage({"de": 1.0}, {"de": 100}, context=8, batches=[(5, 1)])
    assert back.stages[2].domains[0].dealt == 5


# --- group 5: what leaves the order as it is ---


def test_case_05_a_longer_run_has_the_same_prefix() -> None:
    shares, tokens = {"de": 0.6, "fr": 0.4}, {"de": 300, "fr": 200}
    assert found(order_of(shares, tokens, 50), 0, 50) == found(order_of(shares, tokens, 500), 0, 50)


def test_a_later_stage_changes_nothing_before_it() -> None:
    order = order_of({"de": 1.0}, {"de": 300}, 20)
    longer = order.with_stage({"de": 0.5, "fr": 0.5}, {"de": 300, "fr": 90}, context=8, batches=[(5, 2)])
    assert found(order, 0, 20) == found(longer, 0, 20) and longer.steps[0] == order.steps[0]


# --- steps and the record ---


def test_batches_of_ramps_and_stages_are_consecutive_and_end_where_a_stage_ends() -> None:
    tokens = {"de": 300}
    order = Order(1).with_stage({"de": 1.0}, tokens, context=8, batches=[(3, 2), (2, 4)])
    order = order.with_stage({"de": 1.0}, tokens, context=16, batches=[(1, 4), (2, 1)])
    batches = [order.batch(step) for step in range(order.step_count)]
    assert batches == [(0, 2), (2, 2), (4, 2), (6, 4), (10, 4), (14, 4), (18, 1), (19, 1)]
    steps = [step for step, (_, count) in enumerate(batches) for _ in range(count)]
    assert order.step_of(np.arange(20)).tolist() == steps
    assert [list(reference.batch_of(order.as_json(), step)) for step in range(8)] == [
        list(range(first, first + count)) for first, count in batches
    ]
    for step in (-1, 8):
        with pytest.raises(UsageError, match="0 to 7"):
            order.batch(step)


def test_the_record_reads_back_equal_and_holds_integers(tmp_path: Path) -> None:
    order = order_of({"de": 0.3, "ελ": 0.7}, {"de": 300, "ελ": 20}, 6, batch=2)
    order.write(tmp_path / "order.json")
    assert Order.read(tmp_path / "order.json") == order
    record = json.loads((tmp_path / "order.json").read_text())
    assert set(record) == {"format", "seed", "stages", "steps", "skipped"} and record["steps"] == [[0, 0, 2]]
    assert all(isinstance(weight, int) for weight in record["stages"][0]["weights"])


def test_a_record_that_is_none_or_newer_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "order.json"
    for text in ("", "{}", "[1]", '{"format": 1, "seed": 1, "stages": [], "steps": []}'):
        path.write_text(text)
        with pytest.raises(DamagedError):
            Order.read(path)
    path.write_text('{"format": 2}')
    with pytest.raises(NewerFormatError):
        Order.read(path)


def test_windows_of_an_epoch_look_shuffled() -> None:
    n = 4000
    there = permuted(list(range(n)), n)
    steps = Counter(1 if b > a else 0 for a, b in itertools.pairwise(there))
    assert abs(steps[1] / (n - 1) - 0.5) < 0.03  # rises as often as it falls
    assert abs(np.corrcoef(there, range(n))[0, 1]) < 0.05
