"""Segments, positions and labels by hand, and against the rules one token at a time."""

from __future__ import annotations

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from allmend.kinds import BOD, EOD, PAD, WITHDRAWN
from allmend.model import IGNORED, labels_of, segments_of

B, E, P, W = BOD, EOD, PAD, WITHDRAWN


def rows(*values: int) -> np.ndarray:
    return np.array([values], np.uint16)


def test_a_window_that_begins_inside_a_document() -> None:
    segments, positions = segments_of(rows(9, 9, E, B, 9, E, B))
    assert segments.tolist() == [[0, 0, 0, 3, 3, 3, 6]]
    assert positions.tolist() == [[0, 1, 2, 0, 1, 2, 0]]


def test_holes_and_padding_are_segments_of_their_own() -> None:
    segments, positions = segments_of(rows(B, 9, E, W, W, B, E, P, P, P))
    assert segments.tolist() == [[0, 0, 0, 3, 3, 5, 5, 7, 7, 7]]
    assert positions.tolist() == [[0, 1, 2, 0, 1, 0, 1, 0, 1, 2]]


def test_a_hole_beside_padding_and_two_holes_in_one_run() -> None:
    assert segments_of(rows(W, W, W, P, P))[0].tolist() == [[0, 0, 0, 3, 3]]


def test_labels_by_hand() -> None:
    # B→7 counts, 7→E counts, E→B no, B→E counts, E→W no, W→W no, W→B no, B→8 counts, 8→P no, P→P no
    labels = labels_of(rows(B, 7, E, B, E, W, W, B, 8, P, P))
    assert labels.tolist() == [[7, E, IGNORED, E, IGNORED, IGNORED, IGNORED, 8, IGNORED, IGNORED]]
    assert labels.dtype == np.int64


tokens = st.lists(st.sampled_from([B, E, P, W, 8, 9]), min_size=2, max_size=40)


@given(tokens)
def test_segments_follow_the_rule_token_by_token(row: list[int]) -> None:
    segments, positions = segments_of(np.array([row]))
    start = 0
    for index, token in enumerate(row):
        begins_run = token in (W, P) and (index == 0 or row[index - 1] != token)
        start = index if index == 0 or token == B or begins_run else start
        assert (segments[0, index], positions[0, index]) == (start, index - start)


@given(tokens)
def test_labels_follow_the_rule_token_by_token(row: list[int]) -> None:
    for label, token, target in zip(labels_of(np.array([row]))[0], row, row[1:], strict=False):
        assert label == (IGNORED if token in (E, W, P) or target in (B, W, P) else target)
