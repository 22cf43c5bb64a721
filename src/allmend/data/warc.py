"""Reads WARC files, spoiled ones too: every response comes out, either whole or with what is wrong with it.

The frame of a record (gzip member, header, length) is checked here, since fastwarc 2.0.1 stops at the first spoiled
gzip member and silently cuts or swallows on a wrong length; what is inside one sound record is parsed by fastwarc.
"""

from __future__ import annotations

import io
import re
import zlib
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import IO

LARGEST_HEADER = 2**16
LARGEST_BLOCK = 64 * 2**20
"""Bytes of one record that are held in memory; a larger one is rejected as `too_large`, unread."""
PIECE = 2**14
_gzip_header = re.compile(rb"\x1f\x8b\x08[\x00-\x1f]")
_next_record = re.compile(rb"(?:\r\n|\n){2}(?=WARC/1\.)")
_end = re.compile(rb"(?:\r\n\r\n|\n\n)(?:[\r\n]*(?:WARC/|\Z).*|[\r\n]*)", re.DOTALL).fullmatch
_length = re.compile(rb"(?im)^content-length[ \t]*:[ \t]*(\d{1,18})[ \t]*\r?$")
_field = re.compile(rb"(?im)^(warc-target-uri|warc-type)[ \t]*:[ \t]*<?([^\r\n>]*)>?[ \t]*\r?$")


@dataclass(frozen=True)
class Record:
    """A response as it lies in a WARC file.

    Attributes:
        offset: where it starts in the file (in the unpacked stream for a file that isn't packed record by record).
        url: empty where even that can't be read.
        problem: why it can't be used (`broken_record`, `wrong_length`, `too_large`, `not_http`); empty if it can.
        date: `WARC-Date`.
        status: HTTP status.
        headers: HTTP fields in their order, names in lower case.
        body: the payload as sent, still in its Content-Encoding.
    """

    offset: int
    url: str = ""
    problem: str = ""
    detail: str = ""
    date: str = ""
    status: int = 0
    headers: tuple[tuple[str, str], ...] = ()
    body: bytes = field(default=b"", repr=False)

    def header(self, name: str) -> str:
        """Value of the first field of this name; empty if there is none."""
        return next((value for key, value in self.headers if key == name), "")


def responses(path: Path) -> Iterator[Record]:
    """Every response record of a file (and `resource` records, which lack HTTP), in order. Never raises on bad bytes."""
    with path.open("rb") as file:
        start = file.read(5)
        file.seek(0)
        if start[:2] == b"\x1f\x8b":
            frames = _packed_frames(file)
        else:
            frames = _frames(file.read)
        for frame in frames:
            if (record := _parsed(frame)) is not None:
                yield record


# --- frames: the bytes of one record, whole or not ---


@dataclass
class _Frame:
    offset: int
    data: bytes
    problem: str = ""
    detail: str = ""


class _BrokenMember(Exception):
    """A gzip member can't be unpacked to its end. `args`: what zlib says; `partial`: the record that was being read."""

    partial: _Frame | None = None


class _Member:
    """Unpacked bytes of one gzip member of a file; `end` is where the next one starts."""

    def __init__(self, file: IO[bytes], offset: int) -> None:
        self.file, self.offset, self.end = file, offset, 0
        self.unpack = zlib.decompressobj(31)
        file.seek(offset)

    def read(self, size: int) -> bytes:
        """At most `size` bytes; none at the end, once zlib has checked length and CRC."""
        while not self.unpack.eof:
            piece = self.unpack.unconsumed_tail or self.file.read(PIECE)
            if not piece:
                raise _BrokenMember("the file ends inside it")
            try:
                if found := self.unpack.decompress(piece, size):
                    return found
            except zlib.error as error:
                raise _BrokenMember(str(error)) from error
        self.end = self.file.tell() - len(self.unpack.unused_data)
        return b""


def _packed_frames(file: IO[bytes]) -> Iterator[_Frame]:
    """Frames of a file of gzip members, one record or many in each. After a spoiled member goes on at the next that
    holds a WARC record.
    """
    size = file.seek(0, io.SEEK_END)
    offset: int | None = 0
    while offset is not None and offset < size:
        member, held = _Member(file, offset), None
        try:
            for frame in _frames(member.read):
                if held:
                    yield held
                held = _Frame(offset, frame.data, frame.problem, frame.detail)
            if held:  # only now is the member's CRC known to be right
                yield held
            offset = member.end
        except _BrokenMember as error:
            if held and error.partial and error.partial.data:
                yield held
                held = None
            head = held.data if held else error.partial.data if error.partial and error.partial.data else b""
            yield _Frame(offset, head or _first_bytes(file, offset), "broken_record", str(error))
            offset = _next_member(file, offset + 1)


def _first_bytes(file: IO[bytes], offset: int) -> bytes:
    """What can be unpacked of a spoiled member, so that its row may still name the URL."""
    file.seek(offset)
    unpack, found = zlib.decompressobj(31), b""
    try:
        while len(found) < LARGEST_HEADER and (piece := file.read(16)):
            found += unpack.decompress(piece)
    except zlib.error:
        pass
    return found


def _next_member(file: IO[bytes], offset: int) -> int | None:
    """Where the next gzip member starts that unpacks to a WARC record; None if there is none."""
    overlap = 3
    while True:
        file.seek(offset)
        data = file.read(2**20)
        for match in _gzip_header.finditer(data):
            if _first_bytes_are_warc(file, offset + match.start()):
                return offset + match.start()
        if len(data) < 2**20:
            return None
        offset += len(data) - overlap


def _first_bytes_are_warc(file: IO[bytes], offset: int) -> bool:
    file.seek(offset)
    try:
        return zlib.decompressobj(31).decompress(file.read(1024), 5) == b"WARC/"
    except zlib.error:
        return False


class _Buffered:
    """A stream with look-ahead."""

    def __init__(self, read: Callable[[int], bytes]) -> None:
        self._read = read
        self.data, self.offset, self.ended = b"", 0, False

    def fill(self, size: int) -> bool:
        """Hold at least so many bytes; False at the end of the stream."""
        pieces, length = [self.data], len(self.data)
        try:
            while length < size and not self.ended:
                piece = self._read(max(PIECE, min(size - length, 2**20)))
                self.ended = not piece
                pieces.append(piece)
                length += len(piece)
        finally:
            self.data = b"".join(pieces)
        return length >= size

    def drop(self, size: int) -> None:
        self.data = self.data[size:]
        self.offset += size


def _frames(read: Callable[[int], bytes]) -> Iterator[_Frame]:
    """Cut a stream into records by their Content-Length; where that lies, go on at the next line that starts a record."""
    stream = _Buffered(read)
    try:
        while True:
            while stream.fill(1) and stream.data[:1] in b"\r\n":
                stream.drop(1)
            if not stream.data:
                return
            yield _next_frame(stream)
    except _BrokenMember as error:
        error.partial = _Frame(stream.offset, stream.data)
        raise


def _next_frame(stream: _Buffered) -> _Frame:
    header_end = _header_end(stream)
    header = stream.data[:header_end]
    length = _length.search(header)
    if not header.startswith(b"WARC/") or not header_end or length is None:
        return _cut_at_next(stream, 0, "broken_record", "this is no WARC header")
    size = header_end + int(length[1])
    if size > LARGEST_BLOCK:
        return _skip(stream, header, size)
    if not stream.fill(size):
        return _cut_at_next(stream, header_end, "wrong_length", f"Content-Length says {int(length[1])}")
    stream.fill(size + 16)
    whole = not stream.data[size:] or _end(stream.data[size : size + 16]) is not None
    if not whole:
        return _cut_at_next(stream, header_end, "wrong_length", f"Content-Length says {int(length[1])}")
    frame = _Frame(stream.offset, stream.data[:size])
    stream.drop(size)
    return frame


def _header_end(stream: _Buffered) -> int:
    size = 1024
    while True:
        more = stream.fill(size)
        if match := re.search(rb"\r?\n\r?\n", stream.data[:LARGEST_HEADER]):
            return match.end()
        if not more or size >= LARGEST_HEADER:
            return 0
        size *= 2


def _cut_at_next(stream: _Buffered, start: int, problem: str, detail: str) -> _Frame:
    """Give up this record and place the stream at the next one, wherever a line starts with `WARC/1.`."""
    offset, head = stream.offset, stream.data[:LARGEST_HEADER]
    while True:
        if match := _next_record.search(stream.data, start):
            stream.drop(match.end())
            return _Frame(offset, head, problem, detail)
        if not stream.fill(len(stream.data) + 1):
            stream.drop(len(stream.data))
            return _Frame(offset, head, problem, detail)
        if len(stream.data) > LARGEST_BLOCK:
            stream.drop(len(stream.data) - 16)
            start = 0


def _skip(stream: _Buffered, header: bytes, size: int) -> _Frame:
    offset, left = stream.offset, size
    while left and stream.fill(min(left, 2**20)):
        step = min(left, len(stream.data))
        stream.drop(step)
        left -= step
    problem = "wrong_length" if left else "too_large"
    stream.drop(len(stream.data) if left else 0)
    return _Frame(offset, header, problem, f"{size} bytes")


# --- what is in a frame ---


def _parsed(frame: _Frame) -> Record | None:
    """The response in a frame; None for records of other types."""
    named = {
        key.lower(): value.strip() for key, value in _field.findall(frame.data[:LARGEST_HEADER].split(b"\r\n\r\n")[0])
    }
    kind = named.get(b"warc-type", b"").lower()
    url = named.get(b"warc-target-uri", b"").decode("utf-8", "replace")
    if kind not in (b"response", b"resource") and not (frame.problem and not kind):
        return None
    if frame.problem:
        return Record(frame.offset, url, frame.problem, frame.detail)
    if kind == b"resource":
        return Record(frame.offset, url, "not_http", "a resource record")
    return _response(frame, url)


def _response(frame: _Frame, url: str) -> Record:
    from fastwarc.warc import ArchiveIterator

    try:
        record = next(iter(ArchiveIterator(io.BytesIO(frame.data), stream_detect=False)))
        date = record.headers.get("WARC-Date") or ""
        status = record.http_headers.status_code if record.http_headers is not None else None
        if not status:
            return Record(frame.offset, url, "not_http", (record.headers.get("Content-Type") or "")[:100], date)
        headers = tuple((name.lower(), value.strip()) for name, value in record.http_headers.items())
        return Record(frame.offset, url, date=date, status=status, headers=headers, body=record.reader.read())
    except (OSError, StopIteration, ValueError, UnicodeError) as error:
        return Record(frame.offset, url, "broken_record", str(error)[:200])
