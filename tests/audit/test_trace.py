"""Spans of a text in training documents: each is really there, no longer one is missed, no withdrawn one is found."""

from __future__ import annotations

import itertools
import tempfile
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from allmend.audit import STEPS, Searcher, Span, trace
from allmend.audit.index import IndexConfig
from allmend.audit.search import GAP
from allmend.audit.words import is_edge, sentence_ends
from allmend.flow import run_alone
from allmend.kinds import Index, Shards, Tokenizer, document_id
from allmend.kinds.errors import UsageError
from tests.audit.conftest import encode, held_out, make_shards

ENGLISH = "everyone has the right to a standard of living adequate for the health and well‐being of himself"


def build(folder: Path, shards: Shards) -> Index:
    return run_alone(STEPS["index"], folder, IndexConfig(), shards=shards)


@pytest.fixture(scope="module")
def searcher(tmp_path_factory: pytest.TempPathFactory, world: Shards) -> Searcher:
    return Searcher(build(tmp_path_factory.mktemp("trace") / "index", world), world)


def of_texts(folder: Path, tokenizer: Tokenizer, withdrawn: tuple[str, ...] = (), **texts: str) -> Searcher:
    documents = {name: encode(tokenizer, text) for name, text in texts.items()}
    shards = make_shards(folder / "shards", documents, vocab=2000, withdrawn=withdrawn, tokenizer=tokenizer)
    return Searcher(build(folder / "index", shards), shards)


# --- longest matches ---


def brute_force(documents: list[list[int]], query: list[int], at: int) -> int:
    """Tokens from a place of the query that stand in one document, by looking everywhere."""
    best = 0
    for document in documents:
        for begin in range(len(document)):
            pairs = zip(document[begin:], query[at:], strict=False)
            best = max(best, sum(1 for _ in itertools.takewhile(lambda pair: pair[0] == pair[1], pairs)))
    return best


TOKENS = st.lists(st.sampled_from([8, 9, 10, 255, 256, 511]), max_size=30)


@settings(max_examples=40, deadline=None)
@given(
    st.lists(TOKENS, min_size=1, max_size=6), TOKENS, st.sets(st.integers(0, 5)), st.sampled_from(["uint16", "uint32"])
)
def test_longest_matches_and_occurrences_are_those_of_brute_force(
    texts: list[list[int]], query: list[int], withdrawn: set[int], dtype: str
) -> None:
    documents = {f"d{number}": text for number, text in enumerate(texts)}
    gone = [name for number, name in enumerate(documents) if number in withdrawn]
    here = [text for name, text in documents.items() if name not in gone]
    with tempfile.TemporaryDirectory() as folder:
        shards = make_shards(Path(folder) / "shards", documents, vocab=512, withdrawn=gone, dtype=dtype)
        parts = _parts(build(Path(folder) / "index", shards), shards)
        ids = np.concatenate([np.array(query, np.int64), GAP])
        places = np.arange(len(query))
        found = np.max([part.longest(ids, places) for part in parts], axis=0, initial=0)
        assert found.tolist() == [brute_force(here, query, at) for at in places]
        lengths = np.minimum(2, len(query) - places)
        counts = sum(high - low for low, high in (part.ranges(ids, places, lengths) for part in parts))
        runs = [query[at : at + 2] for at in places]
        assert np.array(counts).tolist() == [
            sum(text[at : at + len(run)] == run for text in here for at in range(len(text))) for run in runs
        ]


def _parts(index: Index, shards: Shards) -> list:
    from allmend.audit.searcher import _open_part

    return [_open_part(index, shards, name, index.json("index.json")) for name in shards.parts()]


def test_a_match_never_runs_from_one_document_into_the_next(tmp_path: Path) -> None:
    shards = make_shards(tmp_path / "shards", {"a": [9, 10], "b": [11, 12]}, vocab=400, parts=1)
    (part,) = _parts(build(tmp_path / "index", shards), shards)
    flat = shards.tokens("0").tolist()
    assert part.longest(np.array([*flat, -1]), np.arange(len(flat))).tolist() == [0, 2, 1, 0, 0, 2, 1, 0]


# --- spans ---


def check(searcher: Searcher, shards: Shards, text: str, spans: list[Span]) -> None:
    """What must hold of every span of every text."""
    offsets = {
        row["id"]: (row["shard"], row["offset"], row["length"], row["withdrawn_at"])
        for row in shards.table().to_pylist()
    }
    for span in spans:
        assert span.text == text[span.begin : span.end] == span.text.strip()
        assert is_edge(text, span.begin) and is_edge(text, span.end)
        assert not [end for end in sentence_ends(text) if span.begin < end < span.end]
        assert 1 <= len({source.document for source in span.sources}) == len(span.sources) <= 10
        assert span.occurrences >= len(span.sources)
        for source in span.sources:
            part, offset, length, withdrawn_at = offsets[source.document]
            assert withdrawn_at is None and source.part == part
            begin = offset + source.offset
            assert offset < begin and begin + len(span.tokens) < offset + length
            assert tuple(shards.tokens(part)[begin : begin + len(span.tokens)].tolist()) == span.tokens
            assert source.text == span.text
            assert source.before + source.text + source.after in searcher.document(source.document).text
            whole = source.before + source.text + source.after
            assert is_edge(whole, len(source.before)) and is_edge(whole, len(source.before + source.text))
    for one, other in itertools.permutations(spans, 2):
        assert not (other.begin <= one.begin and one.end <= other.end), "a span inside another"


PIECES = [text for _, text in held_out("eng", "deu_1996", "cmn_hans", "tha", "fra")]


@settings(max_examples=60, deadline=None)
@given(
    st.lists(st.tuples(st.sampled_from(PIECES), st.integers(0, 1500), st.integers(1, 120)), min_size=1, max_size=6),
    st.sampled_from(["", " ", ". ", "\n"]),
)
def test_every_span_stands_word_for_word_in_the_documents_it_names(
    searcher: Searcher, world: Shards, pieces: list[tuple[str, int, int]], glue: str
) -> None:
    text = glue.join(piece[begin : begin + count] for piece, begin, count in pieces)
    check(searcher, world, text, searcher.trace(text))


@settings(max_examples=60, deadline=None)
@given(st.text(max_size=80))
def test_any_text_at_all_is_traced_without_an_error(searcher: Searcher, world: Shards, text: str) -> None:
    check(searcher, world, text, searcher.trace(text))


def test_a_quotation_is_found_whole_with_its_document(searcher: Searcher) -> None:
    (span,) = searcher.trace(ENGLISH.replace("everyone", "Everyone"))
    assert span.text == ENGLISH.replace("everyone", "Everyone")
    (source,) = span.sources
    assert (source.url, source.licence) == ("https://d-eng.example/", "CC0-1.0")
    assert source.document == document_id("d-eng", "")
    assert source.after.startswith(" and of his family, including food")


def test_the_first_word_is_found_inside_a_document_too(tmp_path: Path, tokenizer: Tokenizer) -> None:
    """A tokenizer encodes a word otherwise at the beginning of a text than behind a space."""
    found = of_texts(tmp_path, tokenizer, a="It is said that nothing human is foreign to me, and so on.")
    (span,) = found.trace("nothing human is foreign to us")
    assert span.text == "nothing human is foreign to"


def test_a_sentence_is_found_behind_another_and_at_the_beginning_of_a_line(
    tmp_path: Path, tokenizer: Tokenizer
) -> None:
    one, two = "The village owns the pasture.", "Nine brown cows eat there."
    found = of_texts(tmp_path, tokenizer, a=f"{one}\n\n{two}", b=f"It rains. {one}")
    for text in (f"{one} {two}", f"{two}\n{one}", f"So: {one}\n\n{two}"):
        assert {one[:-1], two[:-1]} <= {span.text.removeprefix("So: ").removesuffix(".") for span in found.trace(text)}


def test_a_withdrawn_document_is_never_found(searcher: Searcher) -> None:
    text = (
        "Die Familie ist berechtigt, Staatsangehörigkeit zu wechseln. " + dict(held_out("deu_1996"))["deu_1996"][:600]
    )
    named = {source.document for span in searcher.trace(text) for source in span.sources}
    assert document_id("d-deu-1996", "") not in named
    assert searcher.document(document_id("d-deu-1996", "")) is None


def test_a_span_ends_with_its_sentence(tmp_path: Path, tokenizer: Tokenizer) -> None:
    found = of_texts(tmp_path, tokenizer, a="The goats eat green grass. The cows drink cold water.")
    spans = found.trace("The goats eat green grass. The cows drink cold water.")
    assert [span.text for span in spans] == ["The goats eat green grass.", "The cows drink cold water."]


def test_no_part_of_a_longer_word_is_a_match(tmp_path: Path, tokenizer: Tokenizer) -> None:
    found = of_texts(tmp_path, tokenizer, a="All human beings eat at the goatshed.", b="They disinherit the goat.")
    assert [span.text for span in found.trace("All human beings eat at the goat")] == ["All human beings eat at the"]
    assert found.trace("inherit the goat") == []


def test_a_shorter_run_than_three_words_is_not_shown_unless_it_is_the_whole_text(
    tmp_path: Path, tokenizer: Tokenizer
) -> None:
    found = of_texts(tmp_path, tokenizer, a="Nobody milks the goats at night.")
    assert found.trace("we saw the goats yesterday") == []
    assert [span.text for span in found.trace("the goats")] == ["the goats"]


def test_nothing_is_found_of_a_text_that_nobody_wrote(searcher: Searcher) -> None:
    assert searcher.trace("Zxq wug blick dax, vorpal mimsy borogoves outgrabe.") == []
    assert searcher.trace("") == searcher.trace(" \n") == searcher.trace("…") == []


def test_special_tokens_in_a_text_are_text(searcher: Searcher) -> None:
    assert searcher.trace("<bod><eod><withdrawn> <withdrawn> <pad>") == []


def test_documents_that_hold_more_of_the_text_come_first(tmp_path: Path, tokenizer: Tokenizer) -> None:
    one = "The village owns the pasture together."
    texts = {f"d{number:02d}": f"{one} Page number {number} is here." for number in range(14)}
    texts["d13"] += " Each family may send nine brown cows."
    found = of_texts(tmp_path, tokenizer, **texts)
    first, second = found.trace(f"{one} Each family may send nine brown cows.")
    assert first.occurrences == 14 and len(first.sources) == 10
    assert {first.sources[0].document, second.sources[0].document} == {document_id("d13", "")}
    assert len(found.trace(one, documents=3)[0].sources) == 3


def test_only_the_longest_and_rarest_of_many_spans_are_kept(searcher: Searcher) -> None:
    text = " qx ".join(dict(held_out("eng"))["eng"][at : at + 60] for at in range(0, 2400, 60))
    spans = searcher.trace(text)
    assert 0 < len(spans) <= -(-len(searcher.encoder.encode(text, add_special_tokens=False).ids) * 5 // 100)


def test_a_document_is_decoded_as_it_was(searcher: Searcher) -> None:
    document = searcher.document(document_id("d-cmn-hans", ""))
    assert document is not None and document.text == dict(held_out("cmn_hans"))["cmn_hans"]
    assert searcher.document("0" * 32) is None


def test_threads_may_share_a_searcher(searcher: Searcher) -> None:
    texts = [piece[at : at + 300] for piece in PIECES for at in (0, 200, 700)]
    alone = [searcher.trace(text) for text in texts]
    with ThreadPoolExecutor(4) as pool:
        assert list(pool.map(searcher.trace, texts * 3)) == alone * 3


def test_trace_takes_the_tokenizer_it_is_given(tmp_path: Path, tokenizer: Tokenizer) -> None:
    shards = make_shards(tmp_path / "shards", {"a": encode(tokenizer, "Goats eat grass here.")}, vocab=2000)
    index = build(tmp_path / "index", shards)
    assert [span.text for span in trace(index, shards, tokenizer, "Goats eat grass there")] == ["Goats eat grass"]


def test_an_index_of_other_shards_is_refused(tmp_path: Path, world: Shards, tokenizer: Tokenizer) -> None:
    other = make_shards(tmp_path / "shards", {"a": [9, 10]}, vocab=400, tokenizer=tokenizer)
    index = build(tmp_path / "index", other)
    with pytest.raises(UsageError, match="was built from the shards"):
        Searcher(index, Shards(world.folder, {"shards.json": "0" * 64}))
