"""Personal data that can be recognised by its form: where it stands in the text."""

from __future__ import annotations

import ipaddress
import re
from collections.abc import Iterator, Sequence
from typing import Any, ClassVar

import pyarrow as pa

from allmend.data.annotator import Annotator, Document, page
from allmend.data.policies import Policy
from allmend.kinds.errors import MissingExtraError

Span = tuple[str, int, int]
"""(kind, start, end): character offsets into the text."""

_email = re.compile(
    r"(?<![\w.+%-])[A-Za-z0-9](?:[A-Za-z0-9._%+-]{0,62}[A-Za-z0-9_+-])?@(?:[A-Za-z0-9](?:[A-Za-z0-9-]{0,61}[A-Za-z0-9])?\.){1,8}([A-Za-z]{2,24})(?![\w@-])"
)
_FILES = frozenset(
    [
        "png",
        "jpg",
        "jpeg",
        "gif",
        "svg",
        "webp",
        "avif",
        "ico",
        "css",
        "js",
        "ts",
        "py",
        "html",
        "htm",
        "php",
        "json",
        "xml",
        "pdf",
        "zip",
        "gz",
        "mp4",
    ]
)
_ipv4 = re.compile(r"(?<![\w.:-])\d{1,3}(?:\.\d{1,3}){3}(?![\w-]|\.\d)")
_ipv6 = re.compile(r"(?<![\w:.])(?:[0-9A-Fa-f]{1,4}:{1,2}){1,7}(?:[0-9A-Fa-f]{1,4})?(?![\w:])")
_version = re.compile(r"(?:\b(?:versions?|versión|versione|version[es]n|versão|ver|rev|revision|releases?|build|firmware|update|upgrade|patch|driver|kernel|section|chapter|clause|figure|table|abschnitt|kapitel|oid)\b|верси\w+|版本|バージョン|§|\bv)[\s.:#v]*$", re.IGNORECASE)  # fmt: skip
_between = re.compile(
    r"\s*(?:to|and|or|through|until|via|bis|und|oder|et|ou|à|y|o|e|a|,|;|–|—|-|→|>|/)?\s*(?:version\s*)?v?",
    re.IGNORECASE,
)
_iban = re.compile(r"(?<![A-Za-z0-9])[A-Z]{2}\d{2}(?=[ \u00a0-]?[A-Z0-9])")
IBAN_LENGTHS = {
    "AD": 24, "AE": 23, "AL": 28, "AT": 20, "AZ": 28, "BA": 20, "BE": 16, "BG": 22, "BH": 22, "BI": 27, "BR": 29, "BY": 28, "CH": 21, "CR": 22, "CY": 28, "CZ": 24,
    "DE": 22, "DJ": 27, "DK": 18, "DO": 28, "EE": 20, "EG": 29, "ES": 24, "FI": 18, "FK": 18, "FO": 18, "FR": 27, "GB": 22, "GE": 22, "GI": 23, "GL": 18,
    "GR": 27, "GT": 28, "HN": 28, "HR": 21, "HU": 28, "IE": 22, "IL": 23, "IQ": 23, "IS": 26, "IT": 27, "JO": 30, "KW": 30, "KZ": 20, "LB": 28, "LC": 32, "LI": 21, "LT": 20,
    "LU": 20, "LV": 21, "LY": 25, "MC": 27, "MD": 24, "ME": 22, "MK": 19, "MN": 20, "MR": 27, "MT": 31, "MU": 30, "NI": 28, "NL": 18, "NO": 15, "OM": 23, "PK": 24, "PL": 28,
    "PS": 29, "PT": 25, "QA": 29, "RO": 24, "RS": 22, "RU": 33, "SA": 24, "SC": 31, "SD": 18, "SE": 24, "SI": 19, "SK": 24, "SM": 27, "SO": 23, "ST": 25, "SV": 28, "TL": 23,
    "TN": 24, "TR": 26, "UA": 29, "VA": 22, "VG": 24, "XK": 20, "YE": 30,
}  # fmt: skip
"""Characters of an IBAN by country: SWIFT IBAN Registry, release 99 (ISO 13616)."""
_card = re.compile(r"(?<![\w.,-])(?<!\d[ \u00a0])(?:\d{13,19}|\d{4}(?P<a>[ \u00a0-])\d{4}(?P=a)\d{4}(?P=a)\d{1,4}(?:(?P=a)\d{3})?|3[47]\d\d(?P<b>[ \u00a0-])\d{6}(?P=b)\d{5}|3[068]\d\d(?P<c>[ \u00a0-])\d{6}(?P=c)\d{4})(?![\w-]|[.,]\d|[ \u00a0]\d)")  # fmt: skip
_brand = re.compile(r"(?:4(?:\d{12}|\d{15}|\d{18})|(?:5[1-5]|222[1-9]|22[3-9]\d|2[3-6]\d\d|27[01]\d|2720)\d*|3[47]\d{13}|(?:6011|65\d\d|64[4-9]\d|62\d\d)\d{12,15}|35(?:2[89]|[3-8]\d)\d{12,15}|3(?:0[0-5]|[68]\d)\d{11,16})").fullmatch  # fmt: skip
_plus_digit = re.compile(r"[+＋][ (]?\d")


class Pii(Annotator):
    """E-mail addresses, public IP addresses, IBANs, payment cards and international phone numbers, with their places.

    Checksums are checked (IBAN modulo 97, cards by Luhn and issuer range), addresses must be public and not read as a
    version, phone numbers must be valid by the numbering plan of their country. National phone numbers without `+`
    aren't looked for: without a country, order numbers and dates look the same.
    """

    source: ClassVar[str] = (
        "ISO 13616 and ISO 7064 (IBAN); ISO/IEC 7812-1, annex B (Luhn); RFC 5322, 6890 and 4291; ITU-T E.164 through phonenumbers"
    )
    type: ClassVar[pa.DataType] = pa.struct([
        ("count", pa.int64()),
        ("spans", pa.list_(pa.struct([("kind", pa.string()), ("start", pa.int64()), ("end", pa.int64()), ("text", pa.string())]))),
    ])  # fmt: skip
    examples: ClassVar = (
        (page("Ask b_moser+hut@mail.example.net."), {"spans": [{"kind": "email", "start": 4, "end": 32, "text": "b_moser+hut@mail.example.net"}]}),
        (page("logo@2x.png, allmend@1.2.3, me@home, @larkmoor"), {"count": 0}),
        (page("DNS 8.8.8.8; version 8.8.8.8; 192.168.0.1; 8.8.8.256; 1.3.6.1.4.1"), {"count": 1}),
        (page("2001:4860:4860::8888, 2001:db8::1, fe80::1, 12:30:45, std::vector, 00:1b:44:11:3a:b7"), {"count": 1}),
        (page("GB82 WEST 1234 5698 7654 32 and DE88370400440532013000"), {"count": 1}),
        (page("4111 1111 1111 1111, 4111 1111 1111 1112, 978-3-16-148410-0"), {"count": 1}),
        (page("+44 20 7946 0958, 4471-2298-10, +1 2"), {"count": 1}),
    )  # fmt: skip

    def annotate(self, document: Document, policies: Sequence[Policy] = ()) -> dict[str, Any]:
        text = document["text"]
        spans = [
            {"kind": kind, "start": start, "end": end, "text": text[start:end]} for kind, start, end in find_spans(text)
        ]
        return {"count": len(spans), "spans": spans}


def find_spans(text: str) -> list[Span]:
    """Spans in the order of the text, none overlapping another; where two kinds compete, the one with the stronger
    check wins.
    """
    found: list[Span] = []
    for finder in (_emails, _ibans, _cards, _ipv6s, _ipv4s, _phones):
        for span in finder(text):
            if all(span[2] <= start or end <= span[1] for _, start, end in found):
                found.append(span)
    return sorted(found, key=lambda span: span[1])


def _emails(text: str) -> Iterator[Span]:
    if "@" in text:
        for match in _email.finditer(text):
            if ".." not in match[0] and match[1].lower() not in _FILES:
                yield "email", match.start(), match.end()


def _ibans(text: str) -> Iterator[Span]:
    for match in _iban.finditer(text):
        end = _iban_end(text, match.start(), IBAN_LENGTHS.get(match[0][:2], 0))
        if end and iban_is_valid(text[match.start() : end]):
            yield "iban", match.start(), end


def _iban_end(text: str, start: int, length: int) -> int:
    """Where an IBAN of so many characters ends, single separators skipped; 0 if it is broken off or goes on."""
    place = start
    for number in range(length):
        if number and text[place : place + 1] in ("\u00a0", " ", "-"):
            place += 1
        if not (text[place : place + 1].isascii() and text[place : place + 1].isalnum()):
            return 0
        place += 1
    return place if length and not text[place : place + 1].isalnum() else 0


def iban_is_valid(text: str) -> bool:
    """Country length and check digits of ISO 13616: letters as 10–35, the first four characters last, remainder 1 by
    97.
    """
    plain = re.sub(r"[\s-]", "", text).upper()
    if len(plain) != IBAN_LENGTHS.get(plain[:2]):
        return False
    return int("".join(str(int(character, 36)) for character in plain[4:] + plain[:4])) % 97 == 1


def _cards(text: str) -> Iterator[Span]:
    for match in _card.finditer(text):
        digits = re.sub(r"\D", "", match[0])
        if _brand(digits) and _card_length(digits) and luhn_is_valid(digits) and len(set(digits)) > 1:
            yield "card", match.start(), match.end()


def _card_length(digits: str) -> bool:
    return len(digits) == 16 if digits[0] in "25" else True


def luhn_is_valid(digits: str) -> bool:
    """Check digit of ISO/IEC 7812-1: every second digit from the right doubled, its digits added, the sum divisible by
    10.
    """
    doubled = [sum(divmod(2 * int(digit), 10)) for digit in digits[-2::-2]]
    return (sum(doubled) + sum(int(digit) for digit in digits[-1::-2])) % 10 == 0


def _ipv4s(text: str) -> Iterator[Span]:
    version_end = -1
    for match in _ipv4.finditer(text):
        before = text[max(0, match.start() - 40) : match.start()]
        follows = (
            0 <= version_end <= match.start() and _between.fullmatch(text[version_end : match.start()]) is not None
        )
        if _version.search(before) or follows:
            version_end = match.end()
        elif _public(match[0]):
            yield "ip", match.start(), match.end()


def _ipv6s(text: str) -> Iterator[Span]:
    for match in _ipv6.finditer(text):
        if _public(match[0]) and ipaddress.ip_address(match[0]) in ipaddress.ip_network("2000::/3"):
            yield "ip", match.start(), match.end()


def _public(text: str) -> bool:
    try:
        address = ipaddress.ip_address(text)
    except ValueError:
        return False
    return address.is_global and not address.is_multicast


def _phones(text: str) -> Iterator[Span]:
    if not _plus_digit.search(text):
        return
    try:
        from phonenumbers import Leniency, PhoneNumberMatcher
    except ImportError as error:
        raise MissingExtraError.of("phonenumbers", "data") from error
    for match in PhoneNumberMatcher(text, None, leniency=Leniency.VALID):
        yield "phone", match.start, match.end
