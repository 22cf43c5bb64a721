"""Where each document lies in its domain's stream: shards' tables read by column, only as far as a question needs."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from allmend.kinds import Probes, Shards, read_table
from allmend.train.bins import Bins, pack
from allmend.train.streams import PROBES

SHOWN = ("id", "url", "language", "licence", "withdrawn_at")


@dataclass(frozen=True)
class Place:
    """A document (or a copy of a probe) in a stream: tokens [start, start + length) of `domain`."""

    domain: str
    start: int
    length: int


class ShardPlaces:
    """Documents of shards by their place."""

    def __init__(self, shards: Shards) -> None:
        self.shards = shards
        self._runs: dict[str, dict[str, tuple[int, np.ndarray, np.ndarray]]] = {}

    @cached_property
    def _parts(self) -> list[str]:
        return self.shards.parts()

    def _part_of(self, document: str) -> str | None:
        """The part that would hold a document: parts are equal ranges of ids."""
        bits = len(self._parts).bit_length() - 1
        try:
            return self._parts[int(document[:8], 16) >> (32 - bits)]
        except (ValueError, IndexError):
            return None

    def _run(self, part: str, domain: str) -> tuple[int, np.ndarray, np.ndarray] | None:
        """(first row, starts in the domain's run, lengths) of a domain's documents in a part."""
        if part not in self._runs:
            table = read_table(self.shards.part_path(part), ["domain", "offset", "length"])
            names = table["domain"].combine_chunks().dictionary_encode()
            index, offset, length = names.indices.to_numpy(), table["offset"].to_numpy(), table["length"].to_numpy()
            found = {}
            for number, name in enumerate(names.dictionary.to_pylist()):
                rows = np.flatnonzero(index == number)
                found[name] = int(rows[0]), offset[rows] - offset[rows[0]], length[rows]
            self._runs[part] = found
        return self._runs[part].get(domain)

    def _before(self, part: str, domain: str) -> int:
        """Tokens of a domain in the parts before one."""
        runs = [self._run(each, domain) for each in self._parts[: self._parts.index(part)]]
        return sum(int(run[2].sum()) for run in runs if run is not None)

    def places(self, documents: list[str]) -> dict[str, Place]:
        """Document → its place, for those that are here."""
        wanted: dict[str, list[str]] = {}
        for document in sorted(set(documents)):
            if (part := self._part_of(document)) is not None:
                wanted.setdefault(part, []).append(document)
        found = {}
        for part, ids in wanted.items():
            table = read_table(self.shards.part_path(part), ["id", "domain", "length"])
            rows = pc.index_in(pa.array(ids, pa.string()), table["id"].combine_chunks()).to_pylist()
            for document, row in zip(ids, rows, strict=True):
                if row is not None:
                    domain = table["domain"][row].as_py()
                    first, starts, lengths = self._run(part, domain) or (0, np.zeros(0), np.zeros(0))
                    start = self._before(part, domain) + int(starts[row - first])
                    found[document] = Place(domain, start, int(lengths[row - first]))
        return found

    def between(self, domain: str, start: int, end: int) -> list[tuple[Place, dict[str, Any]]]:
        """Documents that have tokens in [start, end) of a domain's stream, in order, with what is known of each."""
        found, before = [], 0
        for part in self._parts:
            run = self._run(part, domain)
            if run is None:
                continue
            first, starts, lengths = run
            rows = np.flatnonzero((before + starts < end) & (before + starts + lengths > start))
            if len(rows):
                shown = (
                    read_table(self.shards.part_path(part), list(SHOWN))
                    .slice(first + int(rows[0]), len(rows))
                    .to_pylist()
                )
                places = [Place(domain, before + int(starts[row]), int(lengths[row])) for row in rows]
                found += list(zip(places, shown, strict=True))
            before += int(lengths.sum())
        return found


class ProbePlaces:
    """Copies of probes by their place in the domain `probes`."""

    def __init__(self, probes: Probes, context: int) -> None:
        self.bins: Bins = pack(probes, context)
        self.context = context

    def places(self, probe: str) -> list[Place]:
        """All copies of a probe (or one, by its own id)."""
        return [
            Place(PROBES, copy.window * self.context + copy.start, copy.length)
            for copy in self.bins.copies
            if probe in (copy.probe, copy.id)
        ]

    def between(self, start: int, end: int) -> list[tuple[Place, dict[str, Any]]]:
        found = []
        for copy in self.bins.copies:
            first = copy.window * self.context + copy.start
            if first < end and first + copy.length > start:
                shown = {**dict.fromkeys(SHOWN), "id": copy.probe}
                found.append((Place(PROBES, first, copy.length), shown))
        return found
