"""Stock phrases: runs of ≥ 50 characters of held-out text that some crawled page has as well."""

from __future__ import annotations

import html
import re
import unicodedata

from remake.declarations import Declaration

SPAN = 50
BLOCK = SPAN // 2  # a shared span of 50 holds one whole block of 25 of any division into blocks


def normal(text: str) -> str:
    """NFC, with runs of white space as one space: the form in which spans are compared."""
    return " ".join(unicodedata.normalize("NFC", text).split())


def page_text(page: str) -> str:
    """All text of a page's body, without markup."""
    body = re.sub(r"(?s)^.*?<body[^>]*>", "", page)
    return normal(html.unescape(re.sub(r"<[^>]+>", " ", body)))


def stock_phrases(declarations: list[Declaration], other_pages: dict[str, str]) -> list[tuple[str, str, str]]:
    """(held-out page's code, crawled page, longest common run), sorted."""
    crawled = {page.code: page_text(page.crawled) for page in declarations}
    crawled |= {url: page_text(text) for url, text in other_pages.items()}
    places: dict[str, list[tuple[str, int]]] = {}
    for name, text in crawled.items():
        for start in range(0, len(text) - BLOCK + 1, BLOCK):
            places.setdefault(text[start : start + BLOCK], []).append((name, start))
    found = set()
    for page in declarations:
        text = normal(page.held_out_text())
        for start in range(len(text) - BLOCK + 1):
            for name, place in places.get(text[start : start + BLOCK], ()):
                run = _common_run(text, start, crawled[name], place)
                if len(run) >= SPAN:
                    found.add((page.code, name, run))
    return sorted(found)


def _common_run(text: str, start: int, other: str, place: int) -> str:
    before = 0
    while min(start, place) > before and text[start - before - 1] == other[place - before - 1]:
        before += 1
    after = BLOCK
    while start + after < len(text) and place + after < len(other) and text[start + after] == other[place + after]:
        after += 1
    return text[start - before : start + after]
