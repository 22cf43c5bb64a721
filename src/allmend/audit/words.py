"""Where words and sentences begin and end, in any script, without a model: what makes a span fit to be shown."""

from __future__ import annotations

import functools
import re
import unicodedata

UNSPACED = (
    "CJK", "HIRAGANA", "KATAKANA", "BOPOMOFO", "YI ", "THAI", "LAO", "KHMER", "MYANMAR", "TAI ", "NEW TAI", "TIBETAN",
    "JAVANESE", "BALINESE",
)  # fmt: skip
"""First words of the Unicode names of scripts that put no space between words: there each letter counts as one.

Source: Unicode Standard Annex 14 and 29 (dictionary-broken "complex context" scripts, and ideographs).
"""
APOSTROPHES = "'’ʼ"
_sentence_end = re.compile(r"""[.!?…]+["'”’»)\]]*(?=\s|$)|[。！？｡]+[」』”’）]*|[।॥؟۔።։။៕]|\n""")


def is_edge(text: str, place: int) -> bool:
    """May a span begin or end at this place of a text, that is, between two words? `don't` is one word.

    >>> [place for place in range(9) if is_edge("don't go", place)]
    [0, 5, 6, 8]
    """
    if place <= 0 or place >= len(text):
        return place in (0, len(text))
    before, after = text[place - 1], text[place]
    if before in APOSTROPHES and place >= 2:
        before = text[place - 2]
    elif after in APOSTROPHES and place + 1 < len(text):
        after = text[place + 1]
    return _kind(after) != "mark" and not (_kind(before) in ("letter", "mark") and _kind(after) == "letter")


def is_word(letter: str) -> bool:
    """Is it part of a word: a letter, a digit, or a mark on one?"""
    return _kind(letter) != "gap"


def word_count(text: str) -> int:
    """Words of a text; a letter of a script without spaces counts as one.

    >>> word_count("don't go, 世界!")
    4
    """
    return sum(_kind(letter) in ("letter", "alone") and is_edge(text, place) for place, letter in enumerate(text))


def sentence_ends(text: str) -> list[int]:
    """Places just behind each sentence's last mark, and before each line's end; the text's end is the last.

    An abbreviation before a space counts as an end: that costs a longer span, never makes a false one.
    """
    ends = {match.start() if match[0] == "\n" else match.end() for match in _sentence_end.finditer(text)}
    return sorted({*ends, len(text)} - {0})


@functools.lru_cache(maxsize=1 << 16)
def _kind(letter: str) -> str:
    """`letter`, `mark` (belongs to the letter before it), `alone` (a word by itself) or `gap`."""
    category = unicodedata.category(letter)
    if category[0] == "M" or letter in "\u200c\u200d":
        return "mark"
    if category[0] in "LN":
        return "alone" if unicodedata.name(letter, "").startswith(UNSPACED) else "letter"
    return "gap"
