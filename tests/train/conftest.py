"""Small runs: a few domains, a tiny model, some dozens of steps."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from allmend.flow import Work
from allmend.kinds import Mixture, Model, Probes, Shards
from allmend.train import STEPS, PretrainConfig
from tests.train import making
from tests.train.making import Library

SHARES = {"de": 0.5, "fr": 0.3, "sw": 0.2}
SMALL = {
    "family": "apertus", "preset": "tiny", "tokens": 2000, "context": 16, "batch": 4, "seed": 7, "checkpoint_every": 6,
}  # fmt: skip


def config_of(**changes: Any) -> PretrainConfig:
    return PretrainConfig(**{**SMALL, **changes})


class StoppingWork(Work):
    """A `Work` that is asked to stop at some step."""

    at: int | None = None

    def beat(self, step: int, phase: str) -> None:
        if step == self.at:
            self._channel.stopping.set()


@dataclass
class Bench:
    """Inputs of runs, and the runs themselves, in one folder."""

    folder: Path
    library: Library
    shards: Shards
    mixture: Mixture
    probes: Probes | None = None

    def train(
        self,
        name: str = "model",
        earlier: Sequence[Model] = (),
        stop_at: int | None = None,
        again: bool = False,
        **changes: Any,
    ) -> Model:
        """One run; `again`: a further attempt, which finds what the last one left in `work.state`."""
        inputs = {"shards": self.shards, "mixture": self.mixture, "probes": self.probes}
        config = changes.pop("config", None) or config_of(**changes)
        work = StoppingWork.alone(
            self.folder / name, STEPS["pretrain"], config, [each for each in inputs.values() if each]
        )
        work.at, work.earlier = stop_at, list(earlier)
        assert again or not list(work.state.iterdir()), f"{name} was run before"
        model: Model = STEPS["pretrain"].function(config, **inputs, work=work)
        return model

    def said(self, name: str) -> str:
        return (self.folder / name / "_run" / "log.txt").read_text()

    def state(self, name: str) -> Path:
        return self.folder / f".{name}.work" / "state" / "checkpoints"


@pytest.fixture
def bench(tmp_path: Path) -> Bench:
    library = making.library({"de": 40, "fr": 24, "sw": 16}, longest=70)
    return Bench(tmp_path, library, library.shards(tmp_path / "shards"), making.mixture(tmp_path / "mixture", SHARES))


@pytest.fixture
def with_holes(bench: Bench) -> Callable[[Sequence[str]], Bench]:
    """The same inputs after the withdrawal of documents."""

    def withdrawn(ids: Sequence[str]) -> Bench:
        for each in ids:
            bench.library.documents[each].withdrawn = True
        folder = bench.folder / f"holes{len(list(bench.folder.iterdir()))}"
        return Bench(bench.folder, bench.library, bench.library.shards(folder), bench.mixture, bench.probes)

    return withdrawn


def files_of(model: Model) -> dict[str, str]:
    """Digests of a model's content but for the order, which names its shards, and of the final optimiser."""
    from allmend.kinds import sha256_file

    found = {name: sha256_file(model.path(name)) for name in model.files() if name != "order.json"}
    last = max((model.folder / "_run" / "checkpoints").iterdir(), key=lambda path: int(path.name))
    return found | {"optimizer": sha256_file(last / "optimizer.safetensors")}
