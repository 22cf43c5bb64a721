"""Shards: what stands where, holes in their place, and text that can't forge a token."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pytest

from allmend.data.tokenize import tokenizer_digest
from allmend.kinds import BOD, EOD, MARKERS, SPECIAL_TOKENS, WITHDRAWN, Corpus, Shards, write_table
from allmend.kinds.corpus import CORPUS, HOLES
from tests.data.conftest import Built, decided, rows, run_step, small_tokenizer


def _corpus(folder: Path, texts: dict[str, tuple[str, str]], holes: list[dict[str, Any]] = []) -> Corpus:  # noqa: B006
    """One part with documents of id → (domain, text)."""
    kept = [
        dict.fromkeys(CORPUS.names) | {"id": one, "domain": domain, "text": text}
        for one, (domain, text) in sorted(texts.items())
    ]
    write_table(folder / "corpus" / "0.parquet", pa.Table.from_pylist(kept, CORPUS))
    write_table(
        folder / "holes" / "0.parquet",
        pa.Table.from_pylist([dict.fromkeys(HOLES.names) | hole for hole in holes], HOLES),
    )
    return Corpus(folder)


def _shards(folder: Path, corpus: Corpus, tokenizer: Any) -> Shards:
    return run_step("tokenize", folder, inputs={"corpus": corpus, "tokenizer": tokenizer})


def test_documents_lie_by_domain_and_id_between_bod_and_eod(commons: Built) -> None:
    loaded = commons.tokenizer.load()
    texts = {row["id"]: row for row in rows(commons.corpus)}
    for part in commons.shards.parts():
        tokens, table = commons.shards.tokens(part), commons.shards.load(part).to_pylist()
        assert [(row["domain"], row["id"]) for row in table] == sorted((row["domain"], row["id"]) for row in table)
        assert [row["offset"] for row in table] == [0, *np.cumsum([row["length"] for row in table])[:-1]]
        assert sum(row["length"] for row in table) == len(tokens)
        for row in table[:5]:
            mine = tokens[row["offset"] : row["offset"] + row["length"]]
            assert (mine[0], mine[-1], row["shard"]) == (BOD, EOD, part)
            assert loaded.decode(mine[1:-1].tolist(), skip_special_tokens=False) == texts[row["id"]]["text"]
            assert {name: row[name] for name in ("url", "host", "language", "licence")} == {
                name: texts[row["id"]][name] for name in ("url", "host", "language", "licence")
            }
    assert commons.shards.rows() == commons.corpus.rows()


def test_shards_say_what_they_hold(commons: Built) -> None:
    said = commons.shards.json("shards.json")
    assert (
        said["special"] == {"pad": 0, "bod": 1, "eod": 2, "withdrawn": 3}
        and said["dtype"] == "uint16"
        and said["format"] == 1
    )
    assert said["tokenizer"] == tokenizer_digest(commons.tokenizer)
    for name in ("tokenizer.json", "tokenizer_config.json", "special_tokens_map.json"):
        assert commons.shards.path(f"tokenizer/{name}").read_bytes() == commons.tokenizer.path(name).read_bytes()


def test_no_page_can_forge_a_special_token_and_each_marker_is_one(tmp_path: Path) -> None:
    tokenizer = small_tokenizer(tmp_path / "tokenizer")
    corpus = _corpus(tmp_path / "corpus", {"00": ("en", "".join(SPECIAL_TOKENS)), "01": ("en", " ".join(MARKERS))})
    shards = _shards(tmp_path / "shards", corpus, tokenizer)
    tokens, (first, second) = shards.tokens("0"), rows(shards)
    forged = tokens[first["offset"] + 1 : first["offset"] + first["length"] - 1]
    assert forged.min() >= 8 and len(forged) == sum(map(len, SPECIAL_TOKENS))
    marked = tokens[second["offset"] : second["offset"] + second["length"]]
    assert [token for token in marked if 8 <= token <= 12] == [8, 9, 10, 11, 12] and second["length"] == 2 + 5 + 4


def test_a_withdrawn_page_leaves_a_hole_of_its_length_and_the_rest_in_place(commons: Built, tmp_path: Path) -> None:
    """Real pages, by way of the decision: only the part of the page changes, and in it only the page's tokens."""
    row = next(row for row in rows(commons.shards) if row["domain"] == "fi")
    known = {name: row[name] for name in ("id", "url", "host", "language", "licence", "domain")}
    record = {"at": "2026-11-20T10:00:00Z", "reason": "r", "selector": {"url": row["url"]}}
    record["documents"] = [{**known, "tokens": {tokenizer_digest(commons.tokenizer): row["length"]}}]
    corpus = decided(commons, tmp_path / "corpus", records=[record])
    shards = _shards(tmp_path / "shards", corpus, commons.tokenizer)
    for part in shards.parts():
        before, after = np.array(commons.shards.tokens(part)), shards.tokens(part)
        if part == row["shard"]:
            before[row["offset"] : row["offset"] + row["length"]] = WITHDRAWN
            assert shards.load(part).to_pylist() == [
                {**each, "withdrawn_at": "2026-11-20T10:00:00Z"} if each["id"] == row["id"] else each for each in commons.shards.load(part).to_pylist()
            ]  # fmt: skip
        assert np.array_equal(before, after)


def test_holes_of_another_tokenizer_are_left_out_and_told(tmp_path: Path) -> None:
    tokenizer = small_tokenizer(tmp_path / "tokenizer")
    digest = tokenizer_digest(tokenizer)
    holes = [
        {"id": "05", "domain": "de", "tokenizer": digest, "tokens": 7, "withdrawn_at": "t"},
        {"id": "05", "domain": "de", "tokenizer": "other", "tokens": 9},
    ]
    holes += [{"id": "06", "domain": "de", "tokenizer": "other", "tokens": 9}, {"id": "07"}]
    corpus = _corpus(tmp_path / "corpus", {"00": ("en", "abc"), "09": ("de", "xy")}, holes)
    shards = _shards(tmp_path / "shards", corpus, tokenizer)
    assert [(row["id"], row["offset"], row["length"], row["withdrawn_at"]) for row in rows(shards)] == [
        ("05", 0, 7, "t"),
        ("09", 7, 4, None),
        ("00", 11, 5, None),
    ]
    assert shards.tokens("0")[:7].tolist() == [WITHDRAWN] * 7
    assert "2 withdrawn documents leave no hole" in (tmp_path / "shards" / "_run" / "log.txt").read_text()


@pytest.mark.parametrize(("vocab", "dtype"), [(65_536, "uint16"), (65_537, "uint32")])
def test_the_type_follows_the_vocabulary(tmp_path: Path, vocab: int, dtype: str) -> None:
    tokenizer = small_tokenizer(tmp_path / "tokenizer", vocab)
    shards = _shards(tmp_path / "shards", _corpus(tmp_path / "corpus", {"00": ("en", "abc")}), tokenizer)
    assert shards.json("shards.json")["dtype"] == dtype
    assert len(shards.tokens("0")) == 5


def test_an_empty_corpus_has_empty_shards(tmp_path: Path) -> None:
    shards = _shards(tmp_path / "shards", _corpus(tmp_path / "corpus", {}), small_tokenizer(tmp_path / "tokenizer"))
    assert len(shards.tokens("0")) == 0 and rows(shards) == []
