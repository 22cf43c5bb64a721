"""A JSON Schema of recipes: editors complete names and show each field's sentence while one writes."""

from __future__ import annotations

from typing import Any

from allmend.flow.rooms import all_steps
from allmend.flow.spec import RecipeHead
from allmend.kinds import Step
from allmend.kinds.config import heads


def recipe_schema() -> dict[str, Any]:
    """The schema over all steps that are installed here (JSON Schema 2020-12)."""
    definitions: dict[str, Any] = {}
    table = all_steps()
    options = [
        {
            "if": {"properties": {"use": {"const": use}}, "required": ["use"]},
            "then": _step_schema(use, step, definitions),
        }
        for use, step in table.items()
    ]
    head = RecipeHead.model_json_schema(ref_template="#/$defs/{model}")
    definitions.update(head.pop("$defs", {}))
    uses = [{"const": use, "description": step.doc} for use, step in table.items()]
    one = {"type": ["object", "null"], "properties": {"use": {"oneOf": uses}}, "allOf": options}
    head["properties"]["steps"] = {"type": "object", "additionalProperties": one, "minProperties": 1}
    whole = {"additionalProperties": {"type": "object", "required": ["use"]}}  # a variant names only what it changes
    return {
        **head,
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "title": "Allmend recipe",
        "required": ["recipe", "steps"],
        "if": {"not": {"required": ["extends"]}},
        "then": {"properties": {"steps": whole}},
        "$defs": definitions,
    }


def _step_schema(use: str, step: Step, definitions: dict[str, Any]) -> dict[str, Any]:
    config = step.config.model_json_schema(ref_template="#/$defs/{model}")
    definitions.update(config.pop("$defs", {}))
    name = {"type": "string", "description": "the name of a step, `step/0003`, `ledger:NAME`, or `each`"}
    properties: dict[str, Any] = {"use": {"const": use}, "foreach": True}
    for parameter in step.inputs.values():
        properties[parameter.name] = {"anyOf": [name, {"type": "array", "items": name}]} if parameter.many else name
    filled = heads(step.config)
    for key, value in config.get("properties", {}).items():
        properties[key] = {"anyOf": [value, {"type": "string", "pattern": r"^(each(\..+)?|[0-9_.]+[kKMGBT]?)$"}]}
    required = [key for key in config.get("required", []) if key not in filled]
    required += [parameter.name for parameter in step.inputs.values() if not parameter.optional]
    return {"type": "object", "properties": properties, "required": ["use", *required], "additionalProperties": False}
