"""Step `tokenizer.train`: a byte-level BPE from a corpus, what it costs each language, and the gates it passed."""

from __future__ import annotations

from collections.abc import Iterator
from fractions import Fraction
from typing import Any

import numpy as np
import pyarrow as pa

from allmend.kinds import (
    Config,
    Corpus,
    Count,
    Estimate,
    Field,
    Shrink,
    Tokenizer,
    Work,
    read_table,
    write_json,
    write_table,
)
from allmend.kinds.errors import StepFailed
from allmend.tokenizer import bpe, gates
from allmend.tokenizer.fertility import FERTILITY, Page, fairness, measure

BATCH = 256
LARGEST_PROXY_VOCAB = 8192
BYTES_A_SECOND = 9e5
"""Learning and measuring on one thread: 5.4 MB of 448 languages take 6 s."""
BY_LANGUAGE = "SELECT language, CAST(sum(octet_length(encode(text))) AS BIGINT) AS bytes FROM corpus GROUP BY language ORDER BY language"


class TrainConfig(Config):
    """How many entries, and from how much text."""

    vocab_size: Count = Field(ge=bpe.SMALLEST_VOCAB, description="entries, special tokens and markers included")
    sample_bytes: Count = Field(
        256_000_000, ge=1, description="learn and measure on at most so much text; each language keeps its share"
    )
    parallel: str | None = Field(
        None,
        description="glob over hosts whose pages are translations of one text: there tokens a page are compared, too",
    )


def train(config: TrainConfig, corpus: Corpus, work: Work) -> Tokenizer:
    """Learn a byte-level BPE, measure tokens per byte of each language and how unequal they are, and check the gates."""
    limits = _limits(config, corpus, work)
    learnt = bpe.learn((row["text"] for row in _sample(corpus, limits)), config.vocab_size)
    tokenizer = bpe.save(learnt, work.folder)
    trip = gates.round_trip()
    used = np.zeros(tokenizer.get_vocab_size(), bool)
    with work.progress("measure", sum(limits.values()), "bytes") as bar:
        rows = measure(_pages(tokenizer, _sample(corpus, limits), trip, used, bar), config.parallel)
    found = [trip, *gates.inspect(tokenizer, used)]
    write_table(work.folder / "fertility.parquet", pa.Table.from_pylist(rows, FERTILITY))
    write_json(work.folder / "gates.json", [gate.as_json() for gate in found])
    write_json(work.folder / "summary.json", _summary(config, tokenizer, rows, found, int(used.sum())))
    gates.close(found)
    return Tokenizer(work.folder)


def _limits(config: TrainConfig, corpus: Corpus, work: Work) -> dict[str, int]:
    """Bytes to read of each language: all, or its share of `sample_bytes` where the corpus is larger."""
    sizes = {row["language"]: row["bytes"] for row in work.sql(BY_LANGUAGE, {"corpus": corpus}).to_pylist()}
    total = sum(sizes.values())
    if not total:
        raise StepFailed(
            "tokenizer.train: the corpus has no text. `allmend why` shows which rules dropped its documents."
        )
    kept = min(Fraction(1), Fraction(config.sample_bytes, total))
    return {language: -int(-size * kept // 1) for language, size in sizes.items()}


def _sample(corpus: Corpus, limits: dict[str, int]) -> Iterator[dict[str, Any]]:
    """Rows in the order of their ids, which are hashes, until a language has its bytes (its last document is read whole)."""
    left = dict(limits)
    for path in corpus.paths():
        table = read_table(path, ["id", "text", "host", "language"])
        for row in sorted(table.to_pylist(), key=lambda row: row["id"]):
            if left[row["language"]] > 0:
                left[row["language"]] -= len(row["text"].encode())
                yield row


def _pages(
    tokenizer: Any, rows: Iterator[dict[str, Any]], trip: gates.Gate, used: np.ndarray, bar: Any
) -> Iterator[Page]:
    """Encode each document, and decode it again for the gate; `used` gets the entries seen."""
    for batch in _batches(rows):
        encoded = [
            each.ids for each in tokenizer.encode_batch_fast([row["text"] for row in batch], add_special_tokens=False)
        ]
        decoded = tokenizer.decode_batch(encoded, skip_special_tokens=False)
        for row, ids, text in zip(batch, encoded, decoded, strict=True):
            trip.check(gates.same_text(row["text"], text), f"document {row['id']} ({row['language']}, {row['host']})")
            used[ids] = True
            size = len(row["text"].encode())
            bar.advance(size)
            yield Page(row["language"], row["host"], size, len(row["text"].split()), len(ids))


def _batches(rows: Iterator[dict[str, Any]]) -> Iterator[list[dict[str, Any]]]:
    batch = []
    for row in rows:
        batch.append(row)
        if len(batch) == BATCH:
            yield batch
            batch = []
    if batch:
        yield batch


def _summary(
    config: TrainConfig, tokenizer: Any, rows: list[dict[str, Any]], found: list[gates.Gate], used: int
) -> dict[str, Any]:
    """The numbers to show. Costs are of text that the tokenizer learnt from, hence a little kinder than of new text."""
    pages, size, tokens = (sum(row[name] for row in rows) for name in ("pages", "bytes", "tokens"))
    by_byte, by_page = fairness(rows, "tokens_per_byte"), fairness(rows, "tokens_per_parallel_page")
    parallel = {f"parallel_{name}": value for name, value in by_page.items()}
    if by_page:
        parallel |= {"parallel_hosts": config.parallel, "parallel_pages": sum(row["parallel_pages"] for row in rows)}
    measured = "Tokens per byte on the training sample, whose texts differ from language to language."
    if by_page:
        measured += " The `parallel_` figures compare tokens a page on translations of one text, from the same sample."
    return {
        "algorithm": "byte-level BPE", "vocab": tokenizer.get_vocab_size(), "entries_used": used,
        "documents": pages, "bytes": size, "tokens": tokens, "bytes_per_token": size / tokens, **by_byte, **parallel,
        "gates": len(found), "gates_passed": sum(gate.passed for gate in found), "measured": measured,
    }  # fmt: skip


def shrink(config: TrainConfig, shrink: Shrink) -> TrainConfig:
    """A proxy has at most 8,192 entries, learnt from the same sample."""
    return config.model_copy(update={"vocab_size": min(config.vocab_size, LARGEST_PROXY_VOCAB)})


def cost(config: TrainConfig, inputs: dict[str, Estimate]) -> Estimate:
    """By the bytes of text: at most `sample_bytes`; a corpus on disk is compressed about threefold."""
    size = min(config.sample_bytes, 3 * inputs["corpus"].disk_bytes or config.sample_bytes)
    return Estimate(seconds=1 + size / BYTES_A_SECOND, memory_bytes=4 * size, disk_bytes=60 * config.vocab_size)
