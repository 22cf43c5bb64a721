"""Kinds of task. A new kind = one file here + one line in `KINDS`."""

from __future__ import annotations

import importlib
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, ClassVar

import numpy as np

from allmend.kinds import Field
from allmend.kinds.config import Member

KINDS = {"bits_per_byte": "BitsPerByte", "language_identification": "LanguageIdentification"}
"""Kind → its class in `kinds/<name>.py`."""


@dataclass
class Outcome:
    """What a task found.

    Attributes:
        rows: rows of `scores.parquet`, without the task's name.
        samples: what was asked and answered, one JSON object an item.
    """

    rows: list[dict[str, Any]] = field(default_factory=list)
    samples: list[dict[str, Any]] = field(default_factory=list)


class Kind(Member):
    """A task of one kind: where its items come from and how they are scored."""

    metric: ClassVar[str]
    """The main metric's name."""

    competency: str = Field("", description="what the task is a measure of; tasks of one competency are averaged")
    data: str = Field(description="name of the file with the items, one of the step's `data:`")

    def forward_tokens(self) -> int:
        """About how many tokens the model reads for it."""
        raise NotImplementedError

    def run(self, loaded: Any, file: Path, rng: np.random.Generator) -> Outcome:
        """Score a model (`allmend.model.Loaded`) on the items of a file."""
        raise NotImplementedError


def kind_class(name: str) -> type[Kind]:
    """The class of a kind."""
    found: type[Kind] = getattr(importlib.import_module(f"allmend.evaluate.kinds.{name}"), KINDS[name])
    return found
