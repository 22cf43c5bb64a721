"""How thick listed words stand in a page."""

from __future__ import annotations

import json
import re
from collections.abc import Sequence
from functools import lru_cache
from importlib import resources
from typing import Any, ClassVar

import pyarrow as pa

from allmend.data.annotator import Annotator, Document, page
from allmend.data.policies import Policy
from allmend.data.words import words_of

LISTS = {"fr-CA-u-sd-caqc": "fr", "nb": "no", "nn": "no", "tl": "fil"}
"""Names of lists or languages that share a list: the Quebec list adds to the French one, `no` serves both written
Norwegians.
"""
UNSPACED = ("ja", "th", "zh")
SHOWN = 20
_token = re.compile(r"[^\s!-/:-@\[-`{-~¡-©«-±´-¹»-¿‐-‧‹-⁞、-〿।॥،؛؟！-／：-＠]+")


class Toxicity(Annotator):
    """Share of a page's words that stand in the list of its declared language (English where it declares none).

    Whole words and phrases only, so that no place name is hit by what it contains. In scripts without spaces a listed
    word of two or more characters counts wherever it stands. A language without a list has no score. One word says
    little, so what counts is the density: a page on health that names two organs stays far below a rant. A lexicon
    doesn't understand; a trained classifier comes with the data issue.
    """

    source: ClassVar[str] = (
        "LDNOOBW word lists, npm naughty-words 1.2.0 (CC BY 4.0); density as in C4's page filter, without its one-word rule"
    )
    type: ClassVar[pa.DataType] = pa.struct([
        ("score", pa.float64()), ("hits", pa.int64()), ("words", pa.int64()), ("evidence", pa.list_(pa.string())),
    ])  # fmt: skip
    examples: ClassVar = (
        (page("What a shitty day, you bastard.", language="en"), {"hits": 2, "words": 6, "score": 0.333333}),
        (page("Scunthorpe, Penistone and Essex: a classic, an analysis.", language="en"), {"hits": 0, "score": 0.0}),
        (page("Ein Satz auf Rumantsch", language="rm"), {"hits": 0, "score": None}),
    )  # fmt: skip

    def annotate(self, document: Document, policies: Sequence[Policy] = ()) -> dict[str, Any]:
        base = (document["declared_language"] or "en").partition("-")[0].lower()
        count = len(words_of(document["text"]))
        lexicon = _lexicons().get(LISTS.get(base, base))
        if lexicon is None:
            return {"score": None, "hits": 0, "words": count, "evidence": []}
        text = document["text"].casefold()
        found = _substrings(text, lexicon) if base in UNSPACED else _phrases(text, lexicon)
        shown = list(dict.fromkeys(found))[:SHOWN]
        return {"score": round(len(found) / max(count, 1), 6), "hits": len(found), "words": count, "evidence": shown}


def _phrases(text: str, lexicon: frozenset[str]) -> list[str]:
    tokens = _token.findall(text)
    longest = max(phrase.count(" ") + 1 for phrase in lexicon)
    return [
        phrase for size in range(1, longest + 1) for start in range(len(tokens) - size + 1)
        if (phrase := " ".join(tokens[start : start + size])) in lexicon
    ]  # fmt: skip


def _substrings(text: str, lexicon: frozenset[str]) -> list[str]:
    return [phrase for phrase in sorted(lexicon) if len(phrase) > 1 for _ in range(text.count(phrase))]


@lru_cache(maxsize=1)
def _lexicons() -> dict[str, frozenset[str]]:
    """Language → its words and phrases, cut as texts are cut."""
    lists = json.loads((resources.files("allmend.data") / "lists" / "naughty-words.json").read_text(encoding="utf-8"))
    found: dict[str, set[str]] = {}
    for name, phrases in lists.items():
        tidy = {" ".join(_token.findall(phrase.casefold())) for phrase in phrases}
        found.setdefault(LISTS.get(name, name), set()).update(tidy - {""})
    return {name: frozenset(phrases) for name, phrases in found.items()}
