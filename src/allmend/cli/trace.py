"""`allmend trace TEXT`"""

from __future__ import annotations

import sys
from dataclasses import asdict
from typing import TYPE_CHECKING, Annotated

import typer

from allmend.cli.options import Json, Workspace, open_ledger, print_json

if TYPE_CHECKING:
    from allmend.audit import Source, Span

CONTEXT_CHARS = 60


def trace(
    text: Annotated[str, typer.Argument(help="A text, in quotes; `-` reads it from stdin.", show_default=False)],
    index: Annotated[str, typer.Option("--index", help="recipe/index; needed only where there are several.")] = "",
    workspace: Workspace = None,
    json: Json = False,
) -> None:
    """Which training documents hold the spans of a text, word for word."""
    from allmend.audit import open_searcher
    from allmend.kinds.errors import CheckFailed

    searcher = open_searcher(open_ledger(workspace), index)
    text = sys.stdin.read() if text == "-" else text
    spans = searcher.trace(text)
    if json:
        print_json({"text": text, "spans": [asdict(span) for span in spans]})
    else:
        print("\n\n".join(_shown(span) for span in spans), end="\n" if spans else "")
    if not spans:
        raise CheckFailed("No run of words of this text stands in a training document.")


def _shown(span: Span) -> str:
    """A span, then each document that holds it."""
    places = "one place" if span.occurrences == 1 else f"{span.occurrences:,} places"
    first = f"“{_one_line(span.text)}”, in {places}"
    rest = len({source.document for source in span.sources})
    more = [f"  … the first {rest} documents are shown"] if span.occurrences > rest == 10 else []
    return "\n".join([first, *(_document(source) for source in span.sources), *more])


def _document(source: Source) -> str:
    before = _one_line(source.before)[-CONTEXT_CHARS:]
    after = _one_line(source.after)[:CONTEXT_CHARS]
    licence = source.licence or "licence unknown"
    return (
        f"  {source.url}  {licence}  {source.language}  {source.document[:12]}\n"
        f"      …{before}[{_one_line(source.text)}]{after}…"
    )


def _one_line(text: str) -> str:
    return text.replace("\n", " ⏎ ")
