"""Checks the `steps:` of a recipe: every name, type and value, before anything runs."""

from __future__ import annotations

import itertools
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from allmend.flow.outside import Outsider
from allmend.flow.rooms import find_step
from allmend.flow.spec import Each, RecipeHead, Ref, StepSpec
from allmend.flow.yaml import Located, Place
from allmend.kinds import Config, load_config
from allmend.kinds.config import heads
from allmend.kinds.errors import LedgerError, RecipeError, UsageError, nearest
from allmend.kinds.step import Parameter
from allmend.ledger import Ledger

LARGEST_SET = 100_000


class Reader:
    """Turns the `steps:` mapping into checked specs."""

    def __init__(
        self, located: Located, head: RecipeHead, outside: Outsider, steps: dict[str, Any], workspace: Path
    ) -> None:
        self.located, self.head, self.outside, self.raw = located, head, outside, steps
        self.workspace = workspace
        self.kinds: dict[str, Any] = {}
        self.head_values = {
            "seed": head.seed,
            "parts": head.parts,
            "date": head.date,
            "recipe": head.recipe,
            "withdrawals": None,
        }

    def read(self) -> dict[str, StepSpec]:
        specs = {name: self._bind(name, entry) for name, entry in self.raw.items()}
        ordered = self._order(specs)
        for spec in ordered:
            self._check_each(spec, specs)
            self._check_kinds(spec, specs)
        for spec in ordered:
            self._check_configs(spec)
        return {spec.name: spec for spec in ordered}

    def fail(self, place: Place, message: str) -> RecipeError:
        return RecipeError(self.located.locate(("steps", *place)), message)

    def _bind(self, name: str, entry: Any) -> StepSpec:
        if not name or not all(char.isalnum() or char in "_-." for char in name) or name[0] in ".-":
            raise self.fail((name,), f"{name!r} can't be a step's name: letters, digits, `_`, `-` and `.` only.")
        if not isinstance(entry, dict):
            raise self.fail((name,), "a step is a mapping: `{use: room.step, …}`.")
        if not isinstance(entry.get("use"), str):
            raise self.fail((name,), "`use: room.step` is missing.")
        use = entry["use"]
        try:
            step = find_step(use)
        except UsageError as error:
            raise self.fail((name, "use"), str(error)) from error
        spec = StepSpec(name, use, step, {}, {}, self._each(name, entry["foreach"]) if "foreach" in entry else None)
        for key, value in entry.items():
            if key in ("use", "foreach"):
                continue
            if key in step.inputs:
                spec.inputs.update(self._input(spec, step.inputs[key], value))
            elif key in step.config.model_fields:
                spec.fields[key] = value
            else:
                known = [*step.inputs, *step.config.model_fields, "foreach"]
                raise self.fail((name, key), f"`{use}` takes no `{key}`.{nearest(key, known)}")
        for key, parameter in step.inputs.items():
            if key not in spec.inputs and not parameter.optional:
                raise self.fail((name,), f"the input `{key}` ({parameter}) of `{use}` isn't given.")
        for key, head in heads(step.config).items():
            spec.fields.setdefault(key, self.head_values[head])
        return spec

    def _each(self, name: str, value: Any) -> Each:
        if isinstance(value, str):
            listed = self.head.lists.get(value)
            if listed is None:
                if value not in self.raw:
                    raise self.fail(
                        (name, "foreach"), f"no step or list `{value}`.{nearest(value, [*self.raw, *self.head.lists])}"
                    )
                return Each(over=value)
            value = listed
        if isinstance(value, list):
            return Each(values=tuple(value))
        if isinstance(value, dict) and value and all(isinstance(each, list) for each in value.values()):
            names = list(value)
            return Each(values=tuple(dict(zip(names, row, strict=True)) for row in itertools.product(*value.values())))
        raise self.fail(
            (name, "foreach"), "a list, a mapping of lists (their product), or the name of a step or list is expected."
        )

    def _input(self, spec: StepSpec, parameter: Parameter, value: Any) -> dict[str, Ref | list[Ref]]:
        place = (spec.name, parameter.name)
        if value is None and parameter.optional:
            return {}
        values = value if isinstance(value, list) else [value]
        if isinstance(value, list) and not parameter.many:
            raise self.fail(place, f"given a list, and `{spec.use}` takes one {parameter} here.")
        refs = [
            self._ref(spec, place if values is not value else (*place, index), each)
            for index, each in enumerate(values)
        ]
        return {parameter.name: refs if parameter.many else refs[0]}

    def _ref(self, spec: StepSpec, place: Place, value: Any) -> Ref:
        if not isinstance(value, str):
            raise self.fail(place, f"given {value!r}: the name of a step is expected.")
        if value == "each":
            if spec.each is None or not spec.each.over:
                raise self.fail(place, "`each` as an input needs a `foreach:` over a step.")
            return Ref("each", spec.each.over)
        if value.startswith("ledger:"):
            return Ref("ledger", value.removeprefix("ledger:"))
        name, _, member = value.partition("/")
        if name not in self.raw:
            raise self.fail(place, f"there is no step `{name}`.{nearest(name, self.raw)}")
        return Ref("step", name, member)

    def _order(self, specs: Mapping[str, StepSpec]) -> list[StepSpec]:
        """Specs so that each comes after what it needs, in the file's order where that is free."""
        done: dict[str, StepSpec] = {}
        for start in specs:
            stack = [start] if start not in done else []
            waiting = {name: iter(specs[name].needs()) for name in stack}
            while stack:
                following = next((each for each in waiting[stack[-1]] if each not in done), None)
                if following is None:
                    name = stack.pop()
                    done[name] = specs[name]
                elif following in stack:
                    cycle = [*stack[stack.index(following) :], following]
                    raise self.fail((stack[-1],), f"steps that wait for each other: {' ← '.join(cycle)}.")
                else:
                    stack.append(following)
                    waiting[following] = iter(specs[following].needs())
        return list(done.values())

    def _check_each(self, spec: StepSpec, specs: Mapping[str, StepSpec]) -> None:
        """A foreach over a step: a set kind, or another foreach, whose members are then known or unknown as that one's are."""
        if spec.each is None or not spec.each.over:
            return
        source = specs[spec.each.over]
        if source.each is None and source.step.kind.set_of is None:
            message = f"`{source.name}` makes one {source.step.kind.__name__}; `foreach` needs a set (Mixtures), a list or a foreach."
            raise self.fail((spec.name, "foreach"), message)
        unused = all(ref.kind != "each" for ref in spec.references())
        if unused and "each" not in str(spec.fields):
            raise self.fail((spec.name,), f"`foreach: {source.name}` is given, but no input is `each`.")

    def _check_kinds(self, spec: StepSpec, specs: Mapping[str, StepSpec]) -> None:
        for name, value in spec.inputs.items():
            parameter = spec.step.inputs[name]
            for ref in value if isinstance(value, list) else [value]:
                kind = self._kind(spec, name, ref, specs)
                if not parameter.accepts(kind):
                    fitting = [
                        each.name for each in specs.values() if parameter.accepts(each.step.kind) and each is not spec
                    ]
                    there = f" Steps that make one: {', '.join(fitting)}." if fitting else ""
                    message = f"`{ref.name}` is a {kind.__name__}, and `{spec.use}` takes {parameter} here.{there}"
                    raise self.fail((spec.name, name), message)
                source = specs.get(ref.name) if ref.kind == "step" else None
                if source and source.each and not ref.member and not parameter.many:
                    message = f"`{ref.name}` is many (a foreach), and `{spec.use}` takes one {parameter}: name a member, `{ref.name}/0000`."
                    raise self.fail((spec.name, name), message)

    def _kind(self, spec: StepSpec, name: str, ref: Ref, specs: Mapping[str, StepSpec]) -> Any:
        if ref.kind == "ledger":
            from allmend.kinds import KINDS
            from allmend.ledger import resolve

            try:
                return KINDS[resolve(Ledger(self.workspace, create=False), ref.name).stored.manifest.kind]
            except LedgerError as error:
                raise self.fail((spec.name, name), str(error)) from error
        source = specs[ref.name]
        if source.each is None and (ref.member or ref.kind == "each"):
            if source.step.kind.set_of is None:
                raise self.fail(
                    (spec.name, name), f"`{ref.name}` has no members: it is one {source.step.kind.__name__}."
                )
            return source.step.kind.set_of
        if ref.member and source.each and source.each.values is not None:
            known = [f"{index:04d}" for index in range(len(source.each.values))]
            if ref.member not in known:
                raise self.fail(
                    (spec.name, name), f"`{ref.name}` has no member `{ref.member}`.{nearest(ref.member, known)}"
                )
        return source.step.kind

    def _check_configs(self, spec: StepSpec) -> None:
        values = spec.each.values if spec.each and spec.each.values is not None else (None,)
        if len(values) > LARGEST_SET:
            raise self.fail((spec.name, "foreach"), f"{len(values)} members; at most {LARGEST_SET} are allowed.")
        constant = not any(_mentions_each(value) for value in spec.fields.values())
        for index, value in enumerate(values):
            if index and constant:
                spec.configs.append(spec.configs[0])
                continue
            fields = (
                spec.fields
                if constant
                else {key: self._filled(spec, key, raw, value) for key, raw in spec.fields.items()}
            )
            member = [f"member {index:04d}"] if spec.each and not constant else []
            spec.configs.append(self._load(spec, fields, member))

    def _load(self, spec: StepSpec, fields: dict[str, Any], member: list[str]) -> Config:
        return load_config(
            spec.step.config,
            fields,
            lambda place: self.located.locate(("steps", spec.name, *place, *member)),
            self.outside,
        )

    def _filled(self, spec: StepSpec, key: str, raw: Any, value: Any) -> Any:
        """A config value with `each` and `each.field` replaced by the member's."""
        if isinstance(raw, list):
            return [self._filled(spec, key, each, value) for each in raw]
        if isinstance(raw, dict):
            return {name: self._filled(spec, key, each, value) for name, each in raw.items()}
        if not _mentions_each(raw):
            return raw
        if spec.each is None or spec.each.values is None:
            raise self.fail((spec.name, key), "`each` as a value needs a `foreach:` over a list.")
        if raw == "each":
            return value
        name = raw.removeprefix("each.")
        if not isinstance(value, dict) or name not in value:
            known = list(value) if isinstance(value, dict) else []
            raise self.fail((spec.name, key), f"the members of `foreach` have no field `{name}`.{nearest(name, known)}")
        return value[name]


def _mentions_each(raw: Any) -> bool:
    if isinstance(raw, list):
        return any(map(_mentions_each, raw))
    if isinstance(raw, dict):
        return any(map(_mentions_each, raw.values()))
    return isinstance(raw, str) and (raw == "each" or raw.startswith("each."))
