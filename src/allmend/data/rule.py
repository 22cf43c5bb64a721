"""What a policy rule is: it reads verdicts, and says whether a document is dropped or redacted, and why."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any, ClassVar, Literal, NamedTuple

from allmend.kinds import Field, Member

Verdict = dict[str, Any]
"""All verdicts on one document: annotator → struct."""


class Reason(NamedTuple):
    """Why a document isn't kept as it is: whose verdict, which rule, what was found."""

    annotator: str
    rule: str
    evidence: str


class Rule(Member):
    """Base of the family.

    Attributes:
        effect: what a reason of this rule does to the document.
        keeps, drops: verdicts that it lets pass, and that it finds a reason in.
    """

    effect: ClassVar[Literal["drop", "redact"]] = "drop"
    keeps: ClassVar[tuple[Verdict, ...]]
    drops: ClassVar[tuple[Verdict, ...]]

    because: str = Field("", description="a sentence for the reader of the policy")
    only_languages: list[str] | None = Field(None, description="base languages that the rule is for; all if left out")
    not_languages: list[str] = Field([], description="base languages that the rule isn't for")

    def needs(self) -> Iterable[str]:
        """Verdicts that the rule reads: `quality`, or `quality.words`."""
        raise NotImplementedError

    def reasons(self, verdict: Verdict) -> list[Reason]:
        """What the rule finds against a document; empty if nothing."""
        raise NotImplementedError

    def judge(self, verdict: Verdict) -> list[Reason]:
        """The same, for the languages that the rule is for."""
        if self.only_languages is not None or self.not_languages:
            base = verdict["language"]["base"]
            if base in self.not_languages or (self.only_languages is not None and base not in self.only_languages):
                return []
        return self.reasons(verdict)


def value_at(verdict: Verdict, path: str) -> Any:
    """`quality.words` of a document's verdicts."""
    annotator, _, name = path.partition(".")
    return verdict[annotator][name]
