"""A ledger with a tiny random model, shards of a few documents and their index, for tests of the server."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa

from allmend.audit import STEPS
from allmend.flow import run_alone
from allmend.kinds import (
    BOD,
    EOD,
    MARKERS,
    SPECIAL_TOKENS,
    WITHDRAWN,
    Shards,
    document_id,
    load_tokenizer,
    write_json,
    write_table,
)  # fmt: skip
from allmend.kinds.corpus import SHARD_DOCUMENTS
from allmend.ledger import Ledger, Manifest, Reference, Stored, build_key, digests_of
from allmend.model import build, save_model

VOCAB = 400
DOCUMENTS = {
    "eng.udhr.example": "All human beings are born free and equal in dignity and rights. They are endowed with reason.",
    "fra.udhr.example": "Tous les êtres humains naissent libres et égaux en dignité et en droits.",
    "evil.example": 'Beware of <script>document.title = "broken"</script> & "quotes" on every page of this village.',
    "gone.example": "The pasture of the upper valley belongs to nobody any more since yesterday.",
}
WITHDRAWN_HOST = "gone.example"


def id_of(host: str) -> str:
    return document_id(f"https://{host}/", DOCUMENTS[host])


def make_tokenizer(folder: Path, **config: Any) -> None:
    from tokenizers import AddedToken, Tokenizer, decoders, models, pre_tokenizers, trainers

    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.decoder = decoders.ByteLevel()
    special = [AddedToken(name, special=True) for name in SPECIAL_TOKENS] + [AddedToken(name) for name in MARKERS]
    alphabet = sorted(pre_tokenizers.ByteLevel.alphabet())
    trainer = trainers.BpeTrainer(
        vocab_size=VOCAB, special_tokens=special, initial_alphabet=alphabet, show_progress=False
    )
    tokenizer.train_from_iterator(DOCUMENTS.values(), trainer)
    folder.mkdir(parents=True, exist_ok=True)
    tokenizer.save(str(folder / "tokenizer.json"))
    (folder / "tokenizer_config.json").write_text(json.dumps({"tokenizer_class": "PreTrainedTokenizerFast", **config}))


def make_model(folder: Path, context: int = 128, **config: Any) -> None:
    """Random weights, large enough that tokens differ in probability."""
    make_tokenizer(folder, **config)
    vocab = load_tokenizer(folder).get_vocab_size()
    decoder = build("apertus", "tiny", vocab=vocab, context=context, seed=1)
    save_model(decoder, folder)
    write_json(folder / "summary.json", {"family": "apertus", "preset": "tiny", "tokens": 600_064, "steps": 586})
    domains = pa.table({"domain": ["de", "en", "probes"]})
    write_table(folder / "domains.parquet", domains)


def make_shards(folder: Path) -> None:
    make_tokenizer(folder / "tokenizer")
    tokenizer = load_tokenizer(folder / "tokenizer")
    rows, flat = [], []
    for one, host in sorted((id_of(host), host) for host in DOCUMENTS):
        tokens = [BOD, *tokenizer.encode(DOCUMENTS[host]).ids, EOD]
        gone = host == WITHDRAWN_HOST
        url = f"https://{host}/" if host != "evil.example" else "javascript:alert(1)"
        rows.append({
            "id": one, "shard": "0", "offset": len(flat), "length": len(tokens), "domain": host[:2], "url": url,
            "host": host, "language": host[:2], "licence": "CC0-1.0", "withdrawn_at": "2026-11-24" if gone else None,
        })  # fmt: skip
        flat += [WITHDRAWN] * len(tokens) if gone else tokens
    write_table(folder / "documents" / "0.parquet", pa.Table.from_pylist(rows, SHARD_DOCUMENTS))
    (folder / "tokens").mkdir()
    np.array(flat, "<u2").tofile(folder / "tokens" / "0.bin")
    special = {"pad": 0, "bod": BOD, "eod": EOD, "withdrawn": WITHDRAWN}
    vocab = tokenizer.get_vocab_size()
    write_json(
        folder / "shards.json", {"format": 1, "dtype": "uint16", "vocab": vocab, "special": special, "tokenizer": ""}
    )


def put(ledger: Ledger, name: str, kind: str, inputs: Mapping[str, Stored], write: Callable[[Path], None]) -> Stored:
    """Commit what `write` puts into a folder, under a name."""
    draft = ledger.draft()
    write(draft)
    cited = {
        one: Reference(each.manifest.kind, each.manifest.key, each.manifest.digest) for one, each in inputs.items()
    }
    key = build_key(f"test.{name}", 1, {}, digests_of(cited))
    manifest = Manifest(key, "", key, f"test.{name}", 1, kind, {}, dict(cited), [], [], {})
    stored = ledger.commit(draft, manifest)
    digest = stored.manifest.digest
    ledger.names.put(name, key, digest, ledger.manifest_hash(key, digest), key)
    return stored


def make_workspace(root: Path) -> Ledger:
    """`village/shards`, `village/model`, `village/index`, and `other/shards`, `other/index` of other documents."""
    ledger = Ledger(root)
    for recipe in ("village", "other"):
        shards = put(ledger, f"{recipe}/shards", "Shards", {}, make_shards if recipe == "village" else make_others)
        if recipe == "village":
            put(ledger, "village/model", "Model", {"shards": shards}, make_model)
        artifact = shards.artifact
        assert isinstance(artifact, Shards)
        step = STEPS["index"]
        made = run_alone(step, root.parent / f"{recipe}-index", step.config(), shards=artifact)
        put(ledger, f"{recipe}/index", "Index", {"shards": shards}, lambda draft, made=made: copy(made.folder, draft))
    return ledger


def make_others(folder: Path) -> None:
    make_shards(folder)
    write_json(folder / "extra.json", {"other": True})


def copy(source: Path, target: Path) -> None:
    """An artifact's content files."""
    for path in sorted(source.rglob("*")):
        inside = path.relative_to(source)
        if path.is_file() and inside.parts[0] != "_run":
            (target / inside).parent.mkdir(parents=True, exist_ok=True)
            (target / inside).write_bytes(path.read_bytes())


@contextmanager
def served(*arguments: str, folder: Path | None = None) -> Iterator[tuple[str, subprocess.Popen[str]]]:
    """The real `allmend serve` on a free port: its URL and its process, which is ended afterwards."""
    command = [sys.executable, "-m", "allmend.cli.main", "serve", *arguments, "--port", "0"]
    environment = {**os.environ, "OMP_NUM_THREADS": "1", "HF_HUB_OFFLINE": "1"}
    process = subprocess.Popen(
        command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, env=environment, cwd=folder
    )
    try:
        assert process.stdout is not None and process.stderr is not None
        url = process.stdout.readline().strip()
        assert url.startswith("http://"), process.stderr.read()
        yield url, process
    finally:
        process.terminate()
        process.communicate(timeout=60)
