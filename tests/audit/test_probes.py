"""Planted passages: exact lengths, the tokenizer's own tokens, nothing shared between two."""

from __future__ import annotations

from itertools import combinations
from pathlib import Path
from typing import Any

import pytest

from allmend.audit import STEPS
from allmend.audit.probes import ProbesConfig
from allmend.flow import run_alone
from allmend.kinds import BOD, EOD, Probes, Tokenizer, load_config, read_table
from allmend.kinds.errors import RecipeError, StepFailed
from tests.audit.conftest import encode, train_tokenizer

STEP = STEPS["probes"]


def rows(probes: Probes) -> list[dict[str, Any]]:
    return read_table(probes.path("probes.parquet")).to_pylist()


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory, tokenizer: Tokenizer) -> Probes:
    return run_alone(STEP, tmp_path_factory.mktemp("probes") / "made", ProbesConfig(seed=7), tokenizer=tokenizer)


def test_tokens_are_the_tokenizers_own_for_the_text_and_exactly_so_many(made: Probes, tokenizer: Tokenizer) -> None:
    for row in rows(made):
        assert row["tokens"] == [BOD, *encode(tokenizer, row["text"]), EOD]
        assert len(row["tokens"]) == 64


def test_each_repeat_count_has_as_many_probes(made: Probes) -> None:
    repeats = [row["repeats"] for row in rows(made)]
    assert {each: repeats.count(each) for each in repeats} == dict.fromkeys([0, 1, 4, 16, 64], 5)


def test_no_two_probes_share_ten_tokens_in_a_row(made: Probes) -> None:
    runs = [{tuple(row["tokens"][at : at + 10]) for at in range(55)} for row in rows(made)]
    assert not any(one & other for one, other in combinations(runs, 2))


def test_words_hardly_repeat_within_a_probe(made: Probes) -> None:
    assert all(len(set(row["text"].split())) / len(row["text"].split()) > 0.4 for row in rows(made))


def test_words_are_whole_entries_of_the_vocabulary(made: Probes, tokenizer: Tokenizer) -> None:
    assert made.json("summary.json")["words_from"] == "vocabulary"
    encoder = tokenizer.load()
    words = {word for row in rows(made) for word in row["text"].split()}
    assert all(len(encoder.encode(" " + word, add_special_tokens=False).ids) == 1 for word in words)


def test_the_same_seed_gives_the_same_bytes_and_another_other_words(tmp_path: Path, tokenizer: Tokenizer) -> None:
    one, two, other = (
        run_alone(STEP, tmp_path / name, ProbesConfig(seed=seed), tokenizer=tokenizer)
        for name, seed in (("one", 7), ("two", 7), ("other", 8))
    )
    assert one.path("probes.parquet").read_bytes() == two.path("probes.parquet").read_bytes()
    assert {row["text"] for row in rows(one)}.isdisjoint(row["text"] for row in rows(other))


def test_a_small_vocabulary_gets_words_made_of_syllables(tmp_path: Path) -> None:
    small = train_tokenizer(tmp_path / "tokenizer", ["abc"], 280)
    config = ProbesConfig(seed=7, count=6, length=32, repeats=[0, 1, 4])
    probes = run_alone(STEP, tmp_path / "probes", config, tokenizer=small)
    assert probes.json("summary.json")["words_from"] == "syllables"
    assert all(
        row["tokens"] == [BOD, *encode(small, row["text"]), EOD] and len(row["tokens"]) == 32 for row in rows(probes)
    )


@pytest.mark.parametrize(
    "given", [{"count": 24}, {"repeats": [1, 0]}, {"repeats": [0, 0], "count": 2}, {"repeats": [-1]}, {"length": 8}]
)
def test_a_plan_that_cannot_be_is_refused(given: dict[str, Any]) -> None:
    with pytest.raises(RecipeError):
        load_config(ProbesConfig, {"seed": 1, **given}, lambda place: "recipe")


def test_more_probes_than_the_words_can_tell_apart_are_refused_with_a_sentence(
    tmp_path: Path, tokenizer: Tokenizer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("allmend.audit.probes.ATTEMPTS", 0)
    with pytest.raises(StepFailed, match="probe 0 in 0 tries"):
        run_alone(STEP, tmp_path / "probes", ProbesConfig(seed=7), tokenizer=tokenizer)


def test_probes_come_from_no_document_and_stay_when_one_is_withdrawn(made: Probes) -> None:
    assert STEP.pinned
    assert STEP.touches(made, {"0" * 32}).documents == 0
