"""What a recipe is once it is read: its head and its steps."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from functools import cached_property
from pathlib import Path
from typing import Annotated, Any, NamedTuple

from pydantic import Field

from allmend.flow.yaml import Located
from allmend.kinds import Config, Parts, Seed, Step
from allmend.kinds.config import heads


class RecipeHead(Config):
    """What stands above a recipe's steps."""

    recipe: str = Field(
        description="the recipe's name; equals the file's stem", pattern=r"^[A-Za-z0-9][A-Za-z0-9._-]*$"
    )
    date: str = Field("1970-01-01", description="the date that reports show", pattern=r"^\d{4}-\d{2}-\d{2}$")
    hypothesis: str = Field("", description="what this recipe is meant to find out")
    seed: Seed = Field(0, description="enters the keys of steps whose config has a field of type Seed")
    parts: Parts = Field(16, description="number of parts, a power of two, into which documents are first cut")
    lists: dict[str, list[Any] | dict[str, Any]] = Field({}, description="named lists for `foreach`")
    compact: bool | Annotated[int, Field(ge=1)] = Field(
        False,
        description="withdrawn documents leave no hole, and pinned steps are built anew: `true` for all, or up to a record's number",
    )
    extends: str | None = Field(None, description="another recipe in the same folder, of which this one is a variant")


class Ref(NamedTuple):
    """An input as a recipe names it: a step, one member of a step (`swarm/0003`), `ledger:NAME`, or `each`."""

    kind: str
    name: str
    member: str = ""


@dataclass(frozen=True)
class Each:
    """What a `foreach` goes over: values known now, or the members of another step (a set kind or another foreach)."""

    values: tuple[Any, ...] | None = None
    over: str = ""


@dataclass
class StepSpec:
    """One entry of `steps:`, bound to the step that it uses."""

    name: str
    use: str
    step: Step
    fields: dict[str, Any]
    inputs: dict[str, Ref | list[Ref]]
    each: Each | None
    configs: list[Config] = field(default_factory=list)
    """The checked config; for a foreach over values, one a member."""

    @cached_property
    def withdrawal_fields(self) -> tuple[str, ...]:
        """Config fields through which withdrawals reach this step."""
        return tuple(name for name, head in heads(self.step.config).items() if head == "withdrawals")

    def references(self) -> Iterator[Ref]:
        for value in self.inputs.values():
            yield from value if isinstance(value, list) else [value]

    def needs(self) -> list[str]:
        """Names of the steps it takes something from, without repeats."""
        found = [ref.name for ref in self.references() if ref.kind == "step"]
        return list(dict.fromkeys([*found, *([self.each.over] if self.each and self.each.over else [])]))

    def config_of(self, index: int) -> Config:
        return self.configs[index if self.each and self.each.values is not None else 0]


@dataclass
class Recipe:
    """A checked recipe. `steps` are in an order in which each comes after what it needs."""

    file: Path
    root: Path
    head: RecipeHead
    steps: dict[str, StepSpec]
    located: Located
    shrunk: str = ""

    @property
    def name(self) -> str:
        """`commons-demo`, or `commons-demo@1M` if it was shrunk."""
        return self.head.recipe + (f"@{self.shrunk}" if self.shrunk else "")

    def shrunk_by(self, suffix: str, steps: dict[str, StepSpec]) -> Recipe:
        return replace(self, shrunk=suffix, steps=steps)
