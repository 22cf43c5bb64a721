"""`allmend push NAME… URL`"""

from __future__ import annotations

from dataclasses import asdict
from typing import Annotated

import typer

from allmend.cli.bytes_bar import bytes_bar, counted, size
from allmend.cli.options import Json, Workspace, open_ledger, print_json


def push(
    names: Annotated[
        list[str], typer.Argument(metavar="NAME", help="Artifacts, as `show` takes them.", show_default=False)
    ],
    url: Annotated[str, typer.Argument(metavar="URL", help="A folder, s3://bucket/path, or another fsspec URL.")],
    workspace: Workspace = None,
    json: Json = False,
) -> None:
    """Copy artifacts and all they were made from to a directory or store."""
    from allmend.ledger import push as push_artifacts

    with bytes_bar("push") as progress:
        done = push_artifacts(open_ledger(workspace), names, url, progress)
    if json:
        print_json(asdict(done))
        return
    print(
        f"{counted(done.objects, 'artifact')} new there; {counted(done.files, 'file')} sent ({size(done.bytes)}), "
        f"{done.skipped} there already"
    )
