"""What verbs print: results on stdout, made for programs with `--json`; progress and messages on stderr."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

from tests.flow.conftest import Project, project  # noqa: F401  (a fixture)

TOY = "recipes/toy.yaml"


@pytest.fixture
def made(project: Project) -> Project:  # noqa: F811
    project.run(TOY, "--only", "hosts")
    return project


def test_run_prints_one_last_line_of_json_and_all_else_on_stderr(project: Project) -> None:  # noqa: F811
    out = project.start("run", TOY, "--only", "documents", "--json")
    said, told = out.communicate(timeout=120)
    rows = json.loads(said)["steps"]
    assert said.count("\n") == 1 and "documents" in told
    assert list(rows) == ["crawl", "documents"]
    for row in rows.values():
        assert set(row) == {"digest", "kind", "path", "reused", "seconds"}
        assert Path(row["path"]).is_dir() and not row["reused"]


def test_run_without_json_leaves_stdout_empty_and_says_what_to_try_next(made: Project) -> None:
    assert made.allmend("run", TOY, "--only", "hosts") == ""
    assert "Try next: allmend verify toy/" in made.said
    assert "reused" in made.said


def test_plan_prints_what_it_would_build_and_cost(project: Project) -> None:  # noqa: F811
    planned = project.allmend("plan", TOY, "--json")
    assert set(planned) == {"steps", "parameters", "tokens", "flops", "memory_bytes", "disk_bytes", "seconds"}
    assert planned["tokens"] == 10 and planned["seconds"] == 1  # what the cost hook of toy.keep_clean says
    text = project.allmend("plan", TOY)
    assert [line.split()[2] for line in text.splitlines() if line.startswith("to build  ")] == [
        "crawl", "documents", "corpus", "hosts", "swarm",
    ]  # fmt: skip
    assert "depends on swarm" in text


def test_show_has_what_a_program_needs(made: Project) -> None:
    shown = made.allmend("show", "toy/documents", "--json")
    assert {"digest", "kind", "path", "inputs", "metrics"} <= set(shown)
    assert shown["metrics"] == {"documents": 180, "rejected": 0}
    assert shown["inputs"]["crawl"]["digest"] == made.allmend("show", "toy/crawl", "--json")["digest"]
    text = made.allmend("show", "toy/documents")
    assert shown["digest"] in text and "toy.split version 1" in text


def test_a_digest_prefix_and_a_path_name_the_same_artifact(made: Project) -> None:
    shown = made.allmend("show", "toy/corpus", "--json")
    assert made.allmend("show", shown["digest"][:10], "--json")["digest"] == shown["digest"]
    assert made.allmend("show", shown["path"], "--json")["digest"] == shown["digest"]


def test_steps_lists_steps_and_one_steps_settings(project: Project) -> None:  # noqa: F811
    listed = project.allmend("steps", "--json")
    assert listed["toy.split"] == {"kind": "Documents", "doc": "One document a line, cut by id.", "version": 1}
    text = project.allmend("steps", "toy.split")
    assert "crawl: Crawl" in text and "min_chars: default 1. shorter lines are rejected" in text
    assert "mixture: Mixture (may be left out)" in project.allmend("steps", "toy.train")
    described = project.allmend("steps", "toy.split", "--json")
    assert described["config"]["properties"]["min_chars"]["description"] == "shorter lines are rejected"


def test_the_ledgers_index_is_made_again(made: Project) -> None:
    (made.workspace / "index.sqlite").unlink(missing_ok=True)
    made.allmend("ledger", "index")
    assert (made.workspace / "index.sqlite").is_file()


def test_the_command_line_is_installed_as_allmend() -> None:
    command = Path(sys.executable).with_name("allmend")
    said = subprocess.run([str(command), "--help"], capture_output=True, text=True, check=True).stdout
    assert said.startswith("Usage: allmend [OPTIONS] COMMAND")
