"""WARC/1.1 response records that come out the same bytes every time: fixed dates, ids from content, own gzip header."""

from __future__ import annotations

import base64
import hashlib
import struct
import uuid
import zlib
from collections.abc import Iterable
from dataclasses import dataclass, field
from urllib.parse import urlsplit

ROBOTS_DATE = "2026-11-02T06:00:00Z"
PAGE_DATE = "2026-11-02T07:00:00Z"
GZIP_HEADER = b"\x1f\x8b\x08\x00" + b"\x00" * 4 + b"\x02\xff"  # no name, no time, level 9, operating system unknown
POLICY_PATHS = ("/robots.txt", "/.well-known/tdmrep.json", "/license.xml")
REASONS = {200: "OK", 404: "Not Found", 503: "Service Unavailable"}


@dataclass(frozen=True)
class Response:
    """One HTTP answer. `damage` spoils the gzip member on purpose: "flip" in its middle, "cut" at its end."""

    url: str
    body: bytes
    content_type: str | None = "text/html; charset=utf-8"
    status: int = 200
    headers: dict[str, str] = field(default_factory=dict)
    date: str | None = None
    damage: str | None = None

    @property
    def host(self) -> str:
        return urlsplit(self.url).netloc

    @property
    def is_policy(self) -> bool:
        return urlsplit(self.url).path in POLICY_PATHS

    def order(self) -> tuple[str, bool, str]:
        """By host, and within one its policy files first, as a crawler meets them."""
        return self.host, not self.is_policy, self.url


def gzip_member(data: bytes) -> bytes:
    """One gzip member; own header, since that of gzip.compress differs between versions of Python."""
    deflate = zlib.compressobj(9, zlib.DEFLATED, -zlib.MAX_WBITS)
    packed = deflate.compress(data) + deflate.flush()
    return GZIP_HEADER + packed + struct.pack("<II", zlib.crc32(data), len(data) & 0xFFFFFFFF)


def warc_file(name: str, responses: Iterable[Response], description: str) -> bytes:
    """A whole `.warc.gz`: a warcinfo record, then the responses by host."""
    info = (
        f"software: allmend examples/commons/build.py\r\nformat: WARC File Format 1.1\r\ndescription: {description}\r\n"
    )
    head = {
        "WARC-Type": "warcinfo",
        "WARC-Date": ROBOTS_DATE,
        "WARC-Filename": name,
        "Content-Type": "application/warc-fields",
    }
    members = [gzip_member(_record(head, info.encode()))]
    members += [_damaged(response) for response in sorted(responses, key=Response.order)]
    return b"".join(members)


def _damaged(response: Response) -> bytes:
    member = gzip_member(_response_record(response))
    if response.damage == "flip":
        middle = len(member) // 2
        return member[:middle] + bytes(byte ^ 0xFF for byte in member[middle : middle + 64]) + member[middle + 64 :]
    if response.damage == "cut":
        return member[: len(member) * 2 // 3]
    assert response.damage is None, response.damage
    return member


def _response_record(response: Response) -> bytes:
    fields = {"Server": "nginx", "Content-Type": response.content_type, "Content-Length": str(len(response.body))}
    fields |= response.headers
    lines = [f"HTTP/1.1 {response.status} {REASONS[response.status]}"]
    lines += [f"{name}: {value}" for name, value in fields.items() if value is not None]
    block = "\r\n".join(lines).encode("latin-1") + b"\r\n\r\n" + response.body
    head = {
        "WARC-Type": "response",
        "WARC-Target-URI": response.url,
        "WARC-Date": response.date or (ROBOTS_DATE if response.is_policy else PAGE_DATE),
        "WARC-Payload-Digest": _digest(response.body),
        "Content-Type": "application/http; msgtype=response",
    }
    return _record(head, block)


def _record(head: dict[str, str], block: bytes) -> bytes:
    content = repr(sorted(head.items())).encode() + block
    identity = uuid.uuid5(uuid.NAMESPACE_URL, hashlib.sha256(content).hexdigest())
    fields = {"WARC-Record-ID": f"<urn:uuid:{identity}>", **head}
    fields |= {"WARC-Block-Digest": _digest(block), "Content-Length": str(len(block))}
    lines = ["WARC/1.1", *(f"{name}: {value}" for name, value in fields.items())]
    return "\r\n".join(lines).encode() + b"\r\n\r\n" + block + b"\r\n\r\n"


def _digest(data: bytes) -> str:
    return "sha1:" + base64.b32encode(hashlib.sha1(data).digest()).decode()
