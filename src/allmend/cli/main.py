"""`allmend`: the command line. A verb has a file of its own; this one lists them and turns errors into exit codes."""

from __future__ import annotations

import errno
import importlib
import os
import sys
import traceback
from pathlib import Path
from typing import Any

import typer
from typer.core import TyperGroup

VERBS = {
    "run": "Build what a recipe needs; reuse what is there.",
    "plan": "What a run would build, and what it would cost. Writes nothing.",
    "show": "What an artifact is: its digest, files, numbers, inputs.",
    "why": "Where an artifact comes from, and what changed since its last version.",
    "verify": "Check every byte of an artifact and of all it was made from; for a report, every number.",
    "diff": "What differs between two artifacts: configs, inputs, numbers.",
    "trace": "Which training documents hold the spans of a text.",
    "seen": "At which training steps a document was read.",
    "batch": "Which documents a training step read.",
    "withdraw": "Record that documents are withdrawn, and say what they touch.",
    "gc": "Remove what no name, release or pin reaches.",
    "push": "Copy artifacts and all they were made from to a directory or store.",
    "pull": "Fetch artifacts from a directory, store or partner; each byte is verified.",
    "serve": "Serve a model on this machine: an OpenAI-compatible API, and a page that shows sources.",
    "steps": "The steps there are, and their settings.",
    "schema": "A JSON Schema of recipes, for editors.",
    "new": "Start a recipe or a step: writes the file, the line and the test.",
}
"""Verb → one line of help. Its function is `allmend.cli.<verb>.<verb>`, imported when it is called."""
ROOM_VERBS = {"ledger": {"index": "Rebuild index.sqlite, the cache of names and manifests, from the files."}}
"""Verbs of one room: `allmend ROOM VERB`; the function is `allmend.cli.<room>_<verb>.<verb>`."""


class Lazy(TyperGroup):
    """A group that imports a verb's file only when the verb is used or its help is asked for."""

    table: dict[str, str]
    prefix: str

    def verbs(self) -> list[str]:
        """The verbs that are built; one whose room is still to come isn't offered."""
        return [verb for verb in self.table if Path(__file__).with_name(f"{self.prefix}{verb}.py").is_file()]

    def list_commands(self, ctx: typer.Context) -> list[str]:  # type: ignore[override]
        return [*self.verbs(), *super().list_commands(ctx)]

    def get_command(self, ctx: typer.Context, cmd_name: str) -> Any:  # type: ignore[override]
        name = cmd_name
        if name not in self.table:
            return super().get_command(ctx, name)
        module = importlib.import_module(f"allmend.cli.{self.prefix}{name}")
        app = typer.Typer(add_completion=False, rich_markup_mode=None)
        app.command(name=name, help=self.table[name], no_args_is_help=False)(getattr(module, name))
        return typer.main.get_command(app)

    def resolve_command(self, ctx: typer.Context, args: list[str]) -> Any:  # type: ignore[override]
        if args and args[0] not in self.list_commands(ctx):
            from allmend.kinds.errors import UsageError, nearest

            near = nearest(args[0], self.list_commands(ctx))
            raise UsageError(f"`{ctx.command_path}` has no verb `{args[0]}`.{near}")
        return super().resolve_command(ctx, args)

    def format_commands(self, ctx: typer.Context, formatter: Any) -> None:  # type: ignore[override]
        rooms = [(name, f"Verbs of this room: {', '.join(ROOM_VERBS[name])}.") for name in super().list_commands(ctx)]
        with formatter.section("Verbs"):
            formatter.write_dl([*((verb, self.table[verb]) for verb in self.verbs()), *rooms])


class Verbs(Lazy):
    table = VERBS
    prefix = ""


def _room_group(room: str) -> typer.Typer:
    group = type(room, (Lazy,), {"table": ROOM_VERBS[room], "prefix": f"{room}_"})
    app = typer.Typer(cls=group, no_args_is_help=True, add_completion=False, rich_markup_mode=None)
    app.callback()(lambda: None)
    return app


app = typer.Typer(
    cls=Verbs, no_args_is_help=True, add_completion=False, rich_markup_mode=None, pretty_exceptions_enable=False
)
for _room in ROOM_VERBS:
    app.add_typer(_room_group(_room), name=_room)


@app.callback()
def _allmend(debug: bool = typer.Option(False, "--debug", help="Show tracebacks.")) -> None:
    """From a raw web crawl to a trained, audited and served open model, every figure traceable to bytes."""
    if debug:
        os.environ["ALLMEND_DEBUG"] = "1"


def main(arguments: list[str] | None = None) -> None:
    """Run the command line; leaves with 0 done, 1 not so, 2 bad usage, 3 a step failed, 130 interrupted."""
    try:
        app(arguments, prog_name="allmend")
    except Exception as error:
        sys.exit(_explain(error))


def _explain(error: Exception) -> int:
    """Print an error as one paragraph; gives the exit code. A bug of ours keeps its traceback."""
    from allmend.kinds.errors import AllmendError

    if isinstance(error, OSError) and error.errno == errno.ENOSPC:
        print(
            f"the disk is full ({error.filename}). Free some space; the same command goes on from here.",
            file=sys.stderr,
        )
        return 3
    if not isinstance(error, AllmendError):
        raise error
    if os.environ.get("ALLMEND_DEBUG"):
        print(getattr(error, "trace", "") or "".join(traceback.format_exception(error)), file=sys.stderr)
    print(str(error), file=sys.stderr)
    return error.exit_code


if __name__ == "__main__":
    main()
