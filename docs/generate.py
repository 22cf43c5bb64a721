"""Writes docs/reference from the code: `make docs`. tests/house/test_docs.py fails while a page is out of date."""

from __future__ import annotations

import importlib
import inspect
import os
import pkgutil
import re
import sys
import types
import typing
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import allmend
from allmend.flow import RecipeHead, all_steps
from allmend.kinds import Config, Step
from allmend.kinds.config import heads
from allmend.kinds.errors import AllmendError

FOLDER = Path(__file__).parent / "reference"
WRITTEN = "<!-- Written by docs/generate.py (make docs) from the code. Don't edit. -->"
WIDTH = 110
CLI_INTRODUCTION = """\
Results go to stdout, progress and messages to stderr. Exit codes: 0 done · 1 the thing asked about is not so (a failed
verify, a closed gate) · 2 the command or the recipe is wrong, nothing ran · 3 a step failed · 130 interrupted.

An artifact is named `recipe/step`, `recipe/step~2` (two versions ago), by the first digits of its digest, or by
its path."""
STEPS_INTRODUCTION = """\
In a recipe: `name: {use: room.step, input: other-step, setting: value}`. Counts may be written `600k`, `1M`, `2.5B`."""
ERRORS_INTRODUCTION = """\
An error is one paragraph: what failed, where, the value, what to do now. `allmend --debug VERB …` shows the traceback
too. A bad record is no error: it lands in the artifact's `rejected` table with a reason."""


def pages() -> dict[str, str]:
    """File name → text of each generated page."""
    return {"cli.md": cli_page(), "steps.md": steps_page(), "errors.md": errors_page()}


# --- the command line ---


def commands() -> Iterator[tuple[str, Any, Any]]:
    """(what is typed, command, its context) of each verb, rooms' own verbs after the others."""
    import typer

    from allmend.cli.main import app

    def below(group: Any, context: Any) -> Iterator[tuple[str, Any, Any]]:
        for name in group.list_commands(context):
            command = group.get_command(context, name)
            inner = typer.Context(command, context, name, terminal_width=WIDTH)
            if hasattr(command, "list_commands"):
                yield from below(command, inner)
            else:
                yield inner.command_path, command, inner

    top = typer.main.get_command(app)
    yield from below(top, typer.Context(top, info_name="allmend", terminal_width=WIDTH))


def cli_page() -> str:
    lines = ["# Commands", WRITTEN, "", CLI_INTRODUCTION]
    for typed, command, context in commands():
        lines += ["", f"## {typed}", "```text", command.get_help(context).rstrip(), "```"]
    return "\n".join(lines) + "\n"


# --- steps and their settings ---


def our_steps() -> dict[str, Step]:
    """The steps of this repository's rooms; what else is installed here isn't documented here."""
    return {use: step for use, step in all_steps().items() if step.function.__module__.startswith("allmend.")}


def all_configs() -> list[type[Config]]:
    """Every Config class of this repository with a field or more, sorted by where it stands."""
    for module in pkgutil.walk_packages(allmend.__path__, "allmend."):
        importlib.import_module(module.name)
    found: set[type[Config]] = set()
    waiting: list[type[Config]] = [Config]
    while waiting:
        for each in waiting.pop().__subclasses__():
            if each not in found:
                found.add(each)
                waiting.append(each)
    ours = [each for each in found if each.__module__.startswith("allmend.") and each.model_fields]
    return sorted(ours, key=lambda each: (each.__module__, each.__qualname__))


def steps_page() -> str:
    steps = our_steps()
    lines = ["# Steps and their settings", WRITTEN, "", STEPS_INTRODUCTION, "", "## A recipe's head", ""]
    lines += _fields(RecipeHead)
    for use, step in steps.items():
        lines += ["", f"## {use}", f"{step.doc} Makes: `{step.kind.__name__}`. Version {step.version}."]
        inputs = [
            f"`{one.name}`: `{one}`{' (may be left out)' if one.optional else ''}" for one in step.inputs.values()
        ]
        lines += ["", f"Inputs: {' · '.join(inputs) or 'none'}.", "", *_fields(step.config)]
    shown = {RecipeHead, *(step.config for step in steps.values())}
    others = [each for each in all_configs() if each not in shown]
    if others:
        lines += ["", "## Settings inside settings"]
    for each in others:
        lines += ["", f"### {each.__name__}", f"{_first_line(each)} (`{each.__module__}`)", "", *_fields(each)]
    return "\n".join(lines) + "\n"


def _fields(cls: type[Config]) -> list[str]:
    filled = heads(cls)
    if not cls.model_fields:
        return ["No settings."]
    rows = ["| setting | type | default | what it does |", "|---|---|---|---|"]
    for name, field in cls.model_fields.items():
        default = "from the head" if name in filled else "required" if field.is_required() else f"`{_default(field)}`"
        sentence = " ".join((field.description or _first_line(field.annotation)).split())
        rows.append(f"| `{name}` | {_cell(f'`{_type(field.annotation)}`')} | {_cell(default)} | {_cell(sentence)} |")
    return rows


def _default(field: Any) -> str:
    text = repr(field.get_default(call_default_factory=True, validated_data={}))
    return text if len(text) <= 80 else text[:79] + "…"


def _type(annotation: Any) -> str:
    """A type as one would say it: without module names and metadata."""
    origin, arguments = typing.get_origin(annotation), typing.get_args(annotation)
    if origin is typing.Annotated:
        return _type(arguments[0])
    if origin is typing.Literal:
        return ", ".join(str(each) for each in arguments)
    if origin in (types.UnionType, typing.Union):
        return " | ".join(map(_type, arguments))
    if origin is not None:
        return f"{_type(origin)}[{', '.join(map(_type, arguments))}]"
    if annotation is type(None):
        return "None"
    return "…" if annotation is Ellipsis else str(getattr(annotation, "__name__", annotation))


def _cell(text: str) -> str:
    """Text for a table: `|` would end the cell, and `<pad>` outside backquotes would be taken for HTML."""
    pieces = text.replace("|", "\\|").split("`")
    return "`".join(piece if index % 2 else piece.replace("<", "&lt;") for index, piece in enumerate(pieces))


def _first_line(thing: Any) -> str:
    return (inspect.getdoc(thing) or "").partition("\n")[0]


# --- errors ---


def all_errors() -> list[tuple[int, type[AllmendError]]]:
    """(depth, class) of the whole tree, parents first, in the order they are written."""
    for module in pkgutil.walk_packages(allmend.__path__, "allmend."):
        importlib.import_module(module.name)

    def below(cls: type[AllmendError], depth: int) -> Iterator[tuple[int, type[AllmendError]]]:
        yield depth, cls
        for each in cls.__subclasses__():
            if each.__module__.startswith("allmend."):
                yield from below(each, depth + 1)

    return list(below(AllmendError, 0))


def errors_page() -> str:
    lines = ["# Errors", WRITTEN, "", ERRORS_INTRODUCTION, "", "| error | exit code | what it means |", "|---|---|---|"]
    for depth, cls in all_errors():
        meaning = re.sub(r"\s+", " ", (inspect.getdoc(cls) or "").partition("\n\n")[0])
        lines.append(f"| {'&emsp;' * depth}`{cls.__name__}` | {cls.exit_code} | {_cell(meaning)} |")
    return "\n".join(lines) + "\n"


def main() -> None:
    """Write the pages; says which changed."""
    FOLDER.mkdir(exist_ok=True)
    for name, text in pages().items():
        path = FOLDER / name
        if not path.is_file() or path.read_text() != text:
            path.write_text(text)
            print(f"wrote {path.relative_to(Path.cwd()) if path.is_relative_to(Path.cwd()) else path}", file=sys.stderr)


if __name__ == "__main__":
    os.environ.setdefault("HF_HUB_OFFLINE", "1")
    main()
