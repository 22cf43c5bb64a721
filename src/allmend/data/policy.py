"""Policy files: rules over verdicts, as YAML that a lawyer can read; every mistake is named with its line."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import yaml

from allmend.data.rule import Rule, Verdict
from allmend.data.rules import RULES, rule_class
from allmend.data.rules.one_copy import OneCopy
from allmend.kinds import InputFile, load_config
from allmend.kinds.errors import RecipeError, nearest

KEYS = ("policy", "about", "rules")
Place = tuple[str | int, ...]


@dataclass(frozen=True)
class Policy:
    """A policy: its name and its rules in their order."""

    name: str
    rules: tuple[Rule, ...]

    def judge(self, verdict: Verdict, copies: bool = True) -> tuple[str, list[tuple[str, str, str]]]:
        """Fate (`keep`, `drop`, `redact`) of a document and every reason. `copies`: whether rules about duplicates
        have a say.
        """
        found = [
            (rule.effect, reason)
            for rule in self.rules
            if copies or not isinstance(rule, OneCopy)
            for reason in rule.judge(verdict)
        ]
        effects = {effect for effect, _ in found}
        fate = "drop" if "drop" in effects else "redact" if "redact" in effects else "keep"
        return fate, list(dict.fromkeys(tuple(reason) for _, reason in found))

    def one_copy(self) -> OneCopy | None:
        """The rule about duplicates, if there is one."""
        return next((rule for rule in self.rules if isinstance(rule, OneCopy)), None)

    def redacted(self) -> frozenset[str]:
        """Kinds of personal data that some rule redacts."""
        return frozenset(kind for rule in self.rules if rule.effect == "redact" for kind in getattr(rule, "kinds", ()))

    def needs(self) -> list[str]:
        """What the rules read: annotators (`optout`) and values (`quality.words`), sorted; `language` always."""
        return sorted({"language", *(need for rule in self.rules for need in rule.needs())})


def load_policy(file: InputFile) -> Policy:
    """Read a policy file.

    Raises:
        RecipeError: not YAML, an unknown key or rule (with the nearest name), a wrong value; names file, line and
        field.
    """
    with file.open() as opened:
        text = opened.read()
    value, lines = _read(text, file.name)

    def locate(place: Sequence[str | int]) -> str:
        path = tuple(place)
        while path and path not in lines:
            path = path[:-1]
        dotted = "".join(f"[{step}]" if isinstance(step, int) else f".{step}" for step in place).lstrip(".")
        return f"{file.name}:{lines.get(path, 1)}" + (f"  {dotted}" if dotted else "")

    if (
        not isinstance(value, Mapping)
        or not isinstance(value.get("rules"), list)
        or not isinstance(value.get("policy"), str)
    ):
        raise RecipeError(locate(()), "a policy has the keys `policy` (its name) and `rules` (a list of rules).")
    for key in value:
        if key not in KEYS:
            raise RecipeError(locate((key,)), f"unknown key `{key}`.{nearest(key, KEYS)}")
    rules = tuple(_rule(entry, index, locate) for index, entry in enumerate(value["rules"]))
    if len([rule for rule in rules if isinstance(rule, OneCopy)]) > 1:
        raise RecipeError(locate(("rules",)), "the rule `one_copy` stands here twice: one choice a cluster.")
    return Policy(value["policy"], rules)


def _rule(entry: Any, index: int, locate: Any) -> Rule:
    if not isinstance(entry, Mapping) or not isinstance(entry.get("rule"), str):
        raise RecipeError(locate(("rules", index)), f"a rule is a mapping with the key `rule`.{nearest('', RULES)}")
    if entry["rule"] not in RULES:
        raise RecipeError(
            locate(("rules", index, "rule")),
            f"rule `{entry['rule']}` is not known.{nearest(entry['rule'], RULES)} To add one: docs/add-a-policy-rule.md.",
        )
    fields = {key: value for key, value in entry.items() if key != "rule"}
    return load_config(rule_class(entry["rule"]), fields, lambda place: locate(("rules", index, *place)))


class _Loader(yaml.SafeLoader):
    """YAML 1.2 core values: `no` is a language here, not false."""


_Loader.yaml_implicit_resolvers = {
    first: [(tag, pattern) for tag, pattern in resolvers if tag in ("tag:yaml.org,2002:int", "tag:yaml.org,2002:float", "tag:yaml.org,2002:null")]
    for first, resolvers in yaml.SafeLoader.yaml_implicit_resolvers.items()
}  # fmt: skip


def _read(text: bytes, shown: str) -> tuple[Any, dict[Place, int]]:
    """Plain values of a YAML file and the line of each. No aliases, no tags, no key twice."""
    lines: dict[Place, int] = {}
    try:
        for token in yaml.scan(text, Loader=_Loader):
            if isinstance(token, yaml.AliasToken | yaml.AnchorToken | yaml.TagToken):
                raise RecipeError(
                    f"{shown}:{token.start_mark.line + 1}",
                    "anchors, aliases and tags aren't used in policies: write the value out.",
                )
        node = yaml.compose(text, Loader=_Loader)
        return (_value(node, (), lines, shown, _Loader(b"")) if node else None), lines
    except (yaml.YAMLError, UnicodeDecodeError, RecursionError) as error:
        mark = getattr(error, "problem_mark", None)
        raise RecipeError(
            f"{shown}:{mark.line + 1 if mark else 1}", f"isn't YAML: {getattr(error, 'problem', None) or error}."
        ) from error


def _value(node: yaml.Node, place: Place, lines: dict[Place, int], shown: str, loader: _Loader) -> Any:
    lines.setdefault(place, node.start_mark.line + 1)
    if isinstance(node, yaml.SequenceNode):
        return [_value(item, (*place, index), lines, shown, loader) for index, item in enumerate(node.value)]
    if not isinstance(node, yaml.MappingNode):
        return (
            {"true": True, "false": False}.get(node.value, loader.construct_object(node))
            if node.style is None
            else loader.construct_object(node)
        )
    found: dict[str, Any] = {}
    for key, item in node.value:
        if key.value in found:
            raise RecipeError(f"{shown}:{key.start_mark.line + 1}", f"the key `{key.value}` stands here a second time.")
        lines[*place, key.value] = key.start_mark.line + 1
        found[key.value] = _value(item, (*place, key.value), lines, shown, loader)
    return found
