"""Goldfish masks: by hand, against a slow second implementation, and whatever the packing."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from allmend.kinds import BOD, EOD, PAD, WITHDRAWN, load_tokenizer
from allmend.model import drops_compat, drops_robust, normal_ids
from allmend.model.goldfish import BASE, COMPAT_SEED, PRIME, _compat_table, _mixed, _window_hashes


def stream_of(*documents: list[int]) -> np.ndarray:
    return np.concatenate([[BOD, *document, EOD] for document in documents])


def by_window(stream: np.ndarray, size: int, h: int, k: int, start: int = 0) -> dict[int, bool]:
    """Label's place in the stream → dropped, read in windows of `size` inputs from `start` on, as a loader does."""
    found = {}
    for first in range(start, len(stream) - 1, size):
        lookback = [stream[index] if index >= 0 else PAD for index in range(first - h + 1, first)]
        window = np.concatenate([lookback, stream[first : first + size + 1]])
        drops = drops_robust(window[None].astype(np.int64), h - 1, k, h)[0]
        found |= {first + 1 + place: bool(drop) for place, drop in enumerate(drops)}
    return found


def by_document(document: list[int], h: int, k: int) -> list[bool]:
    """The rule in plain words and Python integers: for each token of BoD … EoD, whether it is dropped as a label."""
    tokens = [BOD, *document, EOD]
    out = []
    for place in range(len(tokens)):
        value = 0
        for age in range(min(h, place + 1)):
            value = (value + (tokens[place - age] + 1) * pow(BASE, -age, PRIME)) % PRIME
        mixed = int(_mixed(np.array([value], np.uint64))[0])
        out.append(place >= h and mixed <= (2**64 - 1) // k)
    return out


@settings(max_examples=30, deadline=None)
@given(st.lists(st.lists(st.integers(8, 60), max_size=40), min_size=1, max_size=5), st.sampled_from([2, 3, 13]))
def test_a_documents_mask_is_the_rule_in_any_packing(documents: list[list[int]], h: int) -> None:
    wanted = np.concatenate([by_document(document, h, 3) for document in documents])
    stream = stream_of(*documents)
    for size, start in ((5, 0), (16, 0), (16, 7), (64, 0)):
        for place, dropped in by_window(stream, size, h, 3, start).items():
            assert dropped == wanted[place], (size, start, place)


def test_a_documents_mask_is_the_same_at_256_2048_and_4096(random: np.random.Generator) -> None:
    stream = stream_of(*(random.integers(8, 131_072, length).tolist() for length in (5000, 60, 900, 3, 7000)))
    masks = [by_window(stream, size, 50, 10) for size in (256, 2048, 4096)]
    assert masks[0] == masks[1] == masks[2]
    assert sum(masks[0].values()) > 1000


def test_a_repeated_passage_loses_the_same_labels(random: np.random.Generator) -> None:
    passage = random.integers(8, 5000, 400).tolist()
    one, two = stream_of([9, 9, *passage]), stream_of([8] * 77, [*passage, 7])
    left = [dropped for place, dropped in sorted(by_window(one, 128, 13, 4).items()) if place >= 3 + 13][: 400 - 13]
    right = [dropped for place, dropped in sorted(by_window(two, 256, 13, 4).items()) if place >= 80 + 13][: 400 - 13]
    assert left == right and any(left)


@pytest.mark.parametrize("k", [3, 50, 128])
def test_one_label_in_k_is_dropped(k: int, random: np.random.Generator) -> None:
    tokens = random.integers(8, 4096, (8, 50 + 20_000))
    assert drops_robust(tokens, 49, k, 50).mean() == pytest.approx(1 / k, rel=0.1)


def test_the_order_of_tokens_matters() -> None:
    hashes = _window_hashes(np.array([[8, 9, 10], [10, 9, 8], [9, 8, 10]], np.uint64), 3)[:, -1]
    assert len(set(hashes.tolist())) == 3


def test_labels_of_holes_and_padding_are_never_dropped_and_reset_the_count(random: np.random.Generator) -> None:
    tokens = random.integers(8, 4096, (1, 300))
    tokens[0, 100:110] = WITHDRAWN
    dropped = drops_robust(tokens, 9, k=1, h=10)[0]
    places = np.flatnonzero(dropped) + 10
    assert places.tolist() == [*range(10, 100), *range(119, 300)]


def test_normal_ids_join_case_and_white_space(tokenizer_folder: Path) -> None:
    tokenizer = load_tokenizer(tokenizer_folder)
    normal = normal_ids(tokenizer)
    one, two = (tokenizer.token_to_id(token) for token in ("T", "t"))
    assert normal[one] == normal[two] == min(one, two)
    assert sorted(set(normal)) == sorted(place for place, token in enumerate(normal) if place == token)
    stream = np.full((1, 30), two)
    stream[0, ::3] = one
    assert np.array_equal(drops_robust(stream, 9, 3, 10, normal), drops_robust(np.full((1, 30), two), 9, 3, 10, normal))


def reference_compat(labels: torch.Tensor, k: int, h: int) -> torch.Tensor:
    """As the paper's code computes it, written again: windows of h ids, their product, a table of uniforms."""
    table = torch.rand(1_000_003, generator=torch.Generator().manual_seed(COMPAT_SEED))
    dropped = torch.zeros(labels.shape, dtype=torch.bool)
    dropped[:, h - 1 :] = table[labels.unfold(1, h, 1).prod(dim=-1) % 1_000_003] < 1 / k
    return dropped


@pytest.mark.parametrize(("k", "h"), [(50, 50), (3, 13), (4, 1), (3, 2), (2, 7)])
def test_compat_is_the_papers_code(k: int, h: int, random: np.random.Generator) -> None:
    labels = random.integers(0, 131_072, (4, 256))
    wanted = reference_compat(torch.from_numpy(labels), k, h)
    assert np.array_equal(drops_compat(labels, k, h), wanted.numpy())
    assert h == 50 or wanted.any()


def test_compat_by_hand() -> None:
    """Products 2·3 = 6 and 3·5 = 15 look up entries 6 and 15 of the table."""
    table = _compat_table()
    assert drops_compat(np.array([[2, 3, 5]]), k=2, h=2).tolist() == [
        [False, bool(table[6] < 0.5), bool(table[15] < 0.5)]
    ]
    assert table[:3].tolist() == pytest.approx(
        torch.rand(3, generator=torch.Generator().manual_seed(COMPAT_SEED)).tolist()
    )


def test_compat_keeps_a_window_shorter_than_its_context() -> None:
    assert not drops_compat(np.full((2, 12), 9), k=1, h=13).any()
