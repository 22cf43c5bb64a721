"""Reservations that aren't robots.txt rules: TDMRep, aipref values, RSL licences, `noai`."""

from __future__ import annotations

import json
import re
from collections.abc import Iterable
from urllib.parse import urljoin, urlsplit
from xml.etree import ElementTree

from allmend.data.robots import matches, normal_pattern, path_of

TRAINING_LABELS = ("train-ai", "ai", "genai")
"""aipref labels that speak of training: `train-ai` in draft-ietf-aipref-vocab-08 (September 2026), the others in
drafts before it.
"""
NOAI = ("noai", "noimageai")
"""Values of robots meta tags and of X-Robots-Tag, as DeviantArt introduced them in 2022."""
TRAINING_USES = ("ai-train", "train-ai", "ai-all", "all")
"""RSL usage tokens that include training (RSL 1.0, December 2025; `train-ai` in its guide to AI preferences)."""
FREE_PAYMENTS = ("free", "attribution")
_item = re.compile(r"[ \t]*([a-z*][a-z0-9_.*-]*)(;[^,=]*)?(?:=([^,;]*))?(;[^,]*)?[ \t]*").fullmatch


def usage_refusal(value: str) -> str:
    """The part of a `Content-Usage` value that refuses training (`train-ai=n`), or nothing.

    A dictionary of Structured Fields: keys in lower case, the last of equal keys counts, only the tokens `y` and `n`
    mean something, parameters are ignored, and a value that can't be parsed says nothing.

    Source:
        draft-ietf-aipref-vocab-08, sections 6.2 and 7; RFC 9651, section 4.2.2.
    """
    found: dict[str, str] = {}
    for item in value.strip().split(","):
        match = _item(item)
        if match is None:
            return ""
        found[match[1]] = (match[3] or "").strip()
    return next((f"{label}=n" for label in TRAINING_LABELS if found.get(label) == "n"), "")


def tdm_value(value: str) -> bool | None:
    """True: reserved; False: not; None: not said (any value but 0 and 1 is a protocol error, which counts as unset)."""
    return {"1": True, "0": False}.get(value.strip())


def tdm_file(body: str, url: str) -> tuple[bool | None, str]:
    """What a tdmrep.json says of a URL, and the rule that says so: the first whose location matches.

    Source:
        W3C TDM Reservation Protocol, Community Group Final Report of 10 May 2024, section on the file on the origin
        server.
    """
    try:
        rules = json.loads(body)
    except (ValueError, RecursionError):
        return None, ""
    path = path_of(url)
    for rule in rules if isinstance(rules, list) else [rules]:
        if isinstance(rule, dict) and isinstance(rule.get("location"), str):
            if matches(normal_pattern(rule["location"]), path):
                value = rule.get("tdm-reservation")
                return tdm_value(str(int(value) if isinstance(value, bool | int) else value)), json.dumps(
                    rule, ensure_ascii=False
                )
    return None, ""


def noai_tokens(value: str, agents: Iterable[str]) -> list[tuple[str, str]]:
    """(agent, token) of each `noai` or `noimageai` in a robots meta tag or X-Robots-Tag; agent `*` unless the value
    names one of ours.
    """
    known = {agent.lower(): agent for agent in agents}
    found, agent = [], "*"
    for part in value.split(","):
        name, colon, rest = part.partition(":")
        if colon and " " not in name.strip():
            agent, part = known.get(name.strip().lower(), ""), rest
        if part.strip().lower() in NOAI and agent:
            found.append((agent, part.strip().lower()))
    return found


def rsl_refusal(body: str, base: str, url: str) -> str:
    """Why an RSL licence doesn't let a page be used for training (`prohibits ai-train`), or nothing if it does or
    doesn't speak of it.

    The `content` whose URL pattern is the longest to match speaks. `prohibits` beats `permits`; uses that `permits`
    doesn't list aren't permitted; a payment other than `free` or `attribution` is a refusal here, since nobody pays.

    Source:
        RSL 1.0 (Really Simple Licensing, December 2025), `content`, `permits`, `prohibits`, `payment`.
    """
    try:
        if "<!DOCTYPE" in body or "<!ENTITY" in body:  # no entity is needed, and some grow without end
            return "the licence can't be read"
        root = ElementTree.fromstring(body.strip())
    except ElementTree.ParseError:
        return "the licence can't be read"
    best = _speaking(root, base, url)
    licences = [] if best is None else [node for node in best if _name(node) == "license"]
    refusals = [_licence_refusal(node) for node in licences]
    return "" if "" in refusals or not refusals else refusals[0]


def _speaking(root: ElementTree.Element, base: str, url: str) -> ElementTree.Element | None:
    path, host = path_of(url), urlsplit(url).netloc.lower()
    found = []
    for node in root.iter():
        if _name(node) == "content":
            place = urlsplit(urljoin(base, node.get("url") or "/"))
            pattern = normal_pattern((place.path or "/") + (f"?{place.query}" if place.query else ""))
            if place.netloc.lower() in ("", host) and matches(pattern, path):
                found.append((len(pattern), -len(found), node))
    return max(found)[2] if found else None


def _licence_refusal(licence: ElementTree.Element) -> str:
    """Nothing if this licence lets training happen without pay."""
    uses = {kind: [use for node in licence if _name(node) == kind and node.get("type", "usage") == "usage" for use in re.split(r"[\s,]+", node.text or "") if use] for kind in ("permits", "prohibits")}  # fmt: skip
    for use in uses["prohibits"]:
        if use in TRAINING_USES:
            return f"prohibits {use}"
    if uses["permits"] and not set(uses["permits"]) & set(TRAINING_USES):
        return f"permits only {' '.join(uses['permits'])}"
    payments = [node.get("type", "free") for node in licence if _name(node) == "payment"]
    if payments and not set(payments) & set(FREE_PAYMENTS):
        return f"payment {payments[0]}"
    return ""


def _name(node: ElementTree.Element) -> str:
    return node.tag.rpartition("}")[2].lower() if isinstance(node.tag, str) else ""
