"""`allmend serve [MODEL]`"""

from __future__ import annotations

from typing import Annotated

import typer

from allmend.cli.options import Workspace, open_ledger, say


def serve(
    model: Annotated[
        str, typer.Argument(help="recipe/step, a digest prefix, or a model folder (default: the only model here).")
    ] = "",
    index: Annotated[
        str, typer.Option("--index", help="Index of the training text (default: the one of the model's recipe).")
    ] = "",
    host: Annotated[str, typer.Option("--host", help="Address to listen on.")] = "127.0.0.1",
    port: Annotated[
        int, typer.Option("--port", min=0, max=65535, help="Port to listen on; 0 takes a free one.")
    ] = 8000,
    workspace: Workspace = None,
) -> None:
    """Serve a model on this machine: an OpenAI-compatible API, and a page that shows sources."""
    from allmend.kinds.errors import MissingExtraError, NotInLedgerError

    try:
        import uvicorn  # noqa: F401
    except ImportError as error:
        raise MissingExtraError.of("uvicorn", "serve") from error
    from allmend.serve import open_model, run_server

    try:
        ledger = open_ledger(workspace)
    except NotInLedgerError:
        if workspace is not None or not model:
            raise
        ledger = None  # a model folder needs none
    served = open_model(ledger, model, index)
    say(f"{served.id}: {served.parameters:,} parameters, context {served.context:,} tokens. {served.chat_note}")
    if served.sources is None:
        say("No index of training text: answers are not traced (--index NAME).")
    elif served.sources.of_this_model is False:
        say(f"The index {served.sources.name} covers other documents than those that this model was trained on.")
    run_server(served, host, port, ready=lambda url: print(url, flush=True))
