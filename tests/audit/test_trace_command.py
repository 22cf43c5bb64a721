"""`allmend trace` on a ledger: what it prints, what it says when nothing is found, which index it takes."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest

from allmend.audit import STEPS
from allmend.audit.index import IndexConfig
from allmend.cli.main import main
from allmend.flow import run_alone
from allmend.kinds import Artifact, Index, Shards, Tokenizer
from allmend.ledger import Ledger, Manifest, Reference, Stored, build_key, digests_of
from tests.audit.conftest import encode, make_shards

TEXTS = {"goats": "The village owns the pasture together. Goats eat grass.", "cows": "The cows drink cold water."}


def put(ledger: Ledger, name: str, artifact: Artifact, **inputs: Stored) -> Stored:
    """Commit an artifact made elsewhere, under a name."""
    draft = ledger.draft()
    shutil.copytree(artifact.folder, draft, dirs_exist_ok=True)
    one = {each: Reference(it.manifest.kind, it.manifest.key, it.manifest.digest) for each, it in inputs.items()}
    key = build_key(name, 1, {}, digests_of(one))
    stored = ledger.commit(draft, Manifest(key, "", key, name, 1, type(artifact).__name__, {}, one, [], [], {}))
    digest = stored.manifest.digest
    ledger.names.put(name, key, digest, ledger.manifest_hash(key, digest), key)
    return stored


@pytest.fixture(scope="module")
def workspace(tmp_path_factory: pytest.TempPathFactory, tokenizer: Tokenizer) -> Path:
    folder = tmp_path_factory.mktemp("command")
    documents = {name: encode(tokenizer, text) for name, text in TEXTS.items()}
    shards = make_shards(folder / "shards", documents, vocab=2000, tokenizer=tokenizer)
    index = run_alone(STEPS["index"], folder / "index", IndexConfig(), shards=shards)
    ledger = Ledger(folder / "ledger")
    put(ledger, "one/index", Index(index.folder), shards=put(ledger, "one/shards", Shards(shards.folder)))
    return folder / "ledger"


def run(capsys: pytest.CaptureFixture[str], *arguments: str) -> tuple[int, str, str]:
    with pytest.raises(SystemExit) as left:
        main(["trace", *arguments])
    said = capsys.readouterr()
    return int(left.value.code or 0), said.out, said.err


def test_spans_are_printed_with_document_url_and_licence(capsys: pytest.CaptureFixture[str], workspace: Path) -> None:
    code, out, _ = run(capsys, "He says the village owns the pasture together now", "--workspace", str(workspace))
    assert code == 0
    first, second, third = out.splitlines()
    assert first == "“village owns the pasture together”, in one place"
    assert second.split()[:2] == ["https://goats.example/", "CC0-1.0"]
    assert third.strip() == "…The [village owns the pasture together]. Goats eat grass.…"


def test_json_names_the_document_and_the_offset(capsys: pytest.CaptureFixture[str], workspace: Path) -> None:
    _, out, _ = run(capsys, "cows drink cold milk", "--index", "one/index", "--workspace", str(workspace), "--json")
    (span,) = json.loads(out)["spans"]
    assert span["text"] == "cows drink cold"
    assert {"document", "url", "host", "licence", "language", "offset", "before", "after"} < set(span["sources"][0])


def test_nothing_found_is_exit_1_and_a_sentence(capsys: pytest.CaptureFixture[str], workspace: Path) -> None:
    code, out, err = run(capsys, "zebras paint violins", "--workspace", str(workspace))
    assert (code, out) == (1, "")
    assert err == "No run of words of this text stands in a training document.\n"


def test_another_artifact_than_an_index_is_refused(capsys: pytest.CaptureFixture[str], workspace: Path) -> None:
    code, _, err = run(capsys, "cows", "--index", "one/shards", "--workspace", str(workspace))
    assert code == 2 and "one/shards is a Shards" in err


def test_several_indexes_must_be_told_apart(
    capsys: pytest.CaptureFixture[str], workspace: Path, tmp_path: Path
) -> None:
    shutil.copytree(workspace, tmp_path / "ledger")
    ledger = Ledger(tmp_path / "ledger")
    one = ledger.names.latest("one/index")
    assert one is not None
    ledger.names.put("two/index", one.key, one.digest, one.manifest, one.plan_key)
    assert run(capsys, "cows drink cold", "--workspace", str(tmp_path / "ledger"))[0] == 0  # two names of one index
    other = make_shards(tmp_path / "shards", {"a": [9, 10]}, vocab=2000)
    put(ledger, "three/index", run_alone(STEPS["index"], tmp_path / "index", IndexConfig(), shards=other))
    code, _, err = run(capsys, "cows drink cold", "--workspace", str(tmp_path / "ledger"))
    assert code == 2 and "one/index, three/index" in err


def test_a_ledger_without_an_index_says_how_to_get_one(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    Ledger(tmp_path / "ledger")
    code, _, err = run(capsys, "cows", "--workspace", str(tmp_path / "ledger"))
    assert code == 2 and "`use: audit.index`" in err
