"""What the ranks of a run tell each other. One rank is the same code with nothing to tell."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import numpy as np

from allmend.kinds import Work
from allmend.kinds.errors import StepFailed


@dataclass(frozen=True)
class Ranks:
    """This process among those that share a batch: each takes a contiguous run of its micro-batches."""

    rank: int = 0
    world: int = 1

    def share(self, batch: int, micro_batch: int | None) -> tuple[int, int, int]:
        """(first sample, number of samples, micro-batch) of this rank.

        Raises:
            StepFailed: the micro-batches can't be shared out evenly.
        """
        if micro_batch is None:
            if batch % self.world:
                raise StepFailed(
                    f"a batch of {batch} samples can't be shared by {self.world} ranks. Choose a `batch` that is a "
                    f"multiple of {self.world}, or another number of ranks."
                )
            micro_batch = batch // self.world
        count = batch // micro_batch
        if count % self.world:
            raise StepFailed(
                f"the {count} micro-batches ({micro_batch} samples each) of a batch of {batch} can't be shared by "
                f"{self.world} ranks. Choose `batch` and `micro_batch` so that {self.world} divides their quotient, or "
                "another number of ranks."
            )
        mine = count // self.world * micro_batch
        return self.rank * mine, mine, micro_batch

    def gather(self, mine: np.ndarray) -> np.ndarray:
        """The arrays of all ranks, one after the other: [world · N, …] from [N, …] each."""
        if self.world == 1:
            return mine
        import torch
        import torch.distributed as dist

        own = torch.from_numpy(np.ascontiguousarray(mine))
        found = [torch.empty_like(own) for _ in range(self.world)]
        dist.all_gather(found, own)
        return torch.cat(found).numpy()

    def sum_gradients(self, parameters: Sequence[Any]) -> None:
        """Add up the gradients of all ranks, in whatever order the library likes."""
        if self.world == 1:
            return
        import torch.distributed as dist

        flat = _flat([parameter.grad for parameter in parameters])
        dist.all_reduce(flat)
        _spread(flat, parameters)

    def sum_gradients_in_order(self, gradients: Sequence[Sequence[Any]], parameters: Sequence[Any]) -> None:
        """Add up the gradients of all micro-batches from the first of rank 0 to the last of the last rank.

        The sum travels from rank to rank, so its bits are those of one process that takes the micro-batches one by one.
        """
        import torch.distributed as dist

        flat = [_flat(each) for each in gradients]
        if self.rank > 0:
            total = flat[0].clone()
            dist.recv(total, self.rank - 1)
            for each in flat:
                total += each
        else:
            total = flat[0]
            for each in flat[1:]:
                total += each
        if self.world > 1:
            if self.rank < self.world - 1:
                dist.send(total, self.rank + 1)
            dist.broadcast(total, self.world - 1)
        _spread(total, parameters)


def _flat(gradients: Sequence[Any]) -> Any:
    import torch

    return torch.cat([gradient.flatten() for gradient in gradients])


def _spread(flat: Any, parameters: Sequence[Any]) -> None:
    first = 0
    for parameter in parameters:
        parameter.grad = flat[first : first + parameter.numel()].view_as(parameter)
        first += parameter.numel()


@contextmanager
def joined(work: Work) -> Iterator[Ranks]:
    """This process as a rank, with the process group that it needs."""
    if work.world == 1:
        yield Ranks()
        return
    import torch.distributed as dist

    dist.init_process_group("gloo" if work.device == "cpu" else None)
    try:
        yield Ranks(work.rank, work.world)
    finally:
        dist.destroy_process_group()
