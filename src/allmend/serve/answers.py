"""Answers in the shapes of OpenAI's API, whole and in pieces; and the bytes of tokens, which log probabilities name."""

from __future__ import annotations

import secrets
import time
from collections.abc import Iterable, Sequence
from typing import Any

from allmend.model import Drawn
from allmend.serve.text import Piece


class Tokens:
    """Text and bytes of single tokens."""

    def __init__(self, tokenizer: Any) -> None:
        self._tokenizer = tokenizer
        self._special = {
            token: each.content for token, each in tokenizer.get_added_tokens_decoder().items()
        }  # their names aren't spelt in the alphabet of bytes

    def bytes_of(self, token: int) -> bytes:
        """Exact for byte-level tokenizers; for others the bytes of its text."""
        if token in self._special:
            return self._special[token].encode()
        name = self._tokenizer.id_to_token(token) or ""
        if all(letter in BYTES for letter in name):
            return bytes(BYTES[letter] for letter in name)
        text: str = self._tokenizer.decode([token], skip_special_tokens=False)
        return text.encode()

    def text_of(self, token: int) -> str:
        return self.bytes_of(token).decode(errors="replace")


def _byte_letters() -> dict[str, int]:
    """Letter → byte, in the alphabet by which byte-level BPE writes bytes (Radford et al. 2019, GPT-2's encoder.py).

    Printable Latin-1 stands for itself; the other 68 bytes, in order, for the letters from U+0100 on.
    """
    own = [*range(0x21, 0x7F), *range(0xA1, 0xAD), *range(0xAE, 0x100)]
    others = [byte for byte in range(256) if byte not in own]
    return {chr(byte): byte for byte in own} | {chr(0x100 + place): byte for place, byte in enumerate(others)}


BYTES = _byte_letters()


class Answer:
    """What is the same for both doors. An answer has one choice."""

    object = ""
    chunk_object = ""
    prefix = ""

    def __init__(self, model: str, fingerprint: str, tokens: Tokens, logprobs: bool) -> None:
        self.tokens, self.logprobs = tokens, logprobs
        self._head = {
            "id": f"{self.prefix}-{secrets.token_hex(16)}",
            "created": int(time.time()),
            "model": model,
            "system_fingerprint": fingerprint,
        }

    def whole(self, pieces: Sequence[Piece], reason: str, usage: dict[str, int]) -> dict[str, Any]:
        """The answer in one."""
        joined = Piece("".join(piece.text for piece in pieces), tuple(each for piece in pieces for each in piece.drawn))
        return {**self._head, "object": self.object, "choices": [self._choice(joined, reason)], "usage": usage}

    def chunk(self, choice: dict[str, Any] | None, usage: dict[str, int] | None, shows_usage: bool) -> dict[str, Any]:
        """One event of a stream; without a choice, the last one, which holds the usage."""
        chunk = {**self._head, "object": self.chunk_object, "choices": [choice] if choice else []}
        return {**chunk, "usage": usage} if shows_usage else chunk

    def opening(self) -> dict[str, Any] | None:
        """The choice of the first event, before any text."""
        return None

    def piece(self, piece: Piece) -> dict[str, Any]:
        raise NotImplementedError

    def closing(self, reason: str) -> dict[str, Any]:
        raise NotImplementedError

    def _choice(self, piece: Piece, reason: str) -> dict[str, Any]:
        raise NotImplementedError


class TextAnswer(Answer):
    """`/v1/completions`."""

    object = chunk_object = "text_completion"
    prefix = "cmpl"

    def __init__(self, *arguments: Any) -> None:
        super().__init__(*arguments)
        self._offset = 0

    def piece(self, piece: Piece) -> dict[str, Any]:
        return {"index": 0, "text": piece.text, "logprobs": self._logprobs(piece.drawn), "finish_reason": None}

    def closing(self, reason: str) -> dict[str, Any]:
        return {"index": 0, "text": "", "logprobs": None, "finish_reason": reason}

    def _choice(self, piece: Piece, reason: str) -> dict[str, Any]:
        return {**self.piece(piece), "finish_reason": reason}

    def _logprobs(self, drawn: Iterable[Drawn]) -> dict[str, Any] | None:
        if not self.logprobs:
            return None
        found: dict[str, list[Any]] = {"tokens": [], "token_logprobs": [], "top_logprobs": [], "text_offset": []}
        for each in drawn:
            text = self.tokens.text_of(each.token)
            top = {self.tokens.text_of(token): logprob for token, logprob in each.top}
            found["tokens"].append(text)
            found["token_logprobs"].append(each.logprob)
            found["top_logprobs"].append({**top, text: each.logprob})
            found["text_offset"].append(self._offset)
            self._offset += len(text)
        return found


class ChatAnswer(Answer):
    """`/v1/chat/completions`."""

    object = "chat.completion"
    chunk_object = "chat.completion.chunk"
    prefix = "chatcmpl"

    def opening(self) -> dict[str, Any]:
        return self._delta({"role": "assistant", "content": "", "refusal": None}, None, None)

    def piece(self, piece: Piece) -> dict[str, Any]:
        return self._delta({"content": piece.text}, self._logprobs(piece.drawn), None)

    def closing(self, reason: str) -> dict[str, Any]:
        return self._delta({}, None, reason)

    def _choice(self, piece: Piece, reason: str) -> dict[str, Any]:
        message = {"role": "assistant", "content": piece.text, "refusal": None, "annotations": []}
        return {"index": 0, "message": message, "logprobs": self._logprobs(piece.drawn), "finish_reason": reason}

    def _delta(self, delta: dict[str, Any], logprobs: dict[str, Any] | None, reason: str | None) -> dict[str, Any]:
        return {"index": 0, "delta": delta, "logprobs": logprobs, "finish_reason": reason}

    def _logprobs(self, drawn: Iterable[Drawn]) -> dict[str, Any] | None:
        if not self.logprobs:
            return None
        content = [
            {**self._token(each.token, each.logprob), "top_logprobs": [self._token(*top) for top in each.top]}
            for each in drawn
        ]
        return {"content": content, "refusal": None}

    def _token(self, token: int, logprob: float) -> dict[str, Any]:
        raw = self.tokens.bytes_of(token)
        return {"token": raw.decode(errors="replace"), "logprob": logprob, "bytes": list(raw)}
