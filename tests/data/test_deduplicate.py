"""Copies: hashes that mean equality, signatures that mean similarity, clusters that hold one language."""

from __future__ import annotations

import random
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from allmend.data.deduplicate import written_language
from allmend.data.shingles import bands, jaccard, shingles
from allmend.data.words import run_hashes, words_of
from allmend.kinds import Documents, document_id, write_table
from allmend.kinds.corpus import DOCUMENTS, part_names
from tests.data.conftest import Built, rows, run_step

TEXT = " ".join(f"word{number}" for number in range(60))


def _documents(folder: Path, texts: list[tuple[str, str | None]], parts: int = 4) -> Documents:
    """Documents of (text, declared language), each at a URL of its own."""
    import pyarrow as pa

    found = []
    for number, (text, language) in enumerate(texts):
        row = dict.fromkeys(DOCUMENTS.names)
        url = f"https://h{number}.example/"
        found.append(
            row
            | {
                "id": document_id(url, text),
                "text": text,
                "url": url,
                "declared_language": language,
                "bytes": len(text),
            }
        )
    found.sort(key=lambda row: row["id"])
    for index, name in enumerate(part_names(parts)):
        some = [row for row in found if int(row["id"][:8], 16) * parts >> 32 == index]
        write_table(folder / "documents" / f"{name}.parquet", pa.Table.from_pylist(some, DOCUMENTS))
    return Documents(folder)


def _clusters(folder: Path, texts: list[tuple[str, str | None]], workers: int = 1) -> list[set[int]]:
    """Clusters of more than one, as numbers of the texts."""
    documents = _documents(folder / "documents", texts)
    numbers = {row["id"]: int(row["url"][9:].split(".")[0]) for row in rows(documents)}
    made = rows(run_step("deduplicate", folder / "duplicates", workers, {"documents": documents}))
    assert len(made) == len(texts)
    found: dict[str, set[int]] = {}
    for row in made:
        found.setdefault(row["duplicates"]["cluster"], set()).add(numbers[row["id"]])
        assert row["duplicates"]["cluster"] <= row["id"]
    for row in made:
        assert row["duplicates"]["size"] == len(found[row["duplicates"]["cluster"]])
    return sorted((cluster for cluster in found.values() if len(cluster) > 1), key=min)


def _changed(text: str, places: list[int]) -> str:
    words = text.split()
    for place in places:
        words[place] = f"changed{place}"
    return " ".join(words)


@given(st.text(max_size=60))
def test_words_are_what_split_gives_where_scripts_have_spaces(text: str) -> None:
    words = words_of(text)
    pieces = [text[start:end] for start, end in zip(words.starts, words.ends, strict=True)]
    assert "".join(pieces) == "".join(text.split())
    if text.isascii():
        assert pieces == text.split()


@given(st.text("ab 人", max_size=40), st.text("ab 人", max_size=40), st.integers(1, 4))
def test_runs_have_equal_hashes_exactly_if_they_are_equal(left: str, right: str, size: int) -> None:
    found = {}
    for text in (left, right):
        words = words_of(text)
        for number, value in enumerate(run_hashes(words, size)):
            run = text[words.starts[number] : words.ends[number + size - 1]]
            assert found.setdefault(int(value), run) == run
    assert len(set(found.values())) == len(found)


def test_shingles_of_unspaced_scripts_are_characters() -> None:
    assert len(shingles("人人生而自由在尊严")) == 5
    assert len(shingles("one two three four five six")) == 2
    assert len(shingles("two words")) == 1
    assert len(shingles("")) == 0


def test_white_space_and_case_change_no_shingle() -> None:
    assert np.array_equal(shingles("One  two three\nfour five SIX"), shingles("one two three four five six"))


@pytest.mark.parametrize(("share", "low", "high"), [(0.5, 0.0, 0.25), (0.8, 0.8, 1.0), (0.95, 0.97, 1.0)])
def test_a_band_is_shared_as_often_as_theory_says(share: float, low: float, high: float) -> None:
    """1 − (1 − s⁸)¹⁴ = .05, .92, 1.00 over 150 drawn pairs of sets."""
    draw = np.random.default_rng(1)
    hits = 0
    for _ in range(150):
        shared, own = draw.integers(0, 2**63, (2, 400), np.uint64)
        count = round(400 * 2 * share / (1 + share))
        left = np.unique(np.concatenate([shared[:count], own[: 400 - count]]))
        right = np.unique(np.concatenate([shared[:count], own[count:]]))
        hits += bool(set(bands(left)) & set(bands(right)))
    assert low <= hits / 150 <= high


def test_jaccard_is_shared_over_all() -> None:
    assert jaccard(np.array([1, 2, 3], np.uint64), np.array([2, 3, 4], np.uint64)) == 0.5
    assert jaccard(np.zeros(0, np.uint64), np.zeros(0, np.uint64)) == 1.0


def test_exact_near_and_other_texts(tmp_path: Path) -> None:
    near, far = _changed(TEXT, [59]), _changed(TEXT, [10, 20, 30, 40])
    texts = [
        (TEXT, "en"),
        (TEXT.replace(" ", "\n "), "en"),
        (near, "en"),
        (far, "en"),
        ("short", "en"),
        ("short", "en"),
    ]
    assert _clusters(tmp_path, texts) == [{0, 1, 2}, {4, 5}]


def test_declared_languages_are_never_merged_not_even_through_a_page_that_declares_none(tmp_path: Path) -> None:
    assert _clusters(tmp_path / "a", [(TEXT, "hr"), (TEXT, "bs"), (_changed(TEXT, [59]), "sr")]) == []
    merged = _clusters(tmp_path / "b", [(TEXT, "hr"), (TEXT, None), (TEXT, "bs")])
    assert len(merged) == 1 and len(merged[0]) == 2 and 1 in merged[0]
    assert _clusters(tmp_path / "c", [(TEXT, "en-GB"), (TEXT, "en"), (TEXT, "und"), (TEXT, "en-US")]) == [{0, 1, 2, 3}]


@pytest.mark.parametrize(
    ("tag", "language"),
    [("en-GB", "en"), ("zh-Hant-TW", "zh-hant"), ("de-1996", "de-1996"), ("es-419", "es"), ("und", ""), (None, "")],
)
def test_a_language_as_copies_are_told_apart(tag: str | None, language: str) -> None:
    assert written_language(tag) == language


def test_a_hundred_thousand_copies_cost_a_pass_not_a_square(tmp_path: Path) -> None:
    """Here 3,000 exact and 300 near copies of each other; buckets beyond 64 are compared with their first only."""
    texts: list[tuple[str, str | None]] = [(TEXT, "en")] * 3_000
    texts += [(_changed(TEXT, [59]) + f" end{number}", "en") for number in range(300)]
    assert _clusters(tmp_path, texts) == [set(range(3_300))]


def test_candidates_find_what_comparing_all_pairs_finds(tmp_path: Path) -> None:
    draw = random.Random(5)
    texts: list[tuple[str, str | None]] = []
    for number in range(12):
        base = " ".join(f"w{draw.randrange(10**6)}" for _ in range(80))
        texts += [(_changed(base, draw.sample(range(80), count)), "en") for count in (0, 1, 1, 8)]
    hashed = [shingles(text) for text, _ in texts]
    pairs = {(a, b) for a in range(len(texts)) for b in range(a) if jaccard(hashed[a], hashed[b]) >= 0.85}
    clusters = _clusters(tmp_path, texts)
    assert all(any(a in cluster and b in cluster for cluster in clusters) for a, b in pairs)
    assert all(
        any((max(a, b), min(a, b)) in pairs or jaccard(hashed[a], hashed[b]) >= 0.8 for b in cluster if a != b)
        for cluster in clusters
        for a in cluster
    )


def test_a_row_names_the_nearest_copy(commons: Built) -> None:
    documents = {row["url"]: row["id"] for row in rows(commons.documents)}
    verdicts: dict[str, Any] = {row["id"]: row["duplicates"] for row in rows(commons.duplicates)}
    old, new = (documents[f"https://near-{age}.planted.example/water"] for age in ("old", "new"))
    assert verdicts[old]["copy_of"] == new and not verdicts[old]["exact"] and 0.9 < verdicts[old]["jaccard"] < 0.95
    exact = verdicts[documents["https://exact-old.planted.example/walls"]]
    assert (exact["size"], exact["exact"], exact["jaccard"]) == (3, True, 1.0)
