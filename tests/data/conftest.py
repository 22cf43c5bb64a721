"""The data steps run once over the bundled crawl, and small WARC files made by hand."""

from __future__ import annotations

import gzip
import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import pytest

from allmend.data import STEPS
from allmend.flow import run_alone
from allmend.kinds import (
    MARKERS,
    SPECIAL_TOKENS,
    Artifact,
    Corpus,
    Crawl,
    Documents,
    InputFile,
    InputFiles,
    Shards,
    Tokenizer,
    Verdicts,
    Withdrawals,
    sha256_file,
)

from tests.flow.conftest import project  # noqa: F401 (a fixture)

ROOT = Path(__file__).parents[2]
COMMONS = ROOT / "examples" / "commons"
POLICY = ROOT / "policies" / "open-commons.yaml"
ANNOTATORS = ["language", "optout", "licence", "pii", "toxicity", "quality"]


class Built(NamedTuple):
    """What the data steps make."""

    crawl: Crawl
    documents: Documents
    verdicts: Verdicts
    duplicates: Verdicts
    corpus: Corpus
    tokenizer: Tokenizer
    shards: Shards


def outside(path: Path) -> InputFile:
    """A file as a recipe would name it."""
    return InputFile(path.name, path.stat().st_size, sha256_file(path), path)


def run_step(name: str, folder: Path, workers: int = 1, inputs: Mapping[str, Any] | None = None, **config: Any) -> Any:
    """One step of the room, alone."""
    for given, value in (inputs or {}).items():
        for each in value if isinstance(value, list) else [value]:
            each.input_name = given
    step = STEPS[name]
    return run_alone(step, folder, step.config(**config), workers=workers, **(inputs or {}))


def crawl_of(folder: Path, paths: Sequence[Path]) -> Crawl:
    files = tuple(sorted((outside(path) for path in paths), key=lambda file: (file.name, file.size, file.sha256)))
    return run_step("crawl", folder, warc=InputFiles(files))


def decided(built: Any, folder: Path, policy: Path = POLICY, records: Sequence[Any] = (), compacted: int = 0) -> Corpus:
    """The decision over what is built, with withdrawals."""
    inputs = {"documents": built.documents, "verdicts": [built.verdicts, built.duplicates]}
    withdrawals = Withdrawals.of(list(records), compacted)
    return run_step("decide", folder, inputs=inputs, policy=outside(policy), withdrawals=withdrawals)


def build(folder: Path, paths: Sequence[Path], parts: int = 16, workers: int = 1, min_chars: int = 200) -> Built:
    """All six steps over some WARC files."""
    crawl = crawl_of(folder / "crawl", paths)
    documents = run_step("extract", folder / "documents", workers, {"crawl": crawl}, parts=parts, min_chars=min_chars)
    both = {"documents": documents, "crawl": crawl}
    verdicts = run_step("annotate", folder / "verdicts", workers, both, annotators=ANNOTATORS)
    duplicates = run_step("deduplicate", folder / "duplicates", workers, {"documents": documents})
    inputs = {"documents": documents, "verdicts": [verdicts, duplicates]}
    corpus = run_step("decide", folder / "corpus", workers, inputs, policy=outside(POLICY), withdrawals=Withdrawals())
    tokenizer = small_tokenizer(folder / "tokenizer")
    shards = run_step("tokenize", folder / "shards", workers, {"corpus": corpus, "tokenizer": tokenizer})
    return Built(crawl, documents, verdicts, duplicates, corpus, tokenizer, shards)


def small_tokenizer(folder: Path, vocab: int = 0) -> Tokenizer:
    """A byte-level tokenizer without merges, with the special tokens and markers at their ids; padded to `vocab` tokens if asked."""
    from tokenizers import AddedToken, decoders, models, pre_tokenizers
    from tokenizers import Tokenizer as Fast

    names = [*SPECIAL_TOKENS, *MARKERS, *sorted(pre_tokenizers.ByteLevel.alphabet())]
    names += [f"<extra {number}>" for number in range(vocab - len(names))]
    fast = Fast(models.BPE(vocab={name: number for number, name in enumerate(names)}, merges=[]))
    fast.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    fast.decoder = decoders.ByteLevel()
    fast.add_special_tokens(list(SPECIAL_TOKENS))
    fast.add_tokens([AddedToken(marker, special=False, normalized=False) for marker in MARKERS])
    folder.mkdir(parents=True)
    fast.save(str(folder / "tokenizer.json"))
    (folder / "tokenizer_config.json").write_text("{}")
    (folder / "special_tokens_map.json").write_text("{}")
    return Tokenizer(folder)


@pytest.fixture(scope="session")
def commons(tmp_path_factory: pytest.TempPathFactory) -> Built:
    """Everything over the bundled crawl, made once for all tests."""
    return build(tmp_path_factory.mktemp("commons"), sorted(COMMONS.glob("*.warc.gz")))


@pytest.fixture(scope="session")
def plants() -> list[dict[str, Any]]:
    return [json.loads(line) for line in (COMMONS / "planted.jsonl").read_text().splitlines()]


# --- WARC files made by hand ---


def record(block: bytes, url: str = "https://a.example/", kind: str = "response", length: int | None = None) -> bytes:
    """One WARC record; `length` may lie."""
    head = {
        "WARC-Type": kind, "WARC-Target-URI": url, "WARC-Date": "2026-11-02T07:00:00Z", "Content-Type": "application/http; msgtype=response",
        "Content-Length": str(len(block) if length is None else length),
    }  # fmt: skip
    lines = ["WARC/1.1", *(f"{name}: {value}" for name, value in head.items())]
    return "\r\n".join(lines).encode() + b"\r\n\r\n" + block + b"\r\n\r\n"


def answer(body: bytes, status: int = 200, **fields: str) -> bytes:
    """An HTTP answer; underscores of field names become hyphens."""
    named = {"Content-Type": "text/html; charset=utf-8"} | {
        key.replace("_", "-"): value for key, value in fields.items()
    }
    head = "".join(f"{name}: {value}\r\n" for name, value in named.items())
    return f"HTTP/1.1 {status} X\r\n{head}\r\n".encode() + body


def html(text: str, head: str = "", language: str = "en") -> bytes:
    """A page with one paragraph a line."""
    paragraphs = "".join(f"<p>{line}</p>" for line in text.split("\n"))
    return f'<!doctype html><html lang="{language}"><head><title>T</title>{head}</head><body><main>{paragraphs}</main></body></html>'.encode()


def write_warc(path: Path, records: Sequence[bytes], packed: str = "record") -> Path:
    """A WARC file. `packed`: one gzip member a `record`, one for the whole `file`, or `no`."""
    if packed == "record":
        data = b"".join(gzip.compress(each, mtime=0) for each in records)
    else:
        data = gzip.compress(b"".join(records), mtime=0) if packed == "file" else b"".join(records)
    path.write_bytes(data)
    return path


def rows(artifact: Artifact, table: str = "") -> list[dict[str, Any]]:
    return artifact.table(table).to_pylist()
