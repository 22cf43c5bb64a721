"""What a tokenizer must hold to before anything is trained on it, each gate with the examples that broke it."""

from __future__ import annotations

import unicodedata
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import asdict, dataclass, field
from typing import Any

from allmend.kinds import MARKERS, SPECIAL_TOKENS
from allmend.kinds.errors import CheckFailed

SHOWN = 10
LONGEST_CHARACTERS = 64
REPORTS = ("dead_entries",)
"""Gates that only report: a dead entry wastes a row of the embedding, and harms no text."""
WITHIN_A_WORD = "a"
"""A letter before an entry that begins with a mark or goes on within a word."""


@dataclass
class Gate:
    """Outcome of one gate.

    Attributes:
        checked: how many things were looked at.
        offending: how many of them are not as they must be.
        examples: the first few of these.
    """

    name: str
    must: str
    checked: int = 0
    offending: int = 0
    examples: list[str] = field(default_factory=list)

    def check(self, sound: bool, example: str) -> None:
        self.checked += 1
        if not sound:
            self.offending += 1
            if len(self.examples) < SHOWN:
                self.examples.append(example)

    @property
    def passed(self) -> bool:
        return not self.offending

    def as_json(self) -> dict[str, Any]:
        return {**asdict(self), "passed": self.passed, "closes": self.name not in REPORTS}


def round_trip() -> Gate:
    """The gate that the training step feeds document by document, since it encodes them all anyway."""
    return Gate("round_trip", "decoding gives the text back, in Unicode's normal form C")


def same_text(text: str, decoded: str) -> bool:
    """Equal in NFC. Both sides are normalised here: the tokenizer's tables are of another Unicode version than Python's."""
    return decoded == text or unicodedata.normalize("NFC", decoded) == unicodedata.normalize("NFC", text)


def inspect(tokenizer: Any, used: Sequence[bool]) -> list[Gate]:
    """All other gates. `used` tells of each id whether the training sample has it."""
    return [*_fixed(tokenizer), _bytes(tokenizer), *_entries(tokenizer, used)]


def close(gates: Iterable[Gate]) -> None:
    """Refuse a tokenizer that broke a gate.

    Raises:
        CheckFailed: the first gate broken, and what broke it.
    """
    for gate in gates:
        if not gate.passed and gate.name not in REPORTS:
            raise CheckFailed(
                f"tokenizer.train: the gate `{gate.name}` is closed: it must be that {gate.must}, and {gate.offending} of "
                f"{gate.checked} are not so: {'; '.join(gate.examples)}. Nothing should be trained on this tokenizer."
            )


def _fixed(tokenizer: Any) -> Iterator[Gate]:
    ids = Gate("fixed_ids", "special tokens and markers have the ids that every tokenizer here gives them")
    for number, name in enumerate((*SPECIAL_TOKENS, *MARKERS)):
        ids.check(tokenizer.token_to_id(name) == number, f"{name} has id {tokenizer.token_to_id(name)}, not {number}")
    yield ids
    forged = Gate("no_forgery", "text that spells a special token gets none of the special ids")
    for name in SPECIAL_TOKENS:
        got = _ids(tokenizer, f"a{name}b {name}")
        forged.check(min(got) >= len(SPECIAL_TOKENS), f"{name} in text gives {got}")
    yield forged
    whole = Gate("markers", "each marker in text is one token")
    for number, name in enumerate(MARKERS, len(SPECIAL_TOKENS)):
        got = _ids(tokenizer, f"a{name}b {name}")
        whole.check(got.count(number) == 2, f"{name} in text gives {got}")
    yield whole


def _bytes(tokenizer: Any) -> Gate:
    """Every byte has an entry of its own, so that no text is unknown, whatever the script."""
    gate = Gate("all_bytes", "each of the 256 bytes has an entry, so that nothing is unknown")
    known = {text for text, _ in _vocabulary(tokenizer) if len(text) == 1}
    for byte, character in enumerate(byte_alphabet()):
        gate.check(character in known, f"byte {byte:#04x}")
    return gate


def byte_alphabet() -> list[str]:
    """The character that stands for each byte in a byte-level vocabulary.

    Source:
        Radford et al. 2019, GPT-2: printable Latin-1 characters stand for themselves, the others for U+0100 onwards.
    """
    printable = [*range(0x21, 0x7F), *range(0xA1, 0xAD), *range(0xAE, 0x100)]
    moved = iter(range(0x100, 0x200))
    return [chr(byte) if byte in printable else chr(next(moved)) for byte in range(256)]


def _entries(tokenizer: Any, used: Sequence[bool]) -> Iterator[Gate]:
    dead = Gate(
        "dead_entries", "an entry that is whole text comes up: in the sample, for this text, or for it within a word"
    )
    long = Gate("long_entries", f"no entry is longer than {LONGEST_CHARACTERS} characters")
    value = {character: byte for byte, character in enumerate(byte_alphabet())}
    for name, number in _vocabulary(tokenizer):
        raw = bytes(value[character] for character in name)
        try:
            text = raw.decode()
        except UnicodeDecodeError:  # a piece of a character: no text is this entry and nothing else
            continue
        long.check(len(text) <= LONGEST_CHARACTERS, repr(text[:80]))
        alive = used[number] or number in (*_ids(tokenizer, text), *_ids(tokenizer, WITHIN_A_WORD + text))
        dead.check(bool(alive), repr(text))
    yield dead
    yield long


def _vocabulary(tokenizer: Any) -> Sequence[tuple[str, int]]:
    """Learnt entries by id, without special tokens and markers."""
    fixed = {*SPECIAL_TOKENS, *MARKERS}
    found = [(name, number) for name, number in tokenizer.get_vocab().items() if name not in fixed]
    return sorted(found, key=lambda entry: entry[1])


def _ids(tokenizer: Any, text: str) -> list[int]:
    ids: list[int] = tokenizer.encode(text, add_special_tokens=False).ids
    return ids
