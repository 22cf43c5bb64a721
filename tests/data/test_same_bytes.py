"""The same bytes with other workers and hash seeds, and through the command line: what moves when something changes."""

from __future__ import annotations

import hashlib
import os
import subprocess
import sys
from pathlib import Path

import pytest

from tests.data.conftest import COMMONS, POLICY, ROOT, answer, build, html, record, write_warc
from tests.flow.conftest import Project

RECIPE = """\
recipe: small
parts: 4
steps:
  crawl: {use: data.crawl, warc: [warc/*.warc.gz]}
  documents: {use: data.extract, crawl: crawl}
  verdicts: {use: data.annotate, documents: documents, crawl: crawl, annotators: [language, optout, licence, pii, toxicity, quality]}
  duplicates: {use: data.deduplicate, documents: documents}
  corpus: {use: data.decide, documents: documents, verdicts: [verdicts, duplicates], policy: policy.yaml}
"""
PROSE = "The meadow above the village is shared by eleven families, and each of them sends number {} to the yearly meeting in spring. "
LICENCE = '<link rel="license" href="https://creativecommons.org/publicdomain/zero/1.0/">'


def _page(number: int, host: str = "a.example") -> bytes:
    body = html("\n".join(PROSE.format(f"{number} {line}") for line in range(6)), LICENCE)
    return record(answer(body), f"https://{host}/{number}")


def digests(folder: Path) -> dict[str, str]:
    """Path → SHA-256 of everything but what a run says of itself."""
    files = sorted(
        path for path in folder.rglob("*") if path.is_file() and "_run" not in path.parts and ".work" not in str(path)
    )
    return {str(path.relative_to(folder)): hashlib.sha256(path.read_bytes()).hexdigest() for path in files}


def test_one_worker_and_four_and_another_hash_seed_give_the_same_bytes(tmp_path: Path) -> None:
    paths = sorted((COMMONS).glob("[bp]*.warc.gz"))
    paths = [path for path in paths if path.name != "pages.warc.gz"]
    build(tmp_path / "one", paths, workers=1)
    build(tmp_path / "four", paths, workers=4)
    code = "import sys; from pathlib import Path; from tests.data.conftest import build; build(Path(sys.argv[1]), [Path(each) for each in sys.argv[2:]])"
    env = {**os.environ, "PYTHONHASHSEED": "1234"}
    subprocess.run(
        [sys.executable, "-c", code, str(tmp_path / "seed"), *map(str, paths)], check=True, env=env, cwd=ROOT
    )
    assert len(digests(tmp_path / "one")) > 100
    assert digests(tmp_path / "one") == digests(tmp_path / "four") == digests(tmp_path / "seed")


@pytest.fixture
def small(project: Project) -> Project:
    """The toy project with a crawl of 24 pages and the data steps."""
    folder = project.root / "warc"
    folder.mkdir()
    robots = record(
        answer(b"User-agent: *\nDisallow: /private\n", Content_Type="text/plain"), "https://a.example/robots.txt"
    )
    write_warc(folder / "a.warc.gz", [robots, *(_page(number) for number in range(24))])
    (project.root / "policy.yaml").write_bytes(POLICY.read_bytes())
    project.recipe(RECIPE)
    return project


def _parts(project: Project, rows: dict[str, dict[str, object]], step: str, table: str) -> dict[str, bytes]:
    folder = Path(str(rows[step]["path"])) / table
    return {path.stem: path.read_bytes() for path in sorted((project.root / folder).glob("*.parquet"))}


def _records(project: Project) -> set[Path]:
    return set((project.workspace / "parts").rglob("*"))


def test_another_warc_a_withdrawal_and_a_policy_move_only_what_they_must(small: Project) -> None:
    first = small.run("recipes/small.yaml")
    before = {
        name: _parts(small, first, name, table)
        for name, table in (("documents", "documents"), ("verdicts", "verdicts"), ("corpus", "decisions"))
    }

    write_warc(small.root / "warc" / "b.warc.gz", [_page(99, "b.example")])  # one page of a host of its own
    second = small.run("recipes/small.yaml")
    after = {
        name: _parts(small, second, name, table)
        for name, table in (("documents", "documents"), ("verdicts", "verdicts"), ("corpus", "decisions"))
    }
    for name in before:
        assert sum(before[name][part] != after[name][part] for part in before[name]) == 1, name

    said = small.allmend("withdraw", "--url", "https://a.example/7", "--reason", "asked to")
    assert "a.example/7" in said or said is not None
    third = small.run("recipes/small.yaml")
    assert {name for name, row in third.items() if not row["reused"]} == {"corpus"}
    moved = _parts(small, third, "corpus", "decisions")
    assert sum(moved[part] != after["corpus"][part] for part in moved) == 1

    text = POLICY.read_text()
    (small.root / "policy.yaml").write_text(text.replace("limit: 0.04", "limit: 0.05"))
    fourth = small.run("recipes/small.yaml")
    assert {name for name, row in fourth.items() if not row["reused"]} == {"corpus"}
    assert fourth["corpus"]["digest"] == third["corpus"]["digest"]


def test_robots_of_another_host_move_no_verdict(small: Project) -> None:
    first = small.run("recipes/small.yaml")
    robots = record(
        answer(b"User-agent: *\nDisallow: /\n", Content_Type="text/plain"), "https://elsewhere.example/robots.txt"
    )
    write_warc(small.root / "warc" / "c.warc.gz", [robots])
    second = small.run("recipes/small.yaml")
    assert second["crawl"]["digest"] != first["crawl"]["digest"]
    assert second["verdicts"]["digest"] == first["verdicts"]["digest"] and second["corpus"]["reused"]


def test_a_mistake_in_the_policy_is_exit_2_and_names_both_files(small: Project) -> None:
    (small.root / "policy.yaml").write_text("policy: p\nrules:\n  - {rule: redackt}\n")
    small.allmend("run", "recipes/small.yaml", expect=2)
    assert "policy.yaml:3" in small.said and "Did you mean `redact`" in small.said
    assert not list((small.workspace / "objects").glob("*")) if (small.workspace / "objects").is_dir() else True
