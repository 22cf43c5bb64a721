"""Leases: who builds a key now. Plain files and link(2), so that they hold on NFS and Lustre, where locks often don't.

A lease is `leases/<key>.<n>`. Whoever takes a stale one over makes n + 1. The holder touches its file every 10 s; a
watcher calls it stale when it has not changed for 35 s of the *watcher's* monotonic clock (hosts disagree on the time
of day), or at once where the holder ran on this very machine and its process is gone.
"""

from __future__ import annotations

import contextlib
import functools
import json
import os
import socket
import threading
import time
import uuid
from pathlib import Path
from typing import Any

from allmend.kinds.errors import LeaseLostError

RENEW_S = 10.0
STALE_S = 35.0


class Lease:
    """The right to build one key, as long as `check` passes."""

    def __init__(self, folder: Path, key: str, n: int, token: str) -> None:
        self.folder, self.key, self.n, self.token = folder, key, n, token
        self.path = folder / f"{key}.{n}"
        _renewer.add(self)

    def check(self) -> None:
        """Raise `LeaseLostError` unless this lease is still the newest of its key and still ours."""
        newest = _newest(self.folder, self.key)
        try:
            mine = newest == self.n and json.loads(self.path.read_bytes()).get("token") == self.token
        except (OSError, ValueError):
            mine = False
        if not mine:
            raise LeaseLostError(
                f"another process took over the building of {self.key[:12]} while this one stood "
                f"still for more than {STALE_S:.0f} s. "
                "Nothing was committed here; the other one's result is used."
            )

    def release(self) -> None:
        """Give the lease back; harmless if it was lost."""
        _renewer.remove(self)
        with contextlib.suppress(LeaseLostError, OSError):
            self.check()
            self.path.unlink()


class Watcher:
    """Tries to get the lease of one key, again and again; remembers since when a foreign lease has stood still."""

    def __init__(self, folder: Path, key: str) -> None:
        self.folder, self.key = folder, key
        self._seen: tuple[int, int] | None = None
        self._since = 0.0

    def acquire(self) -> Lease | None:
        """The lease, if it is free, stale or its holder is gone; else None."""
        newest = _newest(self.folder, self.key)
        if newest and not self._stale(newest):
            return None
        return _make(self.folder, self.key, newest + 1)

    def _stale(self, n: int) -> bool:
        path = self.folder / f"{self.key}.{n}"
        try:
            with path.open("rb") as file:  # opening asks an NFS server for the true times
                changed = os.fstat(file.fileno()).st_mtime_ns
                holder = json.loads(file.read())
        except OSError:
            return False  # released this moment: the next call sees it
        except ValueError:
            holder = {}
        if _gone(holder):
            return True
        now = time.monotonic()
        if self._seen != (n, changed):
            self._seen, self._since = (n, changed), now
        return now - self._since > STALE_S


def living(folder: Path) -> list[str]:
    """Keys whose lease is held by someone not known to be gone."""
    found = []
    for path in sorted(folder.iterdir()) if folder.is_dir() else []:
        if path.name.startswith("."):
            continue
        try:
            changed = path.stat().st_mtime
            holder = json.loads(path.read_bytes())
        except OSError:
            continue
        except ValueError:
            holder = {}
        if not _gone(holder) and time.time() - changed < 10 * STALE_S:
            found.append(path.name.rpartition(".")[0])
    return found


def _make(folder: Path, key: str, n: int) -> Lease | None:
    token = uuid.uuid4().hex
    temporary = folder / f".{token}"
    temporary.write_text(json.dumps({"token": token, **_me()}))
    try:
        os.link(temporary, folder / f"{key}.{n}")
    except FileExistsError:
        return None  # somebody was faster
    finally:
        temporary.unlink()
    if _newest(folder, key) != n:  # while we looked, two others took it over one after the other
        with contextlib.suppress(OSError):
            (folder / f"{key}.{n}").unlink()
        return None
    for old in _numbers(folder, key):
        if old < n:
            (folder / f"{key}.{old}").unlink(missing_ok=True)
    return Lease(folder, key, n, token)


def _numbers(folder: Path, key: str) -> list[int]:
    prefix = key + "."
    found = (name[len(prefix) :] for name in os.listdir(folder) if name.startswith(prefix))
    return sorted(int(number) for number in found if number.isdigit())


def _newest(folder: Path, key: str) -> int:
    return max(_numbers(folder, key), default=0)


def _me() -> dict[str, Any]:
    return {**_machine(), "pid": os.getpid(), "started": _started(os.getpid())}


@functools.cache
def _machine() -> dict[str, str]:
    def read(path: str) -> str:
        try:
            return os.readlink(path) if path.endswith("/pid") else Path(path).read_text().strip()
        except OSError:
            return ""

    return {
        "host": socket.gethostname(),
        "boot": read("/proc/sys/kernel/random/boot_id"),
        "pids": read("/proc/self/ns/pid"),
    }


def _started(pid: int) -> str:
    """Start time of a process in clock ticks since boot; empty if there is none. Unlike a pid, it isn't reused."""
    try:
        fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    except OSError:
        return ""
    return "" if fields[0] in "ZX" else fields[19]


def _gone(holder: dict[str, Any]) -> bool:
    """True only if the holder ran on this machine, in this boot and pid namespace, and its process has ended."""
    if not isinstance(holder, dict) or not isinstance(holder.get("pid"), int):
        return False
    here = all(holder.get(name) == value for name, value in _machine().items())
    return here and bool(holder.get("boot")) and _started(holder["pid"]) != holder.get("started")


class _Renewer:
    """One thread a process that touches all leases this process holds."""

    def __init__(self) -> None:
        self._held: dict[str, Lease] = {}
        self._lock = threading.Lock()
        self._thread: threading.Thread | None = None

    def add(self, lease: Lease) -> None:
        with self._lock:
            self._held[lease.token] = lease
            if self._thread is None or not self._thread.is_alive():
                self._thread = threading.Thread(target=self._run, name="leases", daemon=True)
                self._thread.start()

    def remove(self, lease: Lease) -> None:
        with self._lock:
            self._held.pop(lease.token, None)

    def _run(self) -> None:
        while True:
            time.sleep(RENEW_S)
            with self._lock:
                held = list(self._held.values())
            for lease in held:
                with contextlib.suppress(LeaseLostError, OSError):
                    lease.check()
                    os.utime(lease.path)


_renewer = _Renewer()
os.register_at_fork(after_in_child=_renewer.__init__)  # type: ignore[misc]  # a child must not keep its parent's leases alive
