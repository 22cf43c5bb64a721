"""Under what licence a page says it stands."""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Any, ClassVar

import pyarrow as pa

from allmend.data.annotator import Annotator, Document, hints, page
from allmend.data.policies import Policy

UNKNOWN = "unknown"
RESERVED = "LicenseRef-all-rights-reserved"
_cc_url = re.compile(r"(?:https?:)?//(?:www\.)?creativecommons\.org/(?:licen[sc]es/(?P<kind>by(?:-nc)?(?:-sa|-nd)?)/(?P<version>\d\.\d)(?:/(?P<port>[a-z]{2,4})\b)?|publicdomain/(?P<pd>zero|mark)/(?P<pd_version>\d\.\d))", re.IGNORECASE)  # fmt: skip
_cc_name = re.compile(
    r"\b(?:CC|Creative Commons)[ -](?P<kind>BY(?:[ -]NC)?(?:[ -](?:SA|ND))?)[ -]v?(?P<version>\d\.\d)\b|\b(?P<zero>CC0)\b",
    re.IGNORECASE,
)
_reserved = re.compile(r"all rights reserved|alle rechte vorbehalten|tous droits réservés", re.IGNORECASE)
_ports = frozenset((
    "CC-BY-2.5-AU", "CC-BY-3.0-AT", "CC-BY-3.0-AU", "CC-BY-3.0-DE", "CC-BY-3.0-IGO", "CC-BY-3.0-NL", "CC-BY-3.0-US", "CC-BY-NC-3.0-DE",
    "CC-BY-NC-ND-3.0-DE", "CC-BY-NC-ND-3.0-IGO", "CC-BY-NC-SA-2.0-DE", "CC-BY-NC-SA-2.0-FR", "CC-BY-NC-SA-2.0-UK", "CC-BY-NC-SA-3.0-DE",
    "CC-BY-NC-SA-3.0-IGO", "CC-BY-ND-3.0-DE", "CC-BY-SA-2.0-UK", "CC-BY-SA-2.1-JP", "CC-BY-SA-3.0-AT", "CC-BY-SA-3.0-DE", "CC-BY-SA-3.0-IGO",
))  # fmt: skip
"""Ported Creative Commons licences that have an SPDX id of their own; the others go under the unported id."""
OTHERS = {
    "MIT": r"(?:opensource\.org/licen[sc]es?/mit|spdx\.org/licenses/mit)\b", "Apache-2.0": r"(?:apache\.org/licenses/license-2\.0|opensource\.org/licen[sc]es?/apache-2\.0|spdx\.org/licenses/apache-2\.0)",
    "MPL-2.0": r"(?:mozilla\.org/(?:[\w-]+/)?MPL/2\.0|opensource\.org/licen[sc]es?/mpl-2\.0|spdx\.org/licenses/mpl-2\.0)", "BSD-3-Clause": r"(?:opensource\.org|spdx\.org)/licen[sc]es?/bsd-3-clause",
    "GFDL-1.3-or-later": r"gnu\.org/(?:licenses|copyleft)/fdl(?:-1\.3)?(?:\.html|\.txt|\b)", "GPL-3.0-or-later": r"gnu\.org/licenses/gpl(?:-3\.0)?(?:\.html|\.en\.html|\.txt|$)",
    "Unlicense": r"unlicense\.org", "ODbL-1.0": r"opendatacommons\.org/licenses/odbl", "OGL-UK-3.0": r"nationalarchives\.gov\.uk/doc/open-government-licence/version/3",
}  # fmt: skip
_others = {label: re.compile(pattern, re.IGNORECASE) for label, pattern in OTHERS.items()}
SHARE_ALIKE = ("GFDL-1.3-or-later", "GPL-3.0-or-later", "MPL-2.0", "ODbL-1.0")


class Licence(Annotator):
    """The page's licence as an SPDX id, from `rel=license`, JSON-LD, meta tags or HTTP fields.

    What speaks of the page beats what may speak of a part: a `rel=license` on an `<a>` counts only where neither head,
    JSON-LD nor header name one, and a link to Creative Commons without `rel=license` names no licence of the page (it
    may be a picture's). Where statements of one strength differ, the strictest counts. A licence that isn't
    recognised, or none, is `unknown`.
    """

    source: ClassVar[str] = (
        "SPDX License List 3.27; Creative Commons licence URLs; HTML Standard, link type license; schema.org/license"
    )
    type: ClassVar[pa.DataType] = pa.struct([
        ("label", pa.string()), ("permissive", pa.bool_()), ("share_alike", pa.bool_()), ("non_commercial", pa.bool_()),
        ("no_derivatives", pa.bool_()), ("found_in", pa.string()), ("evidence", pa.string()),
    ])  # fmt: skip
    examples: ClassVar = (
        (page(hints=[("link", "license", "https://creativecommons.org/licenses/by-sa/4.0/deed.de")]), {"label": "CC-BY-SA-4.0", "share_alike": True, "permissive": False}),
        (page(hints=[("link", "license", "https://creativecommons.org/licenses/by-nc-sa/3.0/ch/")]), {"label": "CC-BY-NC-SA-3.0", "non_commercial": True}),
        (page(hints=[("a", "mentions", "https://creativecommons.org/licenses/by/4.0/")]), {"label": UNKNOWN}),
        (page(hints=[("a", "license", "https://creativecommons.org/licenses/by/4.0/"), ("jsonld", "license", "https://creativecommons.org/licenses/by-nd/4.0/")]), {"label": "CC-BY-ND-4.0"}),
        (page(hints=[("footer", "rights", "All rights reserved")]), {"label": RESERVED, "permissive": False}),
    )  # fmt: skip

    def annotate(self, document: Document, policies: Sequence[Policy] = ()) -> dict[str, Any]:
        for sources in (("link", "jsonld", "meta", "header"), ("a",), ("footer",)):
            found = [
                (strictness(label), label, source, value)
                for source, name, value in _named(document) if source in sources and (label := spdx_of(value, plain=name == "rights"))
            ]  # fmt: skip
            if found:
                return _verdict(*max(found)[1:])
        return _verdict(UNKNOWN, "", next((value for _, _, value in _named(document)), ""))


def _named(document: Document) -> list[tuple[str, str, str]]:
    """The statements, `Link: <…>; rel=license` fields among them."""
    found = list(hints(document, "license", "rights"))
    for source, _, value in hints(document, "link"):
        for place, rest in re.findall(r"<([^>]*)>([^,<]*)", value):
            if re.search(r"rel=\"?[^\";]*\blicense\b", rest) and "rsl+xml" not in rest:
                found.append((source, "license", place))
    return found


def _verdict(label: str, found_in: str, evidence: str) -> dict[str, Any]:
    parts = label.split("-")
    non_commercial, no_derivatives = "NC" in parts, "ND" in parts
    share_alike = "SA" in parts or label in SHARE_ALIKE
    permissive = label not in (UNKNOWN, RESERVED) and not (non_commercial or no_derivatives or share_alike)
    return {
        "label": label, "permissive": permissive, "share_alike": share_alike, "non_commercial": non_commercial,
        "no_derivatives": no_derivatives, "found_in": found_in or None, "evidence": evidence or None,
    }  # fmt: skip


def strictness(label: str) -> int:
    """Order in which differing statements are settled: the strictest counts."""
    if label == RESERVED:
        return 9
    parts = label.split("-")
    return 4 * ("NC" in parts) + 2 * ("ND" in parts) + ("SA" in parts or label in SHARE_ALIKE)


def spdx_of(statement: str, plain: bool = False) -> str:
    """SPDX id that a URL or phrase names; empty if none is recognised. `plain`: reserved rights may be stated too."""
    if match := _cc_url.search(statement):
        return _cc_label(match)
    for label, pattern in _others.items():
        if pattern.search(statement):
            return label
    if match := _cc_name.search(statement):
        return "CC0-1.0" if match["zero"] else f"CC-{re.sub(r'[ -]+', '-', match['kind']).upper()}-{match['version']}"
    if statement.strip() in OTHERS or re.fullmatch(r"CC0-1\.0|CC-BY(-NC)?(-SA|-ND)?-\d\.\d", statement.strip()):
        return statement.strip()
    return RESERVED if plain and _reserved.search(statement) else ""


def _cc_label(match: re.Match[str]) -> str:
    if match["pd"]:
        return ("CC0-" if match["pd"].lower() == "zero" else "CC-PDM-") + match["pd_version"]
    label = f"CC-{match['kind'].upper()}-{match['version']}"
    ported = f"{label}-{(match['port'] or '').upper()}"
    return ported if ported in _ports else label
