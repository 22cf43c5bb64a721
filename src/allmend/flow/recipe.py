"""Reading a recipe: every name, type and value in it is checked before anything runs, with file, line and field."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from allmend.flow.outside import Outsider, data_roots, project_root
from allmend.flow.reader import Reader
from allmend.flow.records import Record
from allmend.flow.spec import Recipe, RecipeHead
from allmend.flow.yaml import Located, read_yaml
from allmend.kinds import load_config
from allmend.kinds.errors import RecipeError, UsageError, nearest


def load_recipe(
    path: Path,
    workspace: Path | None = None,
    data_root: list[Path] | None = None,
    history: list[Record] | None = None,
) -> tuple[Recipe, Outsider]:
    """Read and check a recipe.

    Args:
        workspace: the ledger's folder; default `.allmend` in the project root.
        data_root: further folders that may be read.
        history: withdrawal records to go by instead of the workspace's.

    Raises:
        RecipeError: the first thing wrong, as one paragraph.
    """
    if not path.is_file():
        there = [str(each) for each in path.parent.glob("*.yaml")] if path.parent.is_dir() else []
        raise UsageError(f"there is no recipe {path}.{nearest(str(path), there)}")
    root = project_root(path)
    outside = Outsider(root, [*data_roots(root), *(data_root or [])], workspace or root / ".allmend")
    outside.history = history
    located = _with_base(path, root)
    if not isinstance(located.value, dict):
        raise RecipeError(located.file, "a recipe is a mapping with `recipe:` and `steps:`.")
    steps = located.value.pop("steps", None)
    head = load_config(RecipeHead, located.value, located.locate, outside)
    if head.recipe != path.stem:
        raise RecipeError(
            located.locate(["recipe"]), f"given {head.recipe!r}: it must equal the file's stem, {path.stem!r}."
        )
    if head.parts & (head.parts - 1):
        raise RecipeError(located.locate(["parts"]), f"given {head.parts}: it must be a power of two.")
    if not isinstance(steps, dict) or not steps:
        raise RecipeError(
            located.locate(["steps"]), "there are no steps. Write `steps:` with at least one `name: {use: room.step}`."
        )
    outside.compact = head.compact
    try:
        outside.withdrawals()
    except ValueError as error:
        raise RecipeError(located.locate(["compact"]), f"{error}.") from error
    reader = Reader(located, head, outside, steps, workspace or root / ".allmend")
    return Recipe(path, root, head, reader.read(), located), outside


def _with_base(path: Path, root: Path, seen: tuple[Path, ...] = ()) -> Located:
    """A recipe's values, laid over those of the recipe it extends."""
    path = path.absolute()
    shown = str(path.relative_to(root)) if path.is_relative_to(root) else str(path)
    located = read_yaml(path, shown)
    base = located.value.get("extends") if isinstance(located.value, dict) else None
    if base is None:
        return located
    if not isinstance(base, str) or "/" in base:
        raise RecipeError(
            located.locate(["extends"]), f"given {base!r}: the file name of a recipe in the same folder is expected."
        )
    below = path.parent / (base if base.endswith(".yaml") else f"{base}.yaml")
    if below in (*seen, path):
        raise RecipeError(located.locate(["extends"]), f"{base} extends this recipe in turn.")
    if not below.is_file():
        there = [each.name for each in path.parent.glob("*.yaml")]
        raise RecipeError(located.locate(["extends"]), f"no recipe {below.name} beside it.{nearest(below.name, there)}")
    under = _with_base(below, root, (*seen, path))
    merged = _merge(under.value, located.value)
    return Located(shown, merged, {**under.lines, **located.lines})


def _merge(under: Any, over: Any) -> Any:
    """Mappings are merged key by key, a null takes a key away, anything else replaces."""
    if not isinstance(under, dict) or not isinstance(over, dict):
        return over
    merged = {**under, **{key: _merge(under.get(key), value) for key, value in over.items()}}
    return {key: value for key, value in merged.items() if not (key in over and value is None)}
