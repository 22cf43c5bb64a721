"""Which window a domain reads next: a permutation of 0 … n-1, computed, not stored (Feistel rounds, cycle walking)."""

from __future__ import annotations

import hashlib
from functools import lru_cache

import numpy as np

from allmend.kinds import canonical_json

ROUNDS = 12
"""2–4 rounds fail statistics at small n (specs of the data order)."""
LARGEST = 2**52
"""Square roots of larger counts aren't exact in doubles; no domain has so many windows."""
_HALF = np.uint64(32)


@lru_cache(maxsize=1 << 16)
def round_keys(seed: int, domain: str, context: int, windows: int, epoch: int) -> np.ndarray:
    """Keys of the rounds for one domain and epoch: uint64 [12].

    Not keyed by stage: a later stage with equal (domain, context, windows) goes on where this one stopped.
    """
    key = ["allmend order 1", seed, domain, context, windows, epoch]
    blocks = [hashlib.sha256(canonical_json([*key, block])).digest() for block in range(3)]
    return np.frombuffer(b"".join(blocks), "<u8").astype(np.uint64)


def permute(x: np.ndarray, windows: np.ndarray, keys: np.ndarray, inverse: bool = False) -> np.ndarray:
    """Where a permutation of 0 … windows-1 sends each x (or, inverted, what it sends there).

    Args:
        x: int64 [N], 0 ≤ x < windows.
        windows: int64 [N], size of each one's permutation.
        keys: uint64 [N, 12], `round_keys` of each one.

    Returns:
        int64 [N].

    Source:
        Black, Rogaway 2002, Ciphers with Arbitrary Finite Domains (generalised Feistel network, cycle walking).
    """
    assert not len(windows) or windows.max() < LARGEST, f"{windows.max()} windows in a domain"
    rows = np.sqrt(windows).astype(np.int64)
    rows += rows * rows < windows
    columns = -(-windows // rows)  # rows · columns ≥ windows, just: few walks
    out = _rounds(x, rows, columns, keys, inverse)
    walking = np.flatnonzero(out >= windows)
    while len(walking):
        out[walking] = _rounds(out[walking], rows[walking], columns[walking], keys[walking], inverse)
        walking = walking[out[walking] >= windows[walking]]
    return out


def _rounds(x: np.ndarray, rows: np.ndarray, columns: np.ndarray, keys: np.ndarray, inverse: bool) -> np.ndarray:
    """One pass through all rounds: a bijection of 0 … rows·columns-1."""
    left, right = np.divmod(x, columns)
    sign = -1 if inverse else 1
    for number in range(ROUNDS)[::sign]:
        if number % 2 == 0:
            left = (left + sign * _scaled(right, keys[:, number], rows)) % rows
        else:
            right = (right + sign * _scaled(left, keys[:, number], columns)) % columns
    return left * columns + right


def _scaled(half: np.ndarray, key: np.ndarray, size: np.ndarray) -> np.ndarray:
    """A pseudo-random number in 0 … size-1 for one half of the state."""
    mixed = _mix(half.astype(np.uint64) + key) >> _HALF
    return (mixed * size.astype(np.uint64) >> _HALF).astype(np.int64)


def _mix(x: np.ndarray) -> np.ndarray:
    """The finaliser of splitmix64 (Steele, Lea, Flood 2014), modulo 2⁶⁴."""
    x = (x ^ x >> np.uint64(30)) * np.uint64(0xBF58476D1CE4E5B9)
    x = (x ^ x >> np.uint64(27)) * np.uint64(0x94D049BB133111EB)
    return x ^ x >> np.uint64(31)
