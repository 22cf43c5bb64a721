"""Held-out pages: JSONL of {code, base_language, text, articles}, as the bundled crawl's `heldout.jsonl`."""

from __future__ import annotations

import json
from collections.abc import Collection, Sequence
from dataclasses import dataclass
from pathlib import Path
from unicodedata import normalize

import numpy as np

from allmend.kinds.errors import StepFailed, nearest


@dataclass(frozen=True)
class Page:
    """One held-out page. Text is in NFC, as tokenizers read it: bits and bytes are of the same text."""

    code: str
    language: str
    text: str
    articles: tuple[str, ...]


def read_pages(file: Path, languages: Collection[str]) -> dict[str, list[Page]]:
    """Pages of the languages asked for, sorted by code.

    Raises:
        StepFailed: a line isn't such a page, or a language has none; names line or language.
    """
    found: dict[str, list[Page]] = {language: [] for language in sorted(languages)}
    there = set()
    for number, line in enumerate(file.read_text(encoding="utf-8").splitlines(), 1):
        try:
            value = json.loads(line)
            articles = tuple(normalize("NFC", each["text"]) for each in value["articles"])
            page = Page(value["code"], value["base_language"], normalize("NFC", value["text"]), articles)
        except (ValueError, KeyError, TypeError) as error:
            raise StepFailed(
                f"{file.name}, line {number}: {{code, base_language, text, articles}} is expected ({error!r})."
            ) from error
        there.add(page.language)
        if page.language in found:
            found[page.language].append(page)
    for language, pages in found.items():
        if not any(page.text for page in pages):
            raise StepFailed(f"{file.name} has no text in `{language}`.{nearest(language, there)}")
    return {language: sorted(pages, key=lambda page: page.code) for language, pages in found.items()}


def checked(arrays: Sequence[np.ndarray], names: Sequence[str]) -> Sequence[np.ndarray]:
    """Log-probabilities, none of them NaN or infinite.

    Raises:
        StepFailed: names the item.
    """
    for array, name in zip(arrays, names, strict=True):
        if not np.isfinite(array).all():
            raise StepFailed(
                f"the model gives {name} a probability that isn't a number; it may have diverged in training."
            )
    return arrays
