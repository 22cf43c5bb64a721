"""Policy files: rules over verdicts, as YAML that a lawyer can read; every mistake is named with its line."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from allmend.data.rule import Rule, Verdict
from allmend.data.rules import RULES, rule_class
from allmend.data.rules.one_copy import OneCopy
from allmend.flow import read_yaml
from allmend.kinds import InputFile, load_config
from allmend.kinds.errors import RecipeError, nearest

KEYS = ("policy", "about", "rules")


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
    located = read_yaml(file.path, file.name)
    value, locate = located.value, located.locate

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
            f"rule `{entry['rule']}` is not known.{nearest(entry['rule'], RULES)}",
        )
    fields = {key: value for key, value in entry.items() if key != "rule"}
    return load_config(rule_class(entry["rule"]), fields, lambda place: locate(("rules", index, *place)))
