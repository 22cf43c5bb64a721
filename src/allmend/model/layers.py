"""The parts of a decoder layer: norm, rotary positions, activations. Parameter names are those of `transformers`.

Shapes: B sequences, S tokens, D width, H query heads, K key heads, N head width, F inner width. The rotation
and xIELU have a backward of their own: on a CPU, autograd's chains of small operations cost a third of a 1 M
model's step.
"""

from __future__ import annotations

import math
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from allmend.model.shapes import Shape


class RMSNorm(nn.Module):
    """x / √(mean x² + ε) · weight, in fp32 (Zhang and Sennrich 2019, arXiv 1910.07467)."""

    def __init__(self, width: int, epsilon: float) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.ones(width))
        self.epsilon = epsilon

    def forward(self, x: Tensor) -> Tensor:
        if x.dtype == torch.float32:
            return F.rms_norm(x, self.weight.shape, self.weight, self.epsilon)
        return self.weight * F.rms_norm(x.float(), self.weight.shape, None, self.epsilon).to(x.dtype)


class Rotary(nn.Module):
    """Cosine and sine of each position's rotation (Su et al. 2021, arXiv 2104.09864), stretched if the shape asks."""

    def __init__(self, shape: Shape) -> None:
        super().__init__()
        self.shape = shape
        self.register_buffer("frequencies", frequencies_of(shape), persistent=False)

    def restore_buffers(self) -> None:
        self.frequencies = frequencies_of(self.shape)

    def forward(self, positions_BS: Tensor, dtype: torch.dtype) -> tuple[Tensor, Tensor]:
        """cos, sin: [B, S, 1, N/2]."""
        angles = positions_BS[..., None, None].float() * self.frequencies
        return angles.cos().to(dtype), angles.sin().to(dtype)


def frequencies_of(shape: Shape) -> Tensor:
    """Radians a token of each pair of components: fp32 [N/2].

    With scaling, a wavelength longer than original_context / low is divided by `factor` in frequency, one shorter than
    original_context / high stays, and between them the two are mixed linearly in original_context / wavelength.
    """
    index = torch.arange(0, shape.head_width, 2, dtype=torch.int64).float()
    plain = 1.0 / (shape.rope_theta ** (index / shape.head_width))
    scaling = shape.rope_scaling
    if scaling is None:
        return plain
    turns = scaling.original_context / (2 * math.pi / plain)
    low, high = scaling.low_frequency_factor, scaling.high_frequency_factor
    kept = ((turns - low) / (high - low)).clamp(0, 1)
    return (1 - kept) * plain / scaling.factor + kept * plain


class _Rotate(torch.autograd.Function):
    """Rotates component i and i + N/2 of each head as one pair. Its backward is the rotation the other way."""

    @staticmethod
    def forward(ctx: Any, x_BSHN: Tensor, cos: Tensor, sin: Tensor) -> Tensor:
        ctx.save_for_backward(cos, sin)
        return _rotated(x_BSHN, cos, sin)

    @staticmethod
    def backward(ctx: Any, grad_BSHN: Tensor) -> tuple[Tensor, None, None]:
        cos, sin = ctx.saved_tensors
        return _rotated(grad_BSHN, cos, -sin), None, None


def _rotated(x: Tensor, cos: Tensor, sin: Tensor) -> Tensor:
    left, right = x.chunk(2, dim=-1)
    out = torch.empty_like(x, memory_format=torch.contiguous_format)
    half = x.shape[-1] // 2
    torch.mul(left, cos, out=out[..., :half]).addcmul_(right, sin, value=-1)
    torch.mul(right, cos, out=out[..., half:]).addcmul_(left, sin)
    return out


def rotate(x_BSHN: Tensor, cos: Tensor, sin: Tensor) -> Tensor:
    """Heads turned by their positions' angles."""
    return _Rotate.apply(x_BSHN, cos, sin)


BETA = 0.5
EPSILON = -1e-6


class _Xielu(torch.autograd.Function):
    """xIELU and its gradients, in as few passes over memory as torch allows."""

    @staticmethod
    def forward(ctx: Any, x: Tensor, positive: Tensor, negative: Tensor) -> Tensor:
        ctx.save_for_backward(x, positive, negative)
        above, below = x.clamp(min=0), x.clamp(max=0)
        out = below.expm1().sub_(below).mul_(negative)
        return out.addcmul_(above * positive, above).add_(x, alpha=BETA)

    @staticmethod
    @torch.autograd.function.once_differentiable
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        x, positive, negative = ctx.saved_tensors
        above, below = x.clamp(min=0), x.clamp(max=0)
        small = below.expm1()
        by_negative = grad.flatten() @ torch.sub(small, below, out=below).flatten()
        slope = small.mul_(negative).addcmul_(above, 2 * positive).add_(BETA)
        by_positive = grad.flatten() @ above.square_().flatten()
        return slope.mul_(grad), by_positive.reshape(positive.shape), by_negative.reshape(negative.shape)


class Xielu(nn.Module):
    """Expanded integral of the exponential linear unit (Huang and Schlag 2024, arXiv 2411.13010).

    α₊x² + βx above 0, α₋(eˣ − 1 − x) + βx below, with α₊ = softplus(alpha_p), α₋ = β + softplus(alpha_n), β = .5, both
    α .8 at the start. The scalars stay in fp32. `beta` and `eps` are buffers only since transformers stores them: its ε
    = −1e-6 moves eˣ − 1 by at most 1e-6 for x within 1e-6 of 0, which is left out here.
    """

    def __init__(self) -> None:
        super().__init__()
        self.alpha_p = nn.Parameter(torch.empty(1))
        self.alpha_n = nn.Parameter(torch.empty(1))
        self.register_buffer("beta", torch.tensor(BETA))
        self.register_buffer("eps", torch.tensor(EPSILON))
        self.reset()

    def reset(self) -> None:
        with torch.no_grad():
            self.alpha_p.fill_(math.log(math.expm1(0.8)))
            self.alpha_n.fill_(math.log(math.expm1(0.8 - BETA)))

    def restore_buffers(self) -> None:
        self.beta, self.eps = torch.tensor(BETA), torch.tensor(EPSILON)

    def forward(self, x: Tensor) -> Tensor:
        positive = F.softplus(self.alpha_p).to(x.dtype)
        negative = (BETA + F.softplus(self.alpha_n)).to(x.dtype)
        return _Xielu.apply(x, positive, negative)


class XieluFeedForward(nn.Module):
    """down(xIELU(up(x)))."""

    def __init__(self, shape: Shape) -> None:
        super().__init__()
        self.up_proj = nn.Linear(shape.width, shape.ffn, bias=False)
        self.down_proj = nn.Linear(shape.ffn, shape.width, bias=False)
        self.act_fn = Xielu()

    def forward(self, x: Tensor) -> Tensor:
        return self.down_proj(self.act_fn(self.up_proj(x)))


class GatedFeedForward(nn.Module):
    """down(SiLU(gate(x)) · up(x)) (Shazeer 2020, arXiv 2002.05202)."""

    def __init__(self, shape: Shape) -> None:
        super().__init__()
        self.gate_proj = nn.Linear(shape.width, shape.ffn, bias=False)
        self.up_proj = nn.Linear(shape.width, shape.ffn, bias=False)
        self.down_proj = nn.Linear(shape.ffn, shape.width, bias=False)

    def forward(self, x: Tensor) -> Tensor:
        return self.down_proj(F.silu(self.gate_proj(x)) * self.up_proj(x))


FEED_FORWARDS = {"xielu": XieluFeedForward, "gated_silu": GatedFeedForward}
