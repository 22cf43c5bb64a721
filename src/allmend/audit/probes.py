"""`audit.probes`: passages of random words, planted in training at known repeats to see what a model memorises."""

from __future__ import annotations

import itertools
from collections.abc import Collection, Iterator, Sequence
from typing import Any

import numpy as np
import pyarrow as pa
from pydantic import Field, field_validator, model_validator

from allmend.kinds import BOD, EOD, Config, Estimate, Probes, Seed, Tokenizer, Touched, Work, write_json, write_table
from allmend.kinds.errors import StepFailed

PROBES = pa.schema(
    [("id", pa.string()), ("text", pa.string()), ("repeats", pa.int32()), ("tokens", pa.list_(pa.int32()))]
)
SHARED_RUN_TOKENS = 10
"""No two probes share a run of so many tokens, else one would teach the other."""
SHORTEST_WORD, LONGEST_WORD = 3, 14
SYLLABLES = tuple(consonant + vowel for consonant in "bdfgklmnprstvz" for vowel in "aeiou")
ATTEMPTS = 2_000


class ProbesConfig(Config):
    """How many passages of random words, how long, and how often each is to be read in training."""

    count: int = Field(25, ge=1, description="passages; a multiple of the number of repeat counts")
    length: int = Field(64, ge=16, description="tokens of a passage, <bod> and <eod> included")
    repeats: list[int] = Field([0, 1, 4, 16, 64], min_length=1, description="copies planted; as many passages at each")
    seed: Seed

    @field_validator("repeats")
    @classmethod
    def _rising(cls, repeats: list[int]) -> list[int]:
        if repeats != sorted(set(repeats)) or repeats[0] < 0:
            raise ValueError("write each number of repeats once, from the least to the most, none below 0")
        return repeats

    @model_validator(mode="after")
    def _equal_numbers(self) -> ProbesConfig:
        if self.count % len(self.repeats):
            raise ValueError(f"count ({self.count}) must be a multiple of the {len(self.repeats)} repeat counts")
        return self


def probes(config: ProbesConfig, tokenizer: Tokenizer, work: Work) -> Probes:
    """Write passages of random words, equal numbers at each repeat count, encoded as their text is."""
    encoder = tokenizer.load()
    words, source = _words(encoder, config.length)
    rng = work.rng(f"probes {config.seed}")
    passages = _passages(encoder, words, config, rng)
    rows = [
        {"id": f"probe-{number:03d}", "text": text, "repeats": repeats, "tokens": tokens}
        for number, ((text, tokens), repeats) in enumerate(zip(passages, itertools.cycle(config.repeats), strict=False))
    ]
    write_table(work.folder / "probes.parquet", pa.Table.from_pylist(rows, PROBES))
    planted = sum(row["repeats"] for row in rows)
    summary = {
        "probes": config.count, "length": config.length, "words": len(words), "words_from": source,
        "planted_copies": planted, "planted_tokens": planted * config.length,
    }  # fmt: skip
    write_json(work.folder / "summary.json", summary)
    return Probes(work.folder)


def cost(config: ProbesConfig, inputs: dict[str, Any]) -> Estimate:
    """A quarter of a second for the tokenizer; the tokens are those that training will read."""
    planted = config.count // len(config.repeats) * sum(config.repeats) * config.length
    return Estimate(tokens=planted, seconds=0.3, disk_bytes=16 * config.count * config.length)


def touches(artifact: Probes, ids: Collection[str]) -> Touched:
    """Nothing: a probe comes from no document."""
    return Touched()


# --- words ---


def _words(encoder: Any, length: int) -> tuple[list[str], str]:
    """Words to draw from: the vocabulary's own whole words, or made of syllables where it has too few.

    Returns:
        The words in a fixed order, and where they are from: `vocabulary` or `syllables`.
    """
    own = _whole_words(encoder)
    if len(own) >= 2 * length:
        return own, "vocabulary"
    return [first + second + end for first in SYLLABLES for second in SYLLABLES for end in ("", "n")], "syllables"


def _whole_words(encoder: Any) -> list[str]:
    """Entries of the vocabulary that are a space and a word, which the tokenizer encodes as that one token; by id."""
    found = []
    for number in range(encoder.get_vocab_size()):
        text = encoder.decode([number], skip_special_tokens=True)
        word = text[1:]
        fits = text[:1] == " " and SHORTEST_WORD <= len(word) <= LONGEST_WORD and word.isalpha()
        if fits and _encode(encoder, text) == [number]:
            found.append(word)
    return found


# --- passages ---


def _passages(
    encoder: Any, words: Sequence[str], config: ProbesConfig, rng: np.random.Generator
) -> Iterator[tuple[str, list[int]]]:
    """Passages that share no long run, each of exactly `length` tokens."""
    taken: set[tuple[int, ...]] = set()
    for number in range(config.count):
        for _ in range(ATTEMPTS):
            found = _passage(encoder, words, config.length, rng)
            if found and taken.isdisjoint(runs := _runs(found[1])):
                taken |= runs
                yield found
                break
        else:
            raise StepFailed(
                f"audit.probes: no passage of {config.length} tokens for probe {number} in {ATTEMPTS} tries over "
                f"{len(words)} words. Ask for fewer passages, or train the tokenizer with a larger vocabulary."
            )


def _passage(encoder: Any, words: Sequence[str], length: int, rng: np.random.Generator) -> tuple[str, list[int]] | None:
    """One draw: words, none twice, until the tokens are full; None where they don't come out even."""
    order = rng.permutation(len(words))[:length]
    ends = np.cumsum([len(_encode(encoder, (" " if place else "") + words[word])) for place, word in enumerate(order)])
    taken = int(np.searchsorted(ends, length - 2)) + 1
    text = " ".join(words[word] for word in order[:taken])
    tokens = [BOD, *_encode(encoder, text), EOD]
    return (text, tokens) if len(tokens) == length else None


def _encode(encoder: Any, text: str) -> list[int]:
    ids: list[int] = encoder.encode(text, add_special_tokens=False).ids
    return ids


def _runs(tokens: Sequence[int]) -> set[tuple[int, ...]]:
    return {tuple(tokens[at : at + SHARED_RUN_TOKENS]) for at in range(len(tokens) - SHARED_RUN_TOKENS + 1)}
