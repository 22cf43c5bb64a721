"""Which spans of a text may be shown, given how far each of its tokens' runs is found in the training text."""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from itertools import pairwise
from typing import Any

import numpy as np

from allmend.audit.words import is_edge, is_word, sentence_ends, word_count


@dataclass(frozen=True, eq=False)
class Reading:
    """One way to encode a text, or one sentence of it.

    Attributes:
        ids: int64 [n], token ids.
        begins: int64 [n], the character at which a span whose first token is i begins, blanks left out.
        ends: int64 [n + 1], the character before which a span of tokens before j ends, blanks left out; it never falls.
        starts: int64, tokens with which a span may begin: they begin a word.
        fit_end: int64 [n + 1], the last place at or before j where a span may end.
        limit: int64 [n], the last place j in the sentence of token i.
    """

    ids: np.ndarray
    begins: np.ndarray
    ends: np.ndarray
    starts: np.ndarray
    fit_end: np.ndarray
    limit: np.ndarray


@dataclass(frozen=True)
class Candidate:
    """Tokens [first, last) of a reading."""

    reading: Reading
    first: int
    last: int

    @property
    def begin(self) -> int:
        return int(self.reading.begins[self.first])

    @property
    def end(self) -> int:
        return int(self.reading.ends[self.last])

    @property
    def ids(self) -> np.ndarray:
        return self.reading.ids[self.first : self.last]

    def words(self, text: str) -> int:
        return word_count(text[self.begin : self.end])

    def inside(self, other: Candidate) -> bool:
        return other.begin <= self.begin and self.end <= other.end

    def without_last(self) -> Candidate | None:
        """The same without its last word; None if nothing is left."""
        last = int(self.reading.fit_end[self.last - 1])
        return Candidate(self.reading, self.first, last) if last > self.first else None

    def without_first(self) -> Candidate | None:
        """The same without its first word; None if nothing is left."""
        starts = self.reading.starts
        at = int(np.searchsorted(starts, self.first, side="right"))
        return (
            Candidate(self.reading, int(starts[at]), self.last) if at < len(starts) and starts[at] < self.last else None
        )


def readings(encoder: Any, text: str) -> list[Reading]:
    """The text as it is; then each sentence as it would stand elsewhere: without the space before it, or with one.

    Of the latter only the spans that begin with the first word count: a tokenizer encodes the others as before.
    """
    sentences = sentence_ends(text)
    found = [_reading(encoder, text, sentences)]
    for begin, end in pairwise([0, *sentences]):
        first = end - len(text[begin:end].lstrip())
        if first < end:
            lead = "" if text[first - 1 : first] == " " else " "
            other = _reading(encoder, text[first:end], [end - first], lead, first)
            found.append(replace(other, starts=other.starts[other.begins[other.starts] == first]))
    return found


def _reading(encoder: Any, text: str, sentences: Sequence[int], lead: str = "", at: int = 0) -> Reading:
    """One encoding; `at` is where its text begins in the whole one."""
    encoding = encoder.encode(lead + text, add_special_tokens=False)
    spans = np.array(encoding.offsets, np.int64).reshape(-1, 2) - len(lead)
    count = len(spans)
    whole = np.ones(count + 1, bool)  # a boundary that cuts no character in two
    whole[1:-1] = spans[1:, 0] >= spans[:-1, 1]
    blanks_after, blanks_before = _skip_blanks(text)
    begins = blanks_after[spans[:, 0].clip(0)]
    ends = blanks_before[np.concatenate([[0], spans[:, 1]]).clip(0)]
    begins_word = [
        bool(whole[token]) and begin < spans[token, 1] and is_word(text[begin]) and is_edge(text, begin)
        for token, begin in enumerate(begins.tolist())
    ]
    ends_word = [False] + [
        bool(whole[place]) and end > spans[place - 1, 0] and _ends_well(text, end, sentences)
        for place, end in enumerate(ends.tolist())
        if place
    ]
    after = np.searchsorted(sentences, begins, side="right").clip(max=len(sentences) - 1)
    closes = np.array(sentences, np.int64)[after]
    return Reading(
        ids=np.array(encoding.ids, np.int64), begins=begins + at, ends=ends + at,
        starts=np.flatnonzero(begins_word).astype(np.int64),
        fit_end=np.maximum.accumulate(np.where(ends_word, np.arange(count + 1), 0)),
        limit=np.searchsorted(ends, closes, side="right") - 1,
    )  # fmt: skip


def _ends_well(text: str, end: int, sentences: Sequence[int]) -> bool:
    """A span ends with a word, or with the mark that ends its sentence."""
    at = bisect_right(sentences, end - 1)
    return is_edge(text, end) and (is_word(text[end - 1]) or (at < len(sentences) and sentences[at] == end))


def _skip_blanks(text: str) -> tuple[np.ndarray, np.ndarray]:
    """For each place: the next with no blank behind it, and the last with none before it; often the place itself."""
    after, before = np.arange(len(text) + 1), np.arange(len(text) + 1)
    for place in range(len(text) - 1, -1, -1):
        after[place] = after[place + 1] if text[place].isspace() else place
    for place in range(1, len(text) + 1):
        before[place] = before[place - 1] if text[place - 1].isspace() else place
    return after, before


def candidates(found: Iterable[tuple[Reading, np.ndarray]]) -> list[Candidate]:
    """The maximal spans: none lies inside another.

    Args:
        found: each reading with the number of tokens found from each of its `starts`.
    """
    every = []
    for reading, matched in found:
        last = reading.fit_end[np.minimum(reading.starts + matched, reading.limit[reading.starts])]
        every += [
            Candidate(reading, first, end)
            for first, end in zip(reading.starts.tolist(), last.tolist(), strict=True)
            if end > first
        ]
    every.sort(key=lambda each: (each.begin, -each.end))
    kept: list[Candidate] = []
    for each in every:
        if not kept or each.end > kept[-1].end:
            kept.append(each)
    return kept
