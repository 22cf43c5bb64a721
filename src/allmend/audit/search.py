"""Runs of a text's tokens in one part of the shards, found by its suffix array, many positions at once."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

LOOK_TOKENS = 8
"""Tokens compared at once, at first; then four times as many each time, for the long matches of copied text."""
GAP = np.array([-1])
"""Stands behind each run of a query: it equals no token and sorts before all, so no comparison goes on beyond it."""


@dataclass(frozen=True)
class Part:
    """One part of the shards with its suffix array, memory-mapped; only ever read, so threads may share it.

    Queries are int64 [L]: token ids, with `GAP` behind each run. Ids that are no token of text match nothing.

    Attributes:
        tokens: uint16 or uint32 [T], the part's tokens; the last one is special.
        suffixes: int [N], positions of the text tokens, special ones left out, in the order of the suffixes that begin
            there.
        first: int64 [vocabulary − F + 1]; suffixes `first[t] : first[t + 1]` begin with the token F + t.
        first_text_token: F, the smallest id that isn't special.
    """

    tokens: np.ndarray
    suffixes: np.ndarray
    first: np.ndarray
    first_text_token: int

    def longest(self, query: np.ndarray, begins: np.ndarray) -> np.ndarray:
        """How many tokens from each of some places of a query stand in this part, one after the other.

        One binary search a place. With each bound goes the number of tokens that it shares with the query: that saves
        comparisons, and at the end it is the answer, since the longest match is with one of the two neighbours.

        Args:
            begins: int [R], places in the query.

        Returns:
            int64 [R].

        Source:
            Manber and Myers 1993, Suffix arrays (SIAM J. Comput. 22(5)).
        """
        query = self._text_only(query)
        low, high = self._buckets(query[begins])
        matched = np.zeros(len(begins), np.int64)
        rows = np.flatnonzero(high > low)
        low, high, begins = low[rows] - 1, high[rows], begins[rows]
        shared_low, shared_high = np.ones_like(rows), np.ones_like(rows)  # true of every suffix between the two
        while len(rows):
            middle = (low + high) >> 1
            shared, after = self._compare(query, begins, middle, np.minimum(shared_low, shared_high))
            low, shared_low = np.where(after, middle, low), np.where(after, shared, shared_low)
            high, shared_high = np.where(after, high, middle), np.where(after, shared_high, shared)
            done = high - low <= 1
            if done.any():
                matched[rows[done]] = np.maximum(shared_low, shared_high)[done]
                rows, begins, low, high, shared_low, shared_high = (
                    each[~done] for each in (rows, begins, low, high, shared_low, shared_high)
                )
        return matched

    def ranges(self, query: np.ndarray, begins: np.ndarray, lengths: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Which suffixes begin with each of some runs of a query.

        Args:
            begins, lengths: int [R], the runs; each ≥ 1 token long.

        Returns:
            Two int64 [R]: the places of run r are `suffixes[low[r] : high[r]]`.
        """
        query = self._text_only(query)
        count, upper = len(begins), np.repeat([False, True], len(begins))
        low, high = (np.tile(each, 2) for each in self._buckets(query[begins]))
        begins, lengths = np.tile(begins, 2), np.tile(lengths, 2)
        while len(rows := np.flatnonzero(low < high)):
            middle = (low[rows] + high[rows]) >> 1
            shared, after = self._compare(query, begins[rows], middle, np.ones_like(rows))
            after = np.where(shared >= lengths[rows], upper[rows], after)
            low[rows] = np.where(after, middle + 1, low[rows])
            high[rows] = np.where(after, high[rows], middle)
        return low[:count], low[count:]

    def _text_only(self, query: np.ndarray) -> np.ndarray:
        """The query with gaps for special tokens: a match over them would run from one document into the next."""
        return np.where(query < self.first_text_token, GAP, query)

    def _buckets(self, ids: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Where the suffixes that begin with each token begin and end; nowhere for what is no token of text."""
        index = ids - self.first_text_token
        known = (index >= 0) & (index < len(self.first) - 1)
        index = np.where(known, index, 0)
        return self.first[index], self.first[index + known]

    def _compare(
        self, query: np.ndarray, begins: np.ndarray, suffixes: np.ndarray, shared: np.ndarray
    ) -> tuple[np.ndarray, np.ndarray]:
        """Tokens that query and suffix share, `shared` of them known; and whether the query sorts after it."""
        places = self.suffixes[suffixes].astype(np.int64)
        shared, after = shared.astype(np.int64), np.zeros(len(begins), bool)
        rows = np.arange(len(begins))
        look = LOOK_TOKENS
        last = len(self.tokens) - 1  # special, so no match goes beyond it
        while len(rows):
            known, steps = shared[rows], np.arange(look)
            wanted = query[np.minimum((begins[rows] + known)[:, None] + steps, len(query) - 1)]
            there = self.tokens[np.minimum((places[rows] + known)[:, None] + steps, last)]
            differs = wanted != there
            first = differs.argmax(axis=1)
            decided = differs[np.arange(len(rows)), first]
            shared[rows] += np.where(decided, first, look)
            chosen = np.flatnonzero(decided)
            after[rows[chosen]] = wanted[chosen, first[chosen]] > there[chosen, first[chosen]]
            rows, look = rows[~decided], 4 * look
        return shared, after
