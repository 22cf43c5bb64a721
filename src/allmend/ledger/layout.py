"""How artifacts travel: the layout of a store elsewhere, and its lists of names. Push and pull share this.

A store has a ledger's layout (`files/`, `objects/`, `names/`). One without listing (a static web server) serves too,
since push also writes

    names/<name>.name/history.json     all entries of the name, oldest first
    names/<name>.name/latest.json      the last one
    names/by-digest/<digest>.json      every entry of any name for one artifact: with them come the ancestors' names
    names/index.json                   all names
    withdrawals.jsonl                  notices of withdrawal; a pull brings them as `notices.jsonl`

Two pushes of one name at the same moment may lose one's entries (an object store can't link), never an artifact.
"""

from __future__ import annotations

import contextlib
import json
import threading
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import TypeVar

from allmend.kinds.errors import DamagedError, Interrupted
from allmend.ledger.manifest import Manifest
from allmend.ledger.names import Named, as_json, is_name, parse_entry

THREADS = 4
T = TypeVar("T")
R = TypeVar("R")
Progress = Callable[[int, int], None]
"""Called with bytes done and bytes in all."""


@dataclass
class Transferred:
    """What a push or pull moved.

    Attributes:
        objects: artifacts that the other side lacked.
        files, bytes: files sent or fetched, `_run/` included.
        skipped: files that were there already.
    """

    objects: int = 0
    files: int = 0
    bytes: int = 0
    skipped: int = 0

    def count(self, size: int | None) -> None:
        """One more file: its bytes, or None if it was there already."""
        self.files += size is not None
        self.bytes += size or 0
        self.skipped += size is None


class Meter:
    """Adds up the bytes that several threads move; ends them at their next bytes once `stopped` is set."""

    def __init__(self, total: int, progress: Progress | None) -> None:
        self.total, self.done, self.progress = total, 0, progress
        self.lock = threading.Lock()
        self.stopped = False

    def __call__(self, count: int) -> None:
        if self.stopped:
            raise Interrupted("stopped; what arrived whole is kept, and the same command goes on from there.")
        with self.lock:
            self.done += count
            if self.progress:
                self.progress(self.done, self.total)


def side_by_side(work: Callable[[T], R], items: Iterable[T], meter: Meter) -> Iterator[R]:
    """Results of `work`, in the order of the items, a few at a time. After a failure nothing new begins.

    Raises:
        Interrupted: Ctrl-C; what was on its way was broken off.
    """
    pool = ThreadPoolExecutor(THREADS)
    try:
        yield from pool.map(work, items)
    except KeyboardInterrupt:
        meter.stopped = True
        meter(0)
    finally:
        pool.shutdown(cancel_futures=True)


def place_of(manifest: Manifest) -> str:
    return f"objects/{manifest.key}/{manifest.digest}"


def same(entry: Named) -> tuple[str, ...]:
    return (entry.name, entry.key, entry.digest, entry.manifest, entry.plan_key, entry.at)


def dump_entries(entries: list[Named]) -> bytes:
    rows = [{"name": entry.name, "n": entry.n, **as_json(entry)} for entry in entries]
    return json.dumps(rows, indent=1).encode() + b"\n"


def read_entries(data: bytes | None) -> list[Named]:
    """Entries of a list from the store; what a stranger wrote is checked."""
    if data is None:
        return []
    try:
        found = [parse_entry(row["name"], int(row["n"]), row) for row in json.loads(data)]
    except (ValueError, KeyError, TypeError, RecursionError) as error:
        raise DamagedError(
            f"a list of names in the store can't be read ({error}); nothing was taken from it."
        ) from error
    for entry in found:
        if not is_name(entry.name):
            raise DamagedError(f"the store has a name that can't be one: {entry.name[:80]!r}.")
    return found


def read_index(data: bytes | None) -> list[str]:
    """All names of a store, from its `names/index.json`."""
    try:
        found = json.loads(data or b"[]")
        if not isinstance(found, list) or not all(map(is_name, found)):
            raise ValueError("not a list of names")
    except (ValueError, RecursionError) as error:
        raise DamagedError(f"the store's names/index.json can't be read ({error}).") from error
    return found


def lines_of(path: Path) -> list[bytes]:
    with contextlib.suppress(FileNotFoundError):
        return [line for line in path.read_bytes().splitlines() if line.strip()]
    return []
