"""verify, gc, push, pull, why, show, diff and `ledger index` as a person types them."""

from __future__ import annotations

import json
import os
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

import pytest

from allmend.cli.main import VERBS, main
from allmend.ledger import Claim, Ledger, Manifest, Reference, Stored, build_key, digests_of, resolve, write_claims
from tests.flow.conftest import RECIPE, Project
from tests.ledger.conftest import flip, put


class Said(NamedTuple):
    """What a command left."""

    code: int
    out: str
    err: str

    @property
    def json(self) -> Any:
        return json.loads(self.out.splitlines()[-1])


Allmend = Callable[..., Said]


@pytest.fixture
def allmend(tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> Allmend:
    """Runs a command line in this process, in an empty project."""
    (tmp_path / "project").mkdir()
    (tmp_path / "project/allmend.toml").write_text("")
    monkeypatch.chdir(tmp_path / "project")

    def run(*arguments: object) -> Said:
        capsys.readouterr()
        with pytest.raises(SystemExit) as ended:
            main([str(argument) for argument in arguments])
        return Said(int(ended.value.code or 0), *capsys.readouterr())

    return run


@pytest.fixture
def ledger(allmend: Allmend) -> Ledger:
    return Ledger(Path(".allmend"))


@pytest.fixture
def chain(ledger: Ledger) -> list[Stored]:
    """toy/source → toy/model → toy/report, which has a claim on the model."""
    source = put(ledger, "toy/source", {"text.txt": b"words"}, lang="gsw")
    model = put(ledger, "toy/model", {"deep/score.json": b'{"score": 12.5}'}, {"of": source}, rate=0.5)
    return [source, model, put_report(ledger, model)]


PAGE = '<html><body><p>It scores <data class="claim" value="12.5" data-claim="score">12.5</data>.</p></body></html>'


def put_report(ledger: Ledger, model: Stored, command: str = "allmend run recipes/toy.yaml") -> Stored:
    """Commit a report on a model, as the report room would."""
    draft = ledger.draft()
    file = model.manifest.files[0]
    claim = Claim(
        "score", "It scores 12.5.", 12.5, "points", model.manifest.digest, file.path, file.sha256, "/score", 0, command
    )
    write_claims(draft / "claims.json", [claim])
    (draft / "index.html").write_text(PAGE)
    evidence = draft / "evidence" / model.manifest.digest / file.path
    evidence.parent.mkdir(parents=True)
    shutil.copyfile(model.folder / file.path, evidence)
    of = Reference(model.manifest.kind, model.manifest.key, model.manifest.digest)
    config = {"command": command}
    key = build_key("report.site", 1, config, digests_of({"of": of}))
    stored = ledger.commit(
        draft, Manifest(key, "", key, "report.site", 1, "Report", config, {"of": of}, [], [], {"claims": 1})
    )
    digest = stored.manifest.digest
    ledger.names.put("toy/report", key, digest, ledger.manifest_hash(key, digest), key)
    return stored


# --- verify ---


def test_verify_of_a_sound_report_says_what_it_looked_at(allmend: Allmend, chain: list[Stored]) -> None:
    said = allmend("verify", "toy/report")
    assert said.code == 0 and said.out.startswith("toy/report is sound: 3 artifacts of ")
    assert "1 claim, each as its source gives it" in said.out
    assert allmend("verify", "toy/report", "--json").json["sound"] is True


@pytest.mark.parametrize(("which", "path"), [(0, "text.txt"), (1, "deep/score.json"), (2, "index.html")])
def test_verify_fails_and_names_the_file(allmend: Allmend, chain: list[Stored], which: int, path: str) -> None:
    flip(chain[which].folder / path)
    said = allmend("verify", "toy/report")
    assert said.code == 1 and str(chain[which].folder / path) in said.out and "is not sound" in said.err
    found = allmend("verify", "toy/report", "--json")
    assert found.code == 1 and found.json["sound"] is False


def test_verify_fails_for_a_file_added_to_an_ancestor(allmend: Allmend, chain: list[Stored]) -> None:
    (chain[0].folder / "more.txt").write_text("")
    said = allmend("verify", "toy/report")
    assert said.code == 1 and "more.txt: the manifest doesn't list this file" in said.out


def test_every_changed_digit_of_page_and_claims_fails_even_where_no_ledger_is(
    allmend: Allmend, chain: list[Stored], tmp_path: Path
) -> None:
    """With a ledger the file's own digest shows it; this is the copy of a page that a stranger has."""
    copy = tmp_path / "copy"
    for name in ("index.html", "claims.json", "evidence"):
        source = chain[2].folder / name
        (copy / name).parent.mkdir(exist_ok=True)
        (shutil.copytree if source.is_dir() else shutil.copyfile)(source, copy / name)
    elsewhere = ("--workspace", tmp_path / "none")
    sound = allmend("verify", copy, *elsewhere)
    assert sound.code == 0 and "evidence only" in sound.out
    for name in ("index.html", "claims.json"):
        text = (copy / name).read_text()
        for at, mark in enumerate(text):
            if mark.isdigit():
                (copy / name).write_text(text[:at] + str((int(mark) + 1) % 10) + text[at + 1 :])
                assert allmend("verify", copy, *elsewhere).code == 1, text[max(0, at - 30) : at + 10]
        (copy / name).write_text(text)


def test_a_whole_report_folder_without_a_ledger_is_checked_byte_by_byte(
    allmend: Allmend, chain: list[Stored], tmp_path: Path
) -> None:
    shutil.copytree(chain[2].folder, tmp_path / "copy")
    shutil.rmtree(".allmend")
    said = allmend("verify", tmp_path / "copy")
    assert said.code == 0 and "evidence only" in said.out and "1 artifact of " in said.out
    (tmp_path / "copy/more.html").write_text("<p>no number</p>")
    assert allmend("verify", tmp_path / "copy").code == 1


def test_a_report_without_its_claims_fails(allmend: Allmend, chain: list[Stored]) -> None:
    (chain[2].folder / "claims.json").unlink()
    assert allmend("verify", "toy/report").code == 1


@pytest.mark.parametrize("name", ["toy/reprot", "ffffffffff", "nowhere/at/all", ""])
def test_what_isnt_there_is_exit_2(allmend: Allmend, chain: list[Stored], name: str) -> None:
    said = allmend("verify", name)
    assert said.code == 2 and said.err and "Traceback" not in said.err


def test_repair_sets_aside_and_says_what_to_do(allmend: Allmend, chain: list[Stored], ledger: Ledger) -> None:
    flip(chain[0].folder / "text.txt")
    said = allmend("verify", "toy/report", "--repair")
    assert said.code == 1 and "`allmend run` makes again" in said.err
    assert not chain[0].folder.exists() and chain[1].folder.exists()
    put(ledger, "toy/source", {"text.txt": b"words"}, lang="gsw")
    assert allmend("verify", "toy/report").code == 0


def test_repair_of_what_it_can_heal_ends_sound(allmend: Allmend, chain: list[Stored]) -> None:
    (chain[0].folder / "text.txt").unlink()
    (chain[1].folder / "stray").write_text("")
    assert allmend("verify", "toy/report", "--repair").code == 0


def test_a_damaged_manifest_can_be_verified_by_name(allmend: Allmend, chain: list[Stored]) -> None:
    (chain[0].folder / "manifest.json").chmod(0o644)
    (chain[0].folder / "manifest.json").write_text("{")
    said = allmend("verify", "toy/source")
    assert said.code == 1 and "manifest.json" in said.out


# --- verify --deep ---

SMALL = "".join(line + "\n" for line in RECIPE.splitlines()[:8])


@pytest.fixture
def built(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Project:
    """A project whose `toy/hosts` is built and reported."""
    project = Project(tmp_path / "built")
    (project.root / "texts").mkdir(parents=True)
    (project.root / "allmend.toml").write_text("")
    (project.root / "texts/t1.txt").write_text("w1 one fine line\nw2 another line\n")
    project.recipe(SMALL)
    project.run("recipes/toy.yaml")
    return project


def report_on_hosts(project: Project, command: str) -> None:
    ledger = Ledger(project.workspace)
    hosts = resolve(ledger, "toy/hosts").stored
    file = next(entry for entry in hosts.manifest.files if entry.path == "summary.json")
    folder = project.root / "site"
    claim = Claim("hosts", "One host.", 1, "hosts", hosts.manifest.digest, file.path, file.sha256, "/hosts", 0, command)
    write_claims(folder / "claims.json", [claim])
    (folder / "index.html").write_text('<p><data class="claim" value="1" data-claim="hosts">1</data> host</p>')


def test_deep_makes_the_sources_anew_and_finds_an_input_that_was_changed(built: Project) -> None:
    report_on_hosts(built, "allmend run recipes/toy.yaml --only hosts")
    assert "is sound" in built.allmend("verify", "site", "--deep")
    (built.root / "texts/t2.txt").write_text("w3 of another host\n")
    out = built.allmend("verify", "site", "--deep", expect=1)
    assert "makes neither the artifact" in out


@pytest.mark.parametrize(
    "command",
    [
        "", "touch escaped", "allmend gc", "allmend run 'unclosed",
        "allmend run recipes/toy.yaml; touch escaped", "allmend run recipes/toy.yaml --workspace .",
        "allmend run ../elsewhere.yaml", "allmend run --debug", "allmend run recipes/toy.yaml --only",
        "allmend run recipes/toy.yaml $(touch escaped)",
    ],
)  # fmt: skip
def test_deep_runs_no_command_but_a_run_of_a_recipe_of_ours(
    allmend: Allmend, ledger: Ledger, chain: list[Stored], command: str
) -> None:
    put_report(ledger, chain[1], command)
    said = allmend("verify", "toy/report", "--deep")
    assert said.code == 1 and "isn't run" in said.out and not Path("escaped").exists()


# --- gc ---


def test_gc_names_what_it_removes(allmend: Allmend, ledger: Ledger) -> None:
    old, _ = (put(ledger, "toy/v", {"x": str(n).encode()}, v=n) for n in range(2))
    said = allmend("gc", "--keep", "1", "--dry-run")
    assert said.code == 0 and f"would be removed: {old.manifest.digest[:12]}  toy/v~1" in said.out
    assert old.folder.exists()
    assert allmend("gc", "--keep", "1", "--json").json["objects"] == [[old.manifest.key, old.manifest.digest]]
    assert not old.folder.exists()


def test_after_gc_that_keeps_one_version_everything_is_reused_and_sound(built: Project) -> None:
    (built.root / "texts/t2.txt").write_text("w3 of another host\n")
    built.run("recipes/toy.yaml")
    assert len(built.allmend("gc", "--keep", "1", "--json")["objects"]) == 4
    assert all(row["reused"] for row in built.run("recipes/toy.yaml").values())
    built.allmend("verify", "toy/hosts")


def test_gc_keeps_three_versions_unless_told_otherwise(allmend: Allmend, ledger: Ledger) -> None:
    for n in range(5):
        put(ledger, "toy/v", {"x": str(n).encode()}, v=n)
    assert len(allmend("gc", "--json").json["objects"]) == 2


def test_gc_of_a_busy_ledger_is_refused(allmend: Allmend, ledger: Ledger) -> None:
    with ledger.running():
        said = allmend("gc")
    assert said.code == 3 and "wait for the run to end" in said.err


# --- push, pull ---


def test_what_is_pushed_can_be_pulled_and_verified(allmend: Allmend, chain: list[Stored], tmp_path: Path) -> None:
    pushed = allmend("push", "toy/report", "toy/source", tmp_path / "store", "--json")
    assert (pushed.code, pushed.json["objects"]) == (0, 3)
    partner = ("--workspace", tmp_path / "partner")
    pulled = allmend("pull", tmp_path / "store", "toy/report", *partner)
    assert pulled.code == 0 and pulled.out.startswith("3 artifacts new here")
    assert allmend("verify", "toy/report", *partner).code == 0
    assert allmend("pull", tmp_path / "store", "toy/report", "--json", *partner).json["bytes"] == 0


def test_only_pulls_just_the_artifact(allmend: Allmend, chain: list[Stored], tmp_path: Path) -> None:
    allmend("push", "toy/model", tmp_path / "store")
    partner = ("--workspace", tmp_path / "partner")
    assert allmend("pull", tmp_path / "store", "toy/model", "--only", "--json", *partner).json["objects"] == 1
    said = allmend("verify", "toy/model", *partner)
    assert said.code == 0 and "never pulled" in said.out


def test_a_name_that_the_store_lacks_is_exit_2_with_the_nearest(
    allmend: Allmend, chain: list[Stored], tmp_path: Path
) -> None:
    allmend("push", "toy/model", tmp_path / "store")
    said = allmend("pull", tmp_path / "store", "toy/modle")
    assert said.code == 2 and "`toy/model`" in said.err


# --- show, why, diff, ledger index ---


def test_show_names_inputs_and_numbers(allmend: Allmend, chain: list[Stored]) -> None:
    out = allmend("show", "toy/report").out
    assert out.startswith(f"toy/report: Report {chain[2].manifest.digest}")
    assert "input    of: toy/model, Toy" in out and "number   claims: 1" in out
    assert {"digest", "kind", "path", "inputs", "metrics"} <= set(allmend("show", "toy/report", "--json").json)


def test_why_gives_the_lineage_and_the_cause_of_a_change(allmend: Allmend, ledger: Ledger, chain: list[Stored]) -> None:
    model = put(ledger, "toy/model", {"deep/score.json": b'{"score": 12.6}'}, {"of": chain[0]}, rate=0.25)
    put_report(ledger, model)
    out = allmend("why", "toy/report").out
    assert "config rate: 0.5 → 0.25   in toy/model" in out
    assert [line.split()[0] for line in out.splitlines() if line.startswith("  toy/")] == [
        "toy/source", "toy/model", "toy/report",
    ]  # fmt: skip
    assert allmend("why", "toy/report~1").out.count("toy/model~1") == 2
    found = allmend("why", "toy/report", "--json").json
    assert found["causes"] == [{"digest": model.manifest.digest, "changed": ["config rate: 0.5 → 0.25"]}]
    assert [row["name"] for row in found["lineage"]] == ["toy/source", "toy/model", "toy/report"]


def test_diff_says_what_differs(allmend: Allmend, ledger: Ledger, chain: list[Stored]) -> None:
    put(ledger, "toy/model", {"deep/score.json": b'{"score": 12.6}'}, {"of": chain[0]}, rate=0.25)
    said = allmend("diff", "toy/model~1", "toy/model")
    assert "config rate: 0.5 → 0.25" in said.out and "1 of 1 changed: deep/score.json" in said.out
    assert allmend("diff", "toy/model", "toy/model", "--json").json == {"equal": True, "changed": []}


def test_ledger_index_rebuilds_the_cache(allmend: Allmend, ledger: Ledger, chain: list[Stored]) -> None:
    assert allmend("ledger", "index").code == 0
    assert (ledger.root / "index.sqlite").stat().st_size > 0


@pytest.mark.parametrize("verb", ["verify", "gc", "push", "pull", "show", "why", "diff"])
def test_each_verb_of_the_ledger_has_help_and_a_line_in_the_list(allmend: Allmend, verb: str) -> None:
    said = allmend(verb, "--help")
    assert said.code == 0 and VERBS[verb].partition(".")[0][:30] in " ".join(said.out.split())


def test_without_a_ledger_each_verb_says_how_to_make_one(allmend: Allmend) -> None:
    for arguments in (["verify", "a/b"], ["gc"], ["show", "a/b"], ["why", "a/b"], ["diff", "a/b", "a/c"]):
        said = allmend(*arguments)
        assert said.code in (2, 3) and "allmend run" in said.err
    assert os.listdir() == ["allmend.toml"]
