"""The step `train.pretrain`: from shards and a mixture to a model, with a record that gives every batch again."""

from __future__ import annotations

import functools
import json
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
import pyarrow as pa

from allmend.kinds import RUN, Mixture, Model, Probes, Shards, Work, read_table, write_json, write_table
from allmend.kinds.errors import Interrupted, StepFailed
from allmend.model import count_parameters
from allmend.train import checkpoints
from allmend.train.bins import pack
from allmend.train.checkpoints import METRICS, Progress
from allmend.train.config import PretrainConfig
from allmend.train.loader import AHEAD, CHAIN_START, Loader, chained
from allmend.train.objective import Objective
from allmend.train.order import Order
from allmend.train.past import adopt, milestones, past_of, tallied_from, usable
from allmend.train.ranks import Ranks, joined
from allmend.train.reading import Reading, domains_table, order_of, readings_of, refuse_above, said_of
from allmend.train.record import Record
from allmend.train.streams import PROBES, open_streams

KEPT = 2
"""Newest checkpoints that stay besides the milestones: if the newest is cut short, there is one before it."""
REALISED = pa.schema([("id", pa.string()), ("repeats", pa.int32()), ("realised", pa.int32())])


def pretrain(
    config: PretrainConfig, shards: Shards, mixture: Mixture, work: Work, probes: Probes | None = None
) -> Model:
    """Train a model from fresh weights; goes on from the newest checkpoint of an attempt that was stopped or killed."""
    from allmend.train.trainer import Trainer, exactly

    streams = open_streams(shards, probes, config.context)
    order = order_of(config, streams, shards, mixture, probes)
    readings = readings_of(order, streams)
    refuse_above(readings, order.sample_count, mixture.json("mixture.json").get("max_epochs"))
    objective = Objective.of(config.goldfish, shards)
    loader = Loader(order, [streams], objective.look_back)
    vocab = int(shards.json("shards.json")["vocab"])
    with joined(work) as ranks, exactly(config.threads):
        ranks.share(config.batch, config.micro_batch)
        run = _Run(config, work, ranks, Trainer(config, loader, objective, vocab, ranks, work.device), vocab)
        run.say(said_of(readings))
        started, before = time.monotonic(), run.resume()
        run.on(lambda step: Record(order, {order.stages[0].shards: shards}, probes).named(step))
        seconds = time.monotonic() - started
        if work.rank == 0:
            _write(run, shards, probes, readings)
            speed = {"seconds": round(seconds, 3), "steps": run.progress.steps - before, "world": work.world}
            (work.folder / RUN / "training.json").write_text(json.dumps(speed) + "\n")
    return Model(work.folder)


@dataclass
class _Run:
    """A run on its way: the trainer, what lies behind it, and where checkpoints go."""

    config: PretrainConfig
    work: Work
    ranks: Ranks
    trainer: Any
    vocab: int

    def __post_init__(self) -> None:
        self.order: Order = self.trainer.loader.order
        self.steps = self.order.step_count
        self.folder = self.work.state / "checkpoints"
        self.sums = 1 if self.config.exact_ranks else self.work.world
        self.progress = Progress(chain=CHAIN_START.hex())
        self.past: Callable[[int], str] = functools.partial(past_of, self.config, self.vocab, steps=self.steps)

    def say(self, sentence: str) -> None:
        if self.work.rank == 0:
            self.work.log(sentence)

    def resume(self) -> int:
        """Go back to the newest checkpoint of ours; gives its steps. All ranks take what rank 0 found."""
        if self.work.rank == 0:
            adopt(self.work.earlier, self.folder, self.trainer.loader, self.past, self.sums, self.say)
            found = usable(checkpoints.listed(self.folder, self.say), self.past, self.work.world, self.say)
        steps = int(self.ranks.gather(np.array([found.steps if self.work.rank == 0 and found else 0]))[0])
        if steps:
            checkpoint = checkpoints.read(self.folder / str(steps))
            checkpoints.load(checkpoint, self.trainer.model, self.trainer.optimizer)
            self.progress = checkpoint.progress()
            self.say(f"going on from checkpoint {steps} of {self.steps}")
        return steps

    def on(self, documents: Callable[[int], str]) -> None:
        """Feed the steps that are left.

        Args:
            documents: names the documents of a step, for the message if its loss isn't finite.
        """
        tokens = self.config.batch * self.config.context
        with self.work.progress("train", self.steps * tokens, "tokens") as bar:
            bar.advance(self.progress.steps * tokens)
            while self.progress.steps < self.steps:
                step = self.progress.steps
                if not self.order.is_skipped(step):
                    self.work.beat(step, "step")
                    self._feed(step, documents)
                self.progress.steps = step + 1
                bar.advance(tokens)
                due = (step + 1) % self.config.checkpoint_every == 0 or step + 1 in milestones(self.steps)
                if stopped := bool(self.ranks.gather(np.array([self.work.stop], np.uint8)).any()):
                    due = True
                if due and self.work.rank == 0:
                    self.save()
                if stopped and step + 1 < self.steps:
                    raise Interrupted(f"stopped after step {step} of {self.steps:,}; checkpoint {step + 1} is kept")

    def _feed(self, step: int, documents: Callable[[int], str]) -> None:
        self.trainer.loader.prefetch(step + AHEAD)
        rate = self.config.rate(step, self.steps)
        fed = self.trainer.step(step, rate)
        if not (np.isfinite(fed.loss) and np.isfinite(fed.grad_norm)):
            raise StepFailed(
                f"step {step}: the loss is {fed.loss} and the gradient's norm {fed.grad_norm}: training can't go on. "
                f"{documents(step)} Look at these, lower `lr` (now {self.config.lr:g}), or clip lower; checkpoints up "
                f"to step {step} are kept."
            )
        first, size = self.order.batch(step)
        chain = chained(bytes.fromhex(self.progress.chain), fed.hash).hex()
        tokens = (self.progress.rows[-1]["tokens"] if self.progress.rows else 0) + size * self.config.context
        row = [step, first + size, tokens, fed.loss, rate, fed.grad_norm, fed.hash.hex(), chain]
        self.progress.rows.append(dict(zip(METRICS.names, row, strict=True)))
        self.progress.chain = chain
        if step >= tallied_from(self.steps):
            self._tally(first, fed.nats, fed.labels)

    def _tally(self, first: int, nats: np.ndarray, labels: np.ndarray) -> None:
        """Add a batch's losses to its domains."""
        samples = self.order.samples(first, len(nats))
        for domain, nat, label in zip(samples.domain.tolist(), nats.tolist(), labels.tolist(), strict=True):
            name = samples.stage.domains[domain].name
            self.progress.nats[name] = self.progress.nats.get(name, 0.0) + nat
            self.progress.labels[name] = self.progress.labels.get(name, 0) + label

    def save(self) -> None:
        done = self.progress.steps
        checkpoints.write(
            self.folder, self.trainer.model, self.trainer.optimizer, self.progress, self.past(done), self.sums
        )
        checkpoints.prune(self.folder, milestones(self.steps), KEPT)


def _write(run: _Run, shards: Shards, probes: Probes | None, readings: list[Reading]) -> None:
    """The artifact: model, metrics, order, what was read of each domain and probe, and the milestones' checkpoints."""
    from allmend.model import save_model

    folder, config, order = run.work.folder, run.config, run.order
    tokenizer = shards.path("tokenizer")
    save_model(run.trainer.model, folder, tokenizer if tokenizer.is_dir() else None)
    write_table(folder / "metrics.parquet", pa.Table.from_pylist(run.progress.rows, METRICS))
    write_table(folder / "domains.parquet", domains_table(readings, config.context, run.progress))
    order.write(folder / "order.json")
    if probes is not None:
        write_table(folder / "probes.parquet", realised(order, probes))
    losses = [row["loss"] for row in run.progress.rows]
    parameters = count_parameters(run.trainer.model.shape)
    write_json(folder / "summary.json", {
        "family": config.family, "preset": config.preset, "parameters_total": parameters["total"],
        "parameters_non_embedding": parameters["non_embedding"], "vocab": run.vocab, "context": config.context,
        "batch": config.batch, "steps": run.steps, "tokens": order.sample_count * config.context,
        "domains": len(readings), "seed": config.seed,
        "final_loss": float(np.mean(losses[-max(1, len(losses) // 10) :])), "chain": run.progress.chain,
    })  # fmt: skip
    for steps in milestones(run.steps):
        if (run.folder / str(steps)).is_dir():
            checkpoints.link(run.folder / str(steps), folder / RUN / "checkpoints" / str(steps))


def realised(order: Order, probes: Probes) -> pa.Table:
    """How often each probe was really read: its copies, times the readings of their windows."""
    table = read_table(probes.path("probes.parquet"), ["id", "repeats"]).sort_by("id")
    counts = dict.fromkeys(table["id"].to_pylist(), 0)
    stage = order.stages[-1]
    number = stage.number(PROBES)
    if number is not None:
        bins = pack(probes, stage.context)
        reads = np.array([len(order.samples_of(stage, number, np.array([each]))) for each in range(len(bins.tokens))])
        for copy in bins.copies:
            counts[copy.probe] += int(reads[copy.window])
    rows = [{**row, "realised": counts[row["id"]]} for row in table.to_pylist()]
    return pa.Table.from_pylist(rows, REALISED)
