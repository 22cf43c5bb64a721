"""Learning-rate schedules: what share of the peak each step gets. One file a member, one line in the table."""

from __future__ import annotations

import importlib
from typing import Annotated, Any

from pydantic import BeforeValidator, SerializeAsAny, WithJsonSchema

from allmend.kinds import Config
from allmend.kinds.errors import nearest

SCHEDULES = {
    "cosine": "Cosine",
    "wsd": "Wsd",
}
"""Name → class in `schedules/<name>.py`; loaded by name."""


def schedule_class(name: str) -> type[Config]:
    """The class of a schedule.

    Raises:
        ValueError: not known; names the nearest.
    """
    if name not in SCHEDULES:
        raise ValueError(f"the schedule `{name}` is not known.{nearest(name, SCHEDULES)}")
    found: type[Config] = getattr(importlib.import_module(f"{__name__}.{name}"), SCHEDULES[name])
    return found


def _read(value: Any) -> Any:
    if isinstance(value, str):
        value = {"use": value}
    if isinstance(value, dict) and isinstance(value.get("use"), str):
        settings = {key: each for key, each in value.items() if key != "use"}
        return schedule_class(value["use"]).model_validate(settings)
    if not isinstance(value, Config):
        raise ValueError("a schedule is its name (`wsd`), or {use: name, …settings}")
    return value


Schedule = Annotated[
    SerializeAsAny[Config],
    BeforeValidator(_read),
    WithJsonSchema({
        "anyOf": [
            {"enum": sorted(SCHEDULES)},
            {"type": "object", "properties": {"use": {"enum": sorted(SCHEDULES)}}, "required": ["use"]},
        ]
    }),
]  # fmt: skip
"""A schedule in a recipe: `wsd`, or `{use: wsd, cooldown_share: 0.2}`."""
