"""Goldfish masks: which labels are left out of the loss, so that no passage can be learnt by heart (Hans et al. 2024,
arXiv 2406.10209).

One label in k is dropped, chosen by a hash of the h tokens that end at it: a passage that comes again loses the same
labels again.

Shapes: B windows, L tokens of look-back, S labels, T = L + 1 + S tokens a row, V vocabulary. NumPy only: the loader
runs it.

`robust` is ours and the default. It differs from the paper's code (`compat`): the hash minds the order of the tokens
and doesn't collapse (the product of ids of `compat` is 0 on about 9 % of windows at h = 50), and it is taken on the
document, not on the window, so that packing doesn't matter.
"""

from __future__ import annotations

import functools
import hashlib
from typing import Any

import numpy as np

from allmend.kinds import BOD, PAD, WITHDRAWN

PRIME = 2**61 - 1
BASE = int.from_bytes(hashlib.sha256(b"allmend goldfish 1").digest()[:8], "little") % PRIME
COMPAT_TABLE_SIZE = 1_000_003
COMPAT_SEED = 2_971_215_073


def drops_robust(
    tokens_BT: np.ndarray, lookback: int, k: int = 50, h: int = 50, normal_V: np.ndarray | None = None
) -> np.ndarray:
    """True where a label is dropped, by a hash of the document's h tokens that end at it.

    The first h − 1 labels of a document are kept; so are labels whose h tokens hold BoD, `<withdrawn>` or `<pad>`.

    Args:
        tokens_BT: ids [B, lookback + 1 + S]: `lookback` tokens before each window (`<pad>` before a stream's start),
            its first input, then its S labels.
        lookback: at least h − 2, so that the first label's h tokens are there.
        k: one label in k is dropped.
        h: tokens that enter the hash.
        normal_V: id → id of its normal form (`normal_ids`), so that a passage loses the same labels whatever its case.

    Returns:
        bool [B, S], the same for a document in any packing, window start or S.
    """
    assert lookback >= h - 2, f"a look-back of {lookback} tokens is too short for h = {h}"
    width = tokens_BT.shape[1]
    idle = (tokens_BT == BOD) | (tokens_BT == PAD) | (tokens_BT == WITHDRAWN)
    index = np.arange(width, dtype=np.int32)
    last_idle = np.maximum.accumulate(np.where(idle, index, np.int32(-1)), axis=1)
    whole = (index - last_idle >= h) & (index >= h - 1)
    ids = tokens_BT.astype(np.uint64) if normal_V is None else normal_V.astype(np.uint64)[tokens_BT]
    dropped = _mixed(_window_hashes(ids, h)) <= np.uint64((2**64 - 1) // k)
    return (whole & dropped)[:, lookback + 1 :]


def _window_hashes(ids_BT: np.ndarray, h: int) -> np.ndarray:
    """Σ (id + 1) · BASE^−age over the h tokens that end at each place, mod PRIME: uint64 [B, T].

    Sums of (id + 1) · BASE^t run along the row in two halves of 31 and 30 bits, whose products with an id of < 2²⁵ fit
    64 bits; their differences over h places are exact though the sums wrap. A last product by BASE^−t makes them
    independent of t.
    """
    powers, inverses = _powers(ids_BT.shape[1])
    ids_BT = ids_BT + np.uint64(1)
    halves = []
    for half in (powers & np.uint64(2**31 - 1), powers >> np.uint64(31)):
        running = np.cumsum(ids_BT * half, axis=1, dtype=np.uint64)
        running[:, h:] -= running[:, :-h].copy()
        halves.append(_reduced(running))
    return _times(_reduced(halves[0] + _times(halves[1], np.uint64(2**31))), inverses)


@functools.lru_cache(maxsize=4)
def _powers(count: int) -> tuple[np.ndarray, np.ndarray]:
    """BASE^t and BASE^−t mod PRIME for t = 0 … count − 1."""
    inverse = pow(BASE, -1, PRIME)
    up, down = [1], [1]
    for _ in range(count - 1):
        up.append(up[-1] * BASE % PRIME)
        down.append(down[-1] * inverse % PRIME)
    return np.array(up, np.uint64), np.array(down, np.uint64)


def _reduced(x: np.ndarray) -> np.ndarray:
    """x mod PRIME for any uint64."""
    x = (x & np.uint64(PRIME)) + (x >> np.uint64(61))
    return np.where(x >= PRIME, x - np.uint64(PRIME), x)


def _times(a: np.ndarray, b: np.ndarray | np.uint64) -> np.ndarray:
    """a · b mod PRIME for a, b < PRIME, by halves: 2⁶¹ is 1 here, so 2⁶² is 2."""
    low, high = np.uint64(2**31 - 1), np.uint64(31)
    a0, a1, b0, b1 = a & low, a >> high, b & low, b >> high
    middle = a0 * b1 + a1 * b0  # < 2⁶²
    # a1·b1·2⁶² + middle·2³¹ + a0·b0
    carried = (middle >> np.uint64(30)) + ((middle & np.uint64(2**30 - 1)) << high)
    return _reduced(_reduced(a1 * b1 * np.uint64(2)) + _reduced(carried) + _reduced(a0 * b0))


def _mixed(x: np.ndarray) -> np.ndarray:
    """Steele et al. 2014's splitmix64 finaliser: every bit of x moves every bit of the result."""
    x = (x ^ (x >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    x = (x ^ (x >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    return x ^ (x >> np.uint64(31))


def drops_compat(labels_BS: np.ndarray, k: int = 50, h: int = 50) -> np.ndarray:
    """True where a label is dropped, exactly as the paper's code does it.

    Product of the h ids that end at the label (64-bit, wrapping) modulo 1,000,003 into a table of uniforms; dropped if
    below 1/k. The first h − 1 labels of a *window* are kept. k = 50, h = 50 is Apertus; the paper has h = 13, k = 3 …
    128.

    Args:
        labels_BS: the window's targets as ids [B, S].
    """
    dropped = np.zeros(labels_BS.shape, bool)
    if labels_BS.shape[1] >= h:
        products = _window_products(labels_BS.astype(np.int64), h)
        dropped[:, h - 1 :] = _compat_table()[products % COMPAT_TABLE_SIZE] < np.float32(1 / k)
    return dropped


def _window_products(ids_BS: np.ndarray, h: int) -> np.ndarray:
    """Product of every h neighbours, int64 [B, S − h + 1]: by doubling, log₂ h passes instead of h."""
    length = ids_BS.shape[1] - h + 1
    product, run, start, size = None, ids_BS, 0, 1
    while size <= h:
        if h & size:
            part = run[:, start : start + length]
            product = part.copy() if product is None else product * part
            start += size
        if size * 2 <= h:
            run = run[:, :-size] * run[:, size:]
        size *= 2
    assert product is not None
    return product


@functools.lru_cache(maxsize=1)
def _compat_table() -> np.ndarray:
    """`torch.rand(1_000_003)` after `manual_seed(2971215073)`: the same Mersenne twister, 24 bits a number."""
    words = np.random.RandomState(COMPAT_SEED).randint(0, 2**32, COMPAT_TABLE_SIZE, dtype=np.uint32)
    return ((words & np.uint32(2**24 - 1)) * np.float32(2**-24)).astype(np.float32)


def normal_ids(tokenizer: Any) -> np.ndarray:
    """Token id → smallest id whose text is the same without case and outer white space: int64 [V]."""
    first: dict[str, int] = {}
    out = np.arange(tokenizer.get_vocab_size(with_added_tokens=True), dtype=np.int64)
    for token in range(len(out)):
        text = tokenizer.decode([token], skip_special_tokens=False)
        if text.strip() and "\ufffd" not in text:  # half a character has no normal form
            out[token] = first.setdefault(text.strip().casefold(), token)
    return out
