"""Domain streams: a domain's documents by id, one after the other, whatever parts the shards are cut into."""

from __future__ import annotations

import os
from bisect import bisect_right
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Protocol, Self

import numpy as np
import pyarrow as pa

from allmend.kinds import BOD, EOD, PAD, WITHDRAWN, Probes, Shards, content_digest, read_table, sha256_file
from allmend.kinds.artifact import Artifact
from allmend.kinds.errors import DamagedError
from allmend.train.bins import pack

PROBES = "probes"
"""Name of the domain that holds the planted passages."""


class Stream(Protocol):
    """Tokens of one domain, in order."""

    tokens: int

    def read(self, view: memoryview, first: int) -> None:
        """Fill a flat view of bytes with the tokens from `first` on; what lies beyond the end stays as it is."""
        ...

    def will_read(self, first: int, count: int) -> None:
        """Tell the kernel that these tokens are wanted soon."""
        ...


@dataclass
class PartFile:
    """The tokens of one part of the shards, open for reading."""

    path: Path
    number: int
    size_bytes: int

    @classmethod
    def open(cls, path: Path) -> Self:
        try:
            number = os.open(path, os.O_RDONLY)
        except OSError as error:
            raise DamagedError(
                f"{path.name} of the shards can't be opened ({error.strerror}), though documents/ names it."
                " `allmend verify` finds what else is missing; the next run makes it again."
            ) from error
        with suppress(AttributeError, OSError):  # not on every system
            os.posix_fadvise(number, 0, 0, os.POSIX_FADV_RANDOM)
        return cls(path, number, os.fstat(number).st_size)

    def read(self, view: memoryview, offset: int) -> None:
        """Fill the view from a byte offset on.

        Raises:
            DamagedError: the file ends before.
        """
        got = os.preadv(self.number, [view], offset)
        while got < len(view):  # a signal, or the file shrank under us
            more = os.preadv(self.number, [view[got:]], offset + got)
            if not more:
                raise _too_short(self.path, offset + len(view), os.fstat(self.number).st_size)
            got += more

    def __del__(self) -> None:
        with suppress(OSError):
            os.close(self.number)


@dataclass
class FileStream:
    """A domain as runs in part files: run r begins at token `starts[r]`, in `files[r]` at byte `offsets[r]`."""

    item_bytes: int
    starts: list[int] = field(default_factory=list)
    files: list[PartFile] = field(default_factory=list)
    offsets: list[int] = field(default_factory=list)
    tokens: int = 0

    def add(self, file: PartFile, offset: int, tokens: int) -> None:
        self.starts.append(self.tokens)
        self.files.append(file)
        self.offsets.append(offset * self.item_bytes)
        self.tokens += tokens

    def read(self, view: memoryview, first: int) -> None:
        size, end = self.item_bytes, min(self.tokens, first + len(view) // self.item_bytes)
        run, at = bisect_right(self.starts, first) - 1, first
        while at < end:
            stop = min(end, self.starts[run + 1]) if run + 1 < len(self.starts) else end
            offset = self.offsets[run] + (at - self.starts[run]) * size
            self.files[run].read(view[(at - first) * size : (stop - first) * size], offset)
            run, at = run + 1, stop

    def will_read(self, first: int, count: int) -> None:
        run = bisect_right(self.starts, first) - 1
        offset = self.offsets[run] + (first - self.starts[run]) * self.item_bytes
        with suppress(AttributeError, OSError):
            os.posix_fadvise(self.files[run].number, offset, count * self.item_bytes, os.POSIX_FADV_WILLNEED)


@dataclass
class ArrayStream:
    """A domain in memory: little-endian ids of the shards' width."""

    ids: np.ndarray

    @property
    def tokens(self) -> int:
        return len(self.ids)

    def read(self, view: memoryview, first: int) -> None:
        found = self.ids[first : first + len(view) // self.ids.itemsize].tobytes()
        view[: len(found)] = found

    def will_read(self, first: int, count: int) -> None:
        pass


@dataclass
class Streams:
    """All domains that a stage may read."""

    domains: dict[str, Stream]
    dtype: np.dtype

    @property
    def tokens(self) -> dict[str, int]:
        """Domain → length of its stream."""
        return {name: stream.tokens for name, stream in self.domains.items()}


def open_streams(shards: Shards, probes: Probes | None = None, context: int = 0) -> Streams:
    """The streams of shards, and planted probes as a domain `probes`, packed whole into windows of `context` tokens.

    Raises:
        DamagedError: a part is missing or shorter than its table says, or documents don't lie by (domain, id).
    """
    head = shards.json("shards.json")
    expected = {"pad": PAD, "bod": BOD, "eod": EOD, "withdrawn": WITHDRAWN}
    if head["special"] != expected:
        raise DamagedError(
            f"shards.json: the special tokens are {head['special']}; this version reads only {expected}."
        )
    dtype = np.dtype(head["dtype"]).newbyteorder("<")
    found: dict[str, FileStream] = {}
    for part in shards.parts():
        table = read_table(shards.part_path(part), ["domain", "offset", "length"])
        if not table.num_rows:
            continue
        file = PartFile.open(shards.part_path(part, "tokens"))
        for domain, offset, tokens in _runs(shards.part_path(part), table):
            end = (offset + tokens) * dtype.itemsize
            if end > file.size_bytes:
                raise _too_short(file.path, end, file.size_bytes)
            found.setdefault(domain, FileStream(dtype.itemsize)).add(file, offset, tokens)
    domains: dict[str, Stream] = dict(sorted(found.items()))
    if probes is not None:
        assert PROBES not in domains, f"the shards have a domain named {PROBES}"
        domains[PROBES] = ArrayStream(pack(probes, context).tokens.astype(dtype).ravel())
    return Streams(domains, dtype)


def _runs(path: Path, table: pa.Table) -> list[tuple[str, int, int]]:
    """(domain, offset, tokens) of each domain of one part, in the part's order."""
    names = table["domain"].combine_chunks().dictionary_encode()
    index = names.indices.to_numpy()
    offset, length = table["offset"].to_numpy(), table["length"].to_numpy()
    ends = offset + length
    first = np.flatnonzero(np.concatenate([[True], index[1:] != index[:-1]]))
    last = np.append(first[1:], len(index)) - 1
    inner = np.ones(len(index), bool)
    inner[first] = False
    torn = np.flatnonzero(inner[1:] & (offset[1:] != ends[:-1]))
    if len(torn) or len(first) != len(names.dictionary):
        row = int(torn[0]) + 1 if len(torn) else int(first[-1])
        raise DamagedError(
            f"documents/{path.name} of the shards, row {row}: documents must lie by (domain, id), without gaps."
        )
    domains = names.dictionary.to_pylist()
    return [(domains[index[a]], int(offset[a]), int(ends[b] - offset[a])) for a, b in zip(first, last, strict=True)]


def _too_short(path: Path, wanted: int, there: int) -> DamagedError:
    return DamagedError(
        f"tokens/{path.name} of the shards has {there:,} bytes, and documents/ says that it has {wanted:,} at least. "
        "`allmend verify` names what is damaged; the next run makes it again."
    )


def digest_of(artifact: Artifact) -> str:
    """Content digest of an artifact, from the ledger's digests where there is one."""
    known = artifact.digests or {}
    return content_digest(
        (name, artifact.path(name).stat().st_size, known.get(name) or sha256_file(artifact.path(name)))
        for name in artifact.files()
    )
