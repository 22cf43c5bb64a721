"""The family of annotators: one file a member, one line here. Members are loaded when they are asked for."""

from __future__ import annotations

import importlib

from allmend.data.annotator import Annotator
from allmend.kinds.errors import UsageError, nearest

ANNOTATORS = {
    "language": "Language",
    "licence": "Licence",
    "optout": "Optout",
    "pii": "Pii",
    "quality": "Quality",
    "toxicity": "Toxicity",
}


def annotator(name: str) -> Annotator:
    """The annotator of this name, with its default settings.

    Raises:
        UsageError: there is none; names the nearest.
    """
    if name not in ANNOTATORS:
        raise UsageError(
            f"annotator `{name}` is not known.{nearest(name, ANNOTATORS)} To add one: docs/add-an-annotator.md."
        )
    return getattr(importlib.import_module(f"{__name__}.{name}"), ANNOTATORS[name])()
