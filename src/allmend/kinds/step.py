"""`Step`: a function from a config and named artifacts to one artifact, with the hooks by which `flow` plans, shrinks and withdraws."""

from __future__ import annotations

import inspect
import types
import typing
from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass, field, fields
from functools import cached_property
from typing import Any, Literal

from allmend.kinds.artifact import Artifact
from allmend.kinds.config import Config

RESERVED = {"use", "foreach"}


@dataclass(frozen=True)
class Estimate:
    """What a step will need and make, before it runs. Zero means not estimated.

    Attributes:
        tokens: tokens made (shards) or read (training).
        flops: floating-point operations.
        memory_bytes: peak resident bytes of one process.
        disk_bytes: bytes of the artifact and its `_run/`.
        seconds: wall time of the whole step on the machine asked about.
        parameters: counts `total, active, non_embedding` of a model.
    """

    tokens: int = 0
    flops: float = 0
    memory_bytes: int = 0
    disk_bytes: int = 0
    seconds: float = 0
    parameters: dict[str, int] = field(default_factory=dict)

    def plus(self, other: Estimate) -> Estimate:
        """Totals over a recipe: sums, but the peak of memory and the largest model's parameters."""
        larger = max(self.parameters, other.parameters, key=lambda counts: counts.get("total", 0))
        return Estimate(
            tokens=self.tokens + other.tokens, flops=self.flops + other.flops, disk_bytes=self.disk_bytes + other.disk_bytes,
            memory_bytes=max(self.memory_bytes, other.memory_bytes), seconds=self.seconds + other.seconds, parameters=larger,
        )  # fmt: skip

    def as_json(self) -> dict[str, Any]:
        return {each.name: getattr(self, each.name) for each in fields(self)}


@dataclass(frozen=True)
class Touched:
    """What of one artifact comes from given documents: the answer of a `touches` hook.

    Attributes:
        documents: how many of the documents asked about are in it.
        bytes: UTF-8 bytes of their text.
        tokens: their tokens.
        shards: names of the parts that hold them.
        first_step: the first training step that saw one; None where nothing was trained on them.
        restart: the newest checkpoint that saw none of them, as a step number; None where there is none.
        by_domain: domain → (documents, bytes, tokens).
    """

    documents: int = 0
    bytes: int = 0
    tokens: int = 0
    shards: tuple[str, ...] = ()
    first_step: int | None = None
    restart: int | None = None
    by_domain: dict[str, tuple[int, int, int]] = field(default_factory=dict)


@dataclass(frozen=True)
class Shrink:
    """`--shrink N[:TOKENS]`: what a `shrink` hook is asked for.

    Attributes:
        parameters: non-embedding parameters of the proxy.
        tokens: training tokens of the proxy; None keeps the recipe's tokens per parameter.
        full_parameters: non-embedding parameters of the recipe as written, once its model's hook has said so.
    """

    parameters: int
    tokens: int | None = None
    full_parameters: int | None = None

    @property
    def smoke(self) -> bool:
        """A proxy with its own token budget shows that a recipe runs; it proves nothing about quality."""
        return self.tokens is not None

    def __str__(self) -> str:
        return short_count(self.parameters) + (f":{short_count(self.tokens)}" if self.tokens is not None else "")


def short_count(count: int) -> str:
    """1000000 → `1M`, 20000 → `20k`; exact, so 1234567 stays as it is."""
    for scale, letter in ((10**12, "T"), (10**9, "B"), (10**6, "M"), (10**3, "k")):
        if count >= scale and count % scale == 0:
            return f"{count // scale}{letter}"
    return str(count)


@dataclass(frozen=True)
class Parameter:
    """One artifact input of a step function."""

    name: str
    kinds: tuple[type[Artifact], ...]
    many: bool
    optional: bool

    def accepts(self, kind: type[Artifact]) -> bool:
        return issubclass(kind, self.kinds)

    def __str__(self) -> str:
        names = " | ".join(kind.__name__ for kind in self.kinds)
        return f"list[{names}]" if self.many else names


@dataclass(frozen=True)
class Step:
    """A step as its room's face lists it.

    Args:
        function: `(config, *artifacts, work) -> artifact`; its annotations are the contract.
        version: raised whenever the same inputs would give other bytes.
        cost: `(config, {input name: Estimate}) -> Estimate`.
        shrink: `(config, Shrink) -> config`.
        touches: `(artifact, document ids) -> Touched`, or `(artifact, document ids, inputs) -> Touched` where `inputs` are the
            artifact's own inputs by name, as far as they are here: a model finds its documents in its shards.
        ranks: may run as several processes under torchrun; rank 0 commits.
        reproducible: `bits`: two builds of a key must agree; `tolerance`: a key may have several digests.
        apart: config fields left out of part keys, since the step cuts them by part itself.
        pinned: what it makes stays as it is when documents are withdrawn, until a build with `compact: true`.
    """

    function: Callable[..., Any]
    version: int
    cost: Callable[[Any, dict[str, Any]], Estimate] | None = None
    shrink: Callable[[Any, Shrink], Config] | None = None
    touches: Callable[..., Touched] | None = None
    ranks: bool = False
    reproducible: Literal["bits", "tolerance"] = "bits"
    apart: tuple[str, ...] = ()
    pinned: bool = False

    @cached_property
    def _hints(self) -> dict[str, Any]:
        return typing.get_type_hints(self.function)

    @cached_property
    def config(self) -> type[Config]:
        """The config class: the annotation of the parameter `config`."""
        cls = self._hints.get("config")
        assert isinstance(cls, type) and issubclass(cls, Config), (
            f"{self.function.__qualname__}: `config` must be a Config"
        )
        return cls

    @cached_property
    def inputs(self) -> dict[str, Parameter]:
        """The artifact inputs, by name, in the function's order."""
        found = {}
        for name in inspect.signature(self.function).parameters:
            if name in ("config", "work"):
                continue
            assert name not in self.config.model_fields, f"{self.function.__qualname__}: `{name}` is a config field too"
            assert name not in RESERVED, f"{self.function.__qualname__}: `{name}` is a word of the recipe"
            found[name] = _parameter(name, self._hints[name])
        return found

    @cached_property
    def kind(self) -> type[Artifact]:
        """The kind of artifact it makes: the return annotation."""
        cls = self._hints.get("return")
        assert isinstance(cls, type) and issubclass(cls, Artifact), (
            f"{self.function.__qualname__}: must return an Artifact"
        )
        return cls

    def touched(self, artifact: Artifact, ids: Collection[str], inputs: Mapping[str, Any]) -> Touched:
        """The answer of the hook `touches`."""
        assert self.touches is not None
        takes_inputs = len(inspect.signature(self.touches).parameters) > 2
        found = self.touches(artifact, ids, inputs) if takes_inputs else self.touches(artifact, ids)
        assert isinstance(found, Touched), found
        return found

    @cached_property
    def takes_work(self) -> bool:
        return "work" in self._hints

    @property
    def doc(self) -> str:
        """First line of the function's docstring."""
        return (inspect.getdoc(self.function) or "").partition("\n")[0]


def _parameter(name: str, hint: Any) -> Parameter:
    optional = many = False
    options = (
        typing.get_args(hint)
        if isinstance(hint, types.UnionType) or typing.get_origin(hint) is typing.Union
        else (hint,)
    )
    if type(None) in options:
        optional, options = True, tuple(option for option in options if option is not type(None))
    if len(options) == 1 and typing.get_origin(options[0]) is list:
        many = True
        (inner,) = typing.get_args(options[0])
        options = typing.get_args(inner) if isinstance(inner, types.UnionType) else (inner,)
    assert all(isinstance(option, type) and issubclass(option, Artifact) for option in options), (
        f"input `{name}`: {hint}"
    )
    return Parameter(name, tuple(options), many, optional)
