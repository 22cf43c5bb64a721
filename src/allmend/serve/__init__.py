"""Gateway, partners, routing, usage journal, chat page, local engine."""

from __future__ import annotations

import importlib
from typing import Any

_HEAVY = {
    "Engine": "engine",
    "Served": "served",
    "Sources": "sources",
    "app_of": "app",
    "open_model": "served",
    "run_server": "server",
}
"""Name → the file it comes from, imported when it is first asked for: torch takes 3 s."""

__all__ = ["Engine", "Served", "Sources", "app_of", "open_model", "run_server"]


def __getattr__(name: str) -> Any:
    if name not in _HEAVY:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(importlib.import_module(f"{__name__}.{_HEAVY[name]}"), name)
