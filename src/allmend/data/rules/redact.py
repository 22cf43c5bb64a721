"""Personal data are replaced by a marker."""

from __future__ import annotations

from typing import ClassVar, Literal

from allmend.data.rule import Reason, Rule, Verdict
from allmend.kinds import Field

Kind = Literal["email", "ip", "iban", "phone", "card"]


class Redact(Rule):
    """Keeps the document and replaces each span of these kinds by its marker (`<email-pii>` …)."""

    effect: ClassVar[Literal["drop", "redact"]] = "redact"
    source: ClassVar[str] = (
        "Apertus technical report (Swiss AI Initiative 2025): e-mail, IP and IBAN replaced by markers"
    )
    keeps: ClassVar[tuple[Verdict, ...]] = ({"pii": {"count": 0, "spans": []}},)
    drops: ClassVar[tuple[Verdict, ...]] = (
        {"pii": {"count": 1, "spans": [{"kind": "ip", "start": 3, "end": 10, "text": "8.8.8.8"}]}},
    )

    kinds: list[Kind] = Field(
        ["email", "ip", "iban", "phone", "card"], min_length=1, description="kinds of personal data"
    )

    def needs(self) -> list[str]:
        return ["pii"]

    def reasons(self, verdict: Verdict) -> list[Reason]:
        """The evidence is the place, never the datum."""
        return [
            Reason("pii", f"redact {span['kind']}", f"characters {span['start']} to {span['end']}")
            for span in verdict["pii"]["spans"] if span["kind"] in self.kinds
        ]  # fmt: skip
