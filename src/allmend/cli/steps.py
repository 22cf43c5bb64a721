"""`allmend steps [STEP]`"""

from __future__ import annotations

from typing import Annotated

import typer

from allmend.cli.options import Json, print_json


def steps(
    name: Annotated[str | None, typer.Argument(help="One step, to see its settings.")] = None, json: Json = False
) -> None:
    """The steps there are, and their settings."""
    from allmend.flow import all_steps, find_step

    if name is None:
        table = all_steps()
        if json:
            print_json(
                {
                    use: {"kind": step.kind.__name__, "doc": step.doc, "version": step.version}
                    for use, step in table.items()
                }
            )
        else:
            for use, step in table.items():
                print(f"{use:24} → {step.kind.__name__:12} {step.doc}")
        return
    step = find_step(name)
    if json:
        print_json(
            {
                "inputs": {key: str(value) for key, value in step.inputs.items()},
                "config": step.config.model_json_schema(),
            }
        )
        return
    print(f"{name} → {step.kind.__name__}, version {step.version}\n{step.doc}")
    for parameter in step.inputs.values():
        print(f"  {parameter.name}: {parameter}{' (may be left out)' if parameter.optional else ''}")
    for key, field in step.config.model_fields.items():
        default = (
            "required"
            if field.is_required()
            else f"default {field.get_default(call_default_factory=True, validated_data={})!r}"
        )
        print(f"  {key}: {default}. {field.description or ''}")
