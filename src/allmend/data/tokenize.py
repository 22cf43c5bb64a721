"""Step `data.tokenize`: from a corpus to flat token arrays with a table of where each document lies."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from typing import Any

import numpy as np
import pyarrow as pa

from allmend.kinds import (
    BOD,
    EOD,
    PAD,
    WITHDRAWN,
    Config,
    Corpus,
    Field,
    Shards,
    Tokenizer,
    Work,
    content_digest,
    sha256_file,
    write_json,
)
from allmend.kinds.corpus import SHARD_DOCUMENTS

TOKENIZER_FILES = ("tokenizer.json", "tokenizer_config.json", "special_tokens_map.json")


class TokenizeConfig(Config):
    """How texts are handed to the tokenizer."""

    batch: int = Field(256, ge=1, description="documents a call of the tokenizer; changes no token")


def tokenize(config: TokenizeConfig, corpus: Corpus, tokenizer: Tokenizer, work: Work) -> Shards:
    """Encode the corpus: each part BoD … EoD by (domain, id), withdrawn documents as holes in their place."""
    loaded = tokenizer.load()
    digest = tokenizer_digest(tokenizer)
    shards = work.map(
        tokenize_part, over=[corpus, corpus.view("holes")], whole=[tokenizer], own={part: part for part in corpus.parts()}
    )  # fmt: skip
    vocab = loaded.get_vocab_size()
    special = {"pad": PAD, "bod": BOD, "eod": EOD, "withdrawn": WITHDRAWN}
    dtype = str(token_type(vocab))
    write_json(
        work.folder / "shards.json",
        {"format": 1, "dtype": dtype, "vocab": vocab, "special": special, "tokenizer": digest},
    )
    for name in TOKENIZER_FILES:
        if tokenizer.path(name).is_file():
            (work.folder / "tokenizer").mkdir(exist_ok=True)
            shutil.copyfile(tokenizer.path(name), work.folder / "tokenizer" / name)
    _tell_ignored(corpus, digest, work)
    return shards


def tokenize_part(
    config: TokenizeConfig, corpus: pa.Table, holes: pa.Table, tokenizer: Tokenizer, part: str
) -> dict[str, Any]:
    """Tokens and document table of one part. Holes of another tokenizer are left out: nothing stands in these shards
    for them.
    """
    loaded = tokenizer.load()
    digest = tokenizer_digest(tokenizer)
    rows = [
        *corpus.to_pylist(),
        *(hole for hole in holes.to_pylist() if hole["tokenizer"] == digest and hole["tokens"]),
    ]
    rows.sort(key=lambda row: (row["domain"].encode(), row["id"]))
    dtype, pieces, table, offset = token_type(loaded.get_vocab_size()), [], [], 0
    for row, tokens in _encoded(loaded, rows, config.batch, dtype):
        named = {name: row[name] for name in ("id", "domain", "url", "host", "language", "licence")}
        place = {"shard": part, "offset": offset, "length": len(tokens)}
        table.append({**named, **place, "withdrawn_at": row.get("withdrawn_at")})
        pieces.append(tokens)
        offset += len(tokens)
    tokens = np.concatenate(pieces) if pieces else np.zeros(0, dtype)
    return {"documents": pa.Table.from_pylist(table, SHARD_DOCUMENTS), "tokens": tokens, "input_rows": len(rows)}


def token_type(vocab: int) -> np.dtype[Any]:
    """`uint16` for vocabularies of up to 65,536 tokens, else `uint32`."""
    return np.dtype(np.uint16 if vocab <= 65_536 else np.uint32)


def tokenizer_digest(tokenizer: Tokenizer) -> str:
    """Content digest of a tokenizer: the ledger's, or computed where it doesn't come from one."""
    known = tokenizer.digests or {}
    return content_digest(
        (name, tokenizer.path(name).stat().st_size, known.get(name) or sha256_file(tokenizer.path(name)))
        for name in tokenizer.files()
    )


def _encoded(
    loaded: Any, rows: list[dict[str, Any]], batch: int, dtype: np.dtype[Any]
) -> Iterator[tuple[dict[str, Any], np.ndarray]]:
    """Each row with its tokens, BoD and EoD included. Special tokens that a text spells are encoded as text
    (`Tokenizer.load`).
    """
    for start in range(0, len(rows), batch):
        some = rows[start : start + batch]
        texts = [row["text"] for row in some if "text" in row]
        encodings = iter(loaded.encode_batch_fast(texts, add_special_tokens=False))
        for row in some:
            if "text" in row:
                ids = next(encodings).ids
                tokens = np.empty(len(ids) + 2, dtype)
                tokens[0], tokens[1:-1], tokens[-1] = BOD, ids, EOD
            else:
                tokens = np.full(row["tokens"], WITHDRAWN, dtype)
            yield row, tokens


def _tell_ignored(corpus: Corpus, digest: str, work: Work) -> None:
    holes = corpus.table("holes", ["id", "tokenizer"]).to_pylist()
    fitting = {hole["id"] for hole in holes if hole["tokenizer"] == digest}
    if others := sorted({hole["id"] for hole in holes} - fitting):
        work.log(
            f"{len(others)} withdrawn documents leave no hole: their tokens were counted with another tokenizer, or never."
        )
