"""Documentation is held to the code: generated pages are fresh, all is described, links lead on, snippets run."""

from __future__ import annotations

import importlib.util
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

from allmend.cli.main import ROOM_VERBS, VERBS
from tests.house.table import ROOT

PAGES = [ROOT / "README.md", *sorted((ROOT / "docs").rglob("*.md"))]
HAND_WRITTEN = [page for page in PAGES if page.parent.name != "reference"]
LARGEST_TOP = 10


def _generate() -> ModuleType:
    spec = importlib.util.spec_from_file_location("generate", ROOT / "docs" / "generate.py")
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


generate: Any = _generate()


@pytest.mark.parametrize("page", ["cli", "steps", "errors"])
def test_a_generated_page_is_up_to_date(page: str) -> None:
    assert (ROOT / "docs" / "reference" / f"{page}.md").read_text() == getattr(generate, f"{page}_page")(), "make docs"


def test_every_option_of_every_verb_is_explained() -> None:
    silent = [
        f"{typed} {parameter.name}" for typed, command, _ in generate.commands() for parameter in command.params
        if not getattr(parameter, "help", None)
    ]  # fmt: skip
    assert not silent


def test_every_setting_of_every_config_is_described() -> None:
    silent = [
        f"{cls.__module__}.{cls.__qualname__}.{name}"
        for cls in generate.all_configs()
        for name, field in cls.model_fields.items()
        if not field.description and name not in generate.heads(cls)
    ]
    assert not silent


def test_every_step_says_what_it_does() -> None:
    assert not [use for use, step in generate.our_steps().items() if not step.doc]


def test_every_error_is_explained_in_its_own_words() -> None:
    texts = [cls.__doc__ for _, cls in generate.all_errors()]
    assert all(texts) and len(set(texts)) == len(texts)


def test_there_are_at_most_ten_pages_at_the_top() -> None:
    assert len(list((ROOT / "docs").glob("*.md"))) <= LARGEST_TOP


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_links_lead_somewhere(page: Path) -> None:
    for target in re.findall(r"\]\((?!https?:)([^)\s]+)\)", page.read_text()):
        name, _, anchor = target.partition("#")
        linked = (page.parent / name).resolve() if name else page
        assert linked.exists(), target
        if anchor:
            assert anchor in {_anchor(line) for line in re.findall(r"^#+ (.+)$", linked.read_text(), re.M)}, target


def _anchor(heading: str) -> str:
    return re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-")


@pytest.mark.parametrize("page", HAND_WRITTEN, ids=lambda page: page.name)
def test_a_page_names_only_commands_and_targets_that_exist(page: Path) -> None:
    text = page.read_text()
    verbs = {*VERBS, *ROOM_VERBS}
    assert set(re.findall(r"^(?:allmend|`allmend) (\w+)", text, re.M)) <= verbs
    assert set(re.findall(r"`allmend (\w+)", text)) <= verbs
    targets = set(re.findall(r"^([a-z-]+):", (ROOT / "Makefile").read_text(), re.M))
    assert set(re.findall(r"^make ([a-z-]+)", text, re.M)) <= targets


def test_every_dependency_is_documented() -> None:
    text = (ROOT / "docs" / "dependencies.md").read_text()
    requirements = re.findall(r'"([A-Za-z][\w-]*)(?:\[[\w,]+\])?[^"]*"', _tables_of_requirements())
    assert len(requirements) > 30
    assert not [name for name in requirements if name != "allmend" and not re.search(rf"\b{re.escape(name)}\b", text)]


def _tables_of_requirements() -> str:
    project = (ROOT / "pyproject.toml").read_text()
    return project.partition("dependencies = [")[2].partition("[project.scripts]")[0]


RUNNABLE = [page for page in HAND_WRITTEN if re.search(r"^```(?:sh|python) run$", page.read_text(), re.M)]


@pytest.mark.parametrize("page", RUNNABLE, ids=lambda page: page.name)
def test_the_snippets_of_a_page_run_in_order(page: Path, tmp_path: Path) -> None:
    """Blocks marked `run`. For one marked `install`, a pip command, the room is put on the path instead."""
    project = tmp_path / "project"
    project.mkdir()
    (project / "allmend.toml").touch()
    for word, code in re.findall(r"^```(?:sh|python) (run|install)\n(.*?)^```$", page.read_text(), re.M | re.S):
        if word == "install":
            put_on_path(project / code.split()[-1], tmp_path / "installed")
            continue
        done = run_in(project, ["bash", "-euc", code], tmp_path / "installed")
        assert done.returncode == 0, f"{code}\n{done.stdout}\n{done.stderr}"


def put_on_path(room: Path, target: Path) -> None:
    """Install a room's package as `pip install` does, but into a folder, offline, and without what it depends on."""
    command = [sys.executable, "-m", "pip", "install", "--quiet", "--no-deps", "--no-build-isolation", "--no-index"]
    copy = target.parent / "build" / room.name  # a build may write beside the source
    shutil.copytree(room, copy, dirs_exist_ok=True)
    subprocess.run([*command, "--target", str(target), str(copy)], check=True, capture_output=True, text=True)


def run_in(project: Path, command: list[str], installed: Path) -> subprocess.CompletedProcess[str]:
    """A command as typed in a project's folder, with our virtual environment on the path."""
    environment = {
        **os.environ,
        "PATH": f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}",
        "PYTHONPATH": str(installed),
    }
    return subprocess.run(command, cwd=project, env=environment, capture_output=True, text=True, timeout=120)
