"""Shards, mixtures and probes made by hand, small enough to check by brute force."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa

from allmend.kinds import (
    BOD,
    EOD,
    WITHDRAWN,
    Mixture,
    Probes,
    Shards,
    content_digest,
    part_names,
    read_table,
    sha256_file,
    write_json,
    write_table,
)  # fmt: skip
from allmend.kinds.artifact import Artifact
from allmend.kinds.corpus import SHARD_DOCUMENTS

FIRST_WORD = 13
"""Smallest id that is neither special nor a marker."""


@dataclass
class Document:
    """A document: its domain and its tokens, BoD and EoD included."""

    id: str
    domain: str
    tokens: list[int]
    withdrawn: bool = False

    @property
    def stored(self) -> list[int]:
        """As the shards hold it: a withdrawn document is a hole."""
        return [WITHDRAWN] * len(self.tokens) if self.withdrawn else self.tokens


@dataclass
class Library:
    """Documents by id, from which shards of any number of parts are made."""

    documents: dict[str, Document] = field(default_factory=dict)
    vocab: int = 64

    def add(self, domain: str, words: Sequence[int], name: str) -> str:
        """Add one document; its id follows from `name`."""
        one = hashlib.sha256(name.encode()).hexdigest()[:32]
        self.documents[one] = Document(one, domain, [BOD, *words, EOD])
        return one

    def sorted(self, domain: str | None = None) -> list[Document]:
        return [
            self.documents[each] for each in sorted(self.documents) if domain in (None, self.documents[each].domain)
        ]

    @property
    def domains(self) -> list[str]:
        return sorted({each.domain for each in self.documents.values()})

    def stream(self, domain: str) -> list[int]:
        """What a domain's stream must hold: its documents by id."""
        return [token for each in self.sorted(domain) for token in each.stored]

    def shards(self, folder: Path, parts: int = 4, dtype: str = "uint16") -> Shards:
        """Write the shards as `data.tokenize` does."""
        names = part_names(parts)
        width = 32 - (parts.bit_length() - 1)
        for number, name in enumerate(names):
            own = [each for each in self.sorted() if int(each.id[:8], 16) >> width == number]
            own.sort(key=lambda each: (each.domain, each.id))
            tokens = np.array([token for each in own for token in each.stored], np.dtype(dtype).newbyteorder("<"))
            (folder / "tokens").mkdir(parents=True, exist_ok=True)
            (folder / "tokens" / f"{name}.bin").write_bytes(tokens.tobytes())
            write_table(folder / "documents" / f"{name}.parquet", _rows(own, name), SHARD_DOCUMENTS)
        special = {"pad": 0, "bod": 1, "eod": 2, "withdrawn": 3}
        head = {"format": 1, "dtype": dtype, "vocab": self.vocab, "special": special, "tokenizer": "0" * 64}
        write_json(folder / "shards.json", head)
        return Shards(folder)


def _rows(documents: Sequence[Document], part: str) -> pa.Table:
    rows, offset = [], 0
    for each in documents:
        row: dict[str, Any] = dict.fromkeys(SHARD_DOCUMENTS.names)
        row.update(id=each.id, shard=part, offset=offset, length=len(each.tokens), domain=each.domain)
        row.update(
            url=f"https://{each.domain}.example/{each.id[:6]}", host=f"{each.domain}.example", language=each.domain
        )
        row["withdrawn_at"] = "2026-11-25" if each.withdrawn else None
        rows.append(row)
        offset += len(each.tokens)
    return pa.Table.from_pylist(rows, SHARD_DOCUMENTS)


def library(domains: Mapping[str, int], seed: int = 0, longest: int = 60, vocab: int = 64) -> Library:
    """Random documents: domain → number of them. Every fourth has no word at all or few."""
    rng = np.random.default_rng(seed)
    made = Library(vocab=vocab)
    for domain, count in domains.items():
        for number in range(count):
            length = int(rng.integers(0, 3 if number % 4 == 3 else longest))
            made.add(domain, rng.integers(FIRST_WORD, vocab, length).tolist(), f"{domain}/{number}/{seed}")
    return made


def mixture(folder: Path, weights: Mapping[str, float], max_epochs: float = 1e9) -> Mixture:
    head = {"format": 1, "law": "natural", "temperature": 1.0, "tokens": {}, "max_epochs": max_epochs}
    write_json(folder / "mixture.json", {**head, "weights": dict(weights)})
    return Mixture(folder)


def probes(folder: Path, repeats: Sequence[int], length: int = 12, vocab: int = 64, seed: int = 5) -> Probes:
    """One probe of `length` tokens for each number of repeats."""
    rng = np.random.default_rng(seed)
    rows = [
        {
            "id": hashlib.sha256(f"probe {number}".encode()).hexdigest()[:32],
            "text": f"probe {number}",
            "repeats": count,
            "tokens": [BOD, *rng.integers(FIRST_WORD, vocab, length - 2).tolist(), EOD],
        }
        for number, count in enumerate(repeats)
    ]
    schema = pa.schema([
        ("id", pa.string()), ("text", pa.string()), ("repeats", pa.int32()), ("tokens", pa.list_(pa.int32())),
    ])  # fmt: skip
    write_table(folder / "probes.parquet", pa.Table.from_pylist(rows, schema))
    write_json(folder / "summary.json", {"probes": len(rows)})
    return Probes(folder)


def digest(artifact: Artifact) -> str:
    """Content digest of an artifact."""
    return content_digest(
        (name, artifact.path(name).stat().st_size, sha256_file(artifact.path(name))) for name in artifact.files()
    )


def read_probes(probes: Probes) -> dict[str, dict[str, Any]]:
    """Id → row."""
    return {row["id"]: row for row in read_table(probes.path("probes.parquet")).to_pylist()}
