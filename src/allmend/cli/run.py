"""`allmend run RECIPE`"""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from allmend.cli.options import DataRoot, Json, Shrink, Workers, Workspace, print_json

if TYPE_CHECKING:
    from allmend.flow import Graph


def run(
    recipe: Annotated[Path, typer.Argument(help="The recipe's YAML file.")],
    workspace: Workspace = None,
    workers: Workers = None,
    only: Annotated[
        list[str] | None, typer.Option("--only", help="Build this step and what it needs, not the rest.")
    ] = None,
    again: Annotated[
        list[str] | None, typer.Option("--again", help="Build this step though it is there, and compare the bytes.")
    ] = None,
    accept: Annotated[
        bool, typer.Option("--accept", help="Let names take a new digest of a key they hold already.")
    ] = False,
    shrink: Shrink = None,
    ranks: Annotated[int, typer.Option("--ranks", min=1, help="Processes of a step that can run on several.")] = 1,
    on: Annotated[str, typer.Option("--on", help="Where: local (slurm and k8s come with the room cluster).")] = "local",
    engine: Annotated[str, typer.Option("--engine", help="process (ray comes with the data issue).")] = "process",
    device: Annotated[
        str, typer.Option("--device", help="cpu, or an accelerator as torch.accelerator names it.")
    ] = "cpu",
    data_root: DataRoot = None,
    json: Json = False,
) -> None:
    """Build what a recipe needs; reuse what is there."""
    from allmend.flow import Options, cores, load_recipe, shrink_recipe
    from allmend.flow import run as run_recipe
    from allmend.kinds.errors import UsageError
    from allmend.ledger import Ledger

    if on != "local":
        raise UsageError(f"--on {on} comes with the room `cluster`, which isn't built yet. Run here: --on local.")
    if engine != "process":
        raise UsageError(f"--engine {engine} isn't built yet. There is: process.")
    loaded, outside = load_recipe(recipe, workspace, data_root)
    if shrink:
        loaded = shrink_recipe(loaded, shrink)
    ledger = Ledger(workspace or loaded.root / ".allmend")
    outside.save()
    options = Options(workers or cores(), ranks, device, None, only or [], again or [], accept)
    with _watch() as watch:
        graph = run_recipe(loaded, ledger, options, watch)
    _print_table(graph)
    if json:
        print_json({"steps": {name: _row(graph, name) for name, node in graph.nodes.items() if node.digest}})


def _watch() -> Any:
    from contextlib import nullcontext

    from allmend.flow import Bars, Plain

    return Bars() if sys.stderr.isatty() else nullcontext(Plain())


def _row(graph: Graph, name: str) -> dict[str, Any]:
    assert graph.ledger is not None
    node = graph.nodes[name]
    folder = graph.ledger.objects / node.key / node.digest
    return {
        "digest": node.digest, "kind": node.kind.__name__, "path": str(folder), "reused": not node.made, "seconds": round(node.seconds, 2)
    }  # fmt: skip


def _print_table(graph: Graph) -> None:
    """What there is now, the report's path, and what to try next; on stderr, since stdout may be read by a program."""
    from rich.console import Console
    from rich.table import Table

    assert graph.ledger is not None
    console = Console(stderr=True, width=None if sys.stderr.isatty() else 140)
    table = Table(title=graph.recipe.name, title_justify="left", box=None, header_style="bold")
    for column, justify in (
        ("artifact", "left"),
        ("digest", "left"),
        ("size", "right"),
        ("what is in it", "left"),
        ("", "left"),
        ("s", "right"),
    ):
        table.add_column(column, justify=justify)  # type: ignore[arg-type]
    reports = []
    for name, node in graph.nodes.items():
        if not node.digest:
            table.add_row(name, "—", "", "not here, and not needed", "", "")
            continue
        manifest = graph.ledger.get(node.key, node.digest).manifest
        inside = ", ".join(
            f"{value:,} {word}" if isinstance(value, int) else f"{word} {value}"
            for word, value in manifest.metrics.items()
        )
        table.add_row(
            name, node.digest[:12], _size(manifest.size), inside if len(inside) < 70 else inside[:69] + "…",
            "made" if node.made else "pinned" if node.kept else "reused", f"{node.seconds:.1f}" if node.made else "",
        )  # fmt: skip
        if node.kind.__name__ == "Report":
            reports.append(graph.ledger.objects / node.key / node.digest)
    console.print(table)
    last = graph.label(list(graph.nodes.values())[-1])
    for path in reports:
        console.print(f"\nThe report: {path}/index.html", soft_wrap=True)
    console.print(f"Try next: allmend verify {last} · allmend why {last} · allmend show {last}", soft_wrap=True)


def _size(size: int) -> str:
    for limit, letter in ((10**9, "GB"), (10**6, "MB"), (10**3, "kB")):
        if size >= limit:
            return f"{size / limit:.1f} {letter}"
    return f"{size} B"
