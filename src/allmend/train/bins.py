"""Probes as a domain: copies are packed whole into windows, best fit decreasing, so that no probe is ever cut."""

from __future__ import annotations

from bisect import bisect_left, insort
from dataclasses import dataclass

import numpy as np
from blake3 import blake3

from allmend.kinds import PAD, Probes, read_table
from allmend.kinds.errors import StepFailed


@dataclass(frozen=True)
class Copy:
    """One planting of a probe."""

    id: str
    """First 128 bits of BLAKE3 over the probe's id, a zero byte and the number of the copy, as 32 hex digits."""
    probe: str
    window: int
    start: int
    """First token inside the window."""
    length: int


@dataclass(frozen=True)
class Bins:
    """Windows filled with whole copies.

    Attributes:
        tokens: int64 [windows, S], padded.
        copies: in the order of the windows and of places in them.
    """

    tokens: np.ndarray
    copies: tuple[Copy, ...]


def pack(probes: Probes, context: int) -> Bins:
    """Copies of all probes in windows of `context` tokens.

    Longest first, ties by id, each into the fullest window that has room (the earliest of several).

    Raises:
        StepFailed: a probe is longer than the context.
    """
    rows = {row["id"]: row for row in read_table(probes.path("probes.parquet")).to_pylist()}
    wanted = [
        (-len(row["tokens"]), blake3(f"{name}\0{number}".encode()).hexdigest(length=16), name)
        for name, row in rows.items()
        for number in range(row["repeats"])
    ]
    room: list[tuple[int, int]] = []  # (free tokens, window), sorted
    copies, windows = [], 0
    for minus_length, copy_id, name in sorted(wanted):
        length = -minus_length
        if length > context:
            raise StepFailed(
                f"probe {name} has {length} tokens and doesn't fit into a context of {context}. Make the probes "
                "shorter (`length:` of audit.probes) or the context longer."
            )
        at = bisect_left(room, (length, 0))
        if at == len(room):
            free, window, windows = context, windows, windows + 1
        else:
            free, window = room.pop(at)
        copies.append(Copy(copy_id, name, window, context - free, length))
        insort(room, (free - length, window))
    copies.sort(key=lambda copy: (copy.window, copy.start))
    tokens = np.full((windows, context), PAD, np.int64)
    for copy in copies:
        tokens[copy.window, copy.start : copy.start + copy.length] = rows[copy.probe]["tokens"]
    return Bins(tokens, tuple(copies))
