"""Checks a report's pages: every number stands in a claim, and page, `claims.json` and source agree.

Where a number may stand outside a claim: headings and `<title>`, `<time>` and class `date` (dates only), `<code>`,
`<script>`, `<style>`, and class `tick` inside an SVG. A word that begins with a letter (`Qwen3-0.6B`, `SHA-256`) is
a name, not a number. In an SVG, where `<data>` can't stand, any element of class `claim` with `data-claim` and
`data-value` does its work.
"""

from __future__ import annotations

import contextlib
import os
import re
import unicodedata
from dataclasses import dataclass, field
from html.parser import HTMLParser
from pathlib import Path
from typing import Literal

from allmend.kinds import content_digest, sha256_file
from allmend.kinds.errors import AllmendError, CheckFailed
from allmend.ledger.claims import Claim, Source, agrees, is_rounding, read_claims
from allmend.ledger.manifest import Entry, Manifest, check_entry, is_digest
from allmend.ledger.store import Ledger

FREE = {"h1", "h2", "h3", "h4", "h5", "h6", "title", "code", "script", "style"}
VOID = {"area", "base", "br", "col", "embed", "hr", "img", "input", "link", "meta", "source", "track", "wbr"}
SPOKEN = ("alt", "title", "aria-label", "placeholder", "label", "summary", "srcdoc")
"""Attributes whose text a reader meets."""
VALUED = ("button", "input", "meter", "progress")
"""Elements whose attribute `value` a reader meets."""

_break = re.compile(r"[\s=:/,;|()\[\]{}<>\"'“”„«»’‘]+")
_date = re.compile(
    r"\d{4}-\d\d(-\d\d)?([T ]\d\d:\d\d(:\d\d)?(Z|[+-]\d\d:\d\d)?)?|(19|20|21)\d\d"
    r"|[0-3]?\d(\.|st|nd|rd|th)?|\d\d:\d\d(:\d\d)?|\D+"
).fullmatch


@dataclass(frozen=True)
class Shown:
    """A claim as a page shows it."""

    id: str
    value: str
    printed: str
    where: str


@dataclass(frozen=True)
class ReportProblem:
    """Something about a report: `failed`, or a `note` that a reader should know of."""

    severity: Literal["failed", "note"]
    where: str
    message: str

    def __str__(self) -> str:
        return f"{self.where}: {self.message}"


@dataclass
class _Open:
    tag: str
    state: Literal["text", "free", "date", "claim"]
    svg: bool
    claim: tuple[str, str] | None = None
    text: list[str] = field(default_factory=list)
    line: int = 0


class _Page(HTMLParser):
    """Collects the claims that a page shows, and the numbers that stand outside one."""

    def __init__(self, name: str) -> None:
        super().__init__(convert_charrefs=True)
        self.name = name
        self.stack: list[_Open] = []
        self.shown: list[Shown] = []
        self.loose: list[tuple[str, str]] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        given = {name: value or "" for name, value in reversed(attrs)}  # of two equal ones, browsers take the first
        for name in SPOKEN:
            self._search(given.get(name, ""))
        if tag in VALUED:
            self._search(given.get("value", ""))
        if tag in VOID:
            return
        above = self.stack[-1] if self.stack else _Open("", "text", False)
        classes = given.get("class", "").split()
        svg = above.svg or tag == "svg"
        one = _Open(tag, above.state, svg, line=self.getpos()[0])
        if above.state == "claim" or "claim" in classes:
            one.state = "claim"
            if "claim" in classes:
                value = given.get("value", "") if tag == "data" else given.get("data-value", "")
                one.claim = (given.get("data-claim", ""), value)
        elif tag in FREE or (svg and "tick" in classes):
            one.state = "free"
        elif above.state == "text" and (tag == "time" or "date" in classes):
            one.state = "date"
        self.stack.append(one)

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.handle_starttag(tag, attrs)
        if tag not in VOID and self.stack[-1].svg:
            self.handle_endtag(tag)  # `<path/>` ends at once in an SVG; `<p/>` doesn't in HTML

    def handle_endtag(self, tag: str) -> None:
        if not any(one.tag == tag for one in self.stack):
            return
        while self.stack:
            one = self.stack.pop()
            if one.claim is not None:
                self.shown.append(Shown(*one.claim, "".join(one.text).strip(), f"{self.name}:{one.line}"))
            if one.tag == tag:
                return

    def handle_data(self, data: str) -> None:
        state = self.stack[-1].state if self.stack else "text"
        if state == "claim":
            for one in reversed(self.stack):
                if one.claim is not None:
                    one.text.append(data)
                    return
        if state == "text" or (
            state == "date" and not all(_date(word) for word in re.split(r"[\s,–/]+", data) if word)
        ):
            self._search(data)

    def unknown_decl(self, data: str) -> None:
        self.handle_data(data)  # CDATA in an SVG is text to a reader

    def close(self) -> None:
        super().close()
        while self.stack:
            self.handle_endtag(self.stack[-1].tag)

    def _search(self, text: str) -> None:
        for number in loose_numbers(text):
            self.loose.append((f"{self.name}:{self.getpos()[0]}", number))


def loose_numbers(text: str) -> list[str]:
    """The numbers in a text: words that hold a digit and don't begin with a letter."""
    found = []
    for word in _break.split(text):
        start = next((mark for mark in word if unicodedata.category(mark)[0] in "LN"), "")
        if (
            start
            and unicodedata.category(start)[0] == "N"
            and any(unicodedata.category(mark) in ("Nd", "No") for mark in word)
        ):
            found.append(word)
    return found


def verify_report(ledger: Ledger | None, folder: Path) -> list[ReportProblem]:
    """Check every number of a report against its source.

    Args:
        ledger: where the source artifacts may be; None, or one that lacks them, leaves the report's own `evidence/`.
        folder: the report's folder.

    Returns:
        What is wrong, and notes (claims never shown; what was checked on evidence only). No `failed` entry means that
        it holds.
    """
    try:
        claims = read_claims(folder / "claims.json")
    except AllmendError as error:
        return [ReportProblem("failed", "claims.json", str(error))]
    shown, problems = _read_pages(folder)
    for one in shown:
        problems += _compare(one, claims.get(one.id))
    with contextlib.closing(_Sources(ledger, folder)) as sources:
        for claim in claims.values():
            problems += _check_claim(claim, sources)
    for name in sorted(set(claims) - {one.id for one in shown}):
        problems.append(ReportProblem("note", "claims.json", f"the claim {name} is shown on no page."))
    if sources.evidence_only:
        artifacts = ", ".join(sorted(digest[:12] for digest in sources.evidence_only))
        message = (
            f"evidence only: {artifacts} checked on the report's own copies, since no ledger here holds the source."
        )
        problems.append(ReportProblem("note", "evidence/", message))
    return problems


def _read_pages(folder: Path) -> tuple[list[Shown], list[ReportProblem]]:
    shown: list[Shown] = []
    problems: list[ReportProblem] = []
    paths = sorted(path for path in folder.rglob("*") if path.suffix.lower() in (".html", ".htm", ".svg"))
    for path in paths:
        name = path.relative_to(folder).as_posix()
        if name.startswith("evidence/"):
            continue
        page = _Page(name)
        page.feed(path.read_bytes().decode(errors="replace"))
        page.close()
        shown += page.shown
        problems += [
            ReportProblem("failed", where, f"the number {text!r} stands outside a claim.") for where, text in page.loose
        ]
    if not paths:
        problems.append(ReportProblem("failed", str(folder), "there is no page in this report."))
    return shown, problems


def _compare(one: Shown, claim: Claim | None) -> list[ReportProblem]:
    """A number on a page against `claims.json`."""
    if claim is None:
        return [ReportProblem("failed", one.where, f"shows the claim {one.id!r}, which claims.json doesn't have.")]
    found = []
    if one.value != claim.text:
        message = f"claim {claim.id}: the attribute says {one.value!r} and claims.json {claim.text}."
        found.append(ReportProblem("failed", one.where, message))
    if not is_rounding(one.printed, claim.value):
        message = f"claim {claim.id}: {one.printed!r} is printed, which is no correct rounding of {claim.text}."
        found.append(ReportProblem("failed", one.where, message))
    return found


def _check_claim(claim: Claim, sources: _Sources) -> list[ReportProblem]:
    """A claim against what its query gives on the source now."""
    try:
        result = sources.open(claim).ask(claim)
    except AllmendError as error:
        return [ReportProblem("failed", "claims.json", str(error))]
    if agrees(claim, result):
        return []
    message = f"claim {claim.id}: it says {claim.text}, and the query gives {result} (tolerance {claim.tolerance})."
    return [ReportProblem("failed", "claims.json", message)]


def _check_listed(claim: Claim, path: Path) -> None:
    """Where the artifact's manifest lies beside the file, the digest must be that of the list that holds the file."""
    folder = path.parents[claim.file.count("/")]
    if (folder / "manifest.json").is_file():
        files = Manifest.read(folder).files
        if content_digest(files) != claim.artifact or (claim.file, claim.file_sha256) not in {
            (e.path, e.sha256) for e in files
        }:
            raise CheckFailed(
                f"claim {claim.id}: the manifest of {claim.artifact[:12]} doesn't list {claim.file} with these bytes."
            )


class _Sources:
    """Finds the source files of claims, in the ledger or in the report's evidence, and checks their bytes once."""

    def __init__(self, ledger: Ledger | None, folder: Path) -> None:
        self.folder = folder
        self.evidence_only: set[str] = set()
        self.hashes: dict[Path, str] = {}
        self.opened: dict[Path, Source] = {}
        self.folders: dict[str, list[Path]] = {}
        for key in sorted(os.listdir(ledger.objects)) if ledger else []:
            for digest in ledger.digests(key) if ledger else []:
                self.folders.setdefault(digest, []).append(ledger.objects / key / digest)  # type: ignore[union-attr]

    def open(self, claim: Claim) -> Source:
        path = self.find(claim)
        return self.opened.setdefault(path, Source(path))

    def close(self) -> None:
        for source in self.opened.values():
            source.close()

    def find(self, claim: Claim) -> Path:
        """The file of a claim, whole; CheckFailed if there is none."""
        try:
            check_entry(Entry(claim.file, 0, claim.file_sha256))
        except ValueError as error:
            raise CheckFailed(f"claim {claim.id}: {error}.") from error
        if not is_digest(claim.artifact):
            raise CheckFailed(f"claim {claim.id}: {claim.artifact[:80]!r} is not a content digest.")
        sources = [folder / claim.file for folder in self.folders.get(claim.artifact, [])]
        path = next((path for path in sources if path.is_file()), None)
        if path is None:
            path = self.folder / "evidence" / claim.artifact / claim.file
            if not path.is_file() or path.is_symlink():
                raise CheckFailed(
                    f"claim {claim.id}: {claim.file} of the artifact {claim.artifact[:12]} is neither "
                    "in the ledger nor in evidence/."
                )
            self.evidence_only.add(claim.artifact)
        _check_listed(claim, path)
        if path not in self.hashes:
            self.hashes[path] = sha256_file(path)
        if self.hashes[path] != claim.file_sha256:
            raise CheckFailed(f"claim {claim.id}: {path} isn't the file that was claimed: its SHA-256 is another.")
        return path
