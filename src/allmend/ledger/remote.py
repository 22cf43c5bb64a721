"""Reading and writing a store elsewhere.

A folder, an S3-compatible store or any other fsspec URL, or plain HTTP (reading only).
"""

from __future__ import annotations

import errno
import hashlib
import os
import time
import urllib.parse
import uuid
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import IO, Any, TypeVar

from allmend.kinds.errors import AllmendError, MissingExtraError, TransferError, UsageError

TRIES = 3
BACKOFF_S = 0.5
READ_TIMEOUT_S = 60.0
"""A server may be slow, but each read must give something within this time."""
CHUNK = 1 << 20
LARGEST_RECORD = 64 << 20
"""Bytes. Manifests and name lists are far smaller; a server that sends more is wrong or hostile."""

T = TypeVar("T")


class AbsentError(Exception):
    """The store has no such file."""


class Remote:
    """A store with a ledger's layout, by URL."""

    def __init__(self, url: str) -> None:
        self.url = url.rstrip("/")
        self.scheme = urllib.parse.urlsplit(url).scheme if "://" in url else "file"
        self.host = urllib.parse.urlsplit(url).hostname or url
        self.http = self.scheme in ("http", "https")
        self._files: Any = None
        self._root = ""
        if not self.http:
            self._open()

    def _open(self) -> None:
        import fsspec

        options: dict[str, Any] = {}
        if self.scheme == "s3":
            endpoint = os.environ.get("AWS_ENDPOINT_URL")
            options = {
                "client_kwargs": {"endpoint_url": endpoint} if endpoint else {},
                "config_kwargs": {"read_timeout": READ_TIMEOUT_S, "connect_timeout": 10},
                "use_listings_cache": False,
            }
        try:
            self._files, self._root = fsspec.core.url_to_fs(self.url, **options)
        except ImportError as error:
            raise MissingExtraError.of(self.scheme, self.scheme) from error
        except ValueError as error:
            raise UsageError(f"{self.url}: {error}") from error

    # --- reading ---

    def read(self, path: str) -> bytes | None:
        """A small file's bytes; None if there is none."""

        def once() -> bytes:
            with self._stream(path) as source:
                data = source.read(LARGEST_RECORD + 1)
            if len(data) > LARGEST_RECORD:
                raise TransferError(
                    f"{path} on {self.host} is larger than {LARGEST_RECORD >> 20} MiB; that can't be a record."
                )
            return data

        try:
            return self._retried(path, once)
        except AbsentError:
            return None

    def fetch(self, path: str, size: int, sha256: str, target: Path, progress: Callable[[int], None]) -> None:
        """Download a file and check it on arrival.

        Raises:
            TransferError: absent, or cut short or wrong in each of three tries.
        """

        def once() -> None:
            digest, got = hashlib.sha256(), 0
            with self._stream(path) as source, target.open("wb") as file:
                while chunk := source.read(min(CHUNK, size + 1 - got)):
                    digest.update(chunk)
                    file.write(chunk)
                    got += len(chunk)
                    progress(len(chunk))
                    if got > size:
                        break
                file.flush()
                os.fsync(file.fileno())
            if got != size or digest.hexdigest() != sha256:
                progress(-got)
                short = (
                    f"it is {got} bytes instead of {size}" if got != size else "its bytes are others than were pushed"
                )
                raise OSError(short)

        try:
            self._retried(path, once)
        except AbsentError as error:
            raise TransferError(f"{path} is missing on {self.host}. What arrived whole is kept.") from error

    def _retried(self, path: str, once: Callable[[], T]) -> T:
        for attempt in range(TRIES):
            try:
                return once()
            except (AbsentError, AllmendError):
                raise
            except Exception as error:  # every store library has errors of its own
                if getattr(error, "errno", None) == errno.ENOSPC:
                    raise  # trying again fills no less
                if attempt == TRIES - 1:
                    raise TransferError(
                        f"{path} could not be transferred with {self.host} in {TRIES} tries: "
                        f"{error or type(error).__name__}. What arrived "
                        "whole is kept; the same command goes on from there."
                    ) from error
                time.sleep(BACKOFF_S * 2**attempt)
        raise AssertionError

    @contextmanager
    def _stream(self, path: str) -> Iterator[IO[bytes]]:
        if self.http:
            import urllib.error
            import urllib.request  # 40 ms, which most commands needn't pay

            request = urllib.request.Request(
                f"{self.url}/{urllib.parse.quote(path)}", headers={"User-Agent": "allmend"}
            )
            try:
                with urllib.request.urlopen(request, timeout=READ_TIMEOUT_S) as answer:
                    yield answer
            except urllib.error.HTTPError as error:
                if error.code in (404, 410):
                    raise AbsentError(path) from error
                raise
            return
        try:
            source = self._files.open(f"{self._root}/{path}", "rb", block_size=8 * CHUNK)
        except FileNotFoundError as error:
            raise AbsentError(path) from error
        with source:
            yield source

    # --- writing ---

    def size(self, path: str) -> int | None:
        """Size of a file there; None if there is none."""

        def once() -> int | None:
            try:
                return int(self._files.info(f"{self._root}/{path}")["size"])
            except FileNotFoundError:
                return None

        return self._retried(path, once)

    def write(self, path: str, data: bytes) -> None:
        """Write a small file, whole or not at all."""
        self._retried(path, lambda: self._put(path, lambda target: self._files.pipe_file(target, data)))

    def send(self, path: str, source: Path) -> None:
        """Upload a file, whole or not at all."""
        self._retried(path, lambda: self._put(path, lambda target: self._files.put_file(str(source), target)))

    def _put(self, path: str, put: Callable[[str], Any]) -> None:
        target = f"{self._root}/{path}"
        if self.scheme == "s3":
            put(target)  # an object appears only when its upload is complete
            return
        partial = f"{target}.{uuid.uuid4().hex}.partial"  # two may push the same file at once
        self._files.makedirs(target.rpartition("/")[0], exist_ok=True)
        try:
            put(partial)
            if self.scheme == "file":
                os.chmod(partial, 0o644)  # read-only bits of the ledger would stop the next push
                os.replace(partial, target)
            else:
                self._files.mv(partial, target)
        except BaseException:
            with suppress(Exception):
                self._files.rm_file(partial)
            raise
