"""Of the copies of a text one is kept."""

from __future__ import annotations

from typing import ClassVar, Literal

from allmend.data.rule import Reason, Rule, Verdict
from allmend.kinds import Field


class OneCopy(Rule):
    """Of each cluster of copies keeps one among those that no other rule drops: the first by `prefer`, then the
    smallest id.

    `decide` makes the choice over all parts and puts its outcome into the verdict as `duplicates.kept`.
    """

    source: ClassVar[str] = (
        "Penedo et al. 2024, FineWeb (arXiv 2406.17557), section 3.4: one random copy is kept; here the choice is named"
    )
    keeps: ClassVar[tuple[Verdict, ...]] = (
        {"id": "a", "duplicates": {"size": 1, "kept": None}},
        {"id": "a", "duplicates": {"size": 2, "kept": "a"}},
    )
    drops: ClassVar[tuple[Verdict, ...]] = ({"id": "b", "duplicates": {"size": 2, "kept": "a", "jaccard": 1.0}},)

    prefer: list[Literal["newest", "longest"]] = Field(["newest", "longest"], description="order of preference")

    def needs(self) -> list[str]:
        return ["duplicates"]

    def reasons(self, verdict: Verdict) -> list[Reason]:
        copies = verdict["duplicates"]
        if copies["kept"] is None or copies["kept"] == verdict["id"]:
            return []
        return [
            Reason(
                "duplicate",
                f"one of {copies['size']} copies",
                f"{copies['kept']} is kept; Jaccard {copies['jaccard']:g}",
            )
        ]
