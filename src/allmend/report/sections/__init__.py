"""What a report shows of each kind of artifact. A new section = one file here, one template, one line in `SECTIONS`."""

from __future__ import annotations

import importlib
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Protocol, cast

from allmend.kinds import Artifact
from allmend.report.book import Book, Row

SECTIONS = {
    "data": "What was kept and why the rest was not",
    "languages": "Languages",
    "tokenizer": "Tokenizer",
    "mixture": "Mixture",
    "training": "Training",
    "scores": "Scores",
    "memorisation": "Memorisation",
    "index": "Tracing answers to documents",
}
"""Section → its heading, in the order of the page; `sections/<name>.py` and `templates/sections/<name>.html`."""


class Section(Protocol):
    """What the file of a section holds."""

    KIND: str
    """Kind of artifact that it shows."""

    def fits(self, artifact: Artifact) -> bool:
        """Is this one to show, among artifacts of the kind?"""
        ...

    def context(self, book: Book, artifact: Any) -> dict[str, Any]:
        """What the template is given. `headline`, if there is one, lists the numbers for the top of the page."""
        ...


@dataclass(frozen=True)
class Shown:
    """A section with the artifact that it shows."""

    name: str
    heading: str
    digest: str
    context: dict[str, Any]
    alone: bool
    """Does no other section of this page have its name?"""

    @property
    def id(self) -> str:
        """Its place in the page."""
        return self.name if self.alone else f"{self.name}-{self.digest[:8]}"

    @property
    def headline(self) -> list[Row]:
        found: list[Row] = self.context.get("headline", []) if self.alone else []
        return found


def load(name: str) -> Section:
    """The module of a section."""
    return cast(Section, importlib.import_module(f"allmend.report.sections.{name}"))


def shown(book: Book, artifacts: Sequence[Artifact]) -> list[Shown]:
    """Sections for all artifacts that have one, in the order of the page; one of equal artifacts."""
    found = []
    for name, heading in SECTIONS.items():
        section = load(name)
        fitting = {
            book.digest(each): each for each in artifacts if type(each).__name__ == section.KIND and section.fits(each)
        }
        for digest, artifact in fitting.items():
            found.append(Shown(name, heading, digest, section.context(book, artifact), len(fitting) == 1))
    return found
