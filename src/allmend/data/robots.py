"""robots.txt by RFC 9309, and the lines in it that the RFC doesn't know: aipref `Content-Usage` and RSL `License`."""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from functools import lru_cache
from urllib.parse import urlsplit

_line_end = re.compile(r"\r\n|\r|\n")
_token = re.compile(r"[A-Za-z0-9_-]+").match
_unreserved = frozenset("ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-._~")
_escape = re.compile(r"%[0-9A-Fa-f]{2}|[^\x21-\x7e]|[*$]")
_pattern_escape = re.compile(r"%[0-9A-Fa-f]{2}|[^\x21-\x7e]")


@dataclass(frozen=True)
class Rule:
    """A line of a group. `kind`: `allow`, `disallow` or `content-usage`; `usage`: what the last one says."""

    kind: str
    pattern: str
    line: str
    usage: str = ""


@dataclass(frozen=True)
class Robots:
    """A parsed file: rules by agent token in lower case (`*` for all others), and the URLs of `License` lines."""

    groups: dict[str, tuple[Rule, ...]] = field(default_factory=dict)
    licences: tuple[str, ...] = ()

    def group(self, agent: str) -> tuple[str, tuple[Rule, ...]]:
        """The group that binds an agent: its own, else that of `*`, else none. Section 2.2.1."""
        for name in (agent.lower(), "*"):
            if name in self.groups:
                return name, self.groups[name]
        return "", ()

    def refusal(self, agent: str, path: str) -> tuple[str, Rule] | None:
        """The group and the rule that forbid a path to an agent, or None. The longest pattern wins, `allow` among
        equals. Section 2.2.2.
        """
        name, rules = self.group(agent)
        if path == "/robots.txt":
            return None
        best: Rule | None = None
        for rule in rules:
            if rule.kind != "content-usage" and matches(rule.pattern, path):
                length = len(rule.pattern)
                if best is None or length > len(best.pattern) or (length == len(best.pattern) and rule.kind == "allow"):
                    best = rule
        return (name, best) if best is not None and best.kind == "disallow" else None

    def usages(self, agent: str, path: str) -> tuple[str, list[Rule]]:
        """The `Content-Usage` rules with the longest matching pattern; several if they are equally long."""
        name, rules = self.group(agent)
        found = [rule for rule in rules if rule.kind == "content-usage" and matches(rule.pattern, path)]
        longest = max((len(rule.pattern) for rule in found), default=0)
        return name, [rule for rule in found if len(rule.pattern) == longest]


@lru_cache(maxsize=1024)
def parse_robots(text: str) -> Robots:
    """Read a robots.txt.

    An agent is the token that its line begins with, whole, in any case; several lines may share a group and several
    groups an agent. Lines of other kinds end no group. A `Content-Usage` before any group, which the draft leaves out,
    is taken for all agents: its meaning is plain.

    Source:
        RFC 9309, Robots Exclusion Protocol; draft-ietf-aipref-attach-05 (August 2026), section 3; RSL 1.0 (December
        2025), robots.txt.
    """
    groups: dict[str, list[Rule]] = {}
    licences: list[str] = []
    agents: list[str] = []
    naming = False
    for line in _line_end.split(text.removeprefix("\ufeff")):
        line = line.partition("#")[0].strip(" \t\0")
        key, colon, value = line.partition(":")
        key, value = key.strip().lower(), value.strip()
        if not colon:
            continue
        if key == "user-agent":
            agents = [*(agents if naming else []), _agent(value)]
            naming = True
            groups.setdefault(agents[-1], [])
        elif key in ("allow", "disallow"):
            naming = False
            if value:  # an empty pattern matches nothing
                for agent in dict.fromkeys(agents):
                    groups[agent].append(Rule(key, normal_pattern(value), line))
        elif key == "content-usage":
            naming = False
            for agent in dict.fromkeys(agents or ["*"]):
                groups.setdefault(agent, []).append(_usage_rule(value, line))
        elif key == "license":
            licences.append(value)
    return Robots({agent: tuple(rules) for agent, rules in groups.items()}, tuple(dict.fromkeys(licences)))


def _agent(value: str) -> str:
    if value[:1] == "*":
        return "*"
    match = _token(value)
    return match[0].lower() if match else ""


def _usage_rule(value: str, line: str) -> Rule:
    """With or without a path: earlier drafts had none."""
    path, _, rest = value.partition(" ") if value.startswith(("/", "*")) else ("/", "", value)
    return Rule("content-usage", normal_pattern(path), line, rest.strip())


def path_of(url: str) -> str:
    """Path and query of a URL as patterns are compared with it; the fragment is no part of it."""
    try:
        parts = urlsplit(url)
    except ValueError:
        return "/"
    path = (parts.path or "/") + (f"?{parts.query}" if parts.query else "")
    return _escape.sub(_normal, path)


def normal_pattern(pattern: str) -> str:
    """A pattern in the same form as a path, its `*` and `$` kept."""
    return _pattern_escape.sub(_normal, pattern)


def _normal(match: re.Match[str]) -> str:
    """Unreserved characters are compared decoded, all others encoded with upper-case digits. Section 2.2.2; RFC 3986,
    section 2.3.
    """
    found = match[0]
    if found[0] == "%" and len(found) == 3:
        character = chr(int(found[1:], 16))
        return character if character in _unreserved else found.upper()
    return "".join(f"%{byte:02X}" for byte in found.encode("utf-8", "replace"))


def matches(pattern: str, path: str) -> bool:
    """Does a pattern match a path from its start? `*` is any run of characters, `$` at the end is the end. Linear
    time.
    """
    if not pattern.startswith(("/", "*")):
        return False
    anchored = pattern.endswith("$")
    pieces = (pattern[:-1] if anchored else pattern).split("*")
    if not path.startswith(pieces[0]):
        return False
    place = len(pieces[0])
    for piece in pieces[1:-1]:
        found = path.find(piece, place)
        if found < 0:
            return False
        place = found + len(piece)
    if len(pieces) == 1:
        return not anchored or place == len(path)
    if anchored:
        return len(path) - len(pieces[-1]) >= place and path.endswith(pieces[-1])
    return path.find(pieces[-1], place) >= 0
