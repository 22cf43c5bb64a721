"""`audit.index`: a suffix array over the tokens of each part, by which any run of tokens is found in all of them."""

from __future__ import annotations

from collections.abc import Collection
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from allmend.kinds import (
    BOD,
    EOD,
    SPECIAL_TOKENS,
    WITHDRAWN,
    Artifact,
    Config,
    Estimate,
    Index,
    Shards,
    Touched,
    Work,
    content_digest,
    sha256_file,
    write_json,
)  # fmt: skip
from allmend.kinds.errors import DamagedError, MissingExtraError

FIRST_TEXT_TOKEN = len(SPECIAL_TOKENS)
"""Ids below it are special. Documents begin and end with one, no text encodes to one: no match crosses documents."""
TOKENS_A_SECOND = 4e6
"""Of one core, for `plan`: measured 4–9 M on a busy machine, hashing and writing included; small parts are faster."""
CHUNK = 1 << 18


class IndexConfig(Config):
    """Nothing to choose: every token of every document that isn't withdrawn is indexed."""


def index(config: IndexConfig, shards: Shards, work: Work) -> Index:
    """Sort the suffixes of each part's tokens, so that binary search finds any run; withdrawn documents left out."""
    facts = shards.json("shards.json")
    own = {part: [facts["dtype"], facts["vocab"]] for part in shards.parts("tokens")}
    made = work.map(index_part, over=[shards.view("tokens"), shards], own=own)
    parts = {part: _facts(made, part) for part in made.parts("documents")}
    write_json(
        work.folder / "index.json",
        {
            "format": 1, "kind": "suffix array", "shards": digest_of(shards), "vocab": facts["vocab"],
            "first_text_token": FIRST_TEXT_TOKEN, "parts": parts,
        },
    )  # fmt: skip
    total = {name: sum(part[name] for part in parts.values()) for name in ("tokens", "documents", "withdrawn")}
    write_json(work.folder / "summary.json", {"parts": len(parts), **total})
    return Index(work.folder)


def index_part(config: IndexConfig, tokens: np.ndarray, documents: pa.Table, own: list[Any]) -> dict[str, Any]:
    """One part's suffix array, the number of suffixes before each first token, and which documents it covers."""
    check_documents(tokens, documents)
    counts = np.zeros(own[1], np.int64)
    for start in range(0, len(tokens), CHUNK):  # bincount widens what it is given to eight bytes a token
        counts += np.bincount(tokens[start : start + CHUNK], minlength=own[1])
    special = int(counts[:FIRST_TEXT_TOKEN].sum())
    first = np.concatenate([[0], np.cumsum(counts[FIRST_TEXT_TOKEN:])]).astype(np.int64)
    suffixes = suffix_array(tokens)
    return {
        "suffix": suffixes[special:],  # suffixes that begin with a special token sort first; nothing may find them
        "first": first,
        "documents": documents.select(["id", "offset", "length", "domain", "withdrawn_at"]),
    }


def suffix_array(tokens: np.ndarray) -> np.ndarray:
    """Positions of all suffixes in the order of their tokens.

    libdivsufsort sorts bytes, and big-endian bytes sort as their tokens do: the suffixes that begin at a token are
    those at a multiple of its size. They are picked out in place: pydivsufsort's own way takes twice the memory.

    Args:
        tokens: uint16 or uint32 [T].

    Returns:
        int32 [T], or int64 where the bytes are 2³¹ or more.
    """
    if not len(tokens):
        return np.zeros(0, np.int32)
    try:
        from pydivsufsort import divsufsort
    except ImportError as error:
        raise MissingExtraError.of("pydivsufsort", "audit") from error
    size = tokens.dtype.itemsize
    order = divsufsort(tokens.astype(tokens.dtype.newbyteorder(">")).view(np.uint8))
    done = 0
    for start in range(0, len(order), CHUNK):
        chunk = order[start : start + CHUNK]
        chosen = chunk[chunk % size == 0] // size
        order[done : done + len(chosen)] = chosen
        done += len(chosen)
    assert done == len(tokens), (done, len(tokens))
    return order[:done].copy()


def check_documents(tokens: np.ndarray, documents: pa.Table) -> None:
    """What the search relies on: documents lie end to end, each from <bod> to <eod>, and a withdrawn one is all holes.

    Raises:
        DamagedError: names the document and what is wrong with it.
    """
    offsets, lengths = documents["offset"].to_numpy(), documents["length"].to_numpy()
    ends = offsets + lengths
    gone = documents["withdrawn_at"].is_valid().to_numpy()
    expected = np.concatenate([[0], ends[:-1]]) if len(ends) else ends
    for row in np.flatnonzero((offsets != expected) | (lengths < 2))[:1]:
        raise _damaged(
            documents, row, f"it begins at token {offsets[row]} and the one before it ends at {expected[row]}"
        )
    if (ends[-1] if len(ends) else 0) != len(tokens):
        raise DamagedError(
            f"the documents of a part of the shards end at token {ends[-1] if len(ends) else 0}, and it has "
            f"{len(tokens)}. Build the shards again."
        )
    if not len(ends):
        return
    for row in np.flatnonzero(~gone & ((tokens[offsets] != BOD) | (tokens[ends - 1] != EOD)))[:1]:
        raise _damaged(documents, row, "it doesn't begin with <bod> and end with <eod>")
    holes = np.add.reduceat(tokens == WITHDRAWN, offsets, dtype=np.int64)
    for row in np.flatnonzero(gone & (holes != lengths))[:1]:
        raise _damaged(
            documents, row, f"it is withdrawn, and {lengths[row] - holes[row]} of its tokens are still there"
        )


def _damaged(documents: pa.Table, row: int, what: str) -> DamagedError:
    return DamagedError(f"document {documents['id'][int(row)]} of the shards: {what}. Build the shards again.")


def _facts(made: Index, part: str) -> dict[str, Any]:
    """What `index.json` says of a part: counts, and how wide its positions are."""
    documents = made.load(part, "documents")
    withdrawn = documents.num_rows - documents["withdrawn_at"].null_count
    suffixes = int(np.fromfile(made.path(f"first/{part}.bin"), "<i8")[-1])
    wide = made.path(f"suffix/{part}.bin").stat().st_size > 4 * suffixes
    return {
        "documents": documents.num_rows - withdrawn, "withdrawn": withdrawn, "suffixes": suffixes,
        "tokens": pc.sum(documents["length"]).as_py() or 0, "dtype": "int64" if wide else "int32",
    }  # fmt: skip


def digest_of(artifact: Artifact) -> str:
    """An artifact's content digest; computed where no ledger gave it (`run_alone`)."""
    known = artifact.digests or {}
    files = [(name, artifact.path(name)) for name in artifact.files()]
    return content_digest((name, path.stat().st_size, known.get(name) or sha256_file(path)) for name, path in files)


def cost(config: IndexConfig, inputs: dict[str, Any]) -> Estimate:
    """Seconds from the tokens of the shards; memory as if they were 16 parts of 2-byte tokens."""
    tokens = inputs["shards"].tokens
    seconds = 0.3 + tokens / TOKENS_A_SECOND
    return Estimate(tokens=tokens, seconds=seconds, memory_bytes=tokens // 16 * 12, disk_bytes=4 * tokens)


def touches(artifact: Index, ids: Collection[str]) -> Touched:
    """Which of the documents the index covers, in which parts. It holds positions, no text: `bytes` stays 0."""
    wanted = pa.array(sorted(ids), pa.string())
    parts, found = [], []
    for part in artifact.parts("documents"):
        documents = artifact.load(part, "documents")
        mask = pc.and_(pc.is_in(documents["id"], wanted), pc.is_null(documents["withdrawn_at"]))
        if (rows := documents.filter(mask)).num_rows:
            parts.append(part)
            found.append(rows)
    if not found:
        return Touched()
    rows = pa.concat_tables(found)
    domains: dict[str, tuple[int, int, int]] = {}
    for domain, length in sorted(zip(rows["domain"].to_pylist(), rows["length"].to_pylist(), strict=True)):
        count, _, tokens = domains.get(domain, (0, 0, 0))
        domains[domain] = (count + 1, 0, tokens + length)
    tokens = pc.sum(rows["length"]).as_py()
    return Touched(documents=rows.num_rows, tokens=tokens, shards=tuple(parts), by_domain=domains)
