"""The tokenizer loses nothing, can't be fooled by a page, and counts what it costs each language."""

from __future__ import annotations

import json
from pathlib import Path
from unicodedata import normalize

import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from allmend.flow import run_alone
from allmend.kinds import MARKERS, SPECIAL_TOKENS, Corpus, Tokenizer, document_id, sha256_file, write_table
from allmend.kinds.corpus import CORPUS
from allmend.kinds.errors import AllmendError, DamagedError
from allmend.tokenizer import STEPS, gini
from allmend.tokenizer.gates import inspect

TEXTS = {
    "en": "Everyone has the right to life, liberty and security of person. " * 9,
    "hi": "प्रत्येक व्यक्ति को जीवन, स्वाधीनता और वैयक्तिक सुरक्षा का अधिकार है। " * 9,
    "de": "Jeder hat das Recht auf Leben, Freiheit und Sicherheit der Person. " * 9,
}


def corpus(folder: Path, texts: dict[str, str], parts: int = 1) -> Corpus:
    """A corpus of one document a language, spread over parts."""
    rows = []
    for language, text in texts.items():
        row = dict.fromkeys(CORPUS.names)
        url = f"https://{language}.example/"
        rows.append(
            row
            | {
                "id": document_id(url, text),
                "text": text,
                "url": url,
                "host": f"{language}.example",
                "language": language,
                "domain": language,
            }
        )
    rows.sort(key=lambda row: row["id"])
    for part in range(parts):
        write_table(folder / "corpus" / f"{part}.parquet", pa.Table.from_pylist(rows[part::parts], CORPUS))
    return Corpus(folder)


def train(folder: Path, made: Corpus, **fields: object) -> Tokenizer:
    return run_alone(STEPS["train"], folder, STEPS["train"].config(vocab_size=400, **fields), corpus=made)


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Tokenizer:
    folder = tmp_path_factory.mktemp("tokenizer")
    return train(folder / "tokenizer", corpus(folder / "corpus", TEXTS))


def test_special_tokens_and_markers_have_their_fixed_ids(made: Tokenizer) -> None:
    tokenizer = made.load()
    assert [tokenizer.token_to_id(text) for text in (*SPECIAL_TOKENS, *MARKERS)] == list(range(13))


@pytest.mark.parametrize("text", SPECIAL_TOKENS)
def test_a_page_that_spells_a_special_token_gets_no_special_id(made: Tokenizer, text: str) -> None:
    ids = made.load().encode(f"before {text}{text} after", add_special_tokens=False).ids
    assert min(ids) >= len(SPECIAL_TOKENS)


@pytest.mark.parametrize("text", MARKERS)
def test_what_redaction_leaves_is_one_token(made: Tokenizer, text: str) -> None:
    ids = made.load().encode(f"write to {text}, please", add_special_tokens=False).ids
    assert ids.count(len(SPECIAL_TOKENS) + MARKERS.index(text)) == 1


@given(st.text())
def test_no_text_loses_anything_but_its_unicode_form(made: Tokenizer, text: str) -> None:
    tokenizer = made.load()
    assert tokenizer.decode(
        tokenizer.encode(text, add_special_tokens=False).ids, skip_special_tokens=False
    ) == normalize("NFC", text)


def test_words_keep_their_vowel_signs(made: Tokenizer) -> None:
    pieces = [piece for piece, _ in made.load().pre_tokenizer.pre_tokenize_str("जीवन, 12")]
    assert len(pieces) == 5  # the word, the comma, the space, two digits


def test_the_order_of_parts_changes_no_byte(made: Tokenizer, tmp_path: Path) -> None:
    again = train(tmp_path / "tokenizer", corpus(tmp_path / "corpus", dict(reversed(TEXTS.items())), parts=2))
    assert [sha256_file(each.path("tokenizer.json")) for each in (made, again)] == [
        sha256_file(made.path("tokenizer.json"))
    ] * 2


def test_fertility_counts_pages_bytes_words_and_tokens(made: Tokenizer) -> None:
    import pyarrow.parquet as pq

    rows = {row["language"]: row for row in pq.read_table(made.path("fertility.parquet")).to_pylist()}
    text = TEXTS["hi"]
    tokens = len(made.load().encode(text, add_special_tokens=False).ids)
    assert set(rows) == set(TEXTS)
    assert (rows["hi"]["pages"], rows["hi"]["bytes"], rows["hi"]["tokens"]) == (1, len(text.encode()), tokens)
    assert rows["hi"]["tokens_per_byte"] == pytest.approx(tokens / len(text.encode()))


def test_the_gini_coefficient_of_costs_by_hand() -> None:
    assert gini([5, 5, 5]) == 0
    assert gini([1, 2, 3, 4]) == pytest.approx(0.25)
    assert gini([1e-9, 1e-9, 1e-9, 1]) == pytest.approx(0.75)


@given(st.lists(st.floats(0.1, 1e6), min_size=1, max_size=30), st.floats(0.1, 100))
def test_the_gini_coefficient_knows_no_unit_and_no_order(costs: list[float], unit: float) -> None:
    assert gini([cost * unit for cost in reversed(costs)]) == pytest.approx(gini(costs), abs=1e-9)
    assert -1e-9 <= gini(costs) < 1


def test_translations_of_one_text_are_compared_by_the_page(tmp_path: Path) -> None:
    made = train(tmp_path / "tokenizer", corpus(tmp_path / "corpus", TEXTS), parallel="*.example")
    import pyarrow.parquet as pq

    rows = pq.read_table(made.path("fertility.parquet")).to_pylist()
    assert all(row["parallel_pages"] == 1 and row["tokens_per_parallel_page"] == row["tokens"] for row in rows)


def test_a_vocabulary_without_room_for_all_bytes_is_refused() -> None:
    with pytest.raises(ValueError, match="vocab_size"):
        STEPS["train"].config(vocab_size=256)


def test_an_empty_corpus_is_refused(tmp_path: Path) -> None:
    with pytest.raises(AllmendError):
        train(tmp_path / "tokenizer", corpus(tmp_path / "corpus", {}))


def closed(tokenizer: object) -> set[str]:
    return {gate.name for gate in inspect(tokenizer, [True] * 400) if not gate.passed}


def test_a_sound_tokenizer_closes_no_gate_and_one_that_can_be_forged_does(made: Tokenizer) -> None:
    tokenizer = made.load()
    before = closed(tokenizer)
    tokenizer.encode_special_tokens = False
    assert closed(tokenizer) - before


def test_the_gates_catch_a_missing_byte(made: Tokenizer, tmp_path: Path) -> None:
    value = made.json("tokenizer.json")
    token = next(token for token, number in value["model"]["vocab"].items() if number == 200)
    del value["model"]["vocab"][token]
    value["model"]["merges"] = [pair for pair in value["model"]["merges"] if token not in "".join(pair)]
    (tmp_path / "tokenizer.json").write_text(json.dumps(value))
    assert closed(Tokenizer(tmp_path).load()) - closed(made.load())


def test_a_folder_without_a_tokenizer_is_named(tmp_path: Path) -> None:
    with pytest.raises(DamagedError, match=r"tokenizer\.json"):
        Tokenizer(tmp_path).load()


@pytest.mark.timeout(120)
def test_transformers_reads_it_and_gives_the_same_ids(made: Tokenizer) -> None:
    transformers = pytest.importorskip("transformers", reason="transformers")
    theirs = transformers.PreTrainedTokenizerFast.from_pretrained(made.folder)
    text = TEXTS["de"]
    assert theirs(text, add_special_tokens=False)["input_ids"] == made.load().encode(text, add_special_tokens=False).ids
    assert (theirs.pad_token_id, theirs.bos_token_id, theirs.eos_token_id) == (0, 1, 2)
