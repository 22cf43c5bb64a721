"""`allmend plan RECIPE`"""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

import typer

from allmend.cli.options import DataRoot, Json, Shrink, Workspace, print_json


def plan(
    recipe: Annotated[Path, typer.Argument(help="The recipe's YAML file.")],
    workspace: Workspace = None,
    shrink: Shrink = None,
    data_root: DataRoot = None,
    json: Json = False,
) -> None:
    """What a run would build, and what it would cost. Writes nothing."""
    from allmend.flow import Graph, estimate, load_recipe, shrink_recipe
    from allmend.ledger import Ledger

    loaded, _ = load_recipe(recipe, workspace, data_root)
    if shrink:
        loaded = shrink_recipe(loaded, shrink)
    root = workspace or loaded.root / ".allmend"
    graph = Graph(loaded, Ledger(root, create=False) if (root / "ledger.json").is_file() else None)
    graph.settle_all()
    states = graph.states()
    estimates, total = estimate(graph)
    rows: dict[str, dict[str, Any]] = {
        name: {
            "use": node.use, "plan_key": node.plan_key, "digest": node.digest or None, "state": states[name],
            **{key: value for key, value in estimates[name].as_json().items() if value},
        }
        for name, node in graph.nodes.items()
    }  # fmt: skip
    for spec in graph.pending:
        rows[spec.name] = {
            "use": spec.use,
            "plan_key": None,
            "digest": None,
            "state": states[spec.name],
        }
    if json:
        sizes = {"memory_bytes": total.memory_bytes, "disk_bytes": total.disk_bytes, "seconds": total.seconds}
        print_json(
            {"steps": rows, "parameters": total.parameters, "tokens": total.tokens, "flops": total.flops, **sizes}
        )
        return
    for name, row in rows.items():
        print(f"{row['state']:24} {name:24} {row['use']:24} {(row['digest'] or '')[:12]}")
    if total.parameters:
        print("parameters: " + ", ".join(f"{count:,} {word}" for word, count in total.parameters.items()))
    print(
        f"to build: {sum(row['state'] == 'to build' for row in rows.values())} of {len(rows)}; estimated {total.tokens:,} tokens, "
        f"{total.flops:.3g} FLOPs, {total.memory_bytes / 2**20:,.0f} MB of memory, {total.disk_bytes / 2**20:,.0f} MB of disk, "
        f"{total.seconds:,.0f} s"
    )
