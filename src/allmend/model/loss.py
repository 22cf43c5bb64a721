"""The head and the cross-entropy of next tokens in one: rows go through in blocks that stay in the CPU's cache.

Shapes: R rows (labels that count), D width, V vocabulary.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

BLOCK_BYTES = 2**21
"""Logits of a block of rows: about a core's second-level cache. On an accelerator one block holds all rows."""


class _Nats(torch.autograd.Function):
    """logsumexp(x W) − (x W)[label], in fp32.

    The forward already leaves softmax − one-hot where the logits were, so that the backward is one product by the
    incoming gradient and two matrix products. torch's own, apart from the head, makes three arrays [R, V] and goes over
    them from main memory.
    """

    @staticmethod
    def forward(ctx: Any, x_RD: Tensor, weight_VD: Tensor, labels_R: Tensor) -> Tensor:
        nats_R = torch.empty(len(labels_R), device=x_RD.device)
        grad_RV = x_RD.new_empty(len(labels_R), len(weight_VD))
        rows = max(1, BLOCK_BYTES // (4 * len(weight_VD))) if x_RD.device.type == "cpu" else max(1, len(labels_R))
        for first in range(0, len(labels_R), rows):
            block = slice(first, first + rows)
            logits = torch.mm(x_RD[block], weight_VD.T, out=grad_RV[block]).float()
            logits.sub_(logits.amax(dim=1, keepdim=True))
            at_label = logits.gather(1, labels_R[block, None])
            total = logits.exp_().sum(dim=1, keepdim=True)
            nats_R[block] = (total.log() - at_label)[:, 0]
            logits.div_(total).scatter_add_(1, labels_R[block, None], torch.full_like(total, -1.0))
            if logits.dtype != grad_RV.dtype:
                grad_RV[block] = logits
        ctx.save_for_backward(x_RD, weight_VD, grad_RV)
        return nats_R

    @staticmethod
    @torch.autograd.function.once_differentiable
    def backward(ctx: Any, grad_R: Tensor) -> tuple[Tensor, Tensor, None]:
        x_RD, weight_VD, grad_RV = ctx.saved_tensors
        scale_R1 = grad_R[:, None].to(x_RD.dtype)
        # rows are scaled on the narrow side: [R, D] twice, not [R, V] once
        return (grad_RV @ weight_VD).mul_(scale_R1), grad_RV.T @ (x_RD * scale_R1), None


def nats_of(x_RD: Tensor, weight_VD: Tensor, labels_R: Tensor) -> Tensor:
    """Minus the natural log of each label's probability under softmax(x Wᵀ), fp32 [R]."""
    nats_R: Tensor = _Nats.apply(x_RD, weight_VD, labels_R)
    return nats_R
