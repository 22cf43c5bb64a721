"""Nobody with a say has refused the use of the page."""

from __future__ import annotations

from typing import ClassVar, Literal

from allmend.data.rule import Reason, Rule, Verdict
from allmend.kinds import Field

Signal = Literal["robots", "unreachable", "noai", "noimageai", "tdm", "content-usage", "rsl"]


class NoRefusal(Rule):
    """Drops documents that a listed signal refuses to a listed agent. A signal that names no agent has the agent `*`."""

    source: ClassVar[str] = (
        "The opt-out procedure of Apertus (Swiss AI Initiative 2025, Apertus technical report), its silent choices named"
    )
    keeps: ClassVar[tuple[Verdict, ...]] = (
        {"optout": {"refused": False, "signals": []}},
        {"optout": {"refused": True, "signals": [{"signal": "robots", "agent": "OtherBot", "rule": "Disallow: /", "evidence": "/", "source": "s"}]}},
    )  # fmt: skip
    drops: ClassVar[tuple[Verdict, ...]] = (
        {"optout": {"refused": True, "signals": [{"signal": "robots", "agent": "*", "rule": "Disallow: /", "evidence": "/", "source": "s"}]}},
    )  # fmt: skip

    agents: list[str] = Field(["*"], min_length=1, description="agents whose refusal counts; `*` is everybody's")
    signals: list[Signal] = Field(
        ["robots", "unreachable", "noai", "noimageai", "tdm", "content-usage", "rsl"],
        min_length=1,
        description="signals that count; `unreachable`: a robots.txt that answers 5xx closes the host",
    )

    def needs(self) -> list[str]:
        return ["optout"]

    def reasons(self, verdict: Verdict) -> list[Reason]:
        agents = {agent.lower() for agent in self.agents}
        return [
            Reason("optout", f"{signal['signal']} {signal['agent']}: {signal['rule']}", f"{signal['source']}: {signal['evidence']}")
            for signal in verdict["optout"]["signals"] if signal["signal"] in self.signals and signal["agent"].lower() in agents
        ]  # fmt: skip
