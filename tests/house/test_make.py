"""The Makefile and .ci/run: nothing is installed twice, and what fails is shown."""

from __future__ import annotations

import os
import shutil
import subprocess
from pathlib import Path

import pytest

from tests.house.table import ROOT

STAMPS = [".made", ".build", ".torch", ".demo", ".dev"]


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A folder in which everything seems to be installed."""
    for name in ("Makefile", "constraints.txt", "pyproject.toml"):
        shutil.copy(ROOT / name, tmp_path)
        os.utime(tmp_path / name, (0, 0))
    (tmp_path / ".venv" / "bin").mkdir(parents=True)
    for order, stamp in enumerate(STAMPS, 1):
        (tmp_path / ".venv" / stamp).touch()
        os.utime(tmp_path / ".venv" / stamp, (order, order))
    return tmp_path


def make(folder: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    environment = {name: value for name, value in os.environ.items() if not name.startswith(("MAKE", "MFLAGS"))}
    return subprocess.run(["make", *arguments], cwd=folder, env=environment, capture_output=True, text=True)


def test_a_second_demo_installs_nothing(folder: Path) -> None:
    assert make(folder, "--dry-run", "demo").stdout == ".venv/bin/allmend run recipes/commons-demo.yaml\n"


def test_a_second_test_installs_nothing(folder: Path) -> None:
    assert "pip" not in make(folder, "--dry-run", "test", "WORKERS=2").stdout


@pytest.mark.parametrize(("changed", "stages"), [("constraints.txt", 3), ("pyproject.toml", 1)])
def test_another_lock_or_other_extras_install_what_depends_on_them(folder: Path, changed: str, stages: int) -> None:
    (folder / changed).touch()
    assert make(folder, "--dry-run", "demo").stdout.count("-m pip install") == stages


def test_torch_is_installed_before_what_depends_on_it_and_exactly(folder: Path) -> None:
    (folder / "constraints.txt").touch()
    lines = [line for line in make(folder, "--dry-run", "test").stdout.splitlines() if "-m pip install" in line]
    assert [line.split("constraints.txt ")[1].split(";")[0].rstrip() for line in lines] == [
        "hatchling editables", "torch==2.13.0", "--no-build-isolation --editable '.[demo]'",
        "--no-build-isolation --editable '.[demo,s3,dev]'",
    ]  # fmt: skip


def test_a_stage_that_fails_shows_what_pip_said_and_is_tried_again(folder: Path) -> None:
    python = folder / ".venv" / "bin" / "python"
    python.write_text("#!/bin/sh\necho no such package\nexit 1\n")
    python.chmod(0o755)
    (folder / "pyproject.toml").touch()
    for _ in range(2):
        done = make(folder, "demo")
        assert done.returncode == 2 and "no such package" in done.stderr
        assert "Install Allmend and what the demo uses" in done.stdout and "failed" in done.stdout


def test_a_missing_python_is_named_with_the_cure(folder: Path) -> None:
    (folder / ".venv" / ".made").unlink()
    done = make(folder, "demo", "PYTHON=python0.9")
    assert done.returncode == 2 and "There is no python0.9. Install Python 3.11" in done.stderr


def test_help_names_every_target(folder: Path) -> None:
    phony = next(line for line in (ROOT / "Makefile").read_text().splitlines() if line.startswith(".PHONY:"))
    said = make(folder, "help").stdout
    assert [target for target in phony.split()[1:] if f"make {target} " not in said] == []


def test_both_run_offline_from_model_hubs() -> None:
    assert "export HF_HUB_OFFLINE := 1\n" in (ROOT / "Makefile").read_text()


def test_ci_ends_with_the_tests_and_demands_that_none_is_skipped() -> None:
    script = ROOT / ".ci" / "run"
    text = script.read_text()
    assert os.access(script, os.X_OK) and text.startswith("#!/usr/bin/env bash\n")
    assert "set -euo pipefail\n" in text and "export CI=true" in text
    assert text.splitlines()[-1] == "make test"
    subprocess.run(["bash", "-n", str(script)], check=True)
