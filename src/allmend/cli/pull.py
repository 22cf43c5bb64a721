"""`allmend pull URL NAME…`"""

from __future__ import annotations

from dataclasses import asdict
from typing import Annotated

import typer

from allmend.cli.bytes_bar import bytes_bar, counted, size
from allmend.cli.options import Json, Workspace, open_ledger, print_json


def pull(
    url: Annotated[str, typer.Argument(metavar="URL", help="A folder, s3://bucket/path, http(s)://…")],
    names: Annotated[
        list[str], typer.Argument(metavar="NAME", help="recipe/step, or recipe/step~2.", show_default=False)
    ],
    workspace: Workspace = None,
    only: Annotated[bool, typer.Option("--only", help="Without what they were made from.")] = False,
    json: Json = False,
) -> None:
    """Fetch artifacts from a directory, store or partner; each byte is verified."""
    from allmend.ledger import pull as pull_artifacts

    with bytes_bar("pull") as progress:
        done = pull_artifacts(open_ledger(workspace, create=True), names, url, progress, only)
    if json:
        print_json(asdict(done))
        return
    print(
        f"{counted(done.objects, 'artifact')} new here; {counted(done.files, 'file')} fetched ({size(done.bytes)}), "
        f"{done.skipped} here already"
    )
