"""A tokenizer and shards made here by hand, so that the audit's tests lean on no room that it audits."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pytest

from allmend.kinds import (
    BOD,
    EOD,
    MARKERS,
    SPECIAL_TOKENS,
    WITHDRAWN,
    Shards,
    Tokenizer,
    document_id,
    part_names,
    part_of,
    write_json,
    write_table,
)
from allmend.kinds.corpus import SHARD_DOCUMENTS

HELD_OUT = Path(__file__).parents[2] / "examples" / "commons" / "heldout.jsonl"


def held_out(*codes: str) -> list[tuple[str, str]]:
    """(code, text) of declarations, all of them without codes: some real text of known places."""
    rows = [json.loads(line) for line in HELD_OUT.read_text(encoding="utf-8").splitlines()]
    texts = {row["code"]: "\n".join(article["text"] for article in row["articles"]) for row in rows}
    return [(code, texts[code]) for code in (codes or sorted(texts)) if texts[code].strip()]


def train_tokenizer(folder: Path, texts: Sequence[str], vocab: int) -> Tokenizer:
    """A byte-level BPE with the house's special tokens, words as letters and marks."""
    from tokenizers import AddedToken, Regex, decoders, models, pre_tokenizers, trainers
    from tokenizers import Tokenizer as Fast

    fast = Fast(models.BPE())
    words = pre_tokenizers.Split(Regex(r" ?\p{L}[\p{L}\p{M}]*| ?\p{N}| ?[^\s\p{L}\p{N}]+|\s+"), "isolated")
    fast.pre_tokenizer = pre_tokenizers.Sequence(
        [words, pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False)]
    )
    fast.decoder = decoders.ByteLevel()
    alphabet = sorted(pre_tokenizers.ByteLevel.alphabet())
    special = [AddedToken(name, special=True) for name in SPECIAL_TOKENS] + [AddedToken(name) for name in MARKERS]
    trainer = trainers.BpeTrainer(
        vocab_size=vocab, special_tokens=special, initial_alphabet=alphabet, show_progress=False
    )
    fast.train_from_iterator(texts, trainer)
    folder.mkdir(parents=True, exist_ok=True)
    fast.save(str(folder / "tokenizer.json"))
    write_json(folder / "summary.json", {"vocab": fast.get_vocab_size()})
    return Tokenizer(folder)


def make_shards(
    folder: Path, documents: Mapping[str, list[int]], *, vocab: int, parts: int = 2, withdrawn: Sequence[str] = (),
    tokenizer: Tokenizer | None = None, dtype: str = "uint16",
) -> Shards:  # fmt: skip
    """Shards of name → text tokens, by the rules of the data order; a document's id is made of its name."""
    rows = sorted((document_id(name, ""), name, tokens) for name, tokens in documents.items())
    cut = part_of(pa.array([row[0] for row in rows], pa.string()), parts)
    for number, part in enumerate(part_names(parts)):
        flat, table, offset = [np.zeros(0, dtype)], [], 0
        for one, name, tokens in [row for row, at in zip(rows, cut, strict=True) if at == number]:
            gone = name in withdrawn
            whole = [WITHDRAWN] * (len(tokens) + 2) if gone else [BOD, *tokens, EOD]
            flat.append(np.array(whole, dtype))
            table.append({
                "id": one, "shard": part, "offset": offset, "length": len(whole), "domain": "x",
                "url": f"https://{name}.example/", "host": f"{name}.example", "language": "x", "licence": "CC0-1.0",
                "withdrawn_at": "2026-11-24" if gone else None,
            })  # fmt: skip
            offset += len(whole)
        write_table(folder / "documents" / f"{part}.parquet", pa.Table.from_pylist(table, SHARD_DOCUMENTS))
        (folder / "tokens").mkdir(exist_ok=True)
        np.concatenate(flat).astype(np.dtype(dtype).newbyteorder("<")).tofile(folder / "tokens" / f"{part}.bin")
    special = {"pad": 0, "bod": BOD, "eod": EOD, "withdrawn": WITHDRAWN}
    write_json(
        folder / "shards.json", {"format": 1, "dtype": dtype, "vocab": vocab, "special": special, "tokenizer": ""}
    )
    if tokenizer:
        (folder / "tokenizer").mkdir()
        (folder / "tokenizer" / "tokenizer.json").write_bytes(tokenizer.path("tokenizer.json").read_bytes())
    return Shards(folder)


def encode(tokenizer: Tokenizer, text: str) -> list[int]:
    ids: list[int] = tokenizer.load().encode(text, add_special_tokens=False).ids
    return ids


@pytest.fixture(scope="session")
def tokenizer(tmp_path_factory: pytest.TempPathFactory) -> Tokenizer:
    """Of 30 declarations, with 2,000 entries."""
    texts = [text for _, text in held_out()[::18]] + [
        text for _, text in held_out("eng", "deu_1996", "cmn_hans", "tha")
    ]
    return train_tokenizer(tmp_path_factory.mktemp("tokenizer"), texts, 2000)


@pytest.fixture(scope="session")
def world(tmp_path_factory: pytest.TempPathFactory, tokenizer: Tokenizer) -> Any:
    """Shards of 60 declarations in 4 parts, German withdrawn."""
    pages = held_out()[::9] + held_out("eng", "deu_1996", "cmn_hans", "tha")
    documents = {f"d-{code.lower().replace('_', '-')}": encode(tokenizer, text) for code, text in pages}
    folder = tmp_path_factory.mktemp("world") / "shards"
    return make_shards(folder, documents, vocab=2000, parts=4, withdrawn=["d-deu-1996"], tokenizer=tokenizer)
