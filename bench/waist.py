"""What the waist costs: `make bench-waist`. Prints a table and writes `bench/results/waist.json`.

Each figure is the best of several rounds: what is asked is the code's own cost, and other processes only add to it. "Tiny" is a
step that writes one JSON file of a dozen bytes (`tests/toys`). Steps and parts are committed on the disk of the temporary folder,
with their fsync; where there is a RAM disk, steps are measured on it too.
"""

from __future__ import annotations

import json
import os
import platform
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
TOYS = ROOT / "tests" / "toys"
RESULTS = ROOT / "bench" / "results" / "waist.json"
RAM = Path("/dev/shm")
ROUNDS = 3


@dataclass
class Figure:
    """One measured cost, its goal (specs/waist.md), and whether it is met."""

    name: str
    value: float
    unit: str
    goal: float | None = None

    @property
    def met(self) -> bool | None:
        return None if self.goal is None else self.value <= self.goal


def main() -> None:
    sys.path.insert(0, str(TOYS))
    os.environ["PYTHONPATH"] = os.pathsep.join([str(TOYS), os.environ.get("PYTHONPATH", "")])
    figures = [*_steps(), *_parts(), *_plans(), *_runs(), *_help()]
    machine = {"cores": len(os.sched_getaffinity(0)), "python": platform.python_version(), "load": os.getloadavg()[0]}
    rows = [{**asdict(each), "value": round(each.value, 3), "met": each.met} for each in figures]
    RESULTS.write_text(
        json.dumps({"command": "make bench-waist", "machine": machine, "figures": rows}, indent=1) + "\n"
    )
    print(f"{machine['cores']} cores, Python {machine['python']}, load {machine['load']:.1f}")
    for each in figures:
        goal = "" if each.goal is None else f"goal ≤ {each.goal:g} {each.unit}: {'met' if each.met else 'MISSED'}"
        print(f"{each.name:58} {each.value:9.2f} {each.unit:3} {goal}")


def _best(measure: Callable[[], float], rounds: int = ROUNDS) -> float:
    return min(measure() for _ in range(rounds))


@contextmanager
def _project(steps: str, folder: Path | None = None) -> Iterator[Path]:
    """A temporary project with one recipe; gives the recipe's path."""
    with tempfile.TemporaryDirectory(prefix="allmend-bench-", dir=folder) as name:
        (Path(name) / "allmend.toml").write_text("")
        recipe = Path(name) / "bench.yaml"
        recipe.write_text(f"recipe: bench\nparts: 512\nsteps:\n{steps}")
        yield recipe


def _tiny(count: int) -> str:
    return "".join(f"  t{number}: {{use: toy.tiny, number: {number + 1}}}\n" for number in range(count))


def _run(recipe: Path, workers: int = 1, in_process: bool = False) -> float:
    """Seconds of a run, without the start of the interpreter."""
    from allmend.flow import Options, load_recipe, run
    from allmend.ledger import Ledger

    begun = time.perf_counter()
    loaded, outside = load_recipe(recipe)
    ledger = Ledger(recipe.parent / ".allmend")
    outside.save()
    run(loaded, ledger, Options(workers=workers, in_process=in_process))
    return time.perf_counter() - begun


def _steps() -> Iterator[Figure]:
    def overhead(in_process: bool, folder: Path | None = None, few: int = 5, many: int = 105) -> float:
        """Milliseconds a step: the difference between many steps and few, so that start-up falls out."""
        seconds = []
        for count in (few, many):
            with _project(_tiny(count), folder) as recipe:
                seconds.append(_run(recipe, in_process=in_process))
        return (seconds[1] - seconds[0]) / (many - few) * 1000

    yield Figure("a tiny step in this process", _best(lambda: overhead(True)), "ms", 15)
    if RAM.is_dir():
        yield Figure("a tiny step in this process, on a RAM disk", _best(lambda: overhead(True, RAM)), "ms")
    yield Figure("a tiny step in a child that runs already", _best(lambda: overhead(False)), "ms")

    def first() -> float:
        with _project(_tiny(1)) as recipe:
            return _run(recipe) * 1000

    yield Figure("a run of one tiny step, with the start of its child", _best(first), "ms")


def _parts() -> Iterator[Figure]:
    """A step that keeps all rows of 512 parts with two rows each; and the same without the waist: read, call, write."""
    count = 512
    steps = "  crawl: {use: toy.crawl, files: [t.txt]}\n  documents: {use: toy.split, crawl: crawl}\n"

    def measure() -> tuple[float, float]:
        with _project(steps) as recipe:
            (recipe.parent / "t.txt").write_text("".join(f"w{number} a line\n" for number in range(2 * count)))
            _run(recipe, in_process=True)
            recipe.write_text(recipe.read_text() + "  kept: {use: toy.keep_clean, documents: documents}\n")
            whole = _run(recipe, in_process=True)
            return whole / count * 1000, _bare(recipe.parent / ".allmend") / count * 1000

    found = [measure() for _ in range(ROUNDS)]
    whole, bare = (min(column) for column in zip(*found, strict=True))
    yield Figure("a part: read a table, write two, commit", whole, "ms")
    yield Figure("  of which reading and writing Parquet", bare, "ms")
    yield Figure("  of which the waist", whole - bare, "ms", 3)


def _bare(workspace: Path) -> float:
    from allmend_toys.steps import KeepCleanConfig, keep_clean_part

    from allmend.kinds import Documents, write_table
    from allmend.ledger import Ledger, resolve

    documents = resolve(Ledger(workspace), "bench/documents").stored.artifact
    assert isinstance(documents, Documents)
    begun = time.perf_counter()
    for part in documents.parts():
        for name, table in keep_clean_part(KeepCleanConfig(), documents.load(part)).items():
            write_table(workspace / "tmp" / name / f"{part}.parquet", table)
    return time.perf_counter() - begun


def _plans() -> Iterator[Figure]:
    from allmend.flow import Graph, load_recipe
    from allmend.ledger import Ledger

    def plan(steps: str) -> float:
        with _project(steps) as recipe:
            begun = time.perf_counter()
            graph = Graph(load_recipe(recipe)[0], Ledger(recipe.parent / ".allmend"))
            graph.settle_all()
            graph.states()
            assert len(graph.nodes) == 10_000
            return time.perf_counter() - begun

    yield Figure("plan of 10,000 steps written out", _best(lambda: plan(_tiny(10_000)), 2), "s", 3)
    numbers = ", ".join(map(str, range(1, 10_001)))
    foreach = f"  t: {{foreach: {{number: [{numbers}]}}, use: toy.tiny, number: each.number}}\n"
    yield Figure("plan of a foreach of 10,000", _best(lambda: plan(foreach), 2), "s", 3)


def _runs() -> Iterator[Figure]:
    with _project(_tiny(600)) as recipe:
        yield Figure("run of 600 tiny steps, two workers", _run(recipe, workers=2), "s")
    with _project(_tiny(1000)) as recipe:
        _run(recipe, in_process=True)
        yield Figure("run of 1,000 steps, all reused", _best(lambda: _run(recipe, workers=2)), "s", 1)


def _help() -> Iterator[Figure]:
    environment = {name: value for name, value in os.environ.items() if name != "PYTHONDONTWRITEBYTECODE"}

    def seconds(*command: str) -> float:
        begun = time.perf_counter()
        subprocess.run([sys.executable, *command], check=True, capture_output=True, env=environment)
        return time.perf_counter() - begun

    seconds("-m", "allmend.cli.main", "--help")
    full, bare = _best(lambda: seconds("-m", "allmend.cli.main", "--help"), 7), _best(lambda: seconds("-c", "pass"), 7)
    yield Figure("allmend --help over a bare interpreter", full - bare, "s", 0.3)


if __name__ == "__main__":
    main()
