"""Progress of work that is counted in bytes: verify, push, pull."""

from __future__ import annotations

import contextlib
import sys
import time
from collections.abc import Callable, Iterator

Progress = Callable[[int, int], None]
EVERY_S = 30.0


@contextlib.contextmanager
def bytes_bar(label: str) -> Iterator[Progress]:
    """A function to call with bytes done and bytes in all.

    On a terminal it draws a bar with rate and time left, elsewhere it writes one plain line every 30 s; both on stderr.
    """
    if not sys.stderr.isatty():
        yield _Plain(label)
        return
    from rich.console import Console
    from rich.progress import BarColumn, DownloadColumn, Progress, TextColumn, TimeRemainingColumn, TransferSpeedColumn

    amount, rate, left = DownloadColumn(), TransferSpeedColumn(), TimeRemainingColumn()
    columns = (TextColumn("{task.description}"), BarColumn(24), amount, rate, left)
    with Progress(*columns, console=Console(stderr=True), transient=True) as bars:
        task = bars.add_task(label, total=None)
        yield lambda done, total: bars.update(task, completed=done, total=total)


class _Plain:
    def __init__(self, label: str) -> None:
        self.label, self.said = label, time.monotonic()

    def __call__(self, done: int, total: int) -> None:
        if time.monotonic() - self.said > EVERY_S:
            self.said = time.monotonic()
            print(f"{self.label}: {done:,} of {total:,} bytes", file=sys.stderr, flush=True)


def size(count: int) -> str:
    """Bytes for people: `3.4 MB`."""
    for limit, letter in ((10**9, "GB"), (10**6, "MB"), (10**3, "kB")):
        if count >= limit:
            return f"{count / limit:.1f} {letter}"
    return f"{count} bytes"


def counted(number: int, word: str) -> str:
    """`1 file`, `2,000 files`."""
    return f"{number:,} {word}" + ("" if number == 1 else "s")
