"""Scores by hand: bits per byte, windows, intervals, and suites that are wrong."""

from __future__ import annotations

import json
import math
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from allmend.evaluate import KINDS, interval, load_suite
from allmend.evaluate.items import Page, checked, read_pages
from allmend.evaluate.kinds import kind_class
from allmend.evaluate.kinds.bits_per_byte import compressed_bits, page_bits, windows
from allmend.kinds import InputFile, InputFiles, sha256_file
from allmend.kinds.errors import RecipeError, StepFailed

ROOT = Path(__file__).parents[2]


def outside(path: Path) -> InputFile:
    return InputFile(path.name, path.stat().st_size, sha256_file(path), path)


@pytest.mark.parametrize("name", KINDS)
def test_each_kind_names_its_source_and_metric(name: str) -> None:
    assert kind_class(name).source and kind_class(name).metric


def test_the_table_of_kinds_is_the_folder() -> None:
    folder = ROOT / "src" / "allmend" / "evaluate" / "kinds"
    assert {path.stem for path in folder.glob("*.py")} - {"__init__"} == set(KINDS)


@given(st.integers(0, 400), st.integers(4, 130))
def test_every_token_is_scored_once_with_half_a_window_before_it(count: int, context: int) -> None:
    tokens = list(range(100, 100 + count))
    cut = windows(tokens, context)
    assert [token for window, scored in cut for token in window[len(window) - scored :]] == tokens
    assert all(window[0] == 1 and len(window) <= context for window, _ in cut)
    assert all(len(window) - 1 - scored >= (context - 1) // 2 for window, scored in cut[1:])


class Bytes:
    """A tokenizer whose tokens are the UTF-8 bytes."""

    def encode(self, text: str, add_special_tokens: bool = True) -> Any:
        offsets = [(index, index + 1) for index, char in enumerate(text) for _ in char.encode()]
        return SimpleNamespace(ids=[byte + 13 for byte in text.encode()], offsets=offsets)


@pytest.mark.parametrize("context", [8, 32, 512])
def test_a_uniform_guess_over_256_bytes_needs_8_bits_a_byte(monkeypatch: pytest.MonkeyPatch, context: int) -> None:
    import allmend.model

    uniform = [-math.log(256)]
    monkeypatch.setattr(
        allmend.model,
        "log_probabilities",
        lambda loaded, several: [np.array(uniform * (len(each) - 1)) for each in several],
        raising=False,
    )
    loaded = SimpleNamespace(tokenizer=Bytes(), shape=SimpleNamespace(context=context))
    text = "Zürich\nAlle Menschen\n日本"
    rows = page_bits(loaded, Page("x", "de", text, ()))
    assert [row["bytes"] for row in rows] == [len("Zürich\n".encode()), len("Alle Menschen\n"), len("日本".encode())]
    assert all(row["bits"] == pytest.approx(8 * row["bytes"]) for row in rows)


def test_a_compressor_keeps_repeated_text_small_and_has_no_header() -> None:
    for name in ("gzip", "ppmd"):
        assert compressed_bits(name, b"a" * 1000) < 200 < compressed_bits(name, bytes(range(256)))


def test_a_probability_that_is_no_number_is_named() -> None:
    with pytest.raises(StepFailed, match="the page x"):
        checked([np.array([0.0, math.nan])], ["the page x"])


def test_an_interval_of_equal_clusters_has_no_width_and_one_of_unequal_ones_holds_the_mean() -> None:
    rng = np.random.default_rng(1)
    ones = np.ones(40)
    assert interval(ones * 0.5, ones, np.arange(40), rng) == (0.5, 0.5)
    low, high = interval(np.arange(40) % 2, ones, np.arange(40), rng)
    assert 0.3 < low < 0.5 < high < 0.7


def test_items_of_one_cluster_move_together() -> None:
    rng = np.random.default_rng(1)
    right = np.repeat([0.0, 1.0] * 5, 20)
    alone = interval(right, np.ones(200), np.arange(200), rng)
    together = interval(right, np.ones(200), np.repeat(np.arange(10), 20), rng)
    assert together[1] - together[0] > 2 * (alone[1] - alone[0])


def test_the_interval_covers_the_truth_about_as_often_as_it_says() -> None:
    rng = np.random.default_rng(7)
    held = 0
    for _ in range(200):
        clusters = np.repeat(np.arange(60), 3)
        values = rng.normal(0, 1, 60)[clusters] + rng.normal(0, 1, 180)
        low, high = interval(values, np.ones(180), clusters, rng)
        held += low <= 0 <= high
    print(f"coverage of a nominal 95 % interval, 60 clusters: {held / 200:.3f}")
    assert 0.88 <= held / 200 <= 0.99


CASES = {
    "an unknown kind": ("tasks: {a: {kind: bits_per_bite, data: h.jsonl, languages: [de]}}", "Did you mean `bits_per_byte`"),
    "a misspelt field": ("tasks: {a: {kind: bits_per_byte, data: h.jsonl, languages: [de], compresors: []}}", "Did you mean `compressors`"),
    "another file": ("tasks: {a: {kind: bits_per_byte, data: held.jsonl, languages: [de]}}", "held.jsonl isn't among `data:`"),
    "one label": ("tasks: {a: {kind: language_identification, data: h.jsonl, languages: [de]}}", "languages"),
    "no tasks": ("suite: x\n", "has at least one task"),
    "an unknown key": ("task: 1\ntasks: {a: {kind: bits_per_byte, data: h.jsonl, languages: [de]}}", "unknown key `task`"),
}  # fmt: skip


@pytest.mark.parametrize("case", CASES)
def test_a_wrong_suite_is_refused_with_its_line(tmp_path: Path, case: str) -> None:
    text, said = CASES[case]
    (tmp_path / "suite.yaml").write_text(text)
    (tmp_path / "h.jsonl").write_text("")
    with pytest.raises(RecipeError, match=said) as error:
        load_suite(outside(tmp_path / "suite.yaml"), InputFiles((outside(tmp_path / "h.jsonl"),)))
    assert "suite.yaml" in str(error.value)


def test_the_suite_of_the_demo_is_sound_and_its_languages_have_text() -> None:
    data = ROOT / "examples" / "commons" / "heldout.jsonl"
    suite, paths = load_suite(outside(ROOT / "suites" / "commons.yaml"), InputFiles((outside(data),)))
    for task in suite.tasks.values():
        assert set(read_pages(paths[task.data], task.languages)) == set(task.languages)  # type: ignore[attr-defined]
    assert len(suite.tasks["language_identification"].languages) == 40  # type: ignore[attr-defined]


def test_a_page_without_articles_is_named_by_line(tmp_path: Path) -> None:
    (tmp_path / "h.jsonl").write_text(json.dumps({"code": "x", "base_language": "de"}) + "\n")
    with pytest.raises(StepFailed, match=r"h\.jsonl, line 1"):
        read_pages(tmp_path / "h.jsonl", ["de"])
