"""HTTP servers that serve a folder badly: slowly, with errors, with broken or wrong bodies."""

from __future__ import annotations

import contextlib
import socket
import struct
import threading
import time
from collections import Counter
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any


class Folder(ThreadingHTTPServer):
    """Serves a folder. `spoil(path, attempt)` says how each answer goes wrong.

    "" right · "500" an error · "reset" the connection breaks in the middle · "cut" the body ends early under a right
    length · "short" a shorter body with its own length · "flip" one byte changed · "slow" one byte each 10 ms · "hang"
    nothing comes · "endless" a body without end
    """

    daemon_threads = True

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.asked: Counter[str] = Counter()
        self.spoil: Any = lambda path, attempt: ""
        super().__init__(("127.0.0.1", 0), _Handler)

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.server_port}"

    def handle_error(self, request: Any, client_address: Any) -> None:
        pass  # clients that hang up are part of the tests


class _Handler(BaseHTTPRequestHandler):
    server: Folder

    def log_message(self, *arguments: Any) -> None:
        pass

    def do_GET(self) -> None:
        path = self.path.lstrip("/")
        self.server.asked[path] += 1
        fault = self.server.spoil(path, self.server.asked[path])
        file = self.server.folder / path
        if fault == "500" or not file.is_file():
            self.send_error(500 if fault == "500" else 404)
            return
        data = file.read_bytes()
        if fault == "flip":
            data = bytes([data[0] ^ 1]) + data[1:]
        if fault == "short":
            data = data[: len(data) // 2]
        if fault == "hang":
            time.sleep(2)
            return
        self.send_response(200)
        if fault != "endless":
            self.send_header("Content-Length", str(len(data)))
        self.end_headers()
        self._send(data, fault)

    def _send(self, data: bytes, fault: str) -> None:
        if fault == "endless":
            while True:
                self.wfile.write(data * 1000)
        if fault == "slow":
            for byte in data:
                self.wfile.write(bytes([byte]))
                time.sleep(0.01)
        elif fault == "cut":
            self.wfile.write(data[: len(data) // 2])
        elif fault == "reset":
            self.wfile.write(data[: len(data) // 2])
            self.wfile.flush()
            self.connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
            self.connection.close()
        else:
            self.wfile.write(data)


@contextlib.contextmanager
def serving(folder: Path) -> Iterator[Folder]:
    server = Folder(folder)
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True)
    thread.start()
    try:
        yield server
    finally:
        server.shutdown()
        server.server_close()
