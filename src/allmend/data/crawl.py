"""Step `data.crawl`: takes WARC files in, and notes the robots and policy files that lie in them."""

from __future__ import annotations

import shutil
from collections import Counter
from pathlib import Path
from typing import Any

from allmend.data.payload import PayloadError, payload
from allmend.data.policies import LARGEST_POLICY, host_of, policy_kind
from allmend.data.warc import Record, responses
from allmend.kinds import Config, Crawl, Field, InputFiles, Work, write_jsonl
from allmend.kinds.errors import StepFailed


class CrawlConfig(Config):
    """WARC files from outside."""

    warc: InputFiles = Field(description="WARC files, packed or not: paths or globs; names must differ")


def crawl(config: CrawlConfig, work: Work) -> Crawl:
    """Copy WARC files into the ledger as they are; list robots.txt, tdmrep.json and RSL licences with their dates."""
    names = Counter(file.path.name for file in config.warc)
    if repeated := sorted(name for name, count in names.items() if count > 1):
        places = ", ".join(sorted(file.name for file in config.warc if file.path.name == repeated[0]))
        raise StepFailed(
            f"data.crawl: {names[repeated[0]]} WARC files are called {repeated[0]} ({places}), and a document names its file. Rename them."
        )
    folder = work.folder / "warc"
    folder.mkdir(parents=True, exist_ok=True)
    found: list[dict[str, Any]] = []
    with work.progress("take in", len(config.warc), "files") as bar:
        for file in sorted(config.warc, key=lambda each: each.path.name):
            shutil.copyfile(file.path, folder / file.path.name)
            found += policy_files(folder / file.path.name)
            bar.advance()
    found.sort(
        key=lambda row: (row["host"], row["kind"], row["url"], row["fetched_at"], row["status"], row["body"] or "")
    )
    write_jsonl(work.folder / "policies.jsonl", found)
    return Crawl(work.folder)


def policy_files(path: Path) -> list[dict[str, Any]]:
    """The policy files of one WARC file, as rows of `policies.jsonl`."""
    return [
        _row(record, kind) for record in responses(path)
        if not record.problem and (kind := policy_kind(record.url, record.header("content-type")))
    ]  # fmt: skip


def _row(record: Record, kind: str) -> dict[str, Any]:
    """A body beyond the limit is cut at its last whole line, so that half a rule isn't taken for one."""
    try:
        body = payload(record)
    except PayloadError:
        return {**_named(record, kind), "body": None}
    if len(body) > LARGEST_POLICY:
        body = body[:LARGEST_POLICY]
        body = body[: max(body.rfind(b"\n"), body.rfind(b"\r")) + 1]
    text = body.removeprefix(b"\xef\xbb\xbf").decode("utf-8", "replace")
    return {**_named(record, kind), "body": text if record.status == 200 else None}


def _named(record: Record, kind: str) -> dict[str, Any]:
    status, date = record.status, record.date
    return {"host": host_of(record.url), "url": record.url, "kind": kind, "status": status, "fetched_at": date}
