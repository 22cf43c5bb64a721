"""Batches of a run: tokens of each window, labels, segments, positions, and the hashes that prove what was fed.

Shapes: B samples, S inputs a sample, L tokens of look-back before a window. A run's state is one number: the step.
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from allmend.kinds import EOD, PAD, WITHDRAWN
from allmend.model import labels_of, segments_of
from allmend.train.order import Order, Samples, Stage
from allmend.train.streams import Stream, Streams

CHAIN_START = hashlib.sha256(b"allmend batches 1").digest()
AHEAD = 2
"""Steps that the kernel is told of beforehand."""
BLOCK = 4096
"""Samples whose places are computed at once: .7 µs a sample then, 35 µs one by one."""


@dataclass(frozen=True)
class Batch:
    """Consecutive samples of one step.

    Attributes:
        inputs: int64 [B, S].
        labels: int64 [B, S], the ignored value where a label doesn't count.
        segments: int32 [B, S], equal inside a document, a hole or a run of padding.
        positions: int32 [B, S], from 0 in each segment.
        rows: L tokens before each window (`<pad>` before the stream's start), its inputs, its look-ahead label, as wide
            as the shards hold them: [B, L + S + 1].
        hashes: SHA-256 of each sample's S + 1 tokens as u32 little endian.
        samples: where they come from.
    """

    inputs: np.ndarray
    labels: np.ndarray
    segments: np.ndarray
    positions: np.ndarray
    rows: np.ndarray
    hashes: list[bytes]
    samples: Samples

    @property
    def look_back(self) -> int:
        return self.rows.shape[1] - self.inputs.shape[1] - 1


class Loader:
    """Reads the samples of any step, in any order.

    Args:
        streams: the domains of each stage, in the order of `order.stages`.
        look_back: tokens before each window that a mask wants to see.
    """

    def __init__(self, order: Order, streams: Sequence[Streams], look_back: int = 0) -> None:
        assert len(streams) == len(order.stages), f"{len(streams)} streams for {len(order.stages)} stages"
        self.order, self.look_back = order, look_back
        self._streams = dict(zip([stage.first_sample for stage in order.stages], streams, strict=True))
        self._block: tuple[int, Samples] | None = None

    def batch(self, step: int, first: int = 0, count: int | None = None) -> Batch:
        """Samples `first` … `first + count - 1` of a step's batch; all of them by default.

        Raises:
            UsageError: the run has no such step.
            DamagedError: a file of the shards is shorter than its table says.
        """
        begin, size = self.order.batch(step)
        count = size - first if count is None else count
        assert first >= 0 and first + count <= size, f"samples {first} + {count} of a batch of {size}"
        samples = self._samples(begin + first, count)
        rows = self._read(samples)
        window = rows[:, self.look_back :]
        hashes = [hashlib.sha256(row).digest() for row in window.astype("<u4")]
        segments, positions = segments_of(window[:, :-1])
        return Batch(window[:, :-1].astype(np.int64), labels_of(window), segments, positions, rows, hashes, samples)

    def prefetch(self, step: int) -> None:
        """Tell the kernel what a step will read; beyond the end of the run there is nothing to tell."""
        if step < self.order.step_count:
            samples = self._samples(*self.order.batch(step))
            streams, context = self._domains(samples.stage), samples.stage.context
            for domain, window in zip(samples.domain.tolist(), samples.window.tolist(), strict=True):
                streams[domain].will_read(window * context, context + 1)

    def _samples(self, first: int, count: int) -> Samples:
        """Their places, from a block of many computed at once."""
        if self._block is None or not self._block[0] <= first <= first + count <= self._block[0] + len(
            self._block[1].domain
        ):
            stage = self.order.stage_of(first)
            size = min(max(BLOCK, count), stage.first_sample + stage.samples - first)
            self._block = first, self.order.samples(first, size)
        begin, block = self._block
        cut = slice(first - begin, first - begin + count)
        return Samples(block.stage, block.domain[cut], block.epoch[cut], block.window[cut])

    def _domains(self, stage: Stage) -> list[Stream]:
        streams = self._streams[stage.first_sample].domains
        return [streams[domain.name] for domain in stage.domains]

    def _read(self, samples: Samples) -> np.ndarray:
        """Look-back, window and look-ahead label of each sample: [B, L + S + 1]."""
        stage, back = samples.stage, self.look_back
        dtype, width = self._streams[stage.first_sample].dtype, back + stage.context + 1
        rows = np.zeros((len(samples.domain), width), dtype)  # PAD is 0
        view, row_bytes = memoryview(rows.view("u1").reshape(-1)), width * dtype.itemsize
        streams = self._domains(stage)
        for row, (domain, window) in enumerate(zip(samples.domain.tolist(), samples.window.tolist(), strict=True)):
            first = window * stage.context - back
            skip = min(first, 0) * -dtype.itemsize  # there is nothing before a stream
            streams[domain].read(view[row * row_bytes + skip : (row + 1) * row_bytes], max(first, 0))
        last = rows[:, -2]
        rows[(last == EOD) | (last == WITHDRAWN) | (last == PAD), -1] = PAD
        return rows


def batch_hash(hashes: Sequence[bytes]) -> bytes:
    """SHA-256 of a batch's sample hashes in order."""
    return hashlib.sha256(b"".join(hashes)).digest()


def chained(chain: bytes, batch: bytes) -> bytes:
    """The chain after one more fed step."""
    return hashlib.sha256(chain + batch).digest()


def chain_over(loader: Loader, steps: int, done: int = 0, chain: bytes = CHAIN_START) -> bytes:
    """The chain over the first `steps` steps, recomputed from the shards; it may go on from that over `done` steps."""
    for step in range(done, steps):
        if not loader.order.is_skipped(step):
            chain = chained(chain, batch_hash(loader.batch(step).hashes))
    return chain
