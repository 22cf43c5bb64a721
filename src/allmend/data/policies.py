"""Which responses are policy files (robots.txt, tdmrep.json, RSL licences), and which of them speak for a host."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any
from urllib.parse import urlsplit

LARGEST_POLICY = 500 * 1024
"""Bytes read of a policy file: RFC 9309, section 2.5, asks for at least 500 KiB."""
PATHS = {"/robots.txt": "robots", "/.well-known/tdmrep.json": "tdmrep", "/license.xml": "rsl"}

Policy = dict[str, Any]


def policy_kind(url: str, content_type: str = "") -> str:
    """`robots`, `tdmrep`, `rsl`, or nothing for an ordinary page."""
    if content_type.partition(";")[0].strip().lower() == "application/rsl+xml":
        return "rsl"
    try:
        return PATHS.get(urlsplit(url).path, "")
    except ValueError:
        return ""


def host_of(url: str) -> str:
    """Host and port as policies are kept by: lower case, without user, without the scheme's usual port.

    `http` and `https` of one host share its files, and `www.` is another host than the bare one.
    """
    try:
        parts = urlsplit(url)
        host, port = (parts.hostname or "").rstrip("."), parts.port
    except ValueError:
        return ""
    return host if port in (None, {"http": 80, "https": 443}.get(parts.scheme)) else f"{host}:{port}"


def newest(policies: Iterable[Policy]) -> dict[str, list[Policy]]:
    """Host → its policy files as of the newest fetch of each URL, sorted by (kind, URL).

    Of a robots.txt that was met under `http` and `https`, the newer answer counts.
    """
    latest: dict[tuple[str, str], Policy] = {}
    for policy in sorted(
        policies, key=lambda each: (each["fetched_at"], each["url"], each["status"], each["body"] or "")
    ):
        place = policy["url"] if policy["kind"] == "rsl" else policy["kind"]
        latest[policy["host"], place] = policy
    found: dict[str, list[Policy]] = {}
    for host, place in sorted(latest):
        found.setdefault(host, []).append(latest[host, place])
    return found
