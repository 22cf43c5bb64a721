"""What a page of HTML says: its main text, title and language, and the hints that annotators read later."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

Hint = tuple[str, str, str]
"""(source, name, value): where it was found (`header`, `meta`, `link`, `a`, `jsonld`, `footer`), what it is, what it
says.
"""

DEEPEST = 2_000
SELF_CLOSING = frozenset(
    [
        "area",
        "base",
        "body",
        "br",
        "col",
        "dd",
        "dt",
        "embed",
        "head",
        "hr",
        "html",
        "img",
        "input",
        "li",
        "link",
        "meta",
        "option",
        "p",
        "source",
        "td",
        "th",
        "tr",
        "track",
        "wbr",
    ]
)
_tag = re.compile(r"<(/?)([a-zA-Z][\w-]*)")
LARGEST_HINT = 2_000
MOST_HINTS = 200
KEPT_HEADERS = (
    "x-robots-tag", "tdm-reservation", "tdm-policy", "content-usage", "content-language", "last-modified", "link", "license",
)  # fmt: skip
"""HTTP fields kept for the annotators. A `link` field may carry `rel=license`."""
_licence_metas = {"dc.rights", "dc.rights.license", "dcterms.rights", "dcterms.license", "dcterms.rightsholder", "dc.license", "license", "licence", "copyright", "rights", "cc:license"}  # fmt: skip
_robots_metas = re.compile(
    r"robots|[\w.-]*bot[\w.-]*|tdm-reservation|tdm-policy|content-usage", re.IGNORECASE
).fullmatch
_cc_url = re.compile(r"https?://(?:www\.)?creativecommons\.org/(?:licen[sc]es|publicdomain)/", re.IGNORECASE)
_rights_words = re.compile(r"all rights reserved|alle rechte vorbehalten|tous droits réservés", re.IGNORECASE)
_licence_keys = ("license", "usageInfo", "copyrightNotice")


@dataclass(frozen=True)
class Page:
    """A parsed page.

    Attributes:
        text: main text, paragraphs on lines of their own.
        whole: True if there was no main text to be told from the rest, so that all visible text stands in.
        language: as the page declares itself (`lang`, then meta); empty if it doesn't.
    """

    text: str
    title: str
    language: str
    whole: bool
    hints: tuple[Hint, ...]


def read_page(html: str) -> Page:
    """Parse a page and take its main text.

    Bullets are left out: with them resiliparse alters 473 of the 532 pages of the Universal Declaration, without them
    none. Main-content extraction gives nothing where an unclosed `<div class="cookie-banner">` swallows the page: then
    all visible text stands in.
    """
    from resiliparse.extract.html2text import extract_plain_text
    from resiliparse.parse.html import HTMLTree

    tree = HTMLTree.parse(html)
    text = extract_plain_text(tree, main_content=True, list_bullets=False, alt_texts=False).strip()
    whole = not text
    if whole:
        text = extract_plain_text(tree, main_content=False, list_bullets=False, alt_texts=False).strip()
    title = " ".join((tree.title or "").split())
    hints = tuple(dict.fromkeys(_hints(tree)))[:MOST_HINTS]
    return Page(text, title, _language(tree, hints), whole, hints)


def is_too_deep(html: str) -> bool:
    """Whether elements are nested beyond 2,000 levels, for which the parser's time grows with the square (20,000 took 6 s).

    Counted roughly: elements that close by themselves are left out, and pages with few tags aren't looked at.
    """
    if html.count("<") <= DEEPEST:
        return False
    depth = 0
    for match in _tag.finditer(html):
        if match[2].lower() not in SELF_CLOSING:
            depth += -1 if match[1] else 1
            if depth > DEEPEST:
                return True
    return False


def header_hints(headers: tuple[tuple[str, str], ...]) -> tuple[Hint, ...]:
    """The HTTP fields that annotators read, each as often as it was sent."""
    return tuple(("header", name, value[:LARGEST_HINT]) for name, value in headers if name in KEPT_HEADERS)[:MOST_HINTS]


def _language(tree: Any, hints: tuple[Hint, ...]) -> str:
    root = tree.document.query_selector("html")
    found = (root.getattr("lang") or root.getattr("xml:lang") or "") if root is not None else ""
    found = found or next(
        (value for source, name, value in hints if source == "meta" and name == "content-language"), ""
    )
    return tidy_language(found)


def tidy_language(tag: str) -> str:
    """A language tag in the usual case (`de-CH`, `zh-Hant`); empty if it isn't one. RFC 5646, section 2.1.1."""
    parts = tag.partition(",")[0].strip().replace("_", "-").split("-")
    if not re.fullmatch(r"[A-Za-z]{2,8}", parts[0]) or not all(
        re.fullmatch(r"[A-Za-z0-9]{1,8}", part) for part in parts[1:]
    ):
        return ""
    cased = [
        part.title() if len(part) == 4 and part.isalpha() else part.upper() if len(part) == 2 else part.lower()
        for part in parts[1:]
    ]
    return "-".join([parts[0].lower(), *cased])


def _hints(tree: Any) -> Iterator[Hint]:
    document = tree.document
    for element in document.query_selector_all("link[rel~=license], a[rel~=license], a[rel~=licence]"):
        kind = "rsl" if (element.getattr("type") or "").strip().lower() == "application/rsl+xml" else "license"
        yield element.tag, kind, _short(element.getattr("href"))
    for element in document.query_selector_all("meta"):
        yield from _meta(element)
    for element in document.query_selector_all('script[type="application/ld+json"]'):
        yield from (("jsonld", key, _short(value)) for key, value in _json_ld(element.text))
    for element in document.query_selector_all("a[href*=creativecommons]"):
        if _cc_url.match(element.getattr("href") or "") and "licen" not in (element.getattr("rel") or ""):
            yield "a", "mentions", _short(element.getattr("href"))
    for element in document.query_selector_all("footer"):
        if match := _rights_words.search(element.text):
            yield "footer", "rights", match[0]


def _meta(element: Any) -> Iterator[Hint]:
    name = (
        (element.getattr("name") or element.getattr("property") or element.getattr("http-equiv") or "").strip().lower()
    )
    if name in _licence_metas:
        yield "meta", "license" if "licen" in name else "rights", _short(element.getattr("content"))
    elif name == "content-language" or _robots_metas(name):
        yield "meta", name, _short(element.getattr("content"))


def _json_ld(text: str) -> Iterator[tuple[str, str]]:
    """Licences of the page itself: at the top, in `@graph` or `mainEntity`; not those of pictures further down."""
    try:
        waiting = [json.loads(text)]
    except (ValueError, RecursionError):
        return
    while waiting:
        node = waiting.pop(0)
        if isinstance(node, list):
            waiting += node[:MOST_HINTS]
        elif isinstance(node, dict):
            for key in _licence_keys:
                values = node.get(key)
                for value in values if isinstance(values, list) else [values]:
                    value = value.get("@id") or value.get("url") if isinstance(value, dict) else value
                    if isinstance(value, str):
                        yield ("license" if key == "license" else "rights"), value
            waiting += [node[key] for key in ("@graph", "mainEntity") if key in node]


def _short(value: str | None) -> str:
    """One line, not too long, and without the lone surrogates that JSON can spell and UTF-8 can't."""
    return " ".join((value or "").split())[:LARGEST_HINT].encode("utf-8", "replace").decode()
