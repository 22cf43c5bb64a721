"""Words of a text as arrays, and hashes of runs of words, without a Python loop over words.

Shapes: C characters, W words.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache

import numpy as np

_BASE = np.uint64(0x9E3779B97F4A7C15)
_MIX = (np.uint64(0xBF58476D1CE4E5B9), np.uint64(0x94D049BB133111EB))
_UNSPACED = (
    (0x0E00, 0x0FFF), (0x1000, 0x109F), (0x1780, 0x17FF), (0x1950, 0x19DF), (0x1A20, 0x1AAF), (0x1B00, 0x1B7F), (0x2E80, 0x2FDF),
    (0x3005, 0x3007), (0x3040, 0x30FF), (0x31F0, 0x31FF), (0x3400, 0x4DBF), (0x4E00, 0x9FFF), (0xA980, 0xA9DF), (0xAA60, 0xAADF),
    (0xF900, 0xFAFF), (0xFF66, 0xFF9D), (0x11700, 0x1173F), (0x20000, 0x3FFFF),
)  # fmt: skip
"""Scripts written without spaces between words: Thai, Lao, Tibetan, Burmese, Khmer, Tai, Balinese, Javanese, Han, Kana.

Source: Unicode Standard Annex 14, line breaking classes SA, ID and CJ (Tibetan by its use: syllables, not words, are
marked).
"""


@dataclass(frozen=True)
class Words:
    """A text cut into words: runs of characters that aren't white space; in scripts without spaces each character is
    one.

    Attributes:
        codes: uint32 [C], code points.
        starts, ends: int64 [W], character offsets.
    """

    codes: np.ndarray
    starts: np.ndarray
    ends: np.ndarray

    def __len__(self) -> int:
        return len(self.starts)

    @property
    def lengths(self) -> np.ndarray:
        """int64 [W], characters of each word."""
        return self.ends - self.starts


def words_of(text: str) -> Words:
    """Cut a text into words."""
    codes = code_points(text)
    flags = _flags()[codes]
    space, alone = flags == 1, flags == 2
    inside = ~space
    before = np.concatenate([[True], space[:-1] | alone[:-1]])
    after = np.concatenate([space[1:] | alone[1:], [True]])
    starts = np.flatnonzero(inside & (before | alone))
    ends = np.flatnonzero(inside & (after | alone)) + 1
    return Words(codes, starts, ends)


def code_points(text: str) -> np.ndarray:
    """uint32 [C]. Lone surrogates, which no UTF-8 file holds, become `?`."""
    return np.frombuffer(text.encode("utf-32-le", "replace"), dtype="<u4")


def run_hashes(words: Words, size: int) -> np.ndarray:
    """Hash of each run of `size` words, with what stands between them: uint64 [max(0, W − size + 1)].

    Equal strings have equal hashes wherever they stand. A polynomial over mixed code points modulo 2⁶⁴, then mixed:
    two given strings collide with a chance of about 2⁻⁶⁰.
    """
    count = len(words) - size + 1
    if count <= 0:
        return np.zeros(0, np.uint64)
    return span_hashes(words.codes, words.starts[:count], words.ends[size - 1 :])


def span_hashes(codes: np.ndarray, starts: np.ndarray, ends: np.ndarray) -> np.ndarray:
    """Hash of the characters of each span: uint64 [number of spans]."""
    with np.errstate(over="ignore"):
        powers = np.full(len(codes) + 1, _BASE)
        powers[0] = 1
        np.multiply.accumulate(powers, out=powers)
        inverse = np.full(len(codes) + 1, _inverse(int(_BASE)))
        inverse[0] = 1
        np.multiply.accumulate(inverse, out=inverse)
        sums = np.concatenate(
            [
                np.zeros(1, np.uint64),
                np.cumsum(mixed(codes.astype(np.uint64) + np.uint64(1)) * powers[:-1], dtype=np.uint64),
            ]
        )
        return mixed((sums[ends] - sums[starts]) * inverse[starts] + (ends - starts).astype(np.uint64))


def mixed(values: np.ndarray) -> np.ndarray:
    """The finaliser of splitmix64, a bijection of uint64 (Steele, Lea, Flood 2014, "Fast splittable pseudorandom
    number generators").
    """
    with np.errstate(over="ignore"):
        values = (values ^ (values >> np.uint64(30))) * _MIX[0]
        values = (values ^ (values >> np.uint64(27))) * _MIX[1]
        return values ^ (values >> np.uint64(31))


def _inverse(odd: int) -> np.uint64:
    return np.uint64(pow(odd, -1, 2**64))


@cache
def _flags() -> np.ndarray:
    """uint8 by code point: 1 white space, 2 a character of a script without spaces."""
    flags = np.zeros(0x110000, np.uint8)
    for low, high in _UNSPACED:
        flags[low : high + 1] = 2
    space = [code for code in (*range(0x3001), 0xFEFF) if chr(code).isspace()]
    flags[space] = 1
    flags.setflags(write=False)
    return flags
