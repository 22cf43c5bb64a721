"""`allmend new recipe NAME [STEP…]`, `allmend new step ROOM.NAME`"""

from __future__ import annotations

import datetime
import json
import re
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

import typer

from allmend.cli.options import say

if TYPE_CHECKING:
    from allmend.kinds import Step

FIRST_STEPS = ("data.crawl", "data.extract")
_name = re.compile(r"[a-z][a-z0-9_]*").fullmatch
_recipe_name = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]*").fullmatch


def new(
    what: Annotated[Literal["recipe", "step"], typer.Argument(help="What to start.")],
    name: Annotated[str, typer.Argument(help="The recipe's name; or room.step, where the room is one of your own.")],
    steps: Annotated[
        list[str] | None,
        typer.Argument(
            help=f"For a recipe: the steps it uses, in order (default: {' '.join(FIRST_STEPS)}).", show_default=False
        ),
    ] = None,
) -> None:
    """Start a recipe or a step: writes the file, the line and the test."""
    from allmend.flow import project_root
    from allmend.kinds.errors import UsageError

    root = project_root(Path.cwd() / "_")
    if what == "recipe":
        new_recipe(root, name, steps or FIRST_STEPS)
    elif steps:
        raise UsageError(f"a new step takes one name, room.step; given also: {', '.join(steps)}.")
    else:
        new_step(root, name)


# --- a recipe ---


def new_recipe(root: Path, name: str, uses: Sequence[str]) -> None:
    """Write `recipes/NAME.yaml`: each step with its inputs from the steps before it, and each setting's default.

    Raises:
        UsageError: a name that can't be one, a recipe that is there already, an unknown step.
    """
    from allmend.flow import find_step
    from allmend.kinds.errors import UsageError

    if not _recipe_name(name):
        raise UsageError(f"{name!r} can't be a recipe's name: letters, digits, `.`, `_` and `-`, for instance `first`.")
    path = _free(root / "recipes" / f"{name}.yaml")
    steps = {use: find_step(use) for use in uses}
    named: dict[str, Step] = {}
    for use in uses:
        short = use.partition(".")[2]
        taken = sum(each == short or each.rstrip("0123456789") == short for each in named)
        named[f"{short}{taken + 1}" if taken else short] = steps[use]
    lines = [
        f"# Run it: allmend run recipes/{name}.yaml. See first what that would do: allmend plan recipes/{name}.yaml",
        f"recipe: {name}",
        f"date: {datetime.date.today()}  # the date that reports show",
        'hypothesis: ""  # what this recipe is meant to find out',
        "seed: 0",
        "steps:",
    ]
    for (short, step), use in zip(named.items(), uses, strict=True):
        lines += _step_lines(short, use, step, _before(named, short))
    _write(path, "\n".join(lines) + "\n")
    say(f"wrote {path.relative_to(root)}\nTry next: allmend plan recipes/{name}.yaml · allmend steps · allmend schema")


def _before(named: dict[str, Step], name: str) -> dict[str, Step]:
    return {each: named[each] for each in list(named)[: list(named).index(name)]}


def _step_lines(name: str, use: str, step: Step, before: dict[str, Step]) -> Iterator[str]:
    """One step of a recipe: what must be given stands as a line, what may be given as a comment with its default."""
    from allmend.kinds.config import heads

    yield f"  {name}:"
    yield f"    use: {use}  # {step.doc}"
    for parameter in step.inputs.values():
        fitting = [each for each, made in before.items() if parameter.accepts(made.kind)]
        given = f"[{', '.join(fitting)}]" if parameter.many else fitting[-1] if fitting else "null"
        comment = f"{parameter}" + (" (may be left out)" if parameter.optional else "")
        yield f"    {'# ' if parameter.optional and not fitting else ''}{parameter.name}: {given}  # {comment}"
    for key, field in step.config.model_fields.items():
        if key in heads(step.config):
            continue
        sentence = " ".join((field.description or "").split())
        if field.is_required():
            yield f"    {key}: {_placeholder(field.annotation)}  # required: {sentence}"
        else:
            default = field.get_default(call_default_factory=True, validated_data={})
            yield f"    # {key}: {json.dumps(default, ensure_ascii=False, default=str)}  # {sentence}"


def _placeholder(annotation: Any) -> str:
    """A value to begin with: files are looked for in `input/`; the reader refuses null, and names its line."""
    from allmend.kinds import InputFile, InputFiles

    return {InputFile: "input/file", InputFiles: "[input/*]"}.get(annotation, "null")


# --- a step ---


def new_step(root: Path, name: str) -> None:
    """Write a step and its test into `rooms/ROOM/`, a package of its own, and a line into that room's table.

    Raises:
        UsageError: a name that can't be one, a room that others own, a step that is there already.
    """
    from importlib.metadata import entry_points

    from allmend.kinds.errors import UsageError

    room, _, step = name.partition(".")
    if not _name(room) or not _name(step):
        raise UsageError(f"{name!r} can't be a step's name: room.step in small letters, for instance `village.count`.")
    package = f"allmend_{room}"
    owners = {each.value for each in entry_points(group="allmend.rooms", name=room)} - {package}
    if owners:
        raise UsageError(f"the room `{room}` is that of {', '.join(owners)}. Choose a room of your own for `{step}`.")
    folder = root / "rooms" / room
    words = {
        "room": room, "name": step, "package": package, "config": "".join(map(str.title, step.split("_"))) + "Config",
    }  # fmt: skip
    source = _free(folder / package / f"{step}.py")
    test = _free(folder / "tests" / f"test_{step}.py")
    _write(source, _STEP.format(**words))
    _write(test, _TEST.format(**words))
    face = folder / package / "__init__.py"
    if face.is_file():
        face.write_text(_with_line(face.read_text(), words))
    else:
        _write(folder / "pyproject.toml", _PROJECT.format(**words))
        _write(face, _FACE.format(**words))
    where = folder.relative_to(root)
    say(f"wrote {where}/{package}/{step}.py, {where}/tests/test_{step}.py and a line in {where}/{package}/__init__.py")
    say(f"Try next: pip install -e {where} · pytest {where} · allmend steps {name}")


def _with_line(face: str, words: dict[str, str]) -> str:
    """The face of a room with one more step in its table."""
    from allmend.kinds.errors import UsageError

    head, table, rest = face.partition("\n\nSTEPS = {\n")
    lines, end, rest = rest.partition("}\n")
    if not table or not end:
        raise UsageError(
            f"the face of {words['package']} has no table `STEPS = {{ … }}` over several lines. Add the line by hand:\n"
            + _LINE.format(**words)
        )
    return "".join([head, "\n", _IMPORT.format(**words), table[1:], lines, _LINE.format(**words), end, rest])


def _free(path: Path) -> Path:
    """The path, if nothing is there yet."""
    from allmend.kinds.errors import UsageError

    if path.exists():
        raise UsageError(f"{path} is there already. Choose another name, or remove it.")
    return path


def _write(path: Path, text: str) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text)


_IMPORT = "from {package}.{name} import {name}\n"
_LINE = '    "{name}": Step({name}, version=1),\n'
_PROJECT = """\
[build-system]
requires = ["hatchling"]
build-backend = "hatchling.build"

[project]
name = "allmend-{room}"
version = "0.1.0"
requires-python = ">=3.11"
dependencies = ["allmend"]

[project.entry-points."allmend.rooms"]
{room} = "{package}"
"""
_FACE = f'''\
"""Steps of the room `{{room}}`."""

from allmend.kinds import Step
{_IMPORT}
STEPS = {{{{
{_LINE}}}}}

__all__ = ["STEPS"]
'''
_STEP = '''\
"""`{room}.{name}`: leaves out documents of few words. `allmend steps {room}.{name}` shows its settings."""

from __future__ import annotations

import pyarrow as pa
import pyarrow.compute as pc

from allmend.kinds import Config, Documents, Field, Work


class {config}(Config):
    """Settings of `{room}.{name}`. They enter its key: another value makes another artifact."""

    min_words: int = Field(5, ge=0, description="documents of fewer words are rejected as `few_words`")


def {name}(config: {config}, documents: Documents, work: Work) -> Documents:
    """Leave out documents of few words."""
    return work.map({name}_part, over=[documents])


def {name}_part(config: {config}, documents: pa.Table) -> dict[str, pa.Table]:
    """One part: a table comes in, tables go out; rows in = rows out + rejected."""
    words = pc.count_substring_regex(documents["text"], r"\\S+")
    few = pc.less(words, config.min_words)
    left, counts = documents.filter(few), words.filter(few)
    rejected = pa.table({{
        "id": left["id"], "url": left["url"], "source": left["source"],
        "reason": pa.array(["few_words"] * left.num_rows, pa.string()), "detail": counts.cast(pa.string()),
    }})  # fmt: skip
    return {{"documents": documents.filter(pc.invert(few)), "rejected": rejected}}
'''
_TEST = '''\
"""`{room}.{name}` on three documents."""

from __future__ import annotations

from pathlib import Path

import pyarrow as pa

from allmend.flow import run_alone
from allmend.kinds import Documents, document_id, write_table
from allmend.kinds.corpus import DOCUMENTS
from {package} import STEPS
from {package}.{name} import {config}


def documents_of(folder: Path, *texts: str) -> Documents:
    empty = dict.fromkeys(DOCUMENTS.names)
    rows = [{{**empty, "id": document_id("", text), "url": "", "text": text, "source": "test"}} for text in texts]
    write_table(folder / "documents" / "0.parquet", pa.Table.from_pylist(rows, DOCUMENTS))
    return Documents(folder)


def test_a_document_of_few_words_is_rejected_with_a_reason(tmp_path: Path) -> None:
    documents = documents_of(tmp_path / "in", "", "two words", "three  words\\there")
    made = run_alone(STEPS["{name}"], tmp_path / "out", {config}(min_words=3), documents=documents)
    assert made.table()["text"].to_pylist() == ["three  words\\there"]
    assert made.table("rejected").select(["reason", "detail"]).to_pylist() == [
        {{"reason": "few_words", "detail": "0"}},
        {{"reason": "few_words", "detail": "2"}},
    ]
'''
