"""What is installed: a small base, everything pinned, and `allmend --help` without a heavy import."""

from __future__ import annotations

import ast
import importlib.metadata
import itertools
import json
import re
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

from tests.house.table import ROOT, SOURCE, imports, rooms_here

LARGEST_BASE = 30
HEAVY = (
    "pydantic",
    "pyarrow",
    "numpy",
    "torch",
    "duckdb",
    "jinja2",
    "fsspec",
    "cryptography",
    "yaml",
    "jsonschema",
)


PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
EXTRAS: dict[str, list[str]] = PROJECT["optional-dependencies"]
DECLARED = {
    canonicalize_name(Requirement(line).name) for line in [*PROJECT["dependencies"], *itertools.chain(*EXTRAS.values())]
}
COME_WITH = {"pydantic-core": "pydantic", "markupsafe": "jinja2"}
"""Packages that are the lower half of a declared one, and that its documentation tells to import."""
BASE_ROOMS = ("kinds", "ledger", "flow", "report", "govern", "cli")
PACKAGES = importlib.metadata.packages_distributions()


def closure(requirements: list[str]) -> set[str]:
    """Names of all distributions that requirements draw in here, by the metadata of what is installed."""
    found: set[tuple[str, str]] = set()
    waiting = [(Requirement(line), "") for line in requirements]
    while waiting:
        wanted, extra_of_parent = waiting.pop()
        if wanted.marker is not None and not wanted.marker.evaluate({"extra": extra_of_parent}):
            continue
        name = canonicalize_name(wanted.name)
        for extra in {"", *wanted.extras}:
            if (name, extra) not in found:
                found.add((name, extra))
                waiting += [(Requirement(line), extra) for line in _requires(name, extra)]
    return {name for name, _ in found} - {"allmend"}


def _requires(name: str, extra: str) -> list[str]:
    if name == "allmend":  # as written now, not as installed
        return EXTRAS[extra] if extra else []
    try:
        return importlib.metadata.requires(name) or []
    except importlib.metadata.PackageNotFoundError:
        return []  # of an extra that isn't installed here


def pins() -> dict[str, str]:
    lines = (ROOT / "constraints.txt").read_text().split()
    return {canonicalize_name(name): version for name, _, version in (line.partition("==") for line in lines)}


def test_the_base_draws_in_at_most_thirty_packages() -> None:
    base = closure(PROJECT["dependencies"])
    assert len(base) <= LARGEST_BASE, sorted(base)


def test_the_lock_pins_every_package_of_every_extra() -> None:
    every = closure([line for lines in EXTRAS.values() for line in lines])
    assert len(every) > 100
    assert every <= set(pins()), every - set(pins())


def test_the_lock_is_sorted_and_names_each_package_once() -> None:
    names = [line.partition("==")[0] for line in (ROOT / "constraints.txt").read_text().split()]
    assert names == sorted(set(names))
    assert [canonicalize_name(name) for name in names] == names


def test_torch_is_pinned_without_a_local_part() -> None:
    """With `+cpu` no other platform finds a wheel; any other spec draws in CUDA."""
    torch = pins()["torch"]
    assert re.fullmatch(r"[\d.]+", torch)
    assert f"torch=={torch}" in (ROOT / "pyproject.toml").read_text()
    assert f"TORCH := torch=={torch}#" in (ROOT / "Makefile").read_text()


def test_every_package_that_is_imported_is_declared() -> None:
    missing = [
        f"{path.name}:{line} {name}"
        for path, line, name in _foreign()
        if not _distributions(name) & {*DECLARED, *COME_WITH}
    ]
    assert not missing


@pytest.mark.parametrize("room", [room for room in rooms_here() if room in BASE_ROOMS])
def test_a_room_of_the_base_opens_with_base_packages_alone(room: str) -> None:
    """What an extra brings, it imports in the functions that need it."""
    code = f"import sys; before = set(sys.modules); import allmend.{room}; print(*sorted(set(sys.modules) - before))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    base = closure(PROJECT["dependencies"])
    packages = {name.partition(".")[0] for name in done.stdout.split()} - {"allmend"}
    assert not {name for name in packages if _distributions(name) and not _distributions(name) & base}


def test_a_missing_extra_is_named_rightly() -> None:
    calls = [
        (path.name, *(each.value for each in node.args))
        for path in SOURCE.rglob("*.py")
        for node in ast.walk(ast.parse(path.read_text()))
        if isinstance(node, ast.Call)
        and ast.unparse(node.func) == "MissingExtraError.of"
        and all(isinstance(each, ast.Constant) for each in node.args)
    ]
    assert calls
    wrong = [call for call in calls if canonicalize_name(call[1]) not in closure(EXTRAS.get(call[2], []))]
    assert not wrong


def _foreign() -> list[tuple[Path, int, str]]:
    """(file, line, top-level name) of every import in the source that is neither ours nor the standard library's."""
    found = [(path, line, name.partition(".")[0]) for path in SOURCE.rglob("*.py") for line, name in imports(path)]
    return [each for each in found if each[2] not in sys.stdlib_module_names and each[2] != "allmend"]


def _distributions(module: str) -> set[str]:
    return {canonicalize_name(name) for name in PACKAGES.get(module, [])}


def test_help_imports_nothing_heavy() -> None:
    """The time itself is a figure of `make bench-waist`; what costs it is what is imported."""
    code = (
        "import json, sys\nfrom allmend.cli.main import main\n"
        "try:\n    main(['--help'])\nexcept SystemExit:\n    pass\nprint(json.dumps(sorted(sys.modules)))"
    )
    said = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout
    imported = {name.partition(".")[0] for name in json.loads(said.splitlines()[-1])}
    assert "Verbs" in said
    assert not imported & set(HEAVY)
    assert not {"allmend.flow", "allmend.ledger"} & set(json.loads(said.splitlines()[-1]))
