"""Toy steps around a withdrawal: decide leaves holes, the tokenizer is pinned, shards keep their offsets, a model is touched."""

from __future__ import annotations

from collections.abc import Collection
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from allmend.kinds import (
    Config,
    Corpus,
    Documents,
    Model,
    Shards,
    Tokenizer,
    Touched,
    Verdicts,
    Withdrawals,
    Work,
    part_names,
    part_of,
    write_json,
)  # fmt: skip
from allmend.kinds.corpus import CORPUS, DECISIONS, HOLES, SHARD_DOCUMENTS


class DecideConfig(Config):
    """Which word is forbidden, and what was withdrawn."""

    forbidden: str = "badword"
    withdrawals: Withdrawals = Withdrawals()


def decide(config: DecideConfig, documents: Documents, work: Work, verdicts: Verdicts | None = None) -> Corpus:
    """Keep, drop, or leave a hole. Each part gets only its own withdrawals."""
    parts = documents.parts()
    rows = [
        {**document, "at": record["at"], "hole": number >= config.withdrawals.compacted}
        for number, record in enumerate(config.withdrawals.records)
        for document in record["documents"]
    ]
    own: dict[str, Any] = {}
    for row, part in zip(rows, part_of(pa.array([row["id"] for row in rows], pa.string()), len(parts)), strict=True):
        own.setdefault(part_names(len(parts))[part], []).append(row)
    return work.map(decide_part, over=[documents, *([verdicts] if verdicts else [])], own=own)


def decide_part(config: DecideConfig, documents: pa.Table, *rest: Any) -> dict[str, pa.Table]:
    gone = {row["id"]: row for row in rest[-1] or []}
    kept, decisions, holes = [], [], []
    for row in documents.to_pylist():
        told = {"language": "en", "licence": "CC0-1.0" if row["host"] == "t1.example" else "MIT"}
        fate = "drop" if row["id"] in gone or config.forbidden in row["text"] else "keep"
        decisions.append({**dict.fromkeys(DECISIONS.names), **_only(row, DECISIONS), **told, "fate": fate})
        if fate == "keep":
            kept.append({**dict.fromkeys(CORPUS.names), **_only(row, CORPUS), **told, "domain": row["host"]})
        record = gone.get(row["id"])
        for tokenizer, tokens in sorted(record["tokens"].items()) if record and record["hole"] else []:
            hole = {**_only(record, HOLES), "tokenizer": tokenizer, "tokens": tokens, "withdrawn_at": record["at"]}
            holes.append(hole)
    return {
        "decisions": pa.Table.from_pylist(decisions, DECISIONS),
        "corpus": pa.Table.from_pylist(kept, CORPUS),
        "holes": pa.Table.from_pylist(holes, HOLES),
    }


def _only(row: dict[str, Any], schema: pa.Schema) -> dict[str, Any]:
    return {name: value for name, value in row.items() if name in schema.names}


class ClusterConfig(Config):
    """Nothing to choose."""


def cluster(config: ClusterConfig, documents: Documents, work: Work) -> Verdicts:
    """Lines that begin with the same word are duplicates of each other."""
    return work.map(cluster_part, over=[documents])


def cluster_part(config: ClusterConfig, documents: pa.Table) -> dict[str, pa.Table]:
    words = [{"cluster": text.split()[0]} for text in documents["text"].to_pylist()]
    return {"verdicts": pa.table({"id": documents["id"], "duplicates": words})}


class VocabularyConfig(Config):
    """Nothing to choose."""


def vocabulary(config: VocabularyConfig, corpus: Corpus, work: Work) -> Tokenizer:
    """All words, numbered in order after the four special ones."""
    words = {word for text in corpus.table(columns=["text"])["text"].to_pylist() for word in text.split()}
    write_json(work.folder / "tokenizer.json", {word: number + 4 for number, word in enumerate(sorted(words))})
    write_json(work.folder / "summary.json", {"words": len(words)})
    return Tokenizer(work.folder)


class TokenizeConfig(Config):
    """Nothing to choose."""


def tokenize(config: TokenizeConfig, corpus: Corpus, tokenizer: Tokenizer, work: Work) -> Shards:
    """Kept documents as tokens; a withdrawn one as a hole of its old length."""
    digest = _digest(tokenizer)
    holes = corpus.view("holes")
    shards: Shards = work.map(tokenize_part, over=[corpus, holes], whole=[tokenizer], counted=0)
    write_json(work.folder / "shards.json", {"dtype": "uint32", "tokenizer": digest})
    return shards


def _digest(tokenizer: Tokenizer) -> str:
    return tokenizer.folder.name  # objects/<key>/<digest>


def tokenize_part(config: TokenizeConfig, corpus: pa.Table, holes: pa.Table, tokenizer: Tokenizer) -> dict[str, Any]:
    numbers = tokenizer.json("tokenizer.json")
    mine = holes.filter(pc.equal(holes["tokenizer"], _digest(tokenizer)))
    rows = [{**row, "length": row["tokens"]} for row in mine.to_pylist()]
    for row in corpus.to_pylist():
        tokens = [1, *(numbers[word] for word in row["text"].split()), 2]
        rows.append({**row, "tokens": tokens, "length": len(tokens)})
    rows.sort(key=lambda row: (row["domain"], row["id"]))
    arrays, offset = [], 0
    for row in rows:
        hole = "withdrawn_at" in row
        arrays.append(np.full(row["length"], 3, np.uint32) if hole else np.array(row["tokens"], np.uint32))
        row["offset"], offset = offset, offset + row["length"]
    told = [{**dict.fromkeys(SHARD_DOCUMENTS.names), **_only(row, SHARD_DOCUMENTS)} for row in rows]
    tokens = np.concatenate([np.zeros(0, np.uint32), *arrays])
    return {"documents": pa.Table.from_pylist(told, SHARD_DOCUMENTS), "tokens": tokens}


def touches_shards(shards: Shards, ids: Collection[str]) -> Touched:
    found = {part: shards.load(part) for part in shards.parts()}
    mine = {
        part: table.filter(pc.is_in(table["id"], pa.array(list(ids), pa.string()))) for part, table in found.items()
    }
    held = {part: table for part, table in mine.items() if table.num_rows}
    tokens = sum(pc.sum(table["length"]).as_py() for table in held.values())
    return Touched(documents=sum(table.num_rows for table in held.values()), tokens=tokens, shards=tuple(held))


class ReadConfig(Config):
    """A 'model' that reads one part a step and keeps a checkpoint after each."""


def read(config: ReadConfig, shards: Shards, work: Work) -> Model:
    sums = [int(shards.tokens(part).sum()) for part in shards.parts()]
    write_json(work.folder / "summary.json", {"sums": str(sums)})
    return Model(work.folder)


def touches_model(model: Model, ids: Collection[str], inputs: dict[str, Any]) -> Touched:
    found = touches_shards(inputs["shards"], ids)
    steps = [inputs["shards"].parts().index(part) for part in found.shards]
    return Touched(
        found.documents, tokens=found.tokens, first_step=min(steps, default=None), restart=min(steps, default=None)
    )
