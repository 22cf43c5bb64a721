"""The main job in small, from crawl to report: same bytes anywhere, every claim checked, withdrawal, faults.

`tests/recipes/micro.yaml` runs once; tests that change something work on a copy of its ledger.
"""

from __future__ import annotations

import json
import os
import random
import re
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq
import pytest

from allmend.ledger import Ledger, resolve, verify_report
from tests.train.test_replay import replay

pytest.importorskip("torch", reason="torch")
pytestmark = [pytest.mark.system, pytest.mark.timeout(600)]
ROOT = Path(__file__).parents[2]
RECIPE = "tests/recipes/micro.yaml"
PINNED = ROOT / "tests" / "pinned.json"


def start(workspace: Path, *arguments: str, **environment: str) -> subprocess.Popen[str]:
    command = [sys.executable, "-m", "allmend.cli.main", *arguments, "--workspace", str(workspace)]
    env = {**os.environ, "HF_HUB_OFFLINE": "1", **environment}
    return subprocess.Popen(command, cwd=ROOT, env=env, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)


def allmend(workspace: Path, *arguments: str, expect: int = 0, **environment: str) -> Any:
    process = start(workspace, *arguments, **environment)
    out, said = process.communicate(timeout=300)
    assert process.returncode == expect, f"exit {process.returncode}\n{out}\n{said}"
    return json.loads(out.splitlines()[-1]) if "--json" in arguments else out + said


def digests(workspace: Path, *arguments: str, **environment: str) -> dict[str, str]:
    steps = allmend(workspace, "run", RECIPE, "--json", *arguments, **environment)["steps"]
    return {name: row["digest"] for name, row in steps.items()}


@pytest.fixture(scope="module")
def micro(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A workspace in which the micro recipe has run."""
    workspace = tmp_path_factory.mktemp("micro") / "w"
    allmend(workspace, "run", RECIPE, "--workers", "2")
    return workspace


@pytest.fixture(scope="module")
def expected(micro: Path) -> dict[str, str]:
    return digests(micro)


@pytest.fixture
def copy(micro: Path, tmp_path: Path) -> Path:
    """A ledger of the same, whose files may be damaged."""
    return Path(shutil.copytree(micro, tmp_path / "copy"))


def folder(workspace: Path, step: str) -> Path:
    return resolve(Ledger(workspace), f"micro/{step}").stored.folder


def test_workers_hash_seed_and_folder_change_no_digest(expected: dict[str, str], tmp_path: Path) -> None:
    assert digests(tmp_path / "other", "--workers", "1", PYTHONHASHSEED="5") == expected


def test_the_digests_of_the_micro_recipe_are_those_that_are_pinned(expected: dict[str, str]) -> None:
    """Other bytes need a raised version. On another machine's instruction set floats may differ: then data steps still agree."""
    pinned = json.loads(PINNED.read_text())
    changed = {
        name: (pinned["digests"].get(name), digest)
        for name, digest in expected.items()
        if pinned["digests"].get(name) != digest
    }
    exact = {name: pair for name, pair in changed.items() if name in pinned["exact"]}
    assert not exact, f"raise these steps' versions, then run: python -m tests.system.test_micro  {exact}"


def test_verify_passes_and_names_a_changed_an_appended_and_an_extra_file_of_any_ancestor(copy: Path) -> None:
    assert "is sound" in allmend(copy, "verify", "micro/report")
    for number, step in enumerate(("crawl", "documents", "corpus", "shards", "model", "scores")):
        path = sorted(
            path
            for path in folder(copy, step).rglob("*")
            if path.is_file() and path.name != "manifest.json" and "_run" not in path.parts
        )[0]
        before = path.read_bytes()
        path.chmod(0o644)
        for bad in (before + b"x", bytes([before[0] ^ 1]) + before[1:]):
            path.write_bytes(bad)
            assert path.name in allmend(copy, "verify", "micro/report", expect=1)
        path.write_bytes(before)
        extra = folder(copy, step) / f"extra{number}"
        extra.write_text("x")
        assert extra.name in allmend(copy, "verify", "micro/report", expect=1)
        extra.unlink()
    assert "is sound" in allmend(copy, "verify", "micro/report")


def test_each_changed_digit_of_the_pages_and_of_the_claims_fails(micro: Path, tmp_path: Path) -> None:
    """Every number of every page and of claims.json, one digit of each, on the report's own evidence."""
    report = Path(shutil.copytree(folder(micro, "report"), tmp_path / "report"))
    assert not [each for each in verify_report(None, report) if each.severity == "failed"]
    for name, pattern in (
        ("index.html", r'data-claim="[^"]+">[^<]*?(\d)'),
        ("index.html", r'value="[^"]*?(\d)[^"]*" data-claim'),
        ("claims.json", r'"value":-?(\d)'),
    ):
        path = report / name
        text = path.read_text()
        path.chmod(0o644)
        places = [match.start(1) for match in re.finditer(pattern, text)]
        assert len(places) > 100
        for place in random.Random(7).sample(places, 25):
            path.write_text(text[:place] + str((int(text[place]) + 1) % 10) + text[place + 1 :])
            assert [each for each in verify_report(None, report) if each.severity == "failed"], text[
                place - 80 : place + 10
            ]
        path.write_text(text)


def test_the_batch_hashes_are_those_of_order_and_shards(micro: Path) -> None:
    assert replay(folder(micro, "model"), folder(micro, "shards"), folder(micro, "probes")) == 40


def test_batch_and_seen_agree_with_each_other_and_the_shards(micro: Path) -> None:
    shards = folder(micro, "shards")
    rows = [row for path in sorted((shards / "documents").iterdir()) for row in pq.read_table(path).to_pylist()]
    listed = {row["id"] for row in rows}
    batch = allmend(micro, "batch", "micro/model", "3", "--json")
    found = {each["document"] if "document" in each else each["id"] for each in batch["documents"]} & listed
    assert found
    seen = allmend(micro, "seen", min(found), "--json")
    assert any(part["step"] == 3 for run in seen["runs"] for part in run["parts"])


def test_a_withdrawn_host_is_named_exactly_and_only_what_must_be_is_rebuilt(
    copy: Path, expected: dict[str, str]
) -> None:
    host = "rus.udhr.example"
    rows = [
        row
        for path in sorted((folder(copy, "shards") / "documents").iterdir())
        for row in pq.read_table(path).to_pylist()
    ]
    gone = {row["id"] for row in rows if row["host"] == host}
    first = {
        each: min(
            (part["step"] for run in allmend(copy, "seen", each, "--json")["runs"] for part in run["parts"]),
            default=None,
        )
        for each in gone
    }
    said = allmend(copy, "withdraw", "--host", host, "--reason", "asked by letter", "--json")
    assert host in json.dumps(said) and all(each in json.dumps(said) for each in gone) and gone
    after = allmend(copy, "run", RECIPE, "--json")["steps"]
    kept = {name for name, row in after.items() if row["reused"]}
    assert {"crawl", "documents", "verdicts", "duplicates", "tokenizer", "mixture", "probes"} <= kept
    assert {"corpus", "shards", "model"} <= set(after) - kept
    table = [
        row
        for path in sorted((folder(copy, "shards") / "documents").iterdir())
        for row in pq.read_table(path).to_pylist()
    ]
    assert {row["id"] for row in table if row["withdrawn_at"]} == gone
    assert [(row["id"], row["offset"], row["length"]) for row in table] == [
        (row["id"], row["offset"], row["length"]) for row in rows
    ]
    assert "is sound" in allmend(copy, "verify", "micro/report")
    assert all(value is None or value >= 0 for value in first.values())
    allmend(copy, "withdraw", "--undo", "1", "--reason", "asked again")
    assert digests(copy) == expected


@pytest.mark.parametrize("seed", range(5))
def test_killed_again_and_again_the_run_ends_with_the_same_bytes(
    expected: dict[str, str], tmp_path: Path, seed: int
) -> None:
    """kill -9 at random moments, the next run at once: over the whole recipe, some kill falls into most steps."""
    dice, workspace = random.Random(seed), tmp_path / "w"
    pauses = [dice.uniform(0.5, 3.5) for _ in range(5)]
    print(f"seed {seed}: killed after {', '.join(f'{pause:.2f}' for pause in pauses)} s")
    for pause in pauses:
        process = start(workspace, "run", RECIPE, "--workers", "2")
        time.sleep(pause)
        process.send_signal(signal.SIGKILL)
        process.wait()
    assert digests(workspace, "--workers", "2") == expected
    assert "is sound" in allmend(workspace, "verify", "micro/report")
    assert not [path for path in (workspace / "objects").glob("*/*") if not (path / "manifest.json").is_file()]


@pytest.mark.parametrize("step", ["documents", "verdicts", "corpus", "tokenizer", "shards", "model", "scores", "index"])
def test_a_flipped_byte_is_named_set_aside_and_made_again(copy: Path, expected: dict[str, str], step: str) -> None:
    files = sorted(
        path
        for path in folder(copy, step).rglob("*")
        if path.is_file() and path.stat().st_size and "_run" not in path.parts and path.name != "manifest.json"
    )
    path = random.Random(step).choice(files)
    data = bytearray(path.read_bytes())
    data[random.Random(step).randrange(len(data))] ^= 1
    path.chmod(0o644)
    path.write_bytes(data)
    assert path.name in allmend(copy, "verify", f"micro/{step}", expect=1)
    allmend(copy, "verify", f"micro/{step}", "--repair")
    assert digests(copy) == expected
    assert "is sound" in allmend(copy, "verify", "micro/report")


if __name__ == "__main__":
    import tempfile

    with tempfile.TemporaryDirectory() as name:
        fresh = digests(Path(name))
    exact = [
        "crawl",
        "documents",
        "verdicts",
        "duplicates",
        "corpus",
        "tokenizer",
        "shards",
        "mixture",
        "probes",
        "index",
    ]
    PINNED.write_text(json.dumps({"digests": fresh, "exact": exact}, indent=1, sort_keys=True) + "\n")
    print(f"wrote {PINNED}")
