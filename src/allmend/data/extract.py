"""Step `data.extract`: from WARC responses to documents, one row a page, or a rejected row with its reason."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pyarrow as pa

from allmend.data.page import Page, header_hints, is_too_deep, read_page, tidy_language
from allmend.data.payload import PayloadError, decode, payload
from allmend.data.policies import host_of, policy_kind
from allmend.data.warc import Record, responses
from allmend.kinds import Config, Crawl, Documents, Field, Parts, Work, document_id, url_id
from allmend.kinds.corpus import DOCUMENTS, REJECTED

HTML = ("text/html", "application/xhtml+xml", "application/xml", "text/xml")
_date = re.compile(r"\d{4}-\d{2}-\d{2}T\d{2}:\d{2}:\d{2}").match


class ExtractConfig(Config):
    """Main text of each page."""

    parts: Parts
    min_chars: int = Field(200, ge=0, description="parser guard: shorter main texts are rejected as `too_short`")


class _Rejected(Exception):
    """A page that can't become a document. `args`: reason, detail."""


def extract(config: ExtractConfig, crawl: Crawl, work: Work) -> Documents:
    """Read WARC responses, write one row a page; a page that can't be parsed becomes a rejected row with its reason."""
    return work.map(extract_part, over=[crawl], cut=config.parts)


def extract_part(config: ExtractConfig, path: Path) -> dict[str, Any]:
    """Every response of one WARC file that isn't a policy file."""
    rows: list[dict[str, Any]] = []
    rejected: list[dict[str, Any]] = []
    for record in responses(path):
        if not record.problem and policy_kind(record.url, record.header("content-type")):
            continue
        try:
            rows.append(_document(config, record, path.name))
        except _Rejected as error:
            reason, detail = error.args
            one = {"id": url_id(record.url), "url": record.url, "source": path.name, "reason": reason}
            rejected.append({**one, "detail": detail or f"at byte {record.offset}"})
    return {
        "documents": pa.Table.from_pylist(rows, DOCUMENTS),
        "rejected": pa.Table.from_pylist(rejected, REJECTED),
        "input_rows": len(rows) + len(rejected),
    }


def _document(config: ExtractConfig, record: Record, source: str) -> dict[str, Any]:
    page, charset, media_type = _page(record)
    if len(page.text) < config.min_chars:
        raise _Rejected("too_short", f"{len(page.text)} characters of main text")
    hints = [*header_hints(record.headers), *page.hints]
    declared = page.language or tidy_language(record.header("content-language"))
    row = {
        "id": document_id(record.url, page.text), "text": page.text, "url": record.url, "host": host_of(record.url),
        "title": page.title, "fetched_at": record.date if _date(record.date) else None, "media_type": media_type, "charset": charset,
        "declared_language": declared or None, "source": source, "bytes": len(page.text.encode()),
    }  # fmt: skip
    return row | {"hints": [dict(zip(("source", "name", "value"), hint, strict=True)) for hint in hints]}


def _page(record: Record) -> tuple[Page, str, str]:
    """The parsed page, its charset and media type."""
    if record.problem:
        raise _Rejected(record.problem, f"at byte {record.offset}: {record.detail}")
    if record.status != 200:
        raise _Rejected("http_status", str(record.status))
    if not record.body:
        raise _Rejected("empty_body", "0 bytes")
    content_type = record.header("content-type")
    media_type = content_type.partition(";")[0].strip().lower() or "text/html"
    if media_type not in HTML and media_type != "text/plain":
        raise _Rejected("media_type", media_type[:100])
    try:
        body = payload(record)
    except PayloadError as error:
        raise _Rejected(*error.args) from error
    text, charset = decode(body, content_type)
    text = text.replace("\0", "")
    if media_type == "text/plain":
        return Page(text.strip(), "", "", True, ()), charset, media_type
    if is_too_deep(text):
        raise _Rejected("too_deep", "elements nested beyond 2,000 levels")
    try:
        return read_page(text), charset, media_type
    except (ValueError, RuntimeError, RecursionError) as error:  # the parser's own errors are subclasses of these
        raise _Rejected("broken_html", str(error)[:200]) from error
