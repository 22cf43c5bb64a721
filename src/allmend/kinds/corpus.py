"""Artifacts of the data rooms: `Crawl`, `Documents`, `Verdicts`, `Corpus`, `Shards`, and what identifies a document."""

from __future__ import annotations

import re
import unicodedata
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from blake3 import blake3

from allmend.kinds.artifact import Artifact

_space = re.compile(r"\s+")


def normal_text(text: str) -> str:
    """NFC, each run of white space one space, none at the ends: the form that identities and comparisons use."""
    return _space.sub(" ", unicodedata.normalize("NFC", text)).strip()


def document_id(url: str, text: str) -> str:
    """First 128 bits of BLAKE3 over the URL, a zero byte and the normal text, as 32 hex digits."""
    named = f"{url}\0{normal_text(text)}"
    return blake3(named.encode("utf-8", "replace")).hexdigest(length=16)


def url_id(url: str) -> str:
    """Stand-in id of a record that has no text: it puts the rejected row into the part of its URL's hash."""
    return blake3(url.encode("utf-8", "replace")).hexdigest(length=16)


def part_names(parts: int) -> list[str]:
    """Names of `parts` equal ranges of ids; with 16, a part is named by the first digit of the ids in it."""
    assert parts >= 1 and parts & (parts - 1) == 0, f"parts must be a power of two, not {parts}"
    width = max(1, (parts.bit_length() + 2) // 4)
    return [f"{index:0{width}x}" for index in range(parts)]


def part_of(ids: pa.Array | pa.ChunkedArray, parts: int) -> np.ndarray:
    """Number of the part of each document id: its leading bits.

    Args:
        ids: strings of ≥ 8 hex digits.

    Returns:
        int [number of ids].
    """
    head = pc.utf8_slice_codeunits(ids, 0, 8).to_pylist()
    return np.array([int(text, 16) >> (32 - (parts.bit_length() - 1)) for text in head], dtype=np.int64)


REASON = pa.struct([("annotator", pa.string()), ("rule", pa.string()), ("evidence", pa.string())])
HINT = pa.struct([("source", pa.string()), ("name", pa.string()), ("value", pa.string())])
REJECTED = pa.schema(
    [
        ("id", pa.string()),
        ("url", pa.string()),
        ("source", pa.string()),
        ("reason", pa.string()),
        ("detail", pa.string()),
    ]
)
DOCUMENTS = pa.schema([
    ("id", pa.string()), ("text", pa.string()), ("url", pa.string()), ("host", pa.string()), ("title", pa.string()),
    ("fetched_at", pa.string()), ("media_type", pa.string()), ("charset", pa.string()),
    ("declared_language", pa.string()), ("hints", pa.list_(HINT)), ("source", pa.string()), ("bytes", pa.int64()),
])  # fmt: skip
CORPUS = pa.schema([
    ("id", pa.string()), ("text", pa.string()), ("url", pa.string()), ("host", pa.string()), ("title", pa.string()),
    ("language", pa.string()), ("licence", pa.string()), ("source", pa.string()), ("domain", pa.string()),
    ("bytes", pa.int64()),
])  # fmt: skip
DECISIONS = pa.schema([
    ("id", pa.string()), ("url", pa.string()), ("host", pa.string()), ("language", pa.string()),
    ("licence", pa.string()), ("source", pa.string()), ("fate", pa.string()), ("reasons", pa.list_(REASON)),
    ("bytes", pa.int64()),
])  # fmt: skip
HOLES = pa.schema([
    ("id", pa.string()), ("url", pa.string()), ("host", pa.string()), ("language", pa.string()),
    ("licence", pa.string()), ("domain", pa.string()), ("tokenizer", pa.string()), ("tokens", pa.int64()),
    ("withdrawn_at", pa.string()),
])  # fmt: skip
SHARD_DOCUMENTS = pa.schema([
    ("id", pa.string()), ("shard", pa.string()), ("offset", pa.int64()), ("length", pa.int64()),
    ("domain", pa.string()), ("url", pa.string()), ("host", pa.string()), ("language", pa.string()),
    ("licence", pa.string()), ("withdrawn_at", pa.string()),
])  # fmt: skip


class Crawl(Artifact):
    """WARC files in `warc/`, the robots and policy files met on the way in `policies.jsonl`."""

    main = "warc"

    def parts(self, table: str = "") -> list[str]:
        folder = self.folder / (table or self.main)
        return sorted(path.name for path in folder.iterdir()) if folder.is_dir() else []

    def part_path(self, part: str, table: str = "") -> Path:
        return self.folder / (table or self.main) / part

    def load(self, part: str, table: str = "") -> Path:
        """Path of one WARC file; a part function opens it itself."""
        return self.part_path(part, table)

    def describe(self) -> dict[str, Any]:
        paths = [self.part_path(part) for part in self.parts()]
        return {"WARC files": len(paths), "bytes": sum(path.stat().st_size for path in paths)}


class _Rows(Artifact):
    """Shared by the kinds below: their description counts rows."""

    counted: ClassVar[dict[str, str]] = {}

    def rows(self, table: str = "") -> int:
        import pyarrow.parquet as pq

        return sum(pq.ParquetFile(path).metadata.num_rows for path in self.paths(table))

    def describe(self) -> dict[str, Any]:
        return {word: self.rows(table) for table, word in self.counted.items() if self.parts(table)}


class Documents(_Rows):
    """Pages as text, one row each (`documents/`), and what could not be read, with reasons (`rejected/`)."""

    main = "documents"
    schemas: ClassVar = {"documents": DOCUMENTS, "rejected": REJECTED}
    counted: ClassVar = {"documents": "documents", "rejected": "rejected"}


class Verdicts(_Rows):
    """What annotators say of each document: one struct column an annotator, by `id`. Never changes text."""

    main = "verdicts"
    counted: ClassVar = {"verdicts": "documents"}


class Corpus(_Rows):
    """Kept documents (`corpus/`), the fate of each with its reasons (`decisions/`), withdrawn ones (`holes/`)."""

    main = "corpus"
    schemas: ClassVar = {"corpus": CORPUS, "decisions": DECISIONS, "holes": HOLES, "rejected": REJECTED}
    counted: ClassVar = {"corpus": "kept", "decisions": "decided", "holes": "withdrawn"}


class Shards(_Rows):
    """Token arrays (`tokens/<part>.bin`, little endian), and where documents lie in them (`documents/<part>.parquet`).

    `shards.json` holds `dtype` (`uint16` or `uint32`), the vocabulary size, the ids of the special tokens and the
    tokenizer's digest.
    """

    main = "documents"
    schemas: ClassVar = {"documents": SHARD_DOCUMENTS}

    def part_path(self, part: str, table: str = "") -> Path:
        return self.folder / "tokens" / f"{part}.bin" if table == "tokens" else super().part_path(part, table)

    def load(self, part: str, table: str = "") -> Any:
        """`tokens`: the part's array, memory-mapped; otherwise a table."""
        return self.tokens(part) if table == "tokens" else super().load(part, table)

    def tokens(self, part: str) -> np.ndarray:
        """Token ids of one part, memory-mapped: int [number of tokens]."""
        path = self.part_path(part, "tokens")
        dtype = np.dtype(self.json("shards.json")["dtype"]).newbyteorder("<")
        return np.memmap(path, dtype, "r") if path.stat().st_size else np.zeros(0, dtype)

    def describe(self) -> dict[str, Any]:
        size = np.dtype(self.json("shards.json")["dtype"]).itemsize if self.path("shards.json").is_file() else 2
        tokens = sum(self.part_path(part, "tokens").stat().st_size for part in self.parts("tokens")) // size
        return {"documents": self.rows(), "tokens": tokens}
