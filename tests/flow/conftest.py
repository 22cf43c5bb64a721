"""A small project with the toy room, and the command line run in it as a user would."""

from __future__ import annotations

import contextlib
import json
import os
import subprocess
import sys
import time
import uuid
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

TOYS = Path(__file__).parent.parent / "toys"
RECIPE = """\
recipe: toy
seed: 3
parts: 4
steps:
  crawl: {use: toy.crawl, files: [texts/*.txt]}
  documents: {use: toy.split, crawl: crawl, min_chars: 3}
  corpus: {use: toy.keep_clean, documents: documents}
  hosts: {use: toy.count, corpus: corpus}
  swarm: {use: toy.mixtures, corpus: corpus, count: 3}
  proxies: {foreach: swarm, use: toy.train, mixture: each, lr: 0.5}
  scores: {foreach: proxies, use: toy.evaluate, model: each}
  best: {use: toy.compare, of: scores}
"""


@dataclass
class Project:
    """A folder with texts, recipes and a workspace."""

    root: Path
    mark: str = field(default_factory=lambda: uuid.uuid4().hex)

    @property
    def workspace(self) -> Path:
        return self.root / ".allmend"

    def recipe(self, text: str, name: str = "") -> str:
        """Write a recipe; its path as the command line takes it."""
        name = name or text.partition("recipe:")[2].split()[0]
        (self.root / "recipes").mkdir(exist_ok=True)
        (self.root / "recipes" / f"{name}.yaml").write_text(text)
        return f"recipes/{name}.yaml"

    def start(self, *arguments: str, **environment: str) -> subprocess.Popen[str]:
        paths = os.pathsep.join([str(TOYS), os.environ.get("PYTHONPATH", "")])
        env = {**os.environ, "PYTHONPATH": paths, "ALLMEND_TEST_MARK": self.mark, **environment}
        env.pop("PYTHONDONTWRITEBYTECODE", None)  # else each of the many processes would compile all anew
        command = [sys.executable, "-m", "allmend.cli.main", *arguments]
        return subprocess.Popen(
            command, cwd=self.root, env=env, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
        )

    def allmend(self, *arguments: str, expect: int = 0, **environment: str) -> Any:
        """Run the command line to its end; stdout (parsed if `--json` was asked for), stderr kept in `said`."""
        process = self.start(*arguments, **environment)
        out, self.said = process.communicate(timeout=120)
        assert process.returncode == expect, f"exit {process.returncode}\n{out}\n{self.said}"
        return json.loads(out.splitlines()[-1]) if "--json" in arguments and expect == 0 else out

    def run(self, recipe: str, *arguments: str, **environment: str) -> dict[str, Any]:
        """`allmend run`; step name → its row."""
        steps: dict[str, Any] = self.allmend("run", recipe, "--json", *arguments, **environment)["steps"]
        return steps

    def digests(self, recipe: str, *arguments: str, **environment: str) -> dict[str, str]:
        return {name: row["digest"] for name, row in self.run(recipe, *arguments, **environment).items()}

    def processes(self) -> list[int]:
        """Living processes that were started from this project, by the mark in their environment."""
        found = []
        for path in Path("/proc").glob("[0-9]*"):
            try:
                if self.mark.encode() in (path / "environ").read_bytes() and " Z " not in (path / "stat").read_text():
                    found.append(int(path.name))
            except OSError:
                continue
        return found

    def wait_for_no_process(self, timeout_s: float = 5.0) -> None:
        until = time.monotonic() + timeout_s
        while (left := self.processes()) and time.monotonic() < until:
            time.sleep(0.05)
        assert not left, [Path(f"/proc/{pid}/cmdline").read_bytes() for pid in left]

    def stray(self) -> list[str]:
        """What should not lie about when no run is going on."""
        return [str(path) for name in ("tmp", "leases") for path in (self.workspace / name).iterdir()]


@pytest.fixture
def project(tmp_path: Path) -> Project:
    return toy_project(tmp_path / "project")


def toy_project(root: Path) -> Project:
    """Three texts of 60 lines and the recipe above."""
    made = Project(root)
    (made.root / "texts").mkdir(parents=True)
    (made.root / "allmend.toml").write_text("")
    for index in (1, 2, 3):
        lines = [
            f"w{number} line {number} of text {index} {'badword' if number % 7 == 0 else 'fine'}"
            for number in range(60)
        ]
        (made.root / "texts" / f"t{index}.txt").write_text("\n".join(lines) + "\n")
    made.recipe(RECIPE)
    return made


def wait_for(path: Path, good: Callable[[Path], bool] = lambda path: True, timeout_s: float = 60.0) -> Path:
    """Wait until a file is there (a name may hold `*`) and is as it should be; gives its path."""
    until = time.monotonic() + timeout_s
    while time.monotonic() < until:
        for each in path.parent.parent.glob(f"{path.parent.name}/{path.name}") if path.parent.parent.is_dir() else []:
            with contextlib.suppress(OSError, ValueError):
                if good(each):
                    return each
        time.sleep(0.02)
    raise AssertionError(f"no {path} after {timeout_s} s")
