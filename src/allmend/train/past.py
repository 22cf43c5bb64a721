"""Which checkpoints a run may start from: those that its own past would have made, bit for bit."""

from __future__ import annotations

import hashlib
import platform
from collections.abc import Callable, Sequence
from contextlib import suppress
from pathlib import Path

import numpy as np

from allmend.kinds import RUN, Artifact, canonical, sha256_json
from allmend.kinds.errors import DamagedError
from allmend.train import checkpoints
from allmend.train.checkpoints import Checkpoint
from allmend.train.config import PretrainConfig
from allmend.train.loader import CHAIN_START, Loader, chain_over
from allmend.train.order import Order

VERSION = 1
"""Of the step `train.pretrain`: raised whenever the same inputs would give other weights."""
NOT_THE_PAST = ("tokens", "schedule", "warmup_share", "checkpoint_every", "exact_ranks")
"""Config that decides nothing of the past by itself: what the schedule gave is hashed as the rates themselves."""


def tallied_from(steps: int) -> int:
    """The first of the steps (the last quarter) whose losses `domains.parquet` shows."""
    return steps - -(-steps // 4)


def past_of(config: PretrainConfig, vocab: int, done: int, steps: int) -> str:
    """Digest of all that decides the state after `done` of `steps` steps, but for the batches: the chain has those."""
    import torch

    rates = np.array([config.rate(step, steps) for step in range(done)], "<f8")
    return sha256_json({
        "version": VERSION, "config": canonical(config, leave_out=NOT_THE_PAST), "vocab": vocab,
        "rates": hashlib.sha256(rates.tobytes()).hexdigest(), "tallied": max(0, done - tallied_from(steps)),
        "torch": torch.__version__,
        "machine": [platform.machine(), torch.backends.cpu.get_cpu_capability()],
    })  # fmt: skip


def milestones(steps: int) -> list[int]:
    """Checkpoints that stay: 1/16, 1/8, … of the run and its end. Most documents are first seen early."""
    return sorted({-(-steps // 2**power) for power in range(5)})


def adopt(
    earlier: Sequence[Artifact],
    folder: Path,
    loader: Loader,
    past: Callable[[int], str],
    sums: int,
    say: Callable[[str], None],
) -> None:
    """Bring checkpoints of older builds here, if a run from zero on these shards would have made them.

    A checkpoint n fits exactly if its config up to n is ours but for the shards, and the chain over n steps, recomputed
    from *our* shards, is its own: then no document that was withdrawn since was read in these steps.
    """
    wanted: dict[int, list[Checkpoint]] = {}
    for artifact in earlier:
        found = checkpoints.listed(artifact.folder / RUN / "checkpoints", say)
        fitting = [one for one in found if one.steps <= loader.order.step_count and one.past == past(one.steps)]
        if _is_this_run(artifact, fitting, loader.order):
            continue
        for one in fitting:
            if one.sums == sums:
                wanted.setdefault(one.steps, []).append(one)
    chain, done = CHAIN_START, 0
    for steps in sorted(wanted):
        chain, done = chain_over(loader, steps, done, chain), steps
        agreeing = [one for one in wanted[steps] if one.chain == chain.hex()]
        if not agreeing:
            say(f"an older build's checkpoint {steps} can't be used: it had read other tokens than these shards hold")
            return
        if not (folder / str(steps)).exists():
            with suppress(OSError):  # it may only save work
                checkpoints.link(agreeing[0].folder, folder / str(steps))


def _is_this_run(artifact: Artifact, fitting: Sequence[Checkpoint], order: Order) -> bool:
    """Whether an older build is the very run asked for: to build that again is to compare, so nothing is taken."""
    whole = any(one.steps == order.step_count for one in fitting)
    return whole and Order.read(artifact.path("order.json")) == order


def usable(
    found: Sequence[Checkpoint], past: Callable[[int], str], world: int, say: Callable[[str], None]
) -> Checkpoint | None:
    """The newest checkpoint of this run's own that is whole; the others are named.

    One process promises the same bits each time: it can't go on from gradients that several summed in their own order.
    """
    for one in found:
        try:
            one.check()
        except DamagedError as error:
            say(f"{error}; it is not used")
            continue
        if one.past != past(one.steps):
            say(f"checkpoint {one.steps} was made by another version, library or machine; it is not used")
        elif world == 1 and one.sums != 1:
            say(f"checkpoint {one.steps} was made by {one.sums} processes without `exact_ranks`; it is not used")
        else:
            return one
    return None
