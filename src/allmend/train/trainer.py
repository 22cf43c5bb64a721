"""One optimiser step: a batch in micro-batches through the model, gradients of summed losses over all labels.

Shapes: B samples of this rank, S tokens a sample, R labels that count.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch

from allmend.model import build, device_of
from allmend.train.config import PretrainConfig
from allmend.train.loader import Batch, Loader, batch_hash
from allmend.train.objective import Objective
from allmend.train.ranks import Ranks

HASH_BYTES = 32


@dataclass(frozen=True)
class Fed:
    """What came of one step.

    Attributes:
        loss: nats a label over the global batch.
        grad_norm: before clipping.
        hash: of the global batch.
        nats, labels: of each sample of the global batch: float64 and int64 [batch].
    """

    loss: float
    grad_norm: float
    hash: bytes
    nats: np.ndarray
    labels: np.ndarray


class Trainer:
    """A model with its optimiser, fed by a loader, as one of several ranks."""

    def __init__(
        self,
        config: PretrainConfig,
        loader: Loader,
        objective: Objective,
        vocab: int,
        ranks: Ranks,
        device: str = "cpu",
    ) -> None:
        self.config, self.loader, self.objective, self.ranks = config, loader, objective, ranks
        self.device = device_of(device)
        self.model = build(config.family, config.preset, vocab=vocab, context=config.context, seed=config.seed).to(
            self.device
        )
        self.parameters = list(self.model.parameters())
        self.optimizer = adamw(self.model, config)

    def step(self, number: int, rate: float) -> Fed:
        """Feed one step's batch. A loss or norm that isn't finite leaves weights and optimiser as they were."""
        size = self.loader.order.batch(number)[1]
        first, count, micro = self.ranks.share(size, self.config.micro_batch)
        batch = self.loader.batch(number, first, count)
        labels = self.objective.labels(batch)
        hashes, counts = self._agree(batch.hashes, np.count_nonzero(labels >= 0, axis=1))
        total = max(1, int(counts.sum()))
        nats = self.ranks.gather(self._backward(batch, labels, micro, total))
        loss, norm = float(nats.sum()) / total, self._clip()
        if np.isfinite(loss) and np.isfinite(norm):
            for group in self.optimizer.param_groups:
                group["lr"] = rate
            self.optimizer.step()
        return Fed(loss, norm, batch_hash(hashes), nats, counts)

    def _agree(self, hashes: list[bytes], counts: np.ndarray) -> tuple[list[bytes], np.ndarray]:
        """Hash and number of labels of every sample of the global batch, in order."""
        own = np.frombuffer(b"".join(hashes), np.uint8).reshape(-1, HASH_BYTES)
        told = self.ranks.gather(np.concatenate([own, counts.astype("<i8").view(np.uint8).reshape(-1, 8)], axis=1))
        return [row.tobytes() for row in told[:, :HASH_BYTES]], told[:, HASH_BYTES:].copy().view("<i8")[:, 0]

    def _backward(self, batch: Batch, labels_BS: np.ndarray, micro: int, total: int) -> np.ndarray:
        """Gradients of all micro-batches, summed over the ranks; gives the nats of each of our samples: float64 [B]."""
        in_order = self.config.exact_ranks and self.ranks.world > 1
        self.optimizer.zero_grad(set_to_none=True)
        gradients, nats = [], []
        for first in range(0, len(labels_BS), micro):
            cut = slice(first, first + micro)
            inputs, positions, segments, labels = (
                torch.from_numpy(each[cut]).to(self.device)
                for each in (batch.inputs, batch.positions, batch.segments, labels_BS)
            )
            nats_R = self.model(inputs, positions, segments, labels_BS=labels)
            (nats_R.sum() / total).backward()
            rows_R = np.nonzero(labels_BS[cut] >= 0)[0]
            nats.append(np.bincount(rows_R, nats_R.detach().cpu().double().numpy(), minlength=len(labels)))
            if in_order:
                gradients.append([parameter.grad for parameter in self.parameters])
                self.optimizer.zero_grad(set_to_none=True)
        if in_order:
            self.ranks.sum_gradients_in_order(gradients, self.parameters)
        else:
            self.ranks.sum_gradients(self.parameters)
        return np.concatenate(nats)

    def _clip(self) -> float:
        largest = self.config.clip if self.config.clip is not None else float("inf")
        return float(torch.nn.utils.clip_grad_norm_(self.parameters, largest, foreach=True))


def adamw(model: Any, config: PretrainConfig) -> torch.optim.AdamW:
    """AdamW that decays matrices only: norms and xIELU's scalars have no scale to hold down."""
    parameters = list(model.parameters())
    groups = [
        {"params": [each for each in parameters if each.ndim >= 2], "weight_decay": config.weight_decay},
        {"params": [each for each in parameters if each.ndim < 2], "weight_decay": 0.0},
    ]
    return torch.optim.AdamW(groups, lr=config.lr, betas=config.betas, eps=config.epsilon, fused=True)


@contextmanager
def exactly(threads: int) -> Iterator[None]:
    """So many CPU threads, and only kernels that give the same bits each time; as before afterwards."""
    before = torch.get_num_threads(), torch.are_deterministic_algorithms_enabled()
    torch.set_num_threads(threads)
    torch.use_deterministic_algorithms(True)
    try:
        yield
    finally:
        torch.set_num_threads(before[0])
        torch.use_deterministic_algorithms(before[1])
