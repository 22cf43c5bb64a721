"""Tokens to text as they come: whole characters only, and nothing behind a stop."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple

from tokenizers.decoders import DecodeStream

from allmend.model import Drawn


class Piece(NamedTuple):
    """Text that can be sent, and the tokens that it came with."""

    text: str
    drawn: tuple[Drawn, ...]


class TextStream:
    """Decodes one answer.

    Text is held back while it may be the beginning of a stop, or ends inside a character. `stopped` says that a stop
    was met.
    """

    def __init__(self, tokenizer: Any, stops: Sequence[str]) -> None:
        self.stopped = False
        self._tokenizer, self._stops = tokenizer, stops
        self._decoder = DecodeStream(skip_special_tokens=True)
        self._held = ""
        self._decoded = ""
        self._ids: list[int] = []
        self._drawn: list[Drawn] = []

    def push(self, drawn: Drawn) -> Piece | None:
        """Take a token in; gives what is sure now, if anything."""
        self._ids.append(drawn.token)
        self._drawn.append(drawn)
        self._take(self._decoder.step(self._tokenizer, drawn.token) or "")
        keep = 0 if self.stopped else _held_back(self._held, self._stops)
        return self._release(len(self._held) - keep) if len(self._held) > keep else None

    def end(self) -> Piece:
        """All that is left, perhaps nothing; half a character at the very end becomes U+FFFD."""
        whole: str = self._tokenizer.decode(self._ids, skip_special_tokens=True)
        if not self.stopped and whole.startswith(self._decoded):
            self._take(whole[len(self._decoded) :])
        return self._release(len(self._held))

    def _take(self, text: str) -> None:
        self._decoded += text
        self._held += text
        places = [place for stop in self._stops if (place := self._held.find(stop)) >= 0]
        if places:
            self._held = self._held[: min(places)]
            self.stopped = True

    def _release(self, length: int) -> Piece:
        piece = Piece(self._held[:length], tuple(self._drawn))
        self._held, self._drawn = self._held[length:], []
        return piece


def _held_back(text: str, stops: Sequence[str]) -> int:
    """Length of the longest end of a text that begins a stop."""
    for length in range(min(len(text), max(map(len, stops), default=1) - 1), 0, -1):
        if any(stop.startswith(text[-length:]) for stop in stops):
            return length
    return 0
