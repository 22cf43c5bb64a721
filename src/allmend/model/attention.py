"""Causal attention that stays inside segments, and the cache of keys and values that decoding uses.

Shapes: B sequences, S new tokens, C tokens in the cache, H query heads, K key heads, N head width.

Three ways to the same numbers: one causal kernel where no segment breaks; a bool mask for short sequences; one causal
kernel a segment for long ones, where a mask costs S². Forward and backward on one CPU thread, 4 heads of 32, documents
of about 400 tokens, 2,048 to 4,096 tokens in all, slices / mask in ms: S = 128 4.5 / 3.5, 256 13.7 / 13.3, 512 19 / 26,
1,024 20 / 53, 4,096 54 / 470.
"""

from __future__ import annotations

import itertools
from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn import functional as F

LONGEST_MASK = 256
"""Sequences longer than this are cut at their segments."""


@dataclass(frozen=True)
class Segments:
    """How a batch's rows break, worked out once and used by every layer."""

    mask_B1SS: Tensor | None = None
    """True where a query may see a key; None: only causality."""
    slices: tuple[tuple[int, int, int], ...] = ()
    """(row, first, end) of each segment; empty: not cut."""


def segments_for(segments_BS: Tensor | None, longest_mask: int = LONGEST_MASK) -> Segments:
    """Choose a way by the segments. Each row's ids must be equal inside a segment and differ between neighbours.

    A token always sees itself, so no row of the mask is empty.
    """
    if segments_BS is None or segments_BS.shape[1] < 2:
        return Segments()
    breaks_BS = segments_BS[:, 1:] != segments_BS[:, :-1]
    if not bool(breaks_BS.any()):
        return Segments()
    length = segments_BS.shape[1]
    if length > longest_mask:
        return Segments(slices=_slices(breaks_BS, length))
    causal_SS = torch.ones(length, length, dtype=torch.bool, device=segments_BS.device).tril_()
    return Segments(mask_B1SS=((segments_BS[:, :, None] == segments_BS[:, None, :]) & causal_SS)[:, None])


def _slices(breaks_BS: Tensor, length: int) -> tuple[tuple[int, int, int], ...]:
    found = []
    for row in range(breaks_BS.shape[0]):
        edges = [0, *(breaks_BS[row].nonzero().flatten() + 1).tolist(), length]
        found += [(row, first, end) for first, end in itertools.pairwise(edges)]
    return tuple(found)


def attend(q_BHSN: Tensor, k_BKCN: Tensor, v_BKCN: Tensor, segments: Segments) -> Tensor:
    """Softmax attention of the last S of C tokens over all before them in their segment: [B, H, S, N]."""
    heads, kv_heads = q_BHSN.shape[1], k_BKCN.shape[1]
    if kv_heads != heads:
        k_BKCN, v_BKCN = _repeated(k_BKCN, heads // kv_heads), _repeated(v_BKCN, heads // kv_heads)
    new, known = q_BHSN.shape[2], k_BKCN.shape[2]
    if segments.slices:
        return _by_slice(q_BHSN, k_BKCN, v_BKCN, segments.slices)
    if segments.mask_B1SS is not None:
        return F.scaled_dot_product_attention(q_BHSN, k_BKCN, v_BKCN, attn_mask=segments.mask_B1SS)
    if new == 1 or new == known:
        return F.scaled_dot_product_attention(q_BHSN, k_BKCN, v_BKCN, is_causal=new > 1)
    causal_SC = torch.ones(new, known, dtype=torch.bool, device=q_BHSN.device).tril_(known - new)
    return F.scaled_dot_product_attention(q_BHSN, k_BKCN, v_BKCN, attn_mask=causal_SC)


def _repeated(x_BKCN: Tensor, times: int) -> Tensor:
    """Each key head `times` times in a row, as a view: the kernel reads one copy."""
    batch, heads, tokens, width = x_BKCN.shape
    if heads == 1:
        return x_BKCN.expand(batch, times, tokens, width)
    return x_BKCN[:, :, None].expand(batch, heads, times, tokens, width).reshape(batch, heads * times, tokens, width)


def _by_slice(q: Tensor, k: Tensor, v: Tensor, slices: tuple[tuple[int, int, int], ...]) -> Tensor:
    """One causal kernel a segment."""
    rows: list[list[Tensor]] = [[] for _ in range(q.shape[0])]
    for row, first, end in slices:
        part = slice(row, row + 1), slice(None), slice(first, end)
        rows[row].append(F.scaled_dot_product_attention(q[part], k[part], v[part], is_causal=end - first > 1))
    return torch.cat([torch.cat(row, dim=2) for row in rows])


class Cache:
    """Keys and values of tokens already read, one buffer a layer, grown by doubling."""

    def __init__(self, layers: int) -> None:
        self.length = 0
        self._layers: list[tuple[Tensor, Tensor] | None] = [None] * layers

    def extend(self, layer: int, k_BKSN: Tensor, v_BKSN: Tensor) -> tuple[Tensor, Tensor]:
        """Append a layer's new keys and values; gives all, [B, K, C, N]. `length` moves with the last layer."""
        end = self.length + k_BKSN.shape[2]
        held = self._layers[layer]
        if held is None or held[0].shape[2] < end:
            held = self._layers[layer] = (_grown(held, 0, k_BKSN, end), _grown(held, 1, v_BKSN, end))
        for buffer, new in zip(held, (k_BKSN, v_BKSN), strict=True):
            buffer[:, :, self.length : end] = new
        if layer == len(self._layers) - 1:
            self.length = end
        return held[0][:, :, :end], held[1][:, :, :end]


def _grown(held: tuple[Tensor, Tensor] | None, which: int, new: Tensor, end: int) -> Tensor:
    batch, heads, _, width = new.shape
    buffer = new.new_empty(batch, heads, max(64, 2 * end), width)
    if held is not None:
        buffer[:, :, : held[which].shape[2]] = held[which]
    return buffer
