"""Step `data.deduplicate`: which documents say the same, exactly or nearly; clusters, never across declared languages."""

from __future__ import annotations

import hashlib
import re
from collections import Counter
from typing import Any

import numpy as np
import pyarrow as pa

from allmend.data.shingles import BANDS, bands, jaccard, shingles
from allmend.kinds import Config, Documents, Field, Share, Verdicts, Work, normal_text

DUPLICATES = pa.struct([
    ("cluster", pa.string()), ("size", pa.int64()), ("exact", pa.bool_()), ("jaccard", pa.float64()), ("copy_of", pa.string()),
])  # fmt: skip
TEXTS = pa.schema([("id", pa.string()), ("language", pa.string()), ("exact", pa.string())])
SIGNATURES = pa.schema([("id", pa.string()), ("band", pa.int32()), ("key", pa.uint64())])
LARGEST_BUCKET = 64
"""Documents in one bucket that are compared pair by pair; in a larger one each is compared with the first only, so
that work stays linear.
"""

EXACT = """
SELECT t.id AS id, g.first AS first FROM texts AS t
JOIN (SELECT exact, language, CAST(min(id) AS VARCHAR) AS first FROM texts GROUP BY exact, language HAVING count(*) > 1) AS g
  ON t.exact = g.exact AND t.language = g.language
WHERE t.id <> g.first ORDER BY id
"""
PAIRS = """
WITH firsts AS (SELECT CAST(min(id) AS VARCHAR) AS id FROM texts GROUP BY exact, language),
     entries AS (SELECT s.id AS id, s.band AS band, s.key AS key FROM signatures AS s JOIN firsts AS f ON s.id = f.id),
     buckets AS (SELECT band, key, CAST(min(id) AS VARCHAR) AS first, CAST(count(*) AS BIGINT) AS size
                 FROM entries GROUP BY band, key HAVING count(*) > 1),
     pairs AS (SELECT a.id AS a, b.id AS b FROM buckets AS k
               JOIN entries AS a ON a.band = k.band AND a.key = k.key AND (k.size <= {largest} OR a.id = k.first)
               JOIN entries AS b ON b.band = k.band AND b.key = k.key AND a.id < b.id)
SELECT DISTINCT p.a AS a, p.b AS b FROM pairs AS p JOIN texts AS x ON x.id = p.a JOIN texts AS y ON y.id = p.b
WHERE x.language = y.language OR x.language = '' OR y.language = '' ORDER BY a, b
"""
TEXTS_OF_PAIRS = """
SELECT d.id AS id, d.text AS text FROM documents AS d
JOIN (SELECT a AS id FROM pairs UNION SELECT b AS id FROM pairs) AS p ON p.id = d.id ORDER BY id
"""


class DeduplicateConfig(Config):
    """What counts as the same."""

    threshold: Share = Field(
        0.8, description="Jaccard similarity of 5-word shingles from which two documents are copies"
    )


def deduplicate(config: DeduplicateConfig, documents: Documents, work: Work) -> Verdicts:
    """Find clusters of copies: equal normal text, or MinHash candidates whose Jaccard similarity is checked. Every
    document gets a row.
    """
    signed = work.map(sign_part, over=[documents])
    texts, signatures = signed.view("texts"), signed.view("signatures")
    exact = work.sql(EXACT, {"texts": texts})
    pairs = work.sql(PAIRS.format(largest=LARGEST_BUCKET), {"texts": texts, "signatures": signatures})
    edges = [(first, one, 1.0) for one, first in zip(*_columns(exact, "id", "first"), strict=True)]
    edges += _verified(config, pairs, work.sql(TEXTS_OF_PAIRS, {"documents": documents, "pairs": pairs}))
    languages = _languages(work, texts, edges)
    return work.map(cluster_part, over=[documents], own=_of_parts(documents, _clusters(edges, languages)))


def sign_part(config: DeduplicateConfig, documents: pa.Table) -> dict[str, pa.Table]:
    """Text hash and band keys of each document."""
    ids, keys = documents["id"].to_pylist(), []
    exact = []
    for text in documents["text"].to_pylist():
        keys.append(bands(shingles(text)))
        exact.append(hashlib.sha256(normal_text(text).encode("utf-8", "replace")).hexdigest())
    languages = [written_language(tag) for tag in documents["declared_language"].to_pylist()]
    flat = np.concatenate(keys) if keys else np.zeros(0, np.uint64)
    rows = {
        "id": [one for one in ids for _ in range(BANDS)],
        "band": list(range(BANDS)) * len(ids),
        "key": pa.array(flat),
    }
    return {
        "texts": pa.table({"id": ids, "language": languages, "exact": exact}, schema=TEXTS),
        "signatures": pa.table(rows, schema=SIGNATURES),
    }


def cluster_part(config: DeduplicateConfig, documents: pa.Table, clusters: dict[str, Any]) -> dict[str, pa.Table]:
    """The verdict on each document: a cluster of its own unless it has copies."""
    names = [field.name for field in DUPLICATES]
    rows = [
        dict(zip(names, clusters[one] if one in clusters else (one, 1, False, None, None), strict=True)) for one in documents["id"].to_pylist()
    ]  # fmt: skip
    return {"verdicts": pa.table({"id": documents["id"], "duplicates": pa.array(rows, type=DUPLICATES)})}


def written_language(tag: str | None) -> str:
    """A declared language as copies are told apart by: without regions, which don't change a text, with scripts and
    variants, which do (`en-GB` → `en`, `de-CH-1901` → `de-1901`); empty if none is declared.
    """
    parts = (tag or "").split("-")
    kept = [
        part.lower() for number, part in enumerate(parts) if not number or not re.fullmatch(r"[A-Za-z]{2}|\d{3}", part)
    ]
    return "" if kept[0] in ("", "und") else "-".join(kept)


def _verified(config: DeduplicateConfig, pairs: pa.Table, texts: pa.Table) -> list[tuple[str, str, float]]:
    """The candidate pairs that are similar enough, most similar first."""
    shingled = {one: shingles(text) for one, text in zip(*_columns(texts, "id", "text"), strict=True)}
    found = [
        (a, b, round(jaccard(shingled[a], shingled[b]), 6)) for a, b in zip(*_columns(pairs, "a", "b"), strict=True)
    ]
    return sorted(
        (edge for edge in found if edge[2] >= config.threshold), key=lambda edge: (-edge[2], edge[0], edge[1])
    )


def _languages(work: Work, texts: Any, edges: list[tuple[str, str, float]]) -> dict[str, str]:
    ids = pa.table({"id": pa.array(sorted({one for a, b, _ in edges for one in (a, b)}), pa.string())})
    query = "SELECT t.id AS id, t.language AS language FROM texts AS t JOIN ids AS i ON t.id = i.id ORDER BY id"
    found = work.sql(query, {"texts": texts, "ids": ids})
    return dict(zip(*_columns(found, "id", "language"), strict=True))


def _clusters(edges: list[tuple[str, str, float]], languages: dict[str, str]) -> dict[str, list[Any]]:
    """Union-find over the edges in their order. A cluster holds at most one declared language: documents that declare
    none may join any, and can't bridge two.

    Returns:
        id → [cluster, size, exact, jaccard, copy_of]: the highest similarity of an edge of this document, and to whom.
    """
    parent = {one: one for one in sorted(languages)}
    language = dict(languages)

    def root(one: str) -> str:
        while parent[one] != one:
            parent[one] = one = parent[parent[one]]
        return one

    nearest: dict[str, tuple[float, str]] = {}
    for a, b, similarity in edges:
        x, y = sorted((root(a), root(b)))
        if x != y and language[x] and language[y] and language[x] != language[y]:
            continue
        parent[y] = x
        language[x] = language[x] or language[y]
        for one, other in ((a, b), (b, a)):
            nearest.setdefault(one, (similarity, other))
    roots = {one: root(one) for one in parent}
    sizes = Counter(roots.values())
    return {
        one: [roots[one], sizes[roots[one]], nearest[one][0] == 1.0, nearest[one][0], nearest[one][1]]
        for one in parent
        if sizes[roots[one]] > 1
    }


def _of_parts(documents: Documents, clusters: dict[str, list[Any]]) -> dict[str, dict[str, list[Any]]]:
    """Each part's own clusters, so that a new copy moves only the parts of its cluster."""
    from allmend.kinds import part_of

    parts = documents.parts()
    ids = sorted(clusters)
    found: dict[str, dict[str, list[Any]]] = {part: {} for part in parts}
    for one, index in zip(ids, part_of(pa.array(ids, pa.string()), len(parts)), strict=True):
        found[parts[index]][one] = clusters[one]
    return found


def _columns(table: pa.Table, *names: str) -> list[list[Any]]:
    return [table[name].to_pylist() for name in names]
