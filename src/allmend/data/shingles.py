"""Shingles of a text (runs of five words) and its MinHash signature, vectorised."""

from __future__ import annotations

import hashlib
from functools import lru_cache

import numpy as np

from allmend.data.words import code_points, mixed, run_hashes, span_hashes, words_of
from allmend.kinds import normal_text

SIZE = 5
BANDS, ROWS = 14, 8
_CHUNK = 2**14


def shingles(text: str) -> np.ndarray:
    """Hashes of the distinct shingles of a text, sorted: uint64 [number of shingles], at least one unless the text is
    empty.

    Five words of the lower-cased normal text; in scripts without spaces a word is a character. A shorter text is one
    shingle.

    Source:
        Broder 1997, "On the resemblance and containment of documents"; five words as in FineWeb (arXiv 2406.17557).
    """
    normal = normal_text(text).lower()
    words = words_of(normal)
    found = run_hashes(words, SIZE)
    if not len(found) and len(words):
        codes = code_points(normal)
        found = span_hashes(codes, np.array([0]), np.array([len(codes)]))
    return np.unique(found)


def bands(shingled: np.ndarray) -> np.ndarray:
    """Keys of the 14 bands of a MinHash signature of 14 × 8 hashes: uint64 [BANDS].

    Two texts of Jaccard similarity s share a band with the chance 1 − (1 − s⁸)¹⁴: .05 at .5, .77 at .75, .93 at .8,
    .9996 at .9 … so that at the threshold of .8 seven pairs of a hundred are missed, and none that isn't checked is
    taken.

    Source:
        Broder 1997; Leskovec, Rajaraman, Ullman, "Mining of Massive Datasets", section 3.4; 14 × 8 as in FineWeb.
    """
    lowest = np.full(BANDS * ROWS, np.iinfo(np.uint64).max, np.uint64)
    seeds, factors = _functions()
    with np.errstate(over="ignore"):
        for start in range(0, len(shingled), _CHUNK):
            piece = shingled[start : start + _CHUNK, None]
            values = (piece ^ seeds) * factors
            np.minimum(lowest, (values ^ (values >> np.uint64(32))).min(axis=0), out=lowest)
        keys = np.zeros(BANDS, np.uint64)
        for row in lowest.reshape(BANDS, ROWS).T:
            keys = mixed(keys * np.uint64(31) + row)
    return keys


@lru_cache(maxsize=1)
def _functions() -> tuple[np.ndarray, np.ndarray]:
    """112 hash functions x → (x ⊕ a) · b: constants from SHA-256 of their number, b odd. Shingle hashes are mixed
    already.
    """
    drawn = [hashlib.sha256(f"allmend minhash 1 {number}".encode()).digest() for number in range(BANDS * ROWS)]
    seeds = np.array([int.from_bytes(digest[:8], "little") for digest in drawn], np.uint64)
    factors = np.array([int.from_bytes(digest[8:16], "little") | 1 for digest in drawn], np.uint64)
    return seeds, factors


def jaccard(a: np.ndarray, b: np.ndarray) -> float:
    """Shared shingles over all shingles of two texts; 1 for two empty ones."""
    shared = len(np.intersect1d(a, b, assume_unique=True))
    union = len(a) + len(b) - shared
    return shared / union if union else 1.0
