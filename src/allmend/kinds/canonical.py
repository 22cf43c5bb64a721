"""Canonical JSON (RFC 8785) and the digests made of it: the only text that identities are hashed from."""

from __future__ import annotations

import hashlib
import json
import math
import re
from collections.abc import Iterable
from pathlib import Path
from typing import Any

LARGEST_INTEGER = 2**53  # beyond it, JSON readers that use doubles disagree (RFC 8785, section 3.2.2.3)
_plain_string = re.compile(r'[^"\\\x00-\x1f]*').fullmatch  # needs no escape under RFC 8785


def canonical_json(value: Any, where: str = "value") -> bytes:
    """UTF-8 bytes of a JSON value in the one form of RFC 8785: sorted keys, no spaces, ECMAScript numbers.

    Raises:
        ValueError: NaN, infinity, an integer beyond ±2⁵³, a lone surrogate, or a type that JSON lacks; names the field.

    Source:
        RFC 8785, JSON Canonicalization Scheme.
    """
    return "".join(_emit(value, where)).encode()


def _emit(value: Any, where: str) -> list[str]:
    if value is None:
        return ["null"]
    if value is True:
        return ["true"]
    if value is False:
        return ["false"]
    if isinstance(value, str):
        return [_string(value, where)]
    if isinstance(value, int):
        if abs(value) > LARGEST_INTEGER:
            raise ValueError(
                f"{where}: the integer {value} is beyond ±2⁵³, which JSON can't hold exactly; write it as text"
            )
        return [str(int(value))]
    if isinstance(value, float):
        return [number(value, where)]
    if isinstance(value, list | tuple):
        out = ["["]
        for index, item in enumerate(value):
            if index:
                out.append(",")
            out += _emit(item, f"{where}[{index}]")
        return [*out, "]"]
    if isinstance(value, dict):
        out = ["{"]
        for key in sorted(value, key=_utf16):
            if len(out) > 1:
                out.append(",")
            out += [_string(key, where), ":", *_emit(value[key], f"{where}.{key}")]
        return [*out, "}"]
    raise ValueError(f"{where}: {type(value).__name__} has no JSON form")


def _utf16(key: str) -> bytes:
    return key.encode("utf-16-be", "surrogatepass")  # RFC 8785 sorts by UTF-16 code units, not code points


def _string(value: str, where: str) -> str:
    if _plain_string(value) and value.isascii():
        return f'"{value}"'
    try:
        value.encode()
    except UnicodeEncodeError as error:
        raise ValueError(f"{where}: text holds a lone surrogate, which isn't valid Unicode") from error
    return json.dumps(value, ensure_ascii=False)


def number(value: float, where: str = "value") -> str:
    """A double as ECMAScript's Number::toString writes it (shortest digits that read back the same)."""
    if not math.isfinite(value):
        raise ValueError(f"{where}: {value} has no JSON form; leave the field out or use null")
    if value == 0:
        return "0"  # also for -0.0
    sign, value = ("-", -value) if value < 0 else ("", value)
    mantissa, _, exponent = repr(value).partition("e")
    whole, _, fraction = mantissa.partition(".")
    digits = (whole + fraction).lstrip("0")
    point = len(whole) + int(exponent or 0) - (len(whole + fraction) - len(digits))
    digits = digits.rstrip("0")
    count = len(digits)
    if count <= point <= 21:
        text = digits + "0" * (point - count)
    elif 0 < point <= 21:
        text = f"{digits[:point]}.{digits[point:]}"
    elif -6 < point <= 0:
        text = f"0.{'0' * -point}{digits}"
    else:
        tail = f".{digits[1:]}" if count > 1 else ""
        text = f"{digits[0]}{tail}e{'+' if point > 0 else '-'}{abs(point - 1)}"
    return sign + text


def sha256_json(value: Any) -> str:
    """SHA-256 (hex) of a value's canonical JSON."""
    return hashlib.sha256(canonical_json(value)).hexdigest()


def sha256_file(path: Path) -> str:
    """SHA-256 (hex) of a file's bytes."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def content_digest(files: Iterable[tuple[str, int, str]]) -> str:
    """Digest of an artifact: SHA-256 over the sorted (path, size, SHA-256) of its content files."""
    return sha256_json([list(file) for file in sorted(tuple(file) for file in files)])
