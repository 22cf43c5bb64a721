"""Child processes of ours: they run functions, send signs of life, and end at once when their parent does.

A child holds one end of a socket pair. Reading end-of-file on it means that the parent is gone, however it went: a thread then
leaves the process. (PR_SET_PDEATHSIG does nothing on some kernels, and a fork server's children outlive it by seconds.)
"""

from __future__ import annotations

import contextlib
import os
import pickle
import signal
import socket
import subprocess
import sys
import threading
import traceback
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from multiprocessing.connection import Connection, wait
from typing import Any

from allmend.kinds.errors import AllmendError, StepFailed


class Channel:
    """A step's line to whoever watches the run: progress, logs, and the wish to stop."""

    def __init__(self, send: Callable[[Any], None] | None = None) -> None:
        self._send = send
        self._lock = threading.Lock()
        self.stopping = threading.Event()

    def tell(self, *message: Any) -> None:
        """Send a message; a watcher that has gone is no reason to fail."""
        if self._send is not None:
            with self._lock, contextlib.suppress(OSError):
                self._send(message)


def serve(connection: Connection) -> None:
    """A child's life: run one call after the other until the parent closes the line."""
    channel = Channel(connection.send)
    calls: list[Any] = []
    ready = threading.Semaphore(0)

    def listen() -> None:
        while True:
            try:
                message = connection.recv()
            except (EOFError, OSError):
                os._exit(9)  # the parent is gone; nothing of ours may go on
            if message[0] == "stop":
                channel.stopping.set()
            else:
                calls.append(message)
                ready.release()

    signal.signal(signal.SIGINT, signal.SIG_IGN)  # the parent decides what Ctrl-C means
    threading.Thread(target=listen, name="parent", daemon=True).start()
    while True:
        ready.acquire()
        _, function, arguments = calls.pop(0)
        try:
            result = ("done", function(*arguments, channel=channel))
        except BaseException as error:
            result = ("failed", portable(error))
        try:
            connection.send(result)
        except (pickle.PicklingError, TypeError, AttributeError) as error:
            connection.send(("failed", portable(error)))
        channel.stopping.clear()


def portable(error: BaseException) -> AllmendError:
    """An error that another process can unpickle: ours as they are, any other as a `StepFailed` that keeps its traceback."""
    text = "".join(traceback.format_exception(error))
    if isinstance(error, AllmendError):
        try:
            found: AllmendError = pickle.loads(pickle.dumps(error))
        except Exception:
            found = StepFailed(str(error))
    elif isinstance(error, OSError) and error.errno == 28:
        found = StepFailed(
            f"the disk is full ({error.filename or 'no space left on device'}). Free some space; the same command goes on from here."
        )
    elif isinstance(error, MemoryError):
        found = StepFailed("memory ran out. Use fewer --workers, or more `parts:` in the recipe.")
    else:
        where = traceback.extract_tb(error.__traceback__)
        place = f" at {os.path.basename(where[-1].filename)}:{where[-1].lineno}" if where else ""
        found = StepFailed(f"{type(error).__name__}{place}: {error}")
    found.__dict__["trace"] = getattr(error, "trace", text)
    return found


@dataclass
class Child:
    """One child process, busy with at most one call."""

    process: subprocess.Popen[bytes]
    connection: Connection
    busy: Any = None

    @classmethod
    def start(cls) -> Child:
        ours, theirs = socket.socketpair()
        command = [sys.executable, "-m", "allmend.flow.child", str(theirs.fileno())]
        environment = {**os.environ, "ALLMEND_CHILD": "1"}
        process = subprocess.Popen(
            command, pass_fds=[theirs.fileno()], stdin=subprocess.DEVNULL, start_new_session=True, env=environment
        )
        theirs.close()
        return cls(process, Connection(ours.detach()))

    def call(self, tag: Any, function: Callable[..., Any], arguments: tuple[Any, ...]) -> None:
        self.busy = tag
        self.connection.send(("call", function, arguments))

    def stop(self) -> None:
        with contextlib.suppress(OSError):
            self.connection.send(("stop",))

    def end(self) -> None:
        """Close the line; the child leaves by itself, or is killed."""
        self.connection.close()
        try:
            self.process.wait(timeout=2)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait()

    def obituary(self) -> str:
        code = self.process.wait()
        if code < 0:
            name = signal.Signals(-code).name
            hint = " (out of memory?)" if code == -9 else ""
            return f"its process was ended by {name}{hint}. What was finished is kept; the same command goes on."
        return f"its process left with status {code}. What was finished is kept; the same command goes on."


class Pool:
    """Up to `size` children, started when first needed, used again and again."""

    def __init__(self, size: int) -> None:
        self.size = size
        self.children: list[Child] = []

    def __enter__(self) -> Pool:
        return self

    def __exit__(self, *_: object) -> None:
        for child in self.children:
            child.connection.close()
        for child in self.children:
            child.end()
        self.children = []

    def idle(self) -> Child | None:
        """A child with nothing to do; a new one if there is room."""
        for child in self.children:
            if child.busy is None:
                return child
        if len(self.children) < self.size:
            self.children.append(Child.start())
            return self.children[-1]
        return None

    def busy(self) -> list[Child]:
        return [child for child in self.children if child.busy is not None]

    def stop(self) -> None:
        for child in self.busy():
            child.stop()

    def events(self, timeout: float | None) -> Iterator[tuple[Any, tuple[Any, ...]]]:
        """Messages of busy children as (tag of the call, message); a `done`, `failed` or `died` ends the call."""
        by_line = {child.connection: child for child in self.busy()}
        for line in wait(list(by_line), timeout):
            child = by_line[line]  # type: ignore[index]
            tag = child.busy
            try:
                message = child.connection.recv()
            except (EOFError, OSError):
                message = ("died", child.obituary())
                self.children.remove(child)
                child.connection.close()
            if message[0] in ("done", "failed", "died"):
                child.busy = None
            yield tag, message
