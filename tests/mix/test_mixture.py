"""Mixtures: shares that sum to one, by laws whose examples are computed by hand."""

from __future__ import annotations

from itertools import pairwise
from pathlib import Path

import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from allmend.flow import run_alone
from allmend.kinds import InputFile, Mixture, Shards, sha256_file, write_table
from allmend.kinds.corpus import SHARD_DOCUMENTS
from allmend.kinds.errors import StepFailed, UsageError
from allmend.mix import LAWS, STEPS, NaturalConfig, TemperatureConfig, law

LENGTHS = {"de": [10, 20], "en": [60], "rm": [10]}
counts = st.dictionaries(st.text("abcdefgh", min_size=1, max_size=3), st.integers(1, 10**12), min_size=1, max_size=40)


def shards(folder: Path) -> Shards:
    rows = []
    for domain, lengths in LENGTHS.items():
        for index, length in enumerate(lengths):
            row = dict.fromkeys(SHARD_DOCUMENTS.names)
            rows.append(row | {"id": f"{domain}{index}", "shard": "0", "offset": 0, "length": length, "domain": domain})
    for part in (0, 1):
        write_table(folder / "documents" / f"{part}.parquet", pa.Table.from_pylist(rows[part::2], SHARD_DOCUMENTS))
    return Shards(folder)


def listed(path: Path, text: str) -> InputFile:
    path.write_text(text)
    return InputFile(path.name, path.stat().st_size, sha256_file(path), path)


@pytest.mark.parametrize("name", LAWS)
def test_each_law_names_its_source_and_gives_its_examples(name: str) -> None:
    found = law(name)
    assert found.source and len(found.examples) >= 2
    for tokens, weights in found.examples:
        assert found().weights(tokens) == pytest.approx(weights)


def test_the_table_of_laws_is_the_folder() -> None:
    folder = Path(__file__).parents[2] / "src" / "allmend" / "mix" / "laws"
    assert {path.stem for path in folder.glob("*.py")} - {"__init__"} == set(LAWS)


def test_an_unknown_law_names_the_nearest() -> None:
    with pytest.raises(UsageError, match="Did you mean `natural`"):
        law("naturl")


@given(counts, st.floats(0.5, 50))
def test_shares_sum_to_one_and_keep_the_order_of_the_sizes(tokens: dict[str, int], temperature: float) -> None:
    for one in (law("natural")(), law("temperature")(temperature=temperature)):
        weights = one.weights(tokens)
        assert sum(weights.values()) == pytest.approx(1) and list(weights) == sorted(tokens)
        ordered = sorted(tokens, key=lambda domain: tokens[domain])
        assert all(weights[small] <= weights[large] * (1 + 1e-12) for small, large in pairwise(ordered))


@given(counts)
def test_temperature_one_is_natural_and_a_very_large_one_is_equal(tokens: dict[str, int]) -> None:
    assert law("temperature")(temperature=1.0).weights(tokens) == pytest.approx(law("natural")().weights(tokens))
    flat = law("temperature")(temperature=1e9).weights(tokens)
    assert all(weight == pytest.approx(1 / len(tokens), rel=1e-6) for weight in flat.values())


def test_natural_counts_the_tokens_of_all_parts(tmp_path: Path) -> None:
    made: Mixture = run_alone(STEPS["natural"], tmp_path / "m", NaturalConfig(), shards=shards(tmp_path / "s"))
    assert made.weights() == {"de": 0.3, "en": 0.6, "rm": 0.1}
    assert made.json("mixture.json")["tokens"] == {"de": 30, "en": 60, "rm": 10}


def test_a_list_of_domains_leaves_the_others_out(tmp_path: Path) -> None:
    config = TemperatureConfig(
        domains=listed(tmp_path / "d.txt", "# two of them\nrm\n\nde  # and German\n"), temperature=1.0
    )
    made: Mixture = run_alone(STEPS["temperature"], tmp_path / "m", config, shards=shards(tmp_path / "s"))
    assert made.weights() == pytest.approx({"de": 0.75, "rm": 0.25})


@pytest.mark.parametrize(
    ("text", "said"), [("de\nrn\n", "line 2: the shards have no domain `rn`"), ("de\nde\n", "a second time")]
)
def test_a_wrong_list_is_named_by_line(tmp_path: Path, text: str, said: str) -> None:
    config = NaturalConfig(domains=listed(tmp_path / "d.txt", text))
    with pytest.raises(StepFailed, match=said):
        run_alone(STEPS["natural"], tmp_path / "m", config, shards=shards(tmp_path / "s"))
