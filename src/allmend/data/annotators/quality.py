"""Numbers about the shape of a text, by which page filters tell prose from the rest. Values only; thresholds are the
policy's.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Any, ClassVar

import numpy as np
import pyarrow as pa

from allmend.data.annotator import Annotator, Document, page
from allmend.data.policies import Policy
from allmend.data.words import Words, run_hashes, words_of

STOP_WORDS = frozenset(("the", "be", "to", "of", "and", "that", "have", "with"))
TERMINAL = (".", "!", "?", '"', "”", "。", "！", "？", "।", "॥", "؟", "۔", "።", "။", "។", "։", "…", "»", "」")
"""Ends of sentences: C4's four and those of other scripts."""
_sentence = re.compile(r"[.!?。！？।॥؟۔።။។։]+[\"'”’»)\]]*(?=\s|$)|[。！？]")
_bullets = ("•", "‣", "◦", "▪", "●", "-", "*", "–")
COUNTS = ("words", "stop_words", "sentences", "lorem_ipsum", "curly_brackets")
SHARES = (
    "mean_word_length", "symbols", "bullet_lines", "ellipsis_lines", "alphabetic_words", "duplicate_lines", "duplicate_paragraphs",
    "duplicate_line_characters", "duplicate_paragraph_characters", "top_2gram", "top_3gram", "top_4gram", "duplicate_5grams", "duplicate_6grams",
    "duplicate_7grams", "duplicate_8grams", "duplicate_9grams", "duplicate_10grams", "words_a_line", "terminal_lines", "short_lines", "newlines",
)  # fmt: skip


class Quality(Annotator):
    """What the filters of Gopher, C4 and FineWeb measure; shares are of the page unless said otherwise.

    Gopher: `words`, `mean_word_length` (characters), `symbols` (`#` and ellipses a word), `bullet_lines`,
    `ellipsis_lines`, `alphabetic_words` (words with a letter), `stop_words` (how many of eight English ones occur).
    Gopher repetition: `duplicate_…` lines and paragraphs, by number and by characters; `top_ngram`: characters of the
    most frequent n-gram's occurrences; `duplicate_ngrams`: characters in second and later occurrences of an n-gram,
    each counted once. C4: `words_a_line`, `sentences`, `terminal_lines`, `lorem_ipsum`, `curly_brackets`
    (occurrences). FineWeb: `terminal_lines`, `short_lines` (≤ 30 characters), `duplicate_line_characters`, `newlines`
    (a word).

    Differences: in scripts without spaces a word is a character; C4 drops single lines, here pages are judged whole.
    """

    source: ClassVar[str] = (
        "Rae et al. 2021, Gopher (arXiv 2112.11446), appendix A1.1; Raffel et al. 2020, T5/C4 (arXiv 1910.10683), section 2.2; "
        "Penedo et al. 2024, FineWeb (arXiv 2406.17557), section 3.6"
    )
    type: ClassVar[pa.DataType] = pa.struct(
        [(name, pa.int64()) for name in COUNTS] + [(name, pa.float64()) for name in SHARES]
    )
    examples: ClassVar = (
        (page("The cat and the dog.\nThe end."), {"words": 7, "stop_words": 2, "sentences": 2, "terminal_lines": 1.0, "words_a_line": 3.5}),
        (page("same line\nsame line\nother"), {"duplicate_lines": 0.333333, "duplicate_line_characters": 0.36}),
        (page("• a\n• b\nc…"), {"bullet_lines": 0.666667, "ellipsis_lines": 0.333333, "symbols": 0.2}),
        (page("a b a b a b"), {"top_2gram": 0.545455, "duplicate_5grams": 0.0}),
        (page("Lorem ipsum {x}"), {"lorem_ipsum": 1, "curly_brackets": 2}),
        (page(""), {"words": 0, "mean_word_length": 0.0, "terminal_lines": 0.0}),
    )  # fmt: skip

    def annotate(self, document: Document, policies: Sequence[Policy] = ()) -> dict[str, Any]:
        text = document["text"]
        words = words_of(text)
        lines = [line.strip() for line in text.split("\n") if line.strip()]
        values = {**_words(text, words), **_lines(text, lines, len(words)), **_repetition(text, lines, words)}
        return {name: round(value, 6) if isinstance(value, float) else value for name, value in values.items()}


def _words(text: str, words: Words) -> dict[str, Any]:
    count = max(len(words), 1)
    lower = text.lower()
    tokens = set(re.findall(r"[a-z]+", lower))
    letters = np.concatenate([[0], np.cumsum(_is_letter(words.codes))])
    alphabetic = int(np.count_nonzero(letters[words.ends] > letters[words.starts]))
    symbols = text.count("#") + text.count("...") + text.count("…")
    return {
        "words": len(words), "stop_words": len(STOP_WORDS & tokens), "sentences": len(_sentence.findall(text)),
        "lorem_ipsum": lower.count("lorem ipsum"), "curly_brackets": text.count("{") + text.count("}"),
        "mean_word_length": float(words.lengths.sum()) / count, "symbols": symbols / count, "alphabetic_words": alphabetic / count,
    }  # fmt: skip


def _is_letter(codes: np.ndarray) -> np.ndarray:
    """Whether each character is a letter; looked up once a distinct character."""
    distinct, place = np.unique(codes, return_inverse=True)
    return (
        np.array([chr(code).isalpha() for code in distinct], dtype=np.int64)[place]
        if len(codes)
        else np.zeros(0, np.int64)
    )


def _lines(text: str, lines: list[str], words: int) -> dict[str, float]:
    count = max(len(lines), 1)
    return {
        "bullet_lines": sum(line.startswith(_bullets) for line in lines) / count,
        "ellipsis_lines": sum(line.endswith(("...", "…")) for line in lines) / count,
        "terminal_lines": sum(line.endswith(TERMINAL) for line in lines) / count,
        "short_lines": sum(len(line) <= 30 for line in lines) / count,
        "words_a_line": words / count,
        "newlines": text.count("\n") / max(words, 1),
    }


def _repetition(text: str, lines: list[str], words: Words) -> dict[str, float]:
    paragraphs = [paragraph.strip() for paragraph in re.split(r"\n{2,}", text) if paragraph.strip()]
    size = max(len(text), 1)
    found: dict[str, float] = {}
    for name, pieces in (("line", lines), ("paragraph", paragraphs)):
        repeated = _repeated(pieces)
        found[f"duplicate_{name}s"] = len(repeated) / max(len(pieces), 1)
        found[f"duplicate_{name}_characters"] = sum(map(len, repeated)) / size
    for n in range(2, 11):
        share = _ngram_characters(words, n, top=n < 5) / size
        found[f"top_{n}gram" if n < 5 else f"duplicate_{n}grams"] = share
    return found


def _repeated(pieces: list[str]) -> list[str]:
    seen: set[str] = set()
    return [piece for piece in pieces if piece in seen or seen.add(piece)]  # type: ignore[func-returns-value]


def _ngram_characters(words: Words, n: int, top: bool) -> int:
    """Characters of the words in n-grams that occur again: of all occurrences of the most frequent, or of second and
    later ones of any.
    """
    hashes = run_hashes(words, n)
    if not len(hashes):
        return 0
    _, first, place, counts = np.unique(hashes, return_index=True, return_inverse=True, return_counts=True)
    if top:
        if counts.max() < 2:
            return 0
        candidates = np.flatnonzero(counts == counts.max())
        best = candidates[np.argmin(first[candidates])]
        chosen = place == best
    else:
        chosen = first[place] < np.arange(len(hashes))
    covered = np.zeros(len(words) + 1, np.int64)
    starts = np.flatnonzero(chosen)
    np.add.at(covered, starts, 1)
    np.add.at(covered, starts + n, -1)
    return int(words.lengths[np.cumsum(covered[:-1]) > 0].sum())
