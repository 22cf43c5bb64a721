"""A withdrawal names what it touches, rebuilds only what it must, keeps pinned steps, and can be undone."""

from __future__ import annotations

import json
import os
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from allmend.flow import records
from allmend.kinds import Corpus, Documents, Shards
from allmend.kinds.errors import DamagedError, NewerFormatError
from allmend.ledger import Ledger, resolve, verify
from tests.flow.conftest import Project, toy_project

LINE = "recipes/line.yaml"
RECIPE = """\
recipe: line
parts: 8
steps:
  crawl: {use: toy.crawl, files: [texts/*.txt]}
  documents: {use: toy.split, crawl: crawl}
  verdicts: {use: toy.cluster, documents: documents}
  corpus: {use: toy.decide, documents: documents, verdicts: verdicts}
  tokenizer: {use: toy.vocabulary, corpus: corpus}
  shards: {use: toy.tokenize, corpus: corpus, tokenizer: tokenizer}
  model: {use: toy.read, shards: shards}
"""
FOLLOWS = {"corpus", "shards", "model"}


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The toy project with the recipe `line`, run once; t4 is a host of one page."""
    project = toy_project(tmp_path_factory.mktemp("line") / "project")
    (project.root / "texts" / "t4.txt").write_text("w1 alone on this host\n")
    project.recipe(RECIPE)
    project.run(LINE)
    return project.root


@pytest.fixture
def line(made: Path, tmp_path: Path) -> Project:
    """A copy of it."""
    return Project(shutil.copytree(made, tmp_path / "project"))


def _withdraw(project: Project, *arguments: str, expect: int = 0) -> Any:
    return project.allmend("withdraw", *arguments, "--reason", "asked by mail", "--json", expect=expect)


def _made(project: Project) -> set[str]:
    return {name for name, row in project.run(LINE).items() if not row["reused"]}


def _is_sound(project: Project) -> bool:
    ledger = Ledger(project.workspace)
    return not [
        each
        for name in ledger.names.all()
        for each in verify(ledger, resolve(ledger, name).stored)
        if each.severity == "failed"
    ]


def _now(project: Project, step: str) -> Any:
    return resolve(Ledger(project.workspace), f"line/{step}").stored.artifact


def _digest(project: Project, step: str) -> str:
    return resolve(Ledger(project.workspace), f"line/{step}").stored.manifest.digest


def test_the_record_names_exactly_the_documents_of_a_host(line: Project) -> None:
    documents: Documents = _now(line, "documents")
    expected = [row for row in documents.table().sort_by("id").to_pylist() if row["host"] == "t2.example"]
    told = _withdraw(line, "--host", "T2.example")
    (written,) = map(json.loads, (line.workspace / "withdrawals.jsonl").read_text().splitlines())
    assert written == told["record"] and written["format"] == 1 and written["selector"] == {"host": "T2.example"}
    assert [each["id"] for each in written["documents"]] == [row["id"] for row in expected]
    shards: Shards = _now(line, "shards")
    lengths = {row["id"]: row["length"] for row in shards.table().to_pylist()}
    for document in written["documents"]:
        tokens = {_digest(line, "tokenizer"): lengths[document["id"]]} if document["id"] in lengths else {}
        assert document["tokens"] == tokens
        assert document["domain"] == ("t2.example" if tokens else None) and document["language"] == "en"
    assert "fine" not in str(written)  # no document's text


def test_the_blast_radius_is_that_of_a_brute_force_search(line: Project) -> None:
    told = _withdraw(line, "--host", "t4.example", "--dry-run")
    affected = {name: each for each in told["affected"] for name in each["names"]}
    shards: Shards = _now(line, "shards")
    parts = [part for part in shards.parts() if "t4.example" in shards.load(part)["host"].to_pylist()]
    assert len(parts) == 1 and affected["line/shards"]["touched"]["shards"] == parts
    assert affected["line/shards"]["touched"]["tokens"] == 2 + len(["w1", "alone", "on", "this", "host"])
    first = shards.parts().index(parts[0])
    assert affected["line/model"]["touched"]["first_step"] == affected["line/model"]["touched"]["restart"] == first
    fates = {name: each["fate"] for name, each in affected.items()}
    assert fates == {
        "line/documents": "holds", "line/verdicts": "holds", "line/tokenizer": "pinned",
        "line/corpus": "rebuilt", "line/shards": "rebuilt", "line/model": "rebuilt",
    }  # fmt: skip
    text = len(b"w1 alone on this host")
    assert told["touched"] == [
        {"language": "en", "domain": "t4.example", "documents": 1, "bytes": text, "tokens": 7}
    ]
    states = told["rebuilds"]["line"]
    assert {name for name, state in states.items() if state == "to build"} == FOLLOWS
    assert states["tokenizer"] == "pinned" and states["documents"] == "there"


def test_only_what_follows_is_rebuilt_and_only_the_parts_touched(line: Project) -> None:
    before = set((line.workspace / "parts").iterdir())
    tokenizer = _digest(line, "tokenizer")
    _withdraw(line, "--host", "t4.example")
    assert _made(line) == FOLLOWS
    assert len(set((line.workspace / "parts").iterdir()) - before) == 2  # one of `decide`, one of `tokenize`
    assert _digest(line, "tokenizer") == tokenizer and _made(line) == set() and _is_sound(line)
    corpus: Corpus = _now(line, "corpus")
    assert "t4.example" not in corpus.table()["host"].to_pylist()
    assert corpus.table("holes")["host"].to_pylist() == ["t4.example"]


def test_the_hole_keeps_every_offset(line: Project) -> None:
    before: Shards = _now(line, "shards")
    _withdraw(line, "--host", "t2.example")
    line.run(LINE)
    after: Shards = _now(line, "shards")
    columns = ["id", "offset", "length", "domain"]
    assert before.table(columns=columns).equals(after.table(columns=columns))
    for part in before.parts():
        tokens, holed = before.tokens(part).copy(), after.tokens(part)
        for row in before.load(part).to_pylist():
            if row["host"] == "t2.example":
                tokens[row["offset"] : row["offset"] + row["length"]] = 3
        assert np.array_equal(tokens, holed)


def test_undo_brings_the_old_keys_back_and_history_stays(line: Project) -> None:
    before = line.digests(LINE)
    _withdraw(line, "--host", "t2.example")
    assert line.digests(LINE) != before
    told = _withdraw(line, "--undo", "1")
    assert told["number"] == 2 and _made(line) == set() and line.digests(LINE) == before
    assert len((line.workspace / "withdrawals.jsonl").read_text().splitlines()) == 2 and _is_sound(line)
    line.allmend("withdraw", "--undo", "1", "--reason", "again", expect=2)
    assert "undone already" in line.said
    line.allmend("withdraw", "--undo", "2", "--reason", "again", expect=2)
    assert "an undo itself" in line.said


def test_a_second_withdrawal_keeps_what_the_first_kept(line: Project) -> None:
    tokenizer = _digest(line, "tokenizer")
    _withdraw(line, "--host", "t4.example")
    line.run(LINE)
    told = _withdraw(line, "--host", "t2.example")
    assert told["number"] == 2 and _made(line) == FOLLOWS and _digest(line, "tokenizer") == tokenizer


def test_two_withdrawals_without_a_run_between_them_keep_the_pinned_step(line: Project) -> None:
    tokenizer = _digest(line, "tokenizer")
    for host in ("t4.example", "t2.example"):
        _withdraw(line, "--host", host)
    assert _made(line) == FOLLOWS and _digest(line, "tokenizer") == tokenizer


def test_compact_builds_pinned_steps_anew_and_leaves_no_hole(line: Project) -> None:
    _withdraw(line, "--host", "t4.example")
    line.run(LINE)
    line.recipe(RECIPE.replace("parts: 8", "parts: 8\ncompact: true"))
    assert _made(line) == {*FOLLOWS, "tokenizer"} and _is_sound(line)
    assert _now(line, "corpus").rows("holes") == 0 and "alone" not in _now(line, "tokenizer").json("tokenizer.json")
    line.recipe(RECIPE)  # and without it all is as before
    assert _made(line) == set() and _now(line, "corpus").rows("holes") == 1


def test_after_compacting_up_to_a_number_later_withdrawals_leave_holes_again(line: Project) -> None:
    _withdraw(line, "--host", "t4.example")
    line.recipe(RECIPE.replace("parts: 8", "parts: 8\ncompact: 1"))
    line.run(LINE)
    compacted = _digest(line, "tokenizer")
    _withdraw(line, "--host", "t2.example")
    assert _made(line) == FOLLOWS and _digest(line, "tokenizer") == compacted
    assert set(_now(line, "corpus").table("holes")["host"].to_pylist()) == {"t2.example"} and _is_sound(line)


def test_compact_without_a_withdrawal_moves_nothing(line: Project) -> None:
    line.recipe(RECIPE.replace("parts: 8", "parts: 8\ncompact: true"))
    assert _made(line) == set()
    line.recipe(RECIPE.replace("parts: 8", "parts: 8\ncompact: 1"))
    line.allmend("run", LINE, expect=2)
    assert "line.yaml:3  compact: given 1, and withdrawals.jsonl has 0 records" in line.said


def test_a_changed_policy_is_no_withdrawal_so_the_pinned_step_moves(line: Project) -> None:
    _withdraw(line, "--host", "t4.example")
    line.recipe(RECIPE.replace("toy.decide,", "toy.decide, forbidden: fine,"))
    assert _made(line) == {*FOLLOWS, "tokenizer"}


def test_a_policy_changed_to_equal_bytes_before_doesnt_unpin(line: Project) -> None:
    line.recipe(RECIPE.replace("toy.decide,", "toy.decide, forbidden: badwor,"))
    assert _made(line) == {"corpus"}
    tokenizer = _digest(line, "tokenizer")
    _withdraw(line, "--host", "t4.example")
    assert _made(line) == FOLLOWS and _digest(line, "tokenizer") == tokenizer


def test_where_the_pinned_artifact_is_lost_it_is_built_from_what_is_there(line: Project) -> None:
    _withdraw(line, "--host", "t4.example")
    stored = resolve(Ledger(line.workspace), "line/tokenizer").stored
    Ledger(line.workspace).trash(stored.folder)
    assert _made(line) == {*FOLLOWS, "tokenizer"}
    again = _digest(line, "tokenizer")
    _withdraw(line, "--host", "t2.example")
    assert _made(line) == FOLLOWS and _digest(line, "tokenizer") == again


def test_again_refuses_what_is_kept(line: Project) -> None:
    _withdraw(line, "--host", "t4.example")
    line.allmend("run", LINE, "--again", "tokenizer", expect=2)
    assert "it is pinned" in line.said


def test_a_corpus_without_the_document_comes_out_equal_and_nothing_follows(line: Project) -> None:
    other = RECIPE.replace("recipe: line", "recipe: other").replace("texts/*.txt", "texts/t1.txt")
    line.recipe(other)
    line.run("recipes/other.yaml")
    _withdraw(line, "--host", "t4.example")
    assert {name for name, row in line.run("recipes/other.yaml").items() if not row["reused"]} == {"corpus"}


def test_copies_are_named_and_taken_on_demand(line: Project) -> None:
    documents = _now(line, "documents").table().to_pylist()
    mine = next(row for row in documents if row["url"] == "https://t4.example/w1")
    copies = {row["id"] for row in documents if row["text"].split()[0] == "w1"} - {mine["id"]}
    told = _withdraw(line, "--url", mine["url"], "--dry-run")
    assert {each["id"] for each in told["copies"]} == copies and len(told["documents"]) == 1
    told = _withdraw(line, "--document", mine["id"], "--with-copies")
    assert {each["id"] for each in told["documents"]} == {*copies, mine["id"]} and told["copies"] == []


def test_licence_source_and_host_narrow_each_other(line: Project) -> None:
    told = _withdraw(line, "--licence", "CC0-1.0", "--dry-run")
    assert {each["host"] for each in told["documents"]} == {"t1.example"}
    told = _withdraw(line, "--source", "t3.txt", "--host", "t3.example", "--dry-run")
    assert len(told["documents"]) == 60
    _withdraw(line, "--source", "t3.txt", "--host", "t1.example", "--dry-run", expect=1)
    assert "no document here has" in line.said


def test_a_dry_run_writes_nothing(line: Project) -> None:
    before = sorted(path for path in line.workspace.rglob("*") if path.name != "index.sqlite")
    assert _withdraw(line, "--host", "t2.example", "--dry-run")["number"] is None
    assert sorted(path for path in line.workspace.rglob("*") if path.name != "index.sqlite") == before


def test_what_is_withdrawn_already_isnt_recorded_twice(line: Project) -> None:
    _withdraw(line, "--host", "t4.example")
    _withdraw(line, "--host", "t4.example", expect=1)
    assert "withdrawn already" in line.said
    told = _withdraw(line, "--document", _now(line, "documents").table()["id"][0].as_py(), "--host", "nowhere", expect=1)
    assert len((line.workspace / "withdrawals.jsonl").read_text().splitlines()) == 1 and told == ""


@pytest.mark.parametrize(("arguments", "said"), [
    (["--reason", "x"], "which documents?"),
    (["--host", "t1.example"], "--reason is empty"),
    (["--undo", "1", "--reason", "x"], "no record of this number"),
    (["--undo", "1", "--host", "t1.example", "--reason", "x"], "nothing that selects"),
])  # fmt: skip
def test_what_isnt_said_is_asked_for(line: Project, arguments: list[str], said: str) -> None:
    line.allmend("withdraw", *arguments, expect=2)
    assert said in line.said and not (line.workspace / "withdrawals.jsonl").exists()


def test_two_commands_at_once_both_stand_in_the_record(line: Project) -> None:
    both = [line.start("withdraw", "--host", f"t{n}.example", "--reason", "x") for n in (2, 4)]
    assert [process.communicate(timeout=120) and process.returncode for process in both] == [0, 0]
    history = records.read_history(line.workspace)
    assert sorted(record["selector"]["host"] for record in history) == ["t2.example", "t4.example"]
    assert not line.stray()


def test_an_interrupted_write_loses_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    ledger = Ledger(tmp_path)
    one = {"format": 1, "at": "2026-11-25T00:00:00Z", "reason": "x", "selector": {}, "documents": []}
    assert records.append(ledger, one) == 1

    def broken(*_: object) -> None:
        raise OSError(28, "no space left on device")

    monkeypatch.setattr(os, "fsync", broken)
    with pytest.raises(OSError, match="no space"):
        records.append(ledger, {**one, "reason": "y"})
    assert records.read_history(tmp_path) == [one]


def test_an_undo_cancels_by_content_wherever_the_line_stands() -> None:
    one, two = ({"format": 1, "reason": reason, "documents": [{"id": reason}]} for reason in "ab")
    back = {"format": 1, "undo": 1, "of": records.sha256_json(one), "reason": "c"}
    assert records.numbers_in_force([two, one, back]) == [1]
    assert records.in_force([one, back]).sha256 == records.in_force([]).sha256 == ""
    assert records.in_force([one, back, two]) == records.in_force([two])


@pytest.mark.parametrize("text", ["{", "[]", "{}", '{"format": 1}', '{"format": 1, "documents": [{}]}', "1", ""])
def test_a_damaged_record_is_named_with_its_line(tmp_path: Path, text: str) -> None:
    (tmp_path / "withdrawals.jsonl").write_text('{"format": 1, "documents": []}\n' + text + "\n")
    with pytest.raises(DamagedError, match="line 2"):
        records.read_history(tmp_path)


def test_a_record_of_a_newer_format_is_refused(tmp_path: Path) -> None:
    (tmp_path / "withdrawals.jsonl").write_text('{"format": 2}\n')
    with pytest.raises(NewerFormatError, match="format 2"):
        records.read_history(tmp_path)


def test_withdrawals_arent_written_in_a_recipe(line: Project) -> None:
    line.recipe(RECIPE.replace("toy.decide,", "toy.decide, withdrawals: mine.jsonl,"))
    line.allmend("run", LINE, expect=2)
    assert "withdrawals are read from the workspace" in line.said
