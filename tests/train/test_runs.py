"""Runs through the command line: ranks under torchrun, a killed run, `batch`, `seen`, a restart after a withdrawal."""

from __future__ import annotations

import os
import signal
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from allmend.kinds import read_table, sha256_file
from allmend.ledger import Ledger, Manifest, build_key
from tests.flow.conftest import Project, toy_project
from tests.train import making
from tests.train.making import Library
from tests.train.test_replay import replay

pytest.importorskip("torch", reason="torch")
pytestmark = pytest.mark.system


@dataclass
class Runs:
    """A project whose ledger holds shards, a mixture and probes by name."""

    project: Project
    library: Library

    def put(self, name: str, kind: str) -> Path:
        """The folder to fill, as an artifact of the ledger under `made/<name>`."""
        ledger = Ledger(self.project.workspace)
        draft = ledger.draft()
        getattr(self, f"_{name}")(draft)
        number = len(ledger.names.versions(f"made/{name}"))
        key = build_key("toy.made", 1, {"name": name, "number": number}, {})
        stored = ledger.commit(draft, Manifest(key, "", key, "toy.made", 1, kind, {}, {}, [], [], {}))
        found = stored.manifest
        ledger.names.put(f"made/{name}", key, found.digest, ledger.manifest_hash(key, found.digest), key)
        return stored.folder

    def _shards(self, folder: Path) -> None:
        self.library.shards(folder)

    def _mixture(self, folder: Path) -> None:
        making.mixture(folder, {"de": 0.7, "fr": 0.3})

    def _probes(self, folder: Path) -> None:
        making.probes(folder, [0, 1, 3])

    def recipe(self, name: str = "run", **changes: Any) -> str:
        config = {
            "family": "apertus",
            "preset": "tiny",
            "tokens": 2000,
            "context": 16,
            "batch": 8,
            "checkpoint_every": 4,
        } | changes
        given = ", ".join(f"{name}: {str(value).lower()}" for name, value in config.items())
        inputs = ", ".join(f"{name}: ledger:made/{name}" for name in ("shards", "mixture", "probes"))
        return self.project.recipe(
            f"recipe: {name}\nseed: 7\nsteps:\n  model: {{use: train.pretrain, {inputs}, {given}}}\n"
        )

    def train(self, *arguments: str, **changes: Any) -> Path:
        return Path(self.project.run(self.recipe(**changes), *arguments)["model"]["path"])


@pytest.fixture
def runs(tmp_path: Path) -> Runs:
    made = Runs(toy_project(tmp_path / "project"), making.library({"de": 60, "fr": 30}, longest=70))
    for name, kind in (("shards", "Shards"), ("mixture", "Mixture"), ("probes", "Probes")):
        made.put(name, kind)
    return made


def rows_of(model: Path) -> list[dict[str, Any]]:
    rows: list[dict[str, Any]] = read_table(model / "metrics.parquet").to_pylist()
    return rows


def apart(one: Path, other: Path) -> float:
    return max(abs(a["loss"] - b["loss"]) for a, b in zip(rows_of(one), rows_of(other), strict=True))


def test_case_10_one_two_and_four_ranks_read_the_same_batches_and_lose_alike(runs: Runs) -> None:
    models = {}
    for ranks in (1, 2, 4):
        models[ranks] = runs.train(
            "--ranks", str(ranks), micro_batch=2, threads=1, lr=0.002 + ranks * 1e-12
        )  # keys of their own
    chains = [[row["chain"] for row in rows_of(model)] for model in models.values()]
    assert chains[0] == chains[1] == chains[2] and len(chains[0]) == 16
    differences = {ranks: apart(models[1], model) for ranks, model in models.items()}
    print(differences)
    assert max(differences.values()) <= 1e-6
    runs.project.wait_for_no_process(timeout_s=20)


def test_case_10_exact_ranks_give_the_same_bits_even_after_a_kill(runs: Runs) -> None:
    one = runs.train(micro_batch=2, exact_ranks=True)
    weights = sha256_file(one / "model.safetensors")
    recipe = runs.recipe(micro_batch=2, exact_ranks=True, checkpoint_every=3)
    process = runs.project.start("run", recipe, "--ranks", "2")
    until = time.monotonic() + 90
    while process.poll() is None and time.monotonic() < until:
        if list(runs.project.workspace.glob("state/*/checkpoints/6")):
            process.send_signal(signal.SIGKILL)
        time.sleep(0.01)
    process.wait()
    runs.project.wait_for_no_process(timeout_s=20)
    two = Path(runs.project.run(recipe, "--ranks", "2")["model"]["path"])
    assert sha256_file(two / "model.safetensors") == weights
    assert "going on from checkpoint" in (two / "_run" / "log.txt").read_text()


def test_case_10_ranks_that_do_not_divide_the_batch_are_named(runs: Runs) -> None:
    runs.project.allmend("run", runs.recipe(batch=5), "--ranks", "2", expect=3)
    assert "a batch of 5 samples can't be shared by 2 ranks" in runs.project.said


def test_batch_and_seen_agree_with_each_other_and_with_the_metrics(runs: Runs) -> None:
    model = runs.train()
    rows = rows_of(model)
    ledger = Ledger(runs.project.workspace, create=False)
    folders = [
        ledger.objects / entry.key / entry.digest
        for name in ("shards", "probes")
        for entry in ledger.names.versions(f"made/{name}")
    ]
    assert replay(model, *folders) == 16
    read: dict[str, set[int]] = {}
    for step in (0, 7, 15):
        found = runs.project.allmend("batch", "run/model", str(step), "--json")
        assert found["batch_hash"] == rows[step]["batch_hash"] and found["samples"] == 8
        for part in found["documents"]:
            read.setdefault(part["id"], set()).add(step)
    assert len(read) > 10
    for document in sorted(read)[:3]:
        found = runs.project.allmend("seen", document, "--json")["runs"][0]
        steps = {part["step"] for part in found["parts"]}
        assert found["run"] == "run/model" and steps & {0, 7, 15} == read[document]
    assert "samples, parts of" in runs.project.allmend("batch", "run/model", "3")
    assert "first in" in runs.project.allmend("seen", min(read), "--run", "run/model")
    runs.project.allmend("seen", "0" * 32, expect=1)
    assert "no document 0000" in runs.project.said
    runs.project.allmend("batch", "run/model", "16", expect=2)
    assert "16 steps, 0 to 15" in runs.project.said
    runs.project.allmend("batch", "made/shards", "1", expect=2)
    assert "only a model has a data order" in runs.project.said


def test_case_07_a_run_after_a_withdrawal_goes_on_from_the_ledgers_older_model(runs: Runs) -> None:
    old = runs.train()
    seen = {
        each: runs.project.allmend("seen", each, "--json")["runs"][0]["parts"]
        for each in sorted(runs.library.documents)[:12]
    }
    late = {each: min(part["step"] for part in parts) for each, parts in seen.items() if parts}
    withdrawn = max(late, key=lambda each: late[each])
    runs.library.documents[withdrawn].withdrawn = True
    runs.put("shards", "Shards")
    new = runs.train()
    kept = sorted(int(path.name) for path in (old / "_run" / "checkpoints").iterdir())
    clean = max(n for n in kept if n <= late[withdrawn])
    assert f"going on from checkpoint {clean} of 16" in (new / "_run" / "log.txt").read_text()
    zero = runs.train(name="zero", checkpoint_every=1000)  # a name without older builds, and another key
    assert "going on" not in (zero / "_run" / "log.txt").read_text()
    assert sha256_file(zero / "model.safetensors") == sha256_file(new / "model.safetensors")


def test_ctrl_c_keeps_a_checkpoint_and_the_same_command_goes_on(runs: Runs) -> None:
    recipe = runs.recipe(tokens=20_000, checkpoint_every=1000)
    process = runs.project.start("run", recipe)
    until = time.monotonic() + 90
    while (
        process.poll() is None
        and time.monotonic() < until
        and not list(runs.project.workspace.glob("state/*/checkpoints/10"))
    ):
        time.sleep(0.02)
    os.kill(process.pid, signal.SIGINT)
    _, said = process.communicate(timeout=60)
    assert process.returncode == 130 and f"allmend run {recipe}" in said, said
    model = Path(runs.project.run(recipe)["model"]["path"])
    assert "going on from checkpoint" in (model / "_run" / "log.txt").read_text()
    runs.project.wait_for_no_process(timeout_s=20)
