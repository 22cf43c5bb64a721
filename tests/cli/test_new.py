"""`allmend new`: what it wrote is run, as its user would run it."""

from __future__ import annotations

import os
import sys
from pathlib import Path

import pytest

from tests.flow.conftest import TOYS, Project, project  # noqa: F401  (a fixture)
from tests.house.test_docs import put_on_path, run_in

STEPS = ["toy.crawl", "toy.split", "toy.keep_clean", "toy.count", "toy.tiny", "toy.keep_clean"]


@pytest.fixture
def texts(project: Project) -> Project:  # noqa: F811
    """A project with files where a new recipe looks for them."""
    (project.root / "texts").rename(project.root / "input")
    return project


def test_a_new_recipe_wires_its_steps_and_runs(texts: Project) -> None:
    texts.allmend("new", "recipe", "first", *STEPS)
    rows = texts.run("recipes/first.yaml")
    assert list(rows) == ["crawl", "split", "keep_clean", "count", "tiny", "keep_clean2"]
    assert [row["kind"] for row in rows.values()] == ["Crawl", "Documents", "Corpus", "Findings", "Findings", "Corpus"]
    assert (
        rows["keep_clean2"]["digest"] == rows["keep_clean"]["digest"]
    )  # both read the documents, which come last before


def test_a_new_recipe_shows_every_setting_with_its_default(texts: Project) -> None:
    texts.allmend("new", "recipe", "first", *STEPS)
    text = (texts.root / "recipes" / "first.yaml").read_text()
    assert "    # min_chars: 1  # shorter lines are rejected\n" in text
    assert "parts:" not in text.partition("steps:")[2]  # a head value isn't a setting
    before = texts.digests("recipes/first.yaml")
    (texts.root / "recipes" / "first.yaml").write_text(text.replace("# min_chars", "min_chars"))
    assert texts.digests("recipes/first.yaml") == before


def test_what_must_be_filled_in_is_named_with_its_line(texts: Project) -> None:
    texts.allmend("new", "recipe", "lonely", "toy.split", "toy.secretive")
    texts.allmend("run", "recipes/lonely.yaml", expect=2)
    assert "recipes/lonely.yaml:9  steps.split.crawl" in texts.said


@pytest.mark.parametrize(
    ("arguments", "message"),
    [(["recipe", "toy"], "is there already"), (["recipe", "a/b"], "can't be a recipe's name"),
     (["recipe", "x", "toy.spilt"], "Did you mean `toy.split`?"), (["step", "Village.x"], "can't be a step's name"),
     (["step", "village"], "can't be a step's name"), (["step", "toy.more"], "that of allmend_toys"),
     (["step", "village.one", "village.two"], "takes one name"), (["room", "x"], "room")],
    ids=lambda value: " ".join(value) if isinstance(value, list) else "",
)  # fmt: skip
def test_what_cant_be_made_is_refused_and_writes_nothing(
    project: Project,  # noqa: F811
    arguments: list[str],
    message: str,
) -> None:
    before = sorted(project.root.rglob("*"))
    project.allmend("new", *arguments, expect=2)
    assert message in project.said
    assert sorted(project.root.rglob("*")) == before


def test_two_new_steps_pass_the_tests_that_came_with_them_and_run_in_a_recipe(texts: Project, tmp_path: Path) -> None:
    texts.allmend("new", "step", "village.long_ones")
    texts.allmend("new", "step", "village.again")
    room = texts.root / "rooms" / "village"
    put_on_path(room, tmp_path / "installed")
    tested = run_in(texts.root, [sys.executable, "-m", "pytest", "-q", "rooms/village"], tmp_path / "installed")
    assert tested.returncode == 0 and "2 passed" in tested.stdout, tested.stdout + tested.stderr
    installed = {"PYTHONPATH": f"{tmp_path / 'installed'}{os.pathsep}{TOYS}"}
    texts.allmend("new", "recipe", "first", "toy.crawl", "toy.split", "village.long_ones", "village.again", **installed)
    rows = texts.run("recipes/first.yaml", **installed)
    assert not rows["long_ones"]["reused"] and rows["again"]["kind"] == "Documents"
    shown = texts.allmend("show", "first/long_ones", "--json", **installed)
    assert shown["metrics"] == {"documents": 180, "rejected": 0}


def test_a_step_isnt_written_over(project: Project) -> None:  # noqa: F811
    project.allmend("new", "step", "village.long_ones")
    face = project.root / "rooms" / "village" / "allmend_village" / "__init__.py"
    before = face.read_text()
    project.allmend("new", "step", "village.long_ones", expect=2)
    assert "is there already" in project.said and face.read_text() == before
