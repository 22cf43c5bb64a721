"""Who may import whom: the last column of the README's map of rooms, and the contracts in pyproject.toml."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from tests.house.table import ROOT, SOURCE, imports, map_of_rooms, rooms_here

NO_TORCH = ("kinds", "ledger", "flow", "report", "govern", "cli")


def test_every_room_stands_in_the_map() -> None:
    assert set(rooms_here()) <= set(map_of_rooms())


@pytest.mark.parametrize("room", rooms_here())
def test_a_room_imports_only_what_the_map_allows(room: str) -> None:
    allowed = {room, *map_of_rooms()[room].may_import}
    wrong = [
        f"{path.relative_to(ROOT)}:{line} imports {name}"
        for path, line, name in _imports_of(room)
        if name.startswith("allmend.") and name.split(".")[1] not in {*allowed, "__version__"}
    ]
    assert not wrong


@pytest.mark.parametrize("room", rooms_here())
def test_a_room_is_imported_by_its_face(room: str) -> None:
    """Save `kinds`, whose files are the vocabulary (`kinds.errors`, `kinds.corpus`), too much for one face."""
    wrong = [
        f"{path.relative_to(ROOT)}:{line} imports {name}"
        for path, line, name in _imports_of(room)
        if name.startswith("allmend.") and name.count(".") > 1 and name.split(".")[1] not in (room, "kinds")
    ]
    assert not wrong


@pytest.mark.parametrize("room", [room for room in rooms_here() if room in NO_TORCH])
def test_the_waist_and_the_rooms_that_only_read_need_no_torch(room: str) -> None:
    wrong = [
        f"{path}:{line}" for path, line, name in _imports_of(room) if name.split(".")[0] in ("torch", "transformers")
    ]
    assert not wrong


@pytest.mark.parametrize("room", ["data", "mix", "train", "posttrain"])
def test_the_auditor_shares_no_code_with_whom_it_audits(room: str) -> None:
    rooms = map_of_rooms()
    assert room not in rooms["audit"].may_import
    assert "audit" not in rooms[room].may_import


def test_the_contracts_of_import_linter_hold() -> None:
    """They follow chains of imports, which the tests above don't."""
    command = [str(Path(sys.executable).with_name("lint-imports")), "--no-cache"]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True)
    assert done.returncode == 0, done.stdout + done.stderr


def _imports_of(room: str) -> list[tuple[Path, int, str]]:
    return [(path, line, name) for path in sorted((SOURCE / room).rglob("*.py")) for line, name in imports(path)]
