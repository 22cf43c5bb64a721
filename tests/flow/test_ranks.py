"""Steps on several ranks under torchrun: one result, and one rank's trouble ends all within two seconds."""

from __future__ import annotations

import os
import signal
import time
from pathlib import Path

import pytest

from tests.flow.conftest import Project, wait_for

pytest.importorskip("torch", reason="torch")
pytestmark = pytest.mark.system
END_ALL_S = 2.0


def _recipe(project: Project, trouble: str = "") -> str:
    return project.recipe(f"recipe: many\nsteps:\n  model: {{use: toy.ranks, trouble: '{trouble}'}}\n")


def _ranks(project: Project) -> list[int]:
    """Processes of ranks and of torchrun."""
    commands = {pid: _command(pid) for pid in project.processes()}
    return [pid for pid, command in commands.items() if "allmend.flow.rank" in command]


def _command(pid: int) -> str:
    try:
        return Path(f"/proc/{pid}/cmdline").read_text().replace("\0", " ")
    except OSError:
        return ""


def test_two_ranks_make_one_artifact_and_rank_zero_commits(project: Project) -> None:
    row = project.run(_recipe(project), "--ranks", "2")["model"]
    assert '"total":30' in (Path(row["path"]) / "summary.json").read_text()
    project.wait_for_no_process()


@pytest.mark.parametrize(("trouble", "expected"), [
    ("killed", "rank 1 of 2"), ("stopped", "was stopped by a signal"), ("failing", "rank 1 of 2 failed: ValueError"),
])  # fmt: skip
def test_one_rank_in_trouble_ends_all_within_two_seconds_and_is_named(
    project: Project, trouble: str, expected: str
) -> None:
    moment = project.root / "moment"
    process = project.start("run", _recipe(project, trouble), "--ranks", "2", TOY_TROUBLE=str(moment))
    wait_for(moment, lambda path: float(path.read_text()) > 0)
    while _ranks(project):
        time.sleep(0.01)
    seconds = time.monotonic() - float(moment.read_text())
    _, said = process.communicate(timeout=60)
    print(f"{trouble}: all ranks were gone after {seconds:.2f} s")
    assert process.returncode == 3 and expected in said and "Traceback" not in said, said
    busy = os.getloadavg()[0] / (os.cpu_count() or 1)
    assert seconds < END_ALL_S * max(1.0, busy)
    project.wait_for_no_process()
    assert project.run(_recipe(project), "--ranks", "2")


@pytest.mark.parametrize("trouble", ["stopped", "asleep"])
def test_a_killed_run_leaves_no_rank_behind(project: Project, trouble: str) -> None:
    moment = project.root / "moment"
    process = project.start("run", _recipe(project, trouble), "--ranks", "2", TOY_TROUBLE=str(moment))
    wait_for(moment, lambda path: float(path.read_text()) > 0)
    process.kill()
    process.wait()
    project.wait_for_no_process(timeout_s=20)


def test_a_killed_step_process_leaves_no_rank_behind(project: Project) -> None:
    moment = project.root / "moment"
    process = project.start("run", _recipe(project, "asleep"), "--ranks", "2", TOY_TROUBLE=str(moment))
    wait_for(moment, lambda path: float(path.read_text()) > 0)
    for pid in project.processes():
        if "allmend.flow.child" in _command(pid):
            os.kill(pid, signal.SIGKILL)
    _, said = process.communicate(timeout=60)
    assert process.returncode == 3 and "SIGKILL" in said
    project.wait_for_no_process(timeout_s=20)


def test_ctrl_c_reaches_every_rank(project: Project) -> None:
    moment = project.root / "moment"
    recipe = _recipe(project, "waiting")
    process = project.start("run", recipe, "--ranks", "2", TOY_TROUBLE=str(moment))
    wait_for(moment, lambda path: float(path.read_text()) > 0)
    process.send_signal(signal.SIGINT)
    _, said = process.communicate(timeout=60)
    assert process.returncode == 130 and f"allmend run {recipe}" in said
    project.wait_for_no_process(timeout_s=20)
