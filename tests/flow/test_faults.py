"""kill -9, Ctrl-C, a standing holder, two runs at once, a full disk, flipped bytes: nothing half-written or done twice."""

from __future__ import annotations

import contextlib
import os
import random
import shutil
import signal
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from allmend.ledger import Ledger, repair, resolve, verify
from allmend.ledger.lease import STALE_S
from tests.flow.conftest import RECIPE, Project, wait_for

TOY = "recipes/toy.yaml"
SLOW = "recipe: slow\nsteps:\n  a: {foreach: {number: [1, 2, 3]}, use: toy.slow, number: each.number}\n"
ONE = "recipe: one\nsteps:\n  a: {use: toy.slow}\n"
LONG = "recipe: long\nsteps:\n  model: {use: toy.train, steps: 30}\n"


@pytest.mark.parametrize("seed", range(6))
def test_killed_at_any_moment_the_next_run_gives_the_same_bytes(project: Project, tmp_path: Path, seed: int) -> None:
    whole = project.digests(TOY, "--workspace", str(tmp_path / "whole"))
    pause = random.Random(seed).uniform(0.2, 2.5)
    print(f"seed {seed}: killed after {pause:.2f} s")
    process = project.start("run", TOY, "--workers", "2", TOY_PAUSE_S="0.1")
    time.sleep(pause)
    for pid in [process.pid] if seed % 2 else project.processes():  # the parent alone, or all at once
        with contextlib.suppress(ProcessLookupError):
            os.kill(pid, signal.SIGKILL)
    again = project.digests(TOY)  # starts at once, while orphans may still live
    assert again == whole
    project.wait_for_no_process()
    assert not [path for path in (project.workspace / "objects").glob("*/*") if not (path / "manifest.json").is_file()]


def test_a_killed_step_process_is_named_and_the_next_run_goes_on(project: Project) -> None:
    recipe = project.recipe("recipe: kill\nsteps:\n  a: {use: toy.slow, fail: kill}\n")
    project.allmend("run", recipe, expect=3)
    assert "SIGKILL" in project.said and "kill/a" in project.said
    project.wait_for_no_process()


def test_finished_parts_are_not_done_again(project: Project) -> None:
    process = project.start("run", TOY, "--workers", "1", TOY_PAUSE_S="0.4")
    parts = project.workspace / "parts"
    until = time.monotonic() + 20
    while len(list(parts.glob("*.json")) if parts.is_dir() else []) < 2 and time.monotonic() < until:
        time.sleep(0.02)
    process.kill()
    process.wait()
    project.wait_for_no_process()
    before = {path: path.stat().st_mtime_ns for path in parts.glob("*.json")}
    project.run(TOY)
    assert len(before) >= 2 and all(path.stat().st_mtime_ns == changed for path, changed in before.items())


def test_a_checkpoint_survives_the_kill_of_its_step(project: Project) -> None:
    recipe = project.recipe(LONG)
    process = project.start("run", recipe, TOY_STEP_PAUSE_S="0.2")
    wait_for(project.workspace / "state" / "*" / "step", lambda path: int(path.read_text()) >= 5)
    process.kill()
    process.wait()
    project.wait_for_no_process()
    steps = project.run(recipe)
    log = (Path(steps["model"]["path"]) / "_run" / "log.txt").read_text()
    assert "step 0\n" not in log and "step 29" in log


def test_ctrl_c_ends_with_130_and_the_command_to_go_on(project: Project) -> None:
    recipe = project.recipe(LONG)
    process = project.start("run", recipe, TOY_STEP_PAUSE_S="0.5")
    wait_for(project.workspace / "state" / "*" / "step")
    process.send_signal(signal.SIGINT)
    _, said = process.communicate(timeout=60)
    assert process.returncode == 130 and f"allmend run {recipe}" in said
    project.wait_for_no_process()
    log = (Path(project.run(recipe)["model"]["path"]) / "_run" / "log.txt").read_text()
    assert "step 0\n" not in log


def test_a_failing_step_lets_the_others_finish_and_says_why(project: Project) -> None:
    recipe = project.recipe(
        "recipe: fail\nsteps:\n  a: {use: toy.slow, fail: error}\n  b: {use: toy.train, steps: 3}\n"
    )
    project.allmend("run", recipe, "--workers", "2", expect=3, TOY_STEP_PAUSE_S="0.3")
    assert "fail/a (toy.slow): this step was told to fail" in project.said and "Traceback" not in project.said
    assert project.run(recipe, "--only", "b")["b"]["reused"]


def test_a_bug_shows_its_place_and_a_traceback_only_with_debug(project: Project) -> None:
    recipe = project.recipe("recipe: bug\nsteps:\n  a: {use: toy.slow, fail: bug}\n")
    project.allmend("run", recipe, expect=3)
    assert "RuntimeError at steps.py:" in project.said and "Traceback" not in project.said
    project.allmend("--debug", "run", recipe, expect=3)
    assert "Traceback" in project.said


def test_two_runs_at_once_build_each_step_once(project: Project) -> None:
    project.recipe(SLOW)
    gate = project.root / "gate"
    runs = [project.start("run", "recipes/slow.yaml", "--workers", "2", TOY_GATE=str(gate)) for _ in range(2)]
    wait_for(project.workspace / "state" / "*" / "began")
    time.sleep(1)  # let both meet; the outcome doesn't depend on it
    gate.touch()
    said = [process.communicate(timeout=60)[1] for process in runs]
    assert [process.returncode for process in runs] == [0, 0], said
    assert sum(err.count(": made ") for err in said) == 3, said
    assert len(list(project.workspace.glob("objects/*/*"))) == 3 and not project.stray()


def test_a_stopped_holder_is_taken_over_and_on_waking_commits_nothing(project: Project) -> None:
    recipe, gate = project.recipe(ONE), project.root / "gate"
    first = project.start("run", recipe, "--json", TOY_QUICK_LEASES="1", TOY_GATE=str(gate))
    wait_for(project.workspace / "state" / "*" / "began")
    stopped = project.processes()
    for pid in stopped:
        os.kill(pid, signal.SIGSTOP)
    second = project.run(recipe, TOY_QUICK_LEASES="1")
    assert not second["a"]["reused"]
    gate.touch()
    for pid in stopped:
        os.kill(pid, signal.SIGCONT)
    out, said = first.communicate(timeout=60)
    assert first.returncode == 0 and "took over" in said and '"reused": true' in out, (out, said)
    assert len(list(project.workspace.glob("objects/*/*"))) == 1
    assert len(list(project.workspace.glob("names/one/a.name/*"))) == 1
    project.wait_for_no_process()


def test_leases_of_a_killed_run_hold_nobody_up(project: Project) -> None:
    recipe = project.recipe(ONE)
    process = project.start("run", recipe, TOY_GATE=str(project.root / "gate"))
    wait_for(project.workspace / "state" / "*" / "began")
    process.kill()
    process.wait()
    started = time.monotonic()
    project.run(recipe)
    assert time.monotonic() - started < STALE_S - 5  # it didn't wait for the lease to grow stale


def test_leases_left_by_a_run_whose_step_was_committed_are_no_hindrance(project: Project) -> None:
    row = project.run(project.recipe(ONE))["a"]
    key = Path(row["path"]).parent.name
    (project.workspace / "leases" / f"{key}.1").write_text('{"token": "x"}')
    assert project.run("recipes/one.yaml")["a"]["reused"]


def test_an_input_rewritten_while_it_is_read_commits_nothing(project: Project) -> None:
    (project.root / "data.txt").write_text("one")
    gate = project.root / "gate"
    recipe = project.recipe("recipe: file\nsteps:\n  a: {use: toy.slow, file: [data.txt]}\n")
    process = project.start("run", recipe, TOY_GATE=str(gate))
    wait_for(project.workspace / "state" / "*" / "began")
    (project.root / "data.txt").write_text("two")
    gate.touch()
    _, said = process.communicate(timeout=60)
    assert process.returncode == 3 and "data.txt changed while this step read it" in said
    assert not list((project.workspace / "objects").iterdir())


def test_same_size_and_kept_mtime_is_noticed(project: Project) -> None:
    before = project.digests(TOY)
    path = project.root / "texts" / "t1.txt"
    status, text = path.stat(), path.read_text()
    path.write_text(text.replace("fine", "good"))
    os.utime(path, ns=(status.st_atime_ns, status.st_mtime_ns))
    assert path.stat().st_size == status.st_size and project.digests(TOY)["crawl"] != before["crawl"]


def test_a_changed_policy_that_changes_no_byte_keeps_its_child_sound(project: Project) -> None:
    project.run(TOY)
    project.recipe(RECIPE.replace("lr: 0.5", "lr: 0.5, colour: red"))
    after = project.run(TOY)
    assert not after["proxies/0000"]["reused"] and after["scores/0000"]["reused"]


def test_a_flipped_byte_is_not_linked_again(project: Project) -> None:
    steps = project.run(TOY)
    documents = Path(steps["documents"]["path"])
    stored = next(path for path in documents.rglob("*.parquet") if path.parent.name == "documents")
    _flip(stored)
    for folder in (documents.parent, Path(steps["corpus"]["path"]).parent):
        shutil.rmtree(folder)
    shutil.rmtree(project.workspace / "parts")
    (project.workspace / "parts").mkdir()
    again = project.run(TOY)
    assert {name: row["digest"] for name, row in again.items()} == {name: row["digest"] for name, row in steps.items()}
    assert list((project.workspace / "damaged").iterdir())


def test_a_flipped_byte_in_any_step_is_named_set_aside_and_made_again(project: Project) -> None:
    steps = project.run(TOY)
    ledger = Ledger(project.workspace)
    for name in steps:
        stored = resolve(ledger, f"toy/{name}").stored
        path = stored.folder / stored.manifest.files[-1].path
        _flip(path)
        problems = [each for each in verify(ledger, stored) if each.severity == "failed"]
        assert any(str(path) in each.message for each in problems), name
        repair(ledger, [each for every in steps for each in verify(ledger, Path(steps[every]["path"]))])
        again = project.run(TOY)
        assert {each: row["digest"] for each, row in again.items()} == {
            each: row["digest"] for each, row in steps.items()
        }
        assert not [each for each in verify(ledger, resolve(ledger, "toy/best").stored) if each.severity == "failed"]


@pytest.mark.parametrize("damage", ["", "{", "[]", '{"format": 1}', "flip"])
def test_a_damaged_manifest_is_made_again_after_repair(project: Project, damage: str) -> None:
    row = project.run(project.recipe(ONE))["a"]
    path = Path(row["path"]) / "manifest.json"
    path.chmod(0o644)
    data = path.read_bytes()
    path.write_bytes(data.replace(b"toy.slow", b"toy.slov") if damage == "flip" else damage.encode())
    ledger = Ledger(project.workspace)
    repair(ledger, verify(ledger, Path(row["path"])))
    assert project.run("recipes/one.yaml")["a"]["digest"] == row["digest"]
    assert not [each for each in verify(ledger, Path(row["path"])) if each.severity == "failed"]


def test_a_part_record_whose_file_is_gone_is_made_again(project: Project) -> None:
    steps = project.run(TOY)
    for path in Path(steps["corpus"]["path"]).glob("corpus/*.parquet"):
        sha256 = next(
            e.sha256
            for e in resolve(Ledger(project.workspace), "toy/corpus").stored.manifest.files
            if e.path == f"corpus/{path.name}"
        )
        (project.workspace / "files" / sha256).unlink()
    shutil.rmtree(Path(steps["corpus"]["path"]).parent)
    assert project.digests(TOY) == {name: row["digest"] for name, row in steps.items()}


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    folder = tmp_path / "small"
    folder.mkdir()
    done = subprocess.run(
        ["mount", "-t", "tmpfs", "-o", "size=2m", "tmpfs", str(folder)], capture_output=True, text=True
    )
    if done.returncode:
        pytest.skip(f"mount (needs root): {done.stderr.strip()}")
    yield folder
    subprocess.run(["umount", "-l", str(folder)], check=True)


@pytest.mark.system
@pytest.mark.parametrize("left_kb", [40, 120, 250, 400, 700])
def test_a_full_disk_stops_the_run_and_loses_nothing(project: Project, small_disk: Path, left_kb: int) -> None:
    for index in (1, 2, 3):
        path = project.root / "texts" / f"t{index}.txt"
        path.write_text("\n".join(f"w{n} {random.Random(n).getrandbits(400):x}" for n in range(600)) + "\n")
    whole = project.digests(TOY)
    workspace = small_disk / "w"
    ballast = small_disk / "ballast"
    ballast.write_bytes(b"x" * (2048 - left_kb) * 1024)
    process = project.start("run", TOY, "--workspace", str(workspace), "--workers", "2")
    _, said = process.communicate(timeout=60)
    print(f"{left_kb} kB left: exit {process.returncode}")
    assert process.returncode == 3 or left_kb > 100, said
    if process.returncode:
        assert process.returncode == 3 and "disk is full" in said and "Traceback" not in said, said
    ballast.unlink()
    assert project.digests(TOY, "--workspace", str(workspace)) == whole
    project.wait_for_no_process()


def _flip(path: Path) -> None:
    data = bytearray(path.read_bytes())
    data[len(data) // 2] ^= 1
    path.chmod(0o644)
    path.write_bytes(data)
    path.chmod(0o444)
