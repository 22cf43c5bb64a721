"""The map of rooms as the README prints it, and the imports of a file: what this folder's tests hold together."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

ROOT = Path(__file__).parents[2]
SOURCE = ROOT / "src" / "allmend"


class Room(NamedTuple):
    """One row of the table."""

    sentence: str
    may_import: frozenset[str]


def map_of_rooms() -> dict[str, Room]:
    """Room name → its row, in the README's order."""
    rows = re.findall(r"^\| `(\w+)` \| (.+) \| (.+) \|$", (ROOT / "README.md").read_text(), re.MULTILINE)
    names = [name for name, _, _ in rows]
    words = {"STEP": {"kinds", "ledger", "flow"}, "all": set(names)}
    rooms = {}
    for name, sentence, column in rows:
        allowed = [words.get(word, {word}) for word in re.findall(r"\w+", column)]
        rooms[name] = Room(sentence, frozenset().union(*allowed))
    return rooms


def rooms_here() -> list[str]:
    """Rooms that exist in this checkout, sorted."""
    return sorted(path.parent.name for path in SOURCE.glob("*/__init__.py"))


def imports(path: Path) -> Iterator[tuple[int, str]]:
    """(line, dotted name) of what a file imports, at its top or in functions; `from a.b import c` gives `a.b`."""
    for node in ast.walk(ast.parse(path.read_text(), str(path))):
        if isinstance(node, ast.Import):
            yield from ((node.lineno, alias.name) for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            assert not node.level, f"{path}:{node.lineno}: a relative import"
            if node.module == "allmend":
                yield from ((node.lineno, f"allmend.{alias.name}") for alias in node.names)
            else:
                yield node.lineno, node.module or ""
