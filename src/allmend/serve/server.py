"""The server process: a socket, an event loop, a thread that generates. SIGTERM and Ctrl-C let running answers end."""

from __future__ import annotations

import contextlib
import errno
import ipaddress
import signal
import socket
import sys
from collections.abc import Callable
from types import FrameType

import uvicorn

from allmend.kinds.errors import Interrupted, UsageError
from allmend.serve.app import app_of
from allmend.serve.served import Served

GRACE_S = 30
"""Seconds that running answers have to end once the server is told to stop."""


def run_server(served: Served, host: str, port: int, ready: Callable[[str], None]) -> None:
    """Serve until SIGTERM or Ctrl-C.

    Args:
        host: a name or address of this machine. On a loopback address, only loopback names are answered.
        port: 0 takes a free one.
        ready: called with the URL once connections are taken.

    Raises:
        UsageError: the address can't be used.
        Interrupted: Ctrl-C; SIGTERM ends the process with 0.
    """
    listening = _listen(host, port)
    shown = f"[{host}]" if ":" in host else host
    config = uvicorn.Config(
        app_of(served, _hosts(host)), log_level="warning", access_log=False, timeout_graceful_shutdown=GRACE_S,
        server_header=False, lifespan="on",
    )  # fmt: skip
    ready(f"http://{shown}:{listening.getsockname()[1]}")
    # uvicorn gives a signal on to these handlers once it has stopped: a server that was told to end ended well
    signal.signal(signal.SIGTERM, _end)
    signal.signal(signal.SIGINT, _interrupt)
    with listening:
        uvicorn.Server(config).run(sockets=[listening])


def _end(number: int, frame: FrameType | None) -> None:
    sys.exit(0)


def _interrupt(number: int, frame: FrameType | None) -> None:
    raise Interrupted("stopped by Ctrl-C; answers on their way were let end.")


def _listen(host: str, port: int) -> socket.socket:
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    try:
        return socket.create_server((host, port), family=family, backlog=512)
    except OSError as error:
        hint = " Another program has this port: choose one with --port." if error.errno == errno.EADDRINUSE else ""
        raise UsageError(f"can't listen on {host}, port {port}: {error.strerror or error}.{hint}") from error


def _hosts(host: str) -> tuple[str, ...]:
    """Names that a request may use: any, unless this is a loopback address."""
    loopback = host == "localhost"
    with contextlib.suppress(ValueError):
        loopback = loopback or ipaddress.ip_address(host).is_loopback
    return ("localhost", "127.0.0.1", "::1", host.lower()) if loopback else ()
