"""Faces, sizes and words: what every file and every room's face must keep to."""

from __future__ import annotations

import importlib
import re
import types
from pathlib import Path

import pytest

from tests.house.table import ROOT, SOURCE, map_of_rooms, rooms_here

LARGEST_FACE = 20
LARGER = ("kinds", "ledger", "flow")  # the waist: all other rooms, the command line and their tests reach through it
LARGEST_FILE = 600
PYTHON_FILES = sorted(
    path for folder in ("src", "tests", "docs", "bench", "examples") for path in (ROOT / folder).rglob("*.py")
)


@pytest.mark.parametrize("room", rooms_here())
def test_a_face_opens_with_the_sentence_of_the_map(room: str) -> None:
    said = importlib.import_module(f"allmend.{room}").__doc__ or ""
    assert " ".join(said.split()) == f"{map_of_rooms()[room].sentence}."


@pytest.mark.parametrize("room", [room for room in rooms_here() if room != "cli"])
def test_a_face_lists_what_it_offers(room: str) -> None:
    face = importlib.import_module(f"allmend.{room}")
    offered = {
        name
        for name, value in vars(face).items()
        if not name.startswith("_")
        and not isinstance(value, types.ModuleType)
        and str(getattr(value, "__module__", "")).startswith(f"allmend.{room}.")
    }
    hooks = {
        hook
        for step in getattr(face, "STEPS", {}).values()
        for hook in (step.function, step.cost, step.shrink, step.touches)
    }
    offered = {name for name in offered if vars(face)[name] not in hooks}  # in the table, by which they are found
    listed = getattr(face, "__all__", [])
    assert sorted(set(listed)) == sorted(listed)
    assert offered <= set(listed)
    assert not [name for name in listed if not hasattr(face, name)]


@pytest.mark.parametrize("room", [room for room in rooms_here() if room not in LARGER])
def test_a_face_is_small(room: str) -> None:
    assert len(getattr(importlib.import_module(f"allmend.{room}"), "__all__", [])) <= LARGEST_FACE


def test_no_file_is_longer_than_six_hundred_lines() -> None:
    sizes = {path.relative_to(ROOT): len(path.read_text().splitlines()) for path in PYTHON_FILES}
    assert not {path: size for path, size in sizes.items() if size > LARGEST_FILE}


def test_every_file_of_the_source_says_what_it_is() -> None:
    silent = [path for path in SOURCE.rglob("*.py") if not re.match(r'("""|#!)', path.read_text())]
    assert not silent


def test_only_model_device_names_one_makers_accelerator() -> None:
    found = [path for path in SOURCE.rglob("*.py") if "cuda" in path.read_text().lower()]
    assert [path for path in found if path != SOURCE / "model" / "device.py"] == []


def test_no_folder_of_somebodys_machine_is_written_down() -> None:
    written = re.compile(r"(?<![\w.])/(work|root|home)/\w")
    places = [*SOURCE.rglob("*"), *(ROOT / "docs").rglob("*"), *(ROOT / "recipes").rglob("*"), ROOT / "README.md"]
    texts = [
        path for path in places if path.is_file() and path.suffix in (".py", ".md", ".yaml", ".html", ".css", ".js")
    ]
    assert not [path for path in texts if written.search(path.read_text())]


def _folder_names() -> set[str]:
    return {path.name for path in SOURCE.rglob("*.py")}


def test_there_is_no_drawer_for_odds_and_ends() -> None:
    assert not {"utils.py", "util.py", "helpers.py", "common.py", "misc.py"} & _folder_names()


def test_tests_stand_in_the_folder_of_their_room() -> None:
    known = {*map_of_rooms(), "house", "examples", "recipes", "system", "toys", "bench"}
    folders = {path.parent.name for path in Path(ROOT / "tests").glob("*/__init__.py")}
    assert folders <= known, folders - known
