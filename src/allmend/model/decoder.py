"""The decoder: embedding, layers of attention and feed-forward, head. One class serves every family of `families/`.

Shapes: B sequences, S tokens, D width, H query heads, K key heads, N head width, V vocabulary, R labels that count.
"""

from __future__ import annotations

import hashlib

import numpy as np
import torch
from torch import Tensor, nn

from allmend.model.attention import Cache, Segments, attend, segments_for
from allmend.model.holes import IGNORED
from allmend.model.layers import FEED_FORWARDS, RMSNorm, Rotary, Xielu, rotate
from allmend.model.loss import nats_of
from allmend.model.shapes import Shape, family_of, initial_std, shape_of

Rotation = tuple[Tensor, Tensor]


class Attention(nn.Module):
    """Grouped-query attention (Ainslie et al. 2023, arXiv 2305.13245) with rotary positions."""

    def __init__(self, shape: Shape, qk_norm: bool) -> None:
        super().__init__()
        self.head_width = shape.head_width
        self.q_proj = nn.Linear(shape.width, shape.heads * shape.head_width, bias=False)
        self.k_proj = nn.Linear(shape.width, shape.kv_heads * shape.head_width, bias=False)
        self.v_proj = nn.Linear(shape.width, shape.kv_heads * shape.head_width, bias=False)
        self.o_proj = nn.Linear(shape.heads * shape.head_width, shape.width, bias=False)
        self.q_norm = RMSNorm(shape.head_width, shape.norm_epsilon) if qk_norm else nn.Identity()
        self.k_norm = RMSNorm(shape.head_width, shape.norm_epsilon) if qk_norm else nn.Identity()

    def forward(self, x_BSD: Tensor, rotation: Rotation, segments: Segments, cache: Cache | None, layer: int) -> Tensor:
        batch, new, _ = x_BSD.shape
        split = (batch, new, -1, self.head_width)
        q_BHSN = rotate(self.q_norm(self.q_proj(x_BSD).view(split)), *rotation).transpose(1, 2)
        k_BKSN = rotate(self.k_norm(self.k_proj(x_BSD).view(split)), *rotation).transpose(1, 2)
        v_BKSN = self.v_proj(x_BSD).view(split).transpose(1, 2)
        if cache is not None:
            k_BKSN, v_BKSN = cache.extend(layer, k_BKSN, v_BKSN)
        return self.o_proj(attend(q_BHSN, k_BKSN, v_BKSN, segments).transpose(1, 2).reshape(batch, new, -1))


class Layer(nn.Module):
    """x + attention(norm(x)), then x + feed_forward(norm(x))."""

    def __init__(self, shape: Shape) -> None:
        super().__init__()
        family = family_of(shape.family)
        self.self_attn = Attention(shape, family.qk_norm)
        self.mlp = FEED_FORWARDS[family.feed_forward](shape)
        self._norms = family.norms
        for name in family.norms:
            self.add_module(name, RMSNorm(shape.width, shape.norm_epsilon))

    def forward(self, x_BSD: Tensor, rotation: Rotation, segments: Segments, cache: Cache | None, layer: int) -> Tensor:
        before_attention, before_feed_forward = (getattr(self, name) for name in self._norms)
        x_BSD = x_BSD + self.self_attn(before_attention(x_BSD), rotation, segments, cache, layer)
        return x_BSD + self.mlp(before_feed_forward(x_BSD))


class Body(nn.Module):
    """All but the head. Its attribute names, and with them the parameters' names, are those of transformers."""

    def __init__(self, shape: Shape) -> None:
        super().__init__()
        self.embed_tokens = nn.Embedding(shape.vocab, shape.width)
        self.layers = nn.ModuleList(Layer(shape) for _ in range(shape.layers))
        self.norm = RMSNorm(shape.width, shape.norm_epsilon)
        self.rotary = Rotary(shape)

    def forward(self, tokens_BS: Tensor, positions_BS: Tensor, segments: Segments, cache: Cache | None) -> Tensor:
        x_BSD = self.embed_tokens(tokens_BS)
        rotation = self.rotary(positions_BS, x_BSD.dtype)
        for number, layer in enumerate(self.layers):
            x_BSD = layer(x_BSD, rotation, segments, cache, number)
        return self.norm(x_BSD)


class Decoder(nn.Module):
    """A causal language model of some family's shape."""

    def __init__(self, shape: Shape) -> None:
        super().__init__()
        self.shape = shape
        self.model = Body(shape)
        self.lm_head = nn.Linear(shape.width, shape.vocab, bias=False)
        self.tie()

    def tie(self) -> None:
        """Make input embedding and head one parameter, if the shape says so; again after one of them was replaced."""
        if self.shape.tied:
            self.lm_head.weight = self.model.embed_tokens.weight

    def forward(
        self,
        tokens_BS: Tensor,
        positions_BS: Tensor | None = None,
        segments_BS: Tensor | None = None,
        cache: Cache | None = None,
        labels_BS: Tensor | None = None,
        last_only: bool = False,
    ) -> Tensor:
        """Logits of each next token; with labels, the loss of each instead.

        Args:
            tokens_BS: int [B, S].
            positions_BS: int [B, S], 0 at the start of each document; None: 0 … S − 1, or on from the cache's length.
            segments_BS: int [B, S], as `segments_of` gives them: attention stays inside a segment. None: one segment a
                row.
            cache: keys and values of the tokens before these; extended. Not together with segments.
            labels_BS: int [B, S], IGNORED where none counts. The head then runs on the others only.
            last_only: only the last token's logits, [B, 1, V].

        Returns:
            logits [B, S, V]; with labels, fp32 [R]: minus the natural log of each counted label's probability, row by
            row. The loss of a step is their sum over the number of labels in the *global* batch.
        """
        assert cache is None or segments_BS is None, "a cache holds one segment a row"
        if positions_BS is None:
            first = cache.length if cache else 0
            positions_BS = torch.arange(first, first + tokens_BS.shape[1], device=tokens_BS.device)[None]
        x_BSD = self.model(tokens_BS, positions_BS, segments_for(segments_BS), cache)
        if labels_BS is None:
            return self.lm_head(x_BSD[:, -1:] if last_only else x_BSD)
        counted_R = (labels_BS.flatten() != IGNORED).nonzero().flatten()
        x_RD = x_BSD.flatten(0, 1).index_select(0, counted_R)
        return nats_of(x_RD, self.lm_head.weight, labels_BS.flatten().index_select(0, counted_R))

    def restore_buffers(self) -> None:
        """Make anew, on the CPU, what no file holds: rotary frequencies and xIELU's constants."""
        for module in self.modules():
            if isinstance(module, Rotary | Xielu):
                module.restore_buffers()

    @property
    def device(self) -> torch.device:
        return self.lm_head.weight.device


def build(family: str, preset: str, *, vocab: int | None = None, context: int | None = None, seed: int) -> Decoder:
    """A decoder with fresh weights in fp32, the same for the same seed on every machine."""
    return build_shape(shape_of(family, preset, vocab, context), seed)


def build_shape(shape: Shape, seed: int) -> Decoder:
    """As `build`, for any shape."""
    with torch.device("meta"):
        decoder = Decoder(shape)
    decoder.to_empty(device="cpu")
    decoder.tie()
    initialise(decoder, seed)
    return decoder


def initialise(decoder: Decoder, seed: int) -> None:
    """Fill in every parameter and buffer: matrices N(0, 2 / (5 width)), norms 1, xIELU's scalars their start.

    Each matrix has a random stream of its own, named by (seed, parameter name): no parameter's values depend on
    another's size or order. NumPy's streams, since torch's depend on the CPU's vector width.
    """
    std = initial_std(decoder.shape)
    decoder.restore_buffers()
    for module in decoder.modules():
        if isinstance(module, Xielu):
            module.reset()
        elif isinstance(module, RMSNorm):
            nn.init.ones_(module.weight)
    for name, parameter in decoder.named_parameters():
        if parameter.ndim == 2:
            key = hashlib.sha256(f"allmend weights 1\0{seed}\0{name}".encode()).digest()
            stream = np.random.Generator(np.random.Philox(int.from_bytes(key[:16], "little")))
            drawn = stream.standard_normal(tuple(parameter.shape), dtype=np.float32)
            with torch.no_grad():
                parameter.copy_(torch.from_numpy(drawn).mul_(std))
