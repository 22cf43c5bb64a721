"""Suites: which tasks, of which kind, on which data. YAML, checked before anything is scored."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from allmend.evaluate.kinds import KINDS, Kind, kind_class
from allmend.flow import read_yaml
from allmend.kinds import InputFile, InputFiles, load_config
from allmend.kinds.errors import RecipeError, nearest

KEYS = ("suite", "about", "tasks")


@dataclass(frozen=True)
class Suite:
    """A suite: its name and its tasks, by name."""

    name: str
    tasks: Mapping[str, Kind]


def load_suite(file: InputFile, data: InputFiles) -> tuple[Suite, dict[str, Path]]:
    """Read a suite, and find the files that its tasks name among those given.

    Returns:
        The suite, and the path of each data file by its name.

    Raises:
        RecipeError: not YAML, an unknown key, kind or field (with the nearest name), a data file that wasn't given.
    """
    located = read_yaml(file.path, file.name)
    value = located.value
    if not isinstance(value, dict) or not isinstance(value.get("tasks"), dict) or not value["tasks"]:
        raise RecipeError(located.file, "a suite is a mapping with `suite:` and `tasks:`, and has at least one task.")
    for key in value:
        if key not in KEYS:
            raise RecipeError(located.locate([key]), f"unknown key `{key}`.{nearest(key, KEYS)}")
    paths = {each.name: each.path for each in data}
    tasks: dict[str, Kind] = {}
    for name, entry in value["tasks"].items():
        kind = entry.get("kind") if isinstance(entry, dict) else None
        if kind not in KINDS:
            raise RecipeError(
                located.locate(["tasks", name, "kind"]),
                f"there is no kind of task `{kind}`.{nearest(str(kind), KINDS)}",
            )
        fields = {key: each for key, each in entry.items() if key != "kind"}
        task: Kind = load_config(
            kind_class(kind), fields, lambda place, name=name: located.locate(["tasks", name, *place])
        )  # type: ignore[misc]
        if task.data not in paths:
            message = f"the file {task.data} isn't among `data:` of the recipe's step.{nearest(task.data, paths)}"
            raise RecipeError(located.locate(["tasks", name, "data"]), message)
        tasks[str(name)] = task
    return Suite(str(value.get("suite", "")), tasks), paths
