"""gc keeps what names, pins and their ancestors reach, and nothing else."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import threading
import time
from pathlib import Path

import pytest

from allmend.kinds.errors import DamagedError, LedgerError, UsageError
from allmend.ledger import Ledger, Stored, collect, gc, resolve, store, verify
from tests.ledger.conftest import overwrite, put, unnamed


def versions(ledger: Ledger, count: int) -> list[Stored]:
    return [put(ledger, "toy/v", {"x": f"version {n}".encode(), "same": b"same"}, v=n) for n in range(count)]


def test_the_last_versions_and_their_ancestors_stay(ledger: Ledger, chain: list[Stored]) -> None:
    old = versions(ledger, 5)
    found = collect(ledger, keep=3)
    assert found.objects == sorted((one.manifest.key, one.manifest.digest) for one in old[:2])
    assert len(found.files) == 2
    assert found.removed_bytes == 2 * (len("version 0") + old[0].manifest.run[0].size)
    assert verify(ledger, chain[2]) == [] and verify(ledger, old[2]) == []
    assert not old[0].folder.parent.exists()


def test_an_ancestor_without_a_version_of_its_own_stays(ledger: Ledger) -> None:
    parent = put(ledger, "toy/p", {"x": b"old"}, n=1)
    put(ledger, "toy/p", {"x": b"new"}, n=2)
    child = put(ledger, "toy/c", {"y": b"y"}, {"of": parent}, n=3)
    collect(ledger, keep=1)
    assert verify(ledger, child) == []


def test_a_pin_keeps_and_a_damaged_pin_stops_everything(ledger: Ledger) -> None:
    old = versions(ledger, 2)
    pins = ledger.root / "pins"
    pins.mkdir()
    (pins / "release.json").write_text(json.dumps([{"key": old[0].manifest.key, "digest": old[0].manifest.digest}]))
    assert collect(ledger, keep=1).objects == []
    (pins / "release.json").write_text("{")
    with pytest.raises(DamagedError, match=r"release\.json"):
        collect(ledger, keep=1)


def test_a_dry_run_removes_nothing_and_says_the_same(ledger: Ledger) -> None:
    versions(ledger, 3)
    before = sorted(ledger.root.rglob("*"))
    found = collect(ledger, keep=1, dry_run=True)
    assert sorted(ledger.root.rglob("*")) == before
    assert collect(ledger, keep=1) == found
    assert collect(ledger, keep=1).objects == []


def test_the_names_keep_their_history(ledger: Ledger) -> None:
    versions(ledger, 3)
    collect(ledger, keep=1)
    assert len(ledger.names.history("toy/v")) == 3
    assert resolve(ledger, "toy/v").stored.manifest.config == {"v": 2}


def test_a_part_stays_while_all_its_files_do(ledger: Ledger) -> None:
    old, new = versions(ledger, 2)
    for key, one in (("a" * 64, old), ("b" * 64, new)):
        ledger.put_part(key, {"files": [list(entry) for entry in one.manifest.files], "rows": {}})
    assert collect(ledger, keep=1).parts == ["a" * 64]
    assert ledger.find_part("b" * 64) and not ledger.find_part("a" * 64)


def test_a_part_that_names_a_kept_build_keeps_its_own_files(ledger: Ledger) -> None:
    one = versions(ledger, 1)[0]
    scratch = unnamed(ledger, {"cut": b"only the part has this"}, s=1)
    record = {"files": [list(entry) for entry in scratch.manifest.files], "rows": {}}
    ledger.put_part("a" * 64, {**record, "build": one.manifest.key})
    ledger.put_part("b" * 64, record)
    ledger.put_part("c" * 64, {**record, "build": scratch.manifest.key})
    collect(ledger, keep=1)
    assert ledger.find_part("a" * 64)


def test_while_someone_builds_gc_refuses(ledger: Ledger) -> None:
    held = ledger.watch("k" * 64).acquire()
    assert held is not None
    with pytest.raises(LedgerError, match="somebody builds"):
        collect(ledger)
    held.release()
    collect(ledger)


def test_between_two_steps_of_a_run_gc_refuses_too(ledger: Ledger) -> None:
    with ledger.running(), pytest.raises(LedgerError, match="somebody builds"):
        collect(ledger)
    collect(ledger)


def test_a_run_waits_for_gc_to_end(ledger: Ledger, monkeypatch: pytest.MonkeyPatch) -> None:
    """Were it not to wait, gc could remove a file between the run's look at it and its link to it."""
    order: list[str] = []
    inside = threading.Event()

    def run() -> None:
        inside.wait()
        with ledger.running():
            order.append("run")

    def slow_choice(ledger: Ledger, keep: int) -> gc.Collected:
        runner.start()
        inside.set()
        while len(ledger.busy()) < 2:  # until the run has written its lease and looks for ours
            time.sleep(0.01)
        order.append("gc")
        return gc.Collected()

    runner = threading.Thread(target=run)
    monkeypatch.setattr(gc, "_choose", slow_choice)
    collect(ledger)
    runner.join()
    assert order == ["gc", "run"]


def test_of_two_collectors_one_refuses(ledger: Ledger) -> None:
    held = ledger.watch(store.COLLECTING).acquire()
    assert held is not None
    with pytest.raises(LedgerError, match="another gc"):
        collect(ledger)
    held.release()


def test_a_damaged_entry_of_a_name_stops_gc(ledger: Ledger) -> None:
    """Its name would seem to mean the version before, and the last one would be collected."""
    new = versions(ledger, 2)[1]
    overwrite(ledger.names.folder("toy/v") / "000002.json", b"{")
    with pytest.raises(DamagedError, match="000002"):
        collect(ledger, keep=1)
    assert new.folder.exists()


def test_checkpoints_of_an_interrupted_build_outlive_a_long_weekend(ledger: Ledger) -> None:
    state = ledger.state / ("d" * 64 + ".token")
    state.mkdir()
    for days, stays in ((4, True), (40, False)):
        past = time.time() - days * 24 * 3600
        os.utime(state, (past, past))
        collect(ledger)
        assert state.exists() == stays


def test_left_overs_of_the_dead_go_and_fresh_ones_stay(ledger: Ledger) -> None:
    one = versions(ledger, 1)[0]
    fresh, old = ledger.draft(), ledger.draft()
    (old / "half").write_text("half")
    long_ago = time.time() - 2 * 24 * 3600
    for path in (old / "half", old):
        os.utime(path, (long_ago, long_ago))
    (ledger.state / f"{one.manifest.key}.1").mkdir()
    (ledger.state / ("d" * 64 + ".1")).mkdir()
    dead = subprocess.Popen([sys.executable, "-c", "pass"])
    dead.wait()
    (ledger.leases / ("e" * 64 + ".1")).write_text("{}")
    os.utime(ledger.leases / ("e" * 64 + ".1"), (long_ago, long_ago))
    collect(ledger)
    assert fresh.exists() and not old.exists()
    assert os.listdir(ledger.state) == ["d" * 64 + ".1"]
    assert os.listdir(ledger.leases) == []


def test_keeping_no_version_is_refused(ledger: Ledger) -> None:
    with pytest.raises(UsageError, match="--keep 0"):
        collect(ledger, keep=0)


def test_a_damaged_manifest_that_a_name_means_stops_gc_before_it_takes_the_parents(
    ledger: Ledger, chain: list[Stored], tmp_path: Path
) -> None:
    path = chain[2].folder / "manifest.json"
    path.chmod(0o644)
    path.write_text("{")
    with pytest.raises(DamagedError, match="--repair"):
        collect(ledger)
