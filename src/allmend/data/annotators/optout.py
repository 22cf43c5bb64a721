"""Whose page may not be used for training, by whose word, in which file."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from typing import Any, ClassVar
from urllib.parse import urljoin

import pyarrow as pa

from allmend.data.annotator import Annotator, Document, hints, page
from allmend.data.policies import Policy
from allmend.data.reservations import noai_tokens, rsl_refusal, tdm_file, tdm_value, usage_refusal
from allmend.data.robots import Robots, parse_robots, path_of

AGENTS = (
    "AI2Bot", "Applebot-Extended", "Bytespider", "CCBot", "ClaudeBot", "cohere-training-data-crawler", "Diffbot", "FacebookBot",
    "Google-Extended", "GPTBot", "Meta-ExternalAgent", "PanguBot", "*",
)  # fmt: skip
"""Agents asked about: those of the Apertus opt-out procedure, and `*`. Which of them count is the policy's word."""
SIGNAL = pa.struct([(name, pa.string()) for name in ("signal", "agent", "rule", "evidence", "source")])
_link = re.compile(r"<([^>]*)>([^,<]*)")
Signal = tuple[str, str, str, str, str]
"""(signal, agent, rule, evidence, source)."""


class Optout(Annotator):
    """Every refusal of training that robots.txt, headers, meta tags and licence files express for a page.

    robots.txt is judged path by path; an agent without a group of its own is judged by `*` and not listed again. A
    file that answers 4xx, or that nobody fetched, refuses nothing; one that answers 5xx or can't be read is the signal
    `unreachable` (RFC 9309, section 2.3.1). The answer of the newest fetch counts.
    """

    source: ClassVar[str] = (
        "RFC 9309; draft-ietf-aipref-attach-05; W3C TDMRep Final Report 2024; RSL 1.0; the opt-out procedure of Apertus "
        "(Swiss AI Initiative 2025, Apertus technical report)"
    )
    type: ClassVar[pa.DataType] = pa.struct([("refused", pa.bool_()), ("signals", pa.list_(SIGNAL))])
    examples: ClassVar = (
        (page(hints=[("header", "tdm-reservation", "1")]), {"refused": True}),
        (page(hints=[("meta", "robots", "noindex, noarchive")]), {"refused": False, "signals": []}),
    )

    def annotate(self, document: Document, policies: Sequence[Policy] = ()) -> dict[str, Any]:
        names = ("signal", "agent", "rule", "evidence", "source")
        found = [dict(zip(names, signal, strict=True)) for signal in dict.fromkeys(_signals(document, policies))]
        return {"refused": bool(found), "signals": found}


def _signals(document: Document, policies: Sequence[Policy]) -> Iterator[Signal]:
    of_kind = {policy["kind"]: policy for policy in policies}
    yield from _noai(document)
    yield from _tdm(document, of_kind.get("tdmrep"))
    for value in hints(document, "content-usage"):
        if refused := usage_refusal(value[2]):
            yield "content-usage", "*", refused, value[2], value[0]
    robots = of_kind.get("robots")
    parsed = Robots()
    if robots is not None:
        if robots["status"] >= 500 or (robots["status"] == 200 and robots["body"] is None):
            yield "unreachable", "*", f"status {robots['status']}", robots["fetched_at"], robots["url"]
        elif robots["status"] == 200:
            parsed = parse_robots(robots["body"])
            yield from _robots(document, parsed, robots["url"])
    yield from _rsl(document, policies, parsed, robots["url"] if robots else "")


def _robots(document: Document, robots: Robots, source: str) -> Iterator[Signal]:
    path = path_of(document["url"])
    for agent in AGENTS:
        group, _ = robots.group(agent)
        if group and (agent == "*" or group != "*"):
            if refusal := robots.refusal(agent, path):
                yield "robots", agent, refusal[1].line, path, source
            for rule in robots.usages(agent, path)[1]:
                if refused := usage_refusal(rule.usage):
                    yield "content-usage", agent, refused, rule.line, source


def _noai(document: Document) -> Iterator[Signal]:
    known = {agent.lower(): agent for agent in AGENTS}
    for source, name, value in hints(document, "x-robots-tag"):
        for agent, token in noai_tokens(value, AGENTS):
            yield token, agent, token, f"{name}: {value}", source
    for source, name, value in (hint for hint in _all(document) if hint[0] == "meta"):
        if name == "robots" or name in known:
            for _, token in noai_tokens(value, AGENTS):
                yield token, known.get(name, "*"), token, f"{name}: {value}", source


def _tdm(document: Document, file: Policy | None) -> Iterator[Signal]:
    """The header beats the meta tag and the file, the meta tag beats the file: the nearer to the page, the stronger."""
    for source in ("header", "meta"):
        for _, name, value in (hint for hint in hints(document, "tdm-reservation") if hint[0] == source):
            if (reserved := tdm_value(value)) is not None:
                if reserved:
                    yield "tdm", "*", "tdm-reservation: 1", f"{name}: {value}", source
                return
    if file is not None and file["status"] == 200 and file["body"]:
        reserved, rule = tdm_file(file["body"], document["url"])
        if reserved:
            yield "tdm", "*", "tdm-reservation: 1", rule, file["url"]


def _rsl(document: Document, policies: Sequence[Policy], robots: Robots, robots_url: str) -> Iterator[Signal]:
    """Licences named in robots.txt, in a Link header or in a `link` tag. Terms that nobody has fetched are taken for a
    refusal.
    """
    bodies = {policy["url"]: policy for policy in policies if policy["kind"] == "rsl"}
    named = [(urljoin(robots_url, place), robots_url) for place in robots.licences]
    for source, _, value in hints(document, "link"):
        named += [
            (urljoin(document["url"], place), source)
            for place, rest in _link.findall(value)
            if "rsl+xml" in rest and "license" in rest
        ]
    named += [(urljoin(document["url"], value), source) for source, _, value in hints(document, "rsl")]
    for url, source in dict.fromkeys(named):
        licence = bodies.get(url)
        if licence is None or licence["status"] != 200 or licence["body"] is None:
            yield "rsl", "*", "terms not fetched", url, source
        elif refused := rsl_refusal(licence["body"], url, document["url"]):
            yield "rsl", "*", refused, url, source


def _all(document: Document) -> Iterator[tuple[str, str, str]]:
    return ((hint["source"], hint["name"], hint["value"]) for hint in document["hints"])
