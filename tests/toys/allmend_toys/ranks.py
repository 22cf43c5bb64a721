"""A toy step on several ranks: sums over gloo, and on demand one rank dies, stands still or fails."""

from __future__ import annotations

import os
import signal
import time
from pathlib import Path

from allmend.kinds import Config, Model, Work, write_json
from allmend.kinds.errors import Interrupted


class RanksConfig(Config):
    """What goes wrong, if anything, on the last rank."""

    steps: int = 5
    trouble: str = ""


def ranks(config: RanksConfig, work: Work) -> Model:
    """All-reduce the step's number over the ranks, a few times."""
    import torch
    import torch.distributed as dist

    if work.world > 1:
        dist.init_process_group("gloo")
    total = 0
    for step in range(config.steps):
        work.beat(step, "step")
        if step == 2 and work.rank == work.world - 1 and config.trouble:
            _trouble(config.trouble, work)
        value = torch.tensor([step * (work.rank + 1)])
        if work.world > 1:
            dist.all_reduce(value)
        total += int(value)
    if work.rank == 0:
        write_json(work.folder / "summary.json", {"total": total, "world": work.world})
    return Model(work.folder)


def _trouble(kind: str, work: Work) -> None:
    """Note the moment, then get into trouble."""
    Path(os.environ["TOY_TROUBLE"]).write_text(repr(time.monotonic()))
    if kind == "killed":
        os.kill(os.getpid(), signal.SIGKILL)
    if kind == "stopped":
        os.kill(os.getpid(), signal.SIGSTOP)
    if kind == "failing":
        raise ValueError("this rank was told to fail")
    if kind == "asleep":
        time.sleep(600)
    if kind == "waiting":
        while not work.stop:
            time.sleep(0.02)
        raise Interrupted("stopped")
