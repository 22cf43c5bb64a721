"""How much of each domain a run reads: its order from mixture and shards, epochs and padding, and what is refused."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
import pyarrow as pa

from allmend.kinds import PAD, Mixture, Probes, Shards
from allmend.kinds.errors import StepFailed, nearest
from allmend.train.checkpoints import Progress
from allmend.train.config import PretrainConfig
from allmend.train.order import Order
from allmend.train.split import PERIOD
from allmend.train.streams import PROBES, ArrayStream, Streams, digest_of

DOMAINS = pa.schema([
    ("domain", pa.string()), ("share", pa.float64()), ("tokens", pa.int64()), ("windows", pa.int64()),
    ("samples", pa.int64()), ("tokens_read", pa.int64()), ("epochs", pa.float64()), ("pad_share", pa.float64()),
    ("labels", pa.int64()), ("loss", pa.float64()),
])  # fmt: skip
"""`tokens` of the stream, `tokens_read` by the run (padding included); `loss`: nats a label, over the `labels` of
the last quarter of the steps."""


@dataclass(frozen=True)
class Reading:
    """What a run takes from one domain.

    Attributes:
        share: of the samples, as the mixture says.
        samples: that the run reads, exactly.
        pad_share: padding among the tokens of its windows.
    """

    domain: str
    share: float
    tokens: int
    windows: int
    samples: int
    pad_share: float

    @property
    def epochs(self) -> float:
        return self.samples / self.windows


def order_of(
    config: PretrainConfig, streams: Streams, shards: Shards, mixture: Mixture, probes: Probes | None
) -> Order:
    """The data order of a run.

    Raises:
        StepFailed: a domain of the mixture has no tokens, or the probes alone fill the run.
    """
    shares = {name: share for name, share in mixture.weights().items() if share > 0}
    for name in shares:
        if name == PROBES or not streams.tokens.get(name):
            there = [each for each in streams.tokens if each != PROBES]
            raise StepFailed(
                f"the mixture gives weight to the domain `{name}`, which has no tokens in the shards."
                f"{nearest(name, there)}"
            )
    bins = streams.tokens.get(PROBES, 0) // config.context
    digest = digest_of(shards)
    if not bins or probes is None:
        return _one_stage(config, shares, streams, digest, None)
    samples = config.steps * config.batch
    if bins >= samples:
        raise StepFailed(
            f"one reading of the probes takes {bins:,} samples, and the whole run has {samples:,}. Train on more "
            "tokens, or plant fewer probes."
        )
    total, planted = sum(shares.values()), digest_of(probes)
    found = []
    for nudge in (0, 0.25, -0.25, 0.5, -0.5, 1, -1, 1.5):  # the tree's rounding may give a sample more or less
        share = (bins + nudge) / samples
        with_probes = {name: each / total * (1 - share) for name, each in shares.items()} | {PROBES: share}
        order = _one_stage(config, with_probes, streams, digest, planted)
        found.append((abs(_samples(order)[PROBES] - bins), abs(nudge), len(found), order))
        if found[-1][0] == 0:
            break
    return min(found)[-1]


def _one_stage(
    config: PretrainConfig, shares: dict[str, float], streams: Streams, shards: str, probes: str | None
) -> Order:
    batches = [(config.steps, config.batch)]
    return Order(config.seed).with_stage(
        shares, streams.tokens, context=config.context, batches=batches, shards=shards, probes=probes
    )  # fmt: skip


def _samples(order: Order) -> dict[str, int]:
    """Domain → samples that the last stage reads."""
    stage = order.stages[-1]
    counts = stage.tree.counts(stage.samples).tolist()
    return dict(zip([domain.name for domain in stage.domains], counts, strict=True))


def readings_of(order: Order, streams: Streams) -> list[Reading]:
    """What the last stage takes from each domain, sorted by name."""
    stage, counts = order.stages[-1], _samples(order)
    found = []
    for domain, weight, windows in zip(stage.domains, stage.weights, stage.windows.tolist(), strict=True):
        stream = streams.domains[domain.name]
        padding = windows * stage.context - domain.tokens
        if domain.name == PROBES and isinstance(stream, ArrayStream):
            padding += int(np.count_nonzero(stream.ids == PAD))
        pad_share = padding / (windows * stage.context)
        found.append(Reading(domain.name, weight / PERIOD, domain.tokens, windows, counts[domain.name], pad_share))
    return found


def refuse_above(readings: list[Reading], samples: int, max_epochs: float | None) -> None:
    """Refuse a run that reads a domain more often than the mixture allows.

    Raises:
        StepFailed: names the domain that is furthest above, and the tokens at which it would not be.
    """
    if max_epochs is None:
        return
    planned = [(each.share * samples / each.windows, each) for each in readings if each.domain != PROBES]
    worst, reading = max(planned, key=lambda pair: (pair[0], pair[1].domain))
    if worst > max_epochs * (1 + 1e-9):
        raise StepFailed(
            f"the run would read the domain `{reading.domain}` {worst:.2f} times ({reading.tokens:,} tokens, "
            f"{reading.share:.2%} of the samples), and the mixture allows {max_epochs:g}. Train on at most "
            f"{math.floor(max_epochs / worst * 1000) / 10:g} % of the tokens, change the mixture, or raise its "
            "`max_epochs`."
        )


def said_of(readings: list[Reading]) -> str:
    """One line for the person who waits."""
    by_epochs = sorted(readings, key=lambda each: (each.epochs, each.domain))
    least, most = by_epochs[0], by_epochs[-1]
    padding = sum(each.pad_share * each.samples for each in readings) / sum(each.samples for each in readings)
    return (
        f"{len(readings)} domains, read {least.epochs:.2f} times ({least.domain}) to {most.epochs:.2f} times "
        f"({most.domain}); {padding:.1%} padding"
    )


def domains_table(readings: list[Reading], context: int, progress: Progress) -> pa.Table:
    """`domains.parquet` of a finished run."""
    rows = []
    for each in readings:
        labels = progress.labels.get(each.domain, 0)
        rows.append({
            "domain": each.domain, "share": each.share, "tokens": each.tokens, "windows": each.windows,
            "samples": each.samples, "tokens_read": each.samples * context, "epochs": each.epochs,
            "pad_share": each.pad_share, "labels": labels,
            "loss": progress.nats[each.domain] / labels if labels else None,
        })  # fmt: skip
    return pa.Table.from_pylist(rows, DOMAINS)
