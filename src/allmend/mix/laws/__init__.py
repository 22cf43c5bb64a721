"""Mixture laws: from tokens of each domain to its share. A new law = one file here + one line in `LAWS`."""

from __future__ import annotations

import importlib
from typing import Any

from allmend.kinds.errors import UsageError, nearest

LAWS = {"natural": "Natural", "temperature": "Temperature"}
"""Law → its class in `laws/<name>.py`."""


def law(name: str) -> Any:
    """The class of a law; `UsageError` names the nearest."""
    if name not in LAWS:
        raise UsageError(f"there is no mixture law `{name}`.{nearest(name, LAWS)}")
    return getattr(importlib.import_module(f"allmend.mix.laws.{name}"), LAWS[name])
