"""Edges of words and ends of sentences, in several scripts."""

from __future__ import annotations

import doctest

import pytest

from allmend.audit import memorisation, words
from allmend.audit.words import is_edge, sentence_ends, word_count


@pytest.mark.parametrize("module", [words, memorisation])
def test_examples_in_docstrings_hold(module: object) -> None:
    assert doctest.testmod(module).failed == 0  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("text", "edges"),
    [
        ("ab cd", [0, 2, 3, 5]),
        ("l'eau", [0, 5]),
        ("dogs' x", [0, 4, 5, 6, 7]),
        ("e\u0301a b", [0, 3, 4, 5]),  # a mark belongs to its letter
        ("हिन्दी भाषा", [0, 6, 7, 11]),
        ("人人有", [0, 1, 2, 3]),
        ("ที่ดิน", [0, 3, 5, 6]),  # vowel signs stay with their consonants
        ("a1-2", [0, 2, 3, 4]),
        ("", [0]),
    ],
)
def test_a_span_may_begin_or_end_only_between_words(text: str, edges: list[int]) -> None:
    assert [place for place in range(len(text) + 1) if is_edge(text, place)] == edges


@pytest.mark.parametrize(
    ("text", "ends"),
    [
        ("One. Two! Three", [4, 9, 15]),
        ("3.14 is pi", [10]),
        ("He said “no.” Then", [13, 18]),
        ("一。二", [2, 3]),
        ("line\nline", [4, 9]),
        ("वाक्य। और", [6, 9]),
        ("", []),
    ],
)
def test_sentences_end_behind_their_mark(text: str, ends: list[int]) -> None:
    assert sentence_ends(text) == ends


@pytest.mark.parametrize(("text", "count"), [("", 0), ("  ", 0), ("one two", 2), ("世界 is one", 4), ("!?", 0)])
def test_words_are_counted(text: str, count: int) -> None:
    assert word_count(text) == count
