"""The order of training data: sample i of a run is a pure function of (seed, weights, i). No state, no log, no table.

Vectorised: everything takes and gives arrays of samples. `order.json` is the whole record of what a run reads when.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np

from allmend.kinds import write_json
from allmend.kinds.errors import DamagedError, NewerFormatError, StepFailed, UsageError
from allmend.train.permutation import permute, round_keys
from allmend.train.split import PERIOD, SplitTree, whole_weights

FORMAT = 1


@dataclass(frozen=True)
class Domain:
    """One domain of a stage.

    Attributes:
        tokens: length of its stream.
        dealt: samples that earlier stages of equal (domain, context, windows) took: none repeats before all are read.
    """

    name: str
    tokens: int
    dealt: int = 0


@dataclass(frozen=True)
class Stage:
    """Samples read from one set of shards with one context and one mixture.

    Attributes:
        first_sample: number of its first sample in the run.
        context: S, input tokens of a sample; a window of a stream is tokens [w·S, w·S + S] with one look-ahead label.
        shards: content digest of the shards.
        weights: slots of 2³⁰ that each domain gets.
        domains: sorted by name.
        probes: content digest of the probes, if the domain `probes` stands among the domains.
    """

    first_sample: int
    samples: int
    context: int
    shards: str
    weights: tuple[int, ...]
    domains: tuple[Domain, ...]
    probes: str | None = None

    @cached_property
    def tree(self) -> SplitTree:
        return SplitTree(self.weights)

    @cached_property
    def windows(self) -> np.ndarray:
        """Windows of each domain: int64 [domains]; the last one of a domain is padded."""
        return np.array([-(-domain.tokens // self.context) for domain in self.domains], np.int64)

    @cached_property
    def dealt(self) -> np.ndarray:
        return np.array([domain.dealt for domain in self.domains], np.int64)

    def number(self, name: str) -> int | None:
        """Index of a domain by its name; None if the stage doesn't read it."""
        return next((index for index, domain in enumerate(self.domains) if domain.name == name), None)

    def keys(self, seed: int, domains: np.ndarray, epochs: np.ndarray) -> np.ndarray:
        """Round keys of each (domain, epoch): uint64 [N, 12]."""
        pairs, index = np.unique(np.stack([domains, epochs]), axis=1, return_inverse=True)
        table = [
            round_keys(seed, self.domains[domain].name, self.context, int(self.windows[domain]), epoch)
            for domain, epoch in pairs.T.tolist()
        ]
        return np.stack(table)[index.ravel()]


@dataclass(frozen=True)
class Samples:
    """Where some samples of one stage come from: `window` of the `epoch`-th reading of `domain`, each int64 [N]."""

    stage: Stage
    domain: np.ndarray
    epoch: np.ndarray
    window: np.ndarray


@dataclass(frozen=True)
class Order:
    """What a run reads, and when.

    Attributes:
        steps: rows (first step, first sample, batch): from that step on, batches have that many samples.
        skipped: (step, count): steps whose samples were fed to nobody.
    """

    seed: int
    stages: tuple[Stage, ...] = ()
    steps: tuple[tuple[int, int, int], ...] = ()
    skipped: tuple[tuple[int, int], ...] = ()

    # --- building ---

    def with_stage(
        self,
        shares: Mapping[str, float],
        tokens: Mapping[str, int],
        *,
        context: int,
        batches: Sequence[tuple[int, int]],
        shards: str = "",
        probes: str | None = None,
    ) -> Order:
        """The order with one more stage at its end. Nothing that was there before changes.

        Args:
            shares: domain → share of the samples; in any order and of any sum.
            tokens: domain → length of its stream.
            context: input tokens of a sample.
            batches: (steps, samples a batch), one after the other: a batch ramp has several.

        Raises:
            StepFailed: a domain has a weight and no tokens.
        """
        names = sorted(shares)
        for name in names:
            if not tokens.get(name):
                raise StepFailed(f"domain `{name}` has the weight {shares[name]} but no tokens in the shards.")
        weights = whole_weights([shares[name] for name in names])
        domains = tuple(Domain(name, tokens[name], self._dealt(name, context, tokens[name])) for name in names)
        first_step, first_sample = self.step_count, self.sample_count
        rows = list(self.steps)
        for steps, batch in batches:
            if not rows or rows[-1][2] != batch:
                rows.append((first_step, first_sample, batch))
            first_step, first_sample = first_step + steps, first_sample + steps * batch
        stage = Stage(
            self.sample_count, first_sample - self.sample_count, context, shards, weights, domains, probes
        )  # fmt: skip
        return replace(self, stages=(*self.stages, stage), steps=tuple(rows))

    def _dealt(self, name: str, context: int, tokens: int) -> int:
        """Samples of a domain that earlier stages of equal context and number of windows took."""
        windows, total = -(-tokens // context), 0
        for stage in self.stages:
            index = stage.number(name)
            if index is not None and stage.context == context and stage.windows[index] == windows:
                total += int(stage.tree.counts(stage.samples)[index])
        return total

    # --- steps and samples ---

    @property
    def sample_count(self) -> int:
        return self.stages[-1].first_sample + self.stages[-1].samples if self.stages else 0

    @property
    def step_count(self) -> int:
        if not self.steps:
            return 0
        first_step, first_sample, batch = self.steps[-1]
        return first_step + (self.sample_count - first_sample) // batch

    def batch(self, step: int) -> tuple[int, int]:
        """(first sample, number of samples) of a step.

        Raises:
            UsageError: the run has no such step.
        """
        if not 0 <= step < self.step_count:
            raise UsageError(f"step {step}: this run has {self.step_count:,} steps, 0 to {self.step_count - 1:,}.")
        first_step, first_sample, batch = next(row for row in reversed(self.steps) if row[0] <= step)
        return first_sample + (step - first_step) * batch, batch

    def step_of(self, samples: np.ndarray) -> np.ndarray:
        """The step that reads each sample: int64 [N]."""
        rows = np.array(self.steps, np.int64).reshape(-1, 3)
        first_step, first_sample, batch = rows[np.searchsorted(rows[:, 1], samples, "right") - 1].T
        return first_step + (samples - first_sample) // batch

    def is_skipped(self, steps: np.ndarray | int) -> np.ndarray:
        """Whether a step was fed to nobody: bool, shaped as `steps`."""
        steps = np.asarray(steps)
        found = np.zeros(steps.shape, bool)
        for first, count in self.skipped:
            found |= (steps >= first) & (steps < first + count)
        return found

    def stage_of(self, sample: int) -> Stage:
        return next(stage for stage in reversed(self.stages) if stage.first_sample <= sample)

    def locate(self, stage: Stage, samples: np.ndarray) -> Samples:
        """Where samples of a stage come from: int64 [N], in any order."""
        domain, k = stage.tree.find(samples - stage.first_sample)
        windows = stage.windows[domain]
        epoch, k = np.divmod(stage.dealt[domain] + k, windows)
        return Samples(stage, domain, epoch, permute(k, windows, stage.keys(self.seed, domain, epoch)))

    def samples(self, first: int, count: int) -> Samples:
        """Where samples first … first + count - 1 come from. They lie in one stage."""
        stage = self.stage_of(first)
        assert first + count <= stage.first_sample + stage.samples, f"samples {first} + {count} straddle stages"
        return self.locate(stage, np.arange(first, first + count))

    def samples_of(self, stage: Stage, domain: int, windows: np.ndarray) -> np.ndarray:
        """All samples of a stage that read one of some windows of a domain, ascending: int64 [N]. Inverts `samples`."""
        size, dealt = int(stage.windows[domain]), int(stage.dealt[domain])
        taken = int(stage.tree.counts(stage.samples)[domain])
        epochs = np.arange(dealt // size, -(-(dealt + taken) // size))
        epoch, window = (each.ravel() for each in np.meshgrid(epochs, windows, indexing="ij"))
        if not len(window):
            return np.zeros(0, np.int64)
        keys = stage.keys(self.seed, np.full(len(epoch), domain), epoch)
        k = epoch * size + permute(window, np.full(len(window), size), keys, inverse=True) - dealt
        k = np.sort(k[(k >= 0) & (k < taken)])
        return stage.first_sample + stage.tree.slot(domain, k)

    # --- the record ---

    def as_json(self) -> dict[str, Any]:
        return {
            "format": FORMAT, "seed": self.seed, "stages": [_stage_json(stage) for stage in self.stages],
            "steps": [list(row) for row in self.steps], "skipped": [list(row) for row in self.skipped],
        }  # fmt: skip

    def write(self, path: Path) -> None:
        write_json(path, self.as_json())

    @classmethod
    def read(cls, path: Path) -> Order:
        """`order.json` of a model.

        Raises:
            DamagedError: it isn't one.
            NewerFormatError: a newer Allmend wrote it.
        """
        try:
            found = json.loads(path.read_bytes())
            if found["format"] > FORMAT:
                raise NewerFormatError(
                    f"{path.name} has the format {found['format']}; this Allmend reads up to {FORMAT}."
                )
            stages = tuple(_stage_of(each) for each in found["stages"])
            assert all(sum(stage.weights) == PERIOD for stage in stages), "weights must sum to 2³⁰"
            steps, skipped = (tuple(tuple(row) for row in found[name]) for name in ("steps", "skipped"))
            return cls(found["seed"], stages, steps, skipped)
        except (OSError, ValueError, KeyError, TypeError, AssertionError) as error:
            raise DamagedError(f"{path}: no record of a data order ({type(error).__name__}: {error}).") from error


def _stage_json(stage: Stage) -> dict[str, Any]:
    return {
        "first_sample": stage.first_sample, "samples": stage.samples, "S": stage.context, "shards": stage.shards,
        **({"probes": stage.probes} if stage.probes is not None else {}), "weights": list(stage.weights),
        "domains": [{"name": each.name, "tokens": each.tokens, "dealt": each.dealt} for each in stage.domains],
    }  # fmt: skip


def _stage_of(found: Mapping[str, Any]) -> Stage:
    domains = tuple(Domain(each["name"], each["tokens"], each["dealt"]) for each in found["domains"])
    return Stage(
        found["first_sample"], found["samples"], found["S"], found["shards"], tuple(found["weights"]), domains,
        found.get("probes"),
    )  # fmt: skip
