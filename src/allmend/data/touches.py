"""What of each artifact comes from given documents: the answers that `allmend withdraw` prints."""

from __future__ import annotations

from collections.abc import Collection
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from allmend.kinds import Artifact, Corpus, Documents, Shards, Touched, Verdicts


def touched_documents(artifact: Documents, ids: Collection[str]) -> Touched:
    """Pages by declared language."""
    return _touched(artifact, ids, domain="declared_language", size="bytes")


def touched_verdicts(artifact: Verdicts, ids: Collection[str]) -> Touched:
    """Rows by the language that an annotator found, where one did."""
    return _touched(artifact, ids, domain="language")


def touched_corpus(artifact: Corpus, ids: Collection[str]) -> Touched:
    """Kept texts; documents that were dropped touch nothing further down."""
    return _touched(artifact, ids, domain="domain", size="bytes")


def touched_shards(artifact: Shards, ids: Collection[str]) -> Touched:
    """Documents whose tokens stand in the shards; holes are gone already."""
    return _touched(artifact, ids, domain="domain", tokens="length")


def _touched(artifact: Artifact, ids: Collection[str], domain: str, size: str = "", tokens: str = "") -> Touched:
    """Count rows of these ids, part by part.

    Args:
        domain, size, tokens: columns that hold a document's domain, bytes and tokens; empty where there is none.
    """
    wanted = pa.array(sorted(ids), pa.string())
    shards: list[str] = []
    by_domain: dict[str, tuple[int, int, int]] = {}
    for part in artifact.parts():
        path = artifact.part_path(part)
        names = [name for name in ("id", domain, size, tokens, "withdrawn_at") if name in pq.read_schema(path).names]
        rows = pq.read_table(path, columns=names, partitioning=None)
        rows = rows.filter(pc.is_in(rows["id"], wanted))
        found = [row for row in rows.to_pylist() if row.get("withdrawn_at") is None]
        shards += [part] if found else []
        for row in found:
            name = _domain(row.get(domain))
            documents, size_bytes, count = by_domain.get(name, (0, 0, 0))
            by_domain[name] = (documents + 1, size_bytes + row.get(size, 0), count + row.get(tokens, 0))
    documents, size_bytes, count = (
        (sum(each) for each in zip(*by_domain.values(), strict=True)) if by_domain else (0, 0, 0)
    )
    return Touched(documents, size_bytes, count, tuple(shards), by_domain=dict(sorted(by_domain.items())))


def _domain(value: Any) -> str:
    """Base language of a tag or of a language verdict; a domain as it is."""
    tag = value["base"] if isinstance(value, dict) else value
    return (tag or "und").partition("-")[0].lower()
