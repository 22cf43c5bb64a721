"""Leases among real processes: stopped, killed, racing."""

from __future__ import annotations

import json
import multiprocessing
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from allmend.kinds.errors import LeaseLostError
from allmend.ledger import Ledger, lease

KEY = "k" * 64
HOLDER = """
import sys, time
from pathlib import Path
from allmend.kinds.errors import LeaseLostError
from allmend.ledger import lease
lease.RENEW_S = 0.05
mine = lease.Watcher(Path(sys.argv[1]), sys.argv[2]).acquire()
print("held" if mine else "refused", flush=True)
for line in sys.stdin:
    try:
        mine.check()
        print("mine", flush=True)
    except LeaseLostError:
        print("lost", flush=True)
"""


class Process:
    """A process of a test, spoken to by lines."""

    def __init__(self, text: str, folder: Path) -> None:
        command = [sys.executable, "-c", text, str(folder), KEY]
        self.popen = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)

    def hear(self) -> str:
        assert self.popen.stdout is not None
        return self.popen.stdout.readline().strip()

    def ask(self) -> str:
        self.tell()
        return self.hear()

    def tell(self) -> None:
        assert self.popen.stdin is not None
        self.popen.stdin.write("\n")
        self.popen.stdin.flush()


@pytest.fixture
def start(ledger: Ledger) -> Iterator[Callable[[str], Process]]:
    made: list[Process] = []

    def one(text: str) -> Process:
        made.append(Process(text, ledger.leases))
        return made[-1]

    yield one
    for process in made:
        process.popen.kill()
        process.popen.wait()


def acquire_within(watcher: lease.Watcher, seconds: float) -> lease.Lease | None:
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        if found := watcher.acquire():
            return found
        time.sleep(0.02)
    return None


def test_a_stopped_holder_is_taken_over_and_learns_it_when_it_wakes(
    ledger: Ledger, start: Callable[[str], Process], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(lease, "STALE_S", 0.6)
    holder, watcher = start(HOLDER), ledger.watch(KEY)
    assert holder.hear() == "held"
    assert acquire_within(watcher, 0.9) is None  # alive: its renewals are seen
    holder.popen.send_signal(signal.SIGSTOP)
    mine = acquire_within(watcher, 5)
    assert mine is not None and mine.n == 2
    holder.popen.send_signal(signal.SIGCONT)
    assert holder.ask() == "lost"
    mine.check()
    mine.release()


def test_a_holder_that_lost_finds_no_comfort_in_an_equal_number(ledger: Ledger) -> None:
    first = ledger.watch(KEY).acquire()
    assert first is not None
    first.path.unlink()  # another one took over, finished, and gave back
    second = ledger.watch(KEY).acquire()
    assert second is not None and second.n == first.n
    with pytest.raises(LeaseLostError):
        first.check()
    first.release()
    second.check()
    second.release()
    assert os.listdir(ledger.leases) == []


def test_a_killed_holder_is_taken_over_at_once(ledger: Ledger, start: Callable[[str], Process]) -> None:
    holder = start(HOLDER)
    assert holder.hear() == "held"
    assert ledger.busy() == [KEY]
    assert ledger.watch(KEY).acquire() is None
    holder.popen.kill()
    holder.popen.wait()
    assert ledger.busy() == []
    mine = ledger.watch(KEY).acquire()
    assert mine is not None
    mine.release()


@pytest.mark.parametrize("dead_holder", [False, True])
def test_of_20_racing_processes_exactly_one_wins(
    ledger: Ledger, start: Callable[[str], Process], dead_holder: bool
) -> None:
    if dead_holder:
        (holder := start(HOLDER)).hear()
        holder.popen.kill()
        holder.popen.wait()
    fork = multiprocessing.get_context("fork")
    barrier, won = fork.Barrier(20), fork.Queue()

    def race() -> None:
        watcher = ledger.watch(KEY)
        barrier.wait()
        won.put(watcher.acquire() is not None)
        barrier.wait()  # the winner lives until all have tried

    racers = [fork.Process(target=race) for _ in range(20)]
    for racer in racers:
        racer.start()
    assert sum(won.get(timeout=20) for _ in racers) == 1
    for racer in racers:
        racer.join()


def test_whoever_is_late_by_two_takeovers_doesnt_win(ledger: Ledger) -> None:
    (ledger.leases / f"{KEY}.3").write_text("{}")
    assert lease._make(ledger.leases, KEY, 2) is None
    assert os.listdir(ledger.leases) == [f"{KEY}.3"]


def test_odd_files_among_the_leases_do_no_harm(ledger: Ledger) -> None:
    for name in (f"{KEY}.swp", ".nfs0001", f"{KEY}.", "x"):
        (ledger.leases / name).write_text("[]")
    (ledger.leases / f"{KEY}.1").write_text('{"pid": "many"')
    assert ledger.watch(KEY).acquire() is None  # unreadable isn't dead: it must first stand still
    ledger.busy()


def test_the_state_of_a_key_moves_to_who_takes_over(ledger: Ledger) -> None:
    first = ledger.watch(KEY).acquire()
    assert first is not None
    (ledger.state_of(first) / "checkpoint").write_text("5")
    first.path.rename(first.path.with_suffix(".4"))
    second = lease._make(ledger.leases, KEY, 5)
    assert second is not None and (ledger.state_of(second) / "checkpoint").read_text() == "5"
    assert len(os.listdir(ledger.state)) == 1
    second.release()
    first.release()


def test_a_forked_child_doesnt_keep_its_parents_lease_alive(ledger: Ledger) -> None:
    mine = ledger.watch(KEY).acquire()
    read, write = os.pipe()
    if (pid := os.fork()) == 0:
        os.write(write, str(len(lease._renewer._held)).encode())
        os._exit(0)
    os.waitpid(pid, 0)
    assert os.read(read, 10) == b"0"
    assert mine is not None
    mine.release()


def test_a_holder_that_wakes_up_late_never_writes_into_anothers_state(ledger: Ledger) -> None:
    first = ledger.watch(KEY).acquire()
    assert first is not None
    old = ledger.state_of(first)
    first.path.unlink()  # taken over by a second, which ended; a third has the number of the first again
    third = ledger.watch(KEY).acquire()
    assert third is not None and third.n == first.n
    assert ledger.state_of(third) != old and not old.exists()
    third.release()
    first.release()


def foreign(ledger: Ledger, **changes: object) -> Path:
    """A lease as another process would write it."""
    path = ledger.leases / f"{KEY}.1"
    path.write_text(json.dumps({"token": "t", **lease._me(), **changes}))
    return path


def test_a_lease_from_another_host_is_waited_for_by_our_own_clock(
    ledger: Ledger, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its time stamp says nothing: hosts disagree on the time of day."""
    monkeypatch.setattr(lease, "STALE_S", 0.3)
    path = foreign(ledger, host="elsewhere", pid=1)
    os.utime(path, (0, 0))
    watcher = ledger.watch(KEY)
    assert watcher.acquire() is None
    os.utime(path, (1, 1))  # renewed
    assert watcher.acquire() is None
    mine = acquire_within(watcher, 5)
    assert mine is not None and mine.n == 2
    mine.release()


@pytest.mark.parametrize("change", [{"started": "1"}, {"pid": 2**22 + 1}])
def test_a_restarted_or_absent_process_holds_nothing(ledger: Ledger, change: dict[str, object]) -> None:
    foreign(ledger, **change)
    mine = ledger.watch(KEY).acquire()
    assert mine is not None and mine.n == 2
    mine.release()


@pytest.mark.parametrize("change", [{"boot": "another"}, {"pids": "pid:[1]"}, {"host": "elsewhere"}])
def test_in_another_boot_or_container_a_missing_pid_says_nothing(ledger: Ledger, change: dict[str, object]) -> None:
    foreign(ledger, pid=2**22 + 1, **change)
    assert ledger.watch(KEY).acquire() is None
