"""Where steps come from: rooms register in the entry point group `allmend.rooms`, ours and third parties' alike."""

from __future__ import annotations

import functools
import importlib
from importlib.metadata import EntryPoint, entry_points

from allmend.kinds import Step
from allmend.kinds.errors import UsageError, nearest


@functools.cache
def rooms() -> dict[str, EntryPoint]:
    """Room name → where its face is, sorted by name."""
    return {each.name: each for each in sorted(entry_points(group="allmend.rooms"), key=lambda each: each.name)}


@functools.cache
def steps_of(room: str) -> dict[str, Step]:
    """The `STEPS` table on a room's face.

    Raises:
        UsageError: no such room, or its face can't be imported.
    """
    if room not in rooms():
        raise UsageError(f"there is no room `{room}`.{nearest(room, rooms())}")
    try:
        face = importlib.import_module(rooms()[room].value)
    except ImportError as error:
        raise UsageError(f"the room `{room}` ({rooms()[room].value}) can't be imported: {error}") from error
    table: dict[str, Step] = face.STEPS
    return table


def find_step(use: str) -> Step:
    """The step that a recipe names as `room.step`.

    Raises:
        UsageError: not known; names the nearest one.
    """
    room, dot, name = use.partition(".")
    if not dot:
        raise UsageError(f"`{use}` isn't a step: write `room.step`, for instance `data.extract`.")
    table = steps_of(room)
    if name not in table:
        raise UsageError(f"the room `{room}` has no step `{name}`.{nearest(use, [f'{room}.{each}' for each in table])}")
    return table[name]


def all_steps() -> dict[str, Step]:
    """Every step of every room that can be imported, as `room.step`, sorted."""
    return {f"{room}.{name}": step for room in rooms() for name, step in sorted(steps_of(room).items())}
