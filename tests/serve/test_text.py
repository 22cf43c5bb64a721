"""Text as it streams: whole characters, nothing behind a stop, and all of it."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from allmend.model import Drawn
from allmend.serve import Served
from allmend.serve.answers import BYTES, Tokens
from allmend.serve.text import Piece, TextStream
from tests.serve.world import VOCAB


def stream(served: Served, ids: list[int], stops: list[str]) -> tuple[list[Piece], bool]:
    text = TextStream(served.loaded.tokenizer, stops)
    pieces = []
    for token in ids:
        if piece := text.push(Drawn(token, 0.0, ())):
            pieces.append(piece)
        if text.stopped:
            break
    return [*pieces, text.end()], text.stopped


def encode(served: Served, text: str) -> list[int]:
    ids: list[int] = served.loaded.tokenizer.encode(text).ids
    return ids


def joined(pieces: list[Piece]) -> str:
    return "".join(piece.text for piece in pieces)


@pytest.mark.parametrize("text", ["All human beings", "naïve 村 🐄 égaux", "", "a\n\n b"])
def test_the_pieces_make_the_text(served: Served, text: str) -> None:
    ids = encode(served, text)
    pieces, stopped = stream(served, ids, [])
    assert joined(pieces) == text and not stopped
    assert [each.token for piece in pieces for each in piece.drawn] == ids
    assert not any("\ufffd" in piece.text for piece in pieces)


def test_a_half_character_at_the_end_is_shown_as_such(served: Served) -> None:
    ids = encode(served, "a🐄")[:-1]
    assert joined(stream(served, ids, [])[0]) == "a\ufffd"


@settings(max_examples=80, deadline=None)
@given(ids=st.lists(st.integers(8, VOCAB - 60), max_size=25))
def test_any_tokens_give_what_decoding_them_at_once_gives(served: Served, ids: list[int]) -> None:
    whole = served.loaded.tokenizer.decode(ids, skip_special_tokens=True)
    assert joined(stream(served, ids, [])[0]) == whole


@settings(max_examples=80, deadline=None)
@given(text=st.text("ab", max_size=20), stops=st.lists(st.text("ab", min_size=1, max_size=4), max_size=3))
def test_text_ends_before_the_first_stop(served: Served, text: str, stops: list[str]) -> None:
    pieces, stopped = stream(served, [each for letter in text for each in encode(served, letter)], stops)
    places = [text.find(stop) for stop in stops if stop in text]
    assert stopped == bool(places)
    if not places:
        assert joined(pieces) == text
    else:  # the stop that is complete first, and of these the one that begins first
        end = min(text.find(stop) + len(stop) for stop in stops if stop in text)
        first = min(text[:end].find(stop) for stop in stops if stop in text[:end])
        assert joined(pieces) == text[:first]


def test_text_is_held_back_only_while_it_may_be_a_stop(served: Served) -> None:
    text = TextStream(served.loaded.tokenizer, ["bbb"])
    letter = {each: Drawn(encode(served, each)[0], 0.0, ()) for each in "ab"}
    found = [piece.text if (piece := text.push(letter[each])) else None for each in "abbabbb"]
    assert found == ["a", None, None, "bba", None, None, None]
    assert text.stopped and text.end().text == ""


def test_bytes_of_tokens_are_those_that_they_encode(served: Served) -> None:
    tokens = Tokens(served.loaded.tokenizer)
    for text in ("naïve 村 🐄", "All human <email-pii> beings"):
        assert b"".join(map(tokens.bytes_of, encode(served, text))) == text.encode()
    assert tokens.bytes_of(2) == b"<eod>"
    assert sorted(BYTES.values()) == list(range(256))
