"""The plan: which artifacts a recipe means, which of them are there, and what would be built. Never writes.

**Pinned steps** (`Step(pinned=True)`: tokenizer, mixture). When documents are withdrawn, what such a step made stays as it is, so
that offsets and order downstream stay. The rule is one of keys. Every node has its plan key, and its *pin key*: the plan key that
it would have if no withdrawal were in force but those that the recipe's `compact:` covers. A pinned node's plan key *is* its pin
key, so a withdrawal doesn't move it; any other change does. While a withdrawal upstream sets the two apart, the node takes the
artifact that its name last meant under this plan key (else any artifact with it), though its inputs have other digests now.
Children cite that artifact's own key and digest, and it cites the inputs it was made of: identity and `verify` see nothing
special. Where there is none (a new workspace, or it was collected), the step is built from what is there now, and stays from then
on. With `compact: true` pin key and plan key fall together, and the step is an ordinary one; `compact: 3` says so of records 1–3
only, so that a later withdrawal doesn't move what a compacting build made.
"""

from __future__ import annotations

import itertools
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

from allmend.flow.spec import Recipe, Ref, StepSpec
from allmend.kinds import Artifact, Config, Estimate, Withdrawals, canonical
from allmend.ledger import Index, Ledger, Reference, build_key, digests_of, resolve

MEMBER = "flow.member"
"""Step name under which a member of a set (`Mixtures`) is committed as an artifact of its own."""


@dataclass
class Node:
    """One artifact to be: a step, or one member of a foreach.

    `key` is known once all inputs are; `digest` once the artifact is there.
    """

    name: str
    spec: StepSpec
    config: Config | None
    inputs: dict[str, str | Reference | list[str | Reference]]
    """Input name → node names, or references to artifacts named `ledger:`."""
    plan_key: str
    pin_key: str
    kind: type[Artifact]
    member: str = ""
    """For a member of a set: its folder name."""
    key: str = ""
    digest: str = ""
    by_plan_key: bool = False
    withdrawn: bool = False
    """A pinned step with a withdrawal upstream: it may keep what it made before."""
    kept: bool = False
    """It does so."""
    seconds: float = 0.0
    made: bool = False

    @property
    def use(self) -> str:
        return MEMBER if self.member else self.spec.use

    @property
    def version(self) -> int:
        return 1 if self.member else self.spec.step.version

    @property
    def pure_config(self) -> dict[str, Any]:
        """Canonical config as it enters the key."""
        return {"member": self.member} if self.config is None else canonical(self.config)

    def sources(self) -> Iterator[str]:
        """Names of the nodes it reads."""
        for value in self.inputs.values():
            for each in value if isinstance(value, list) else [value]:
                if isinstance(each, str):
                    yield each

    @property
    def reference(self) -> Reference:
        return Reference(self.kind.__name__, self.key, self.digest)


@dataclass
class Graph:
    """All nodes of a recipe that can be known now, in order; foreach steps over unbuilt sets wait in `pending`."""

    recipe: Recipe
    ledger: Ledger | None
    nodes: dict[str, Node] = field(default_factory=dict)
    groups: dict[str, list[str]] = field(default_factory=dict)
    """Name of a step → names of its nodes: itself, or its members."""
    pending: list[StepSpec] = field(default_factory=list)
    consumers: dict[str, list[str]] = field(default_factory=dict)
    _index: Index | None = None

    def __post_init__(self) -> None:
        self.pending = list(self.recipe.steps.values())
        self.expand()

    # --- expansion ---

    def expand(self) -> list[Node]:
        """Make nodes of all specs whose members are known by now; gives the new ones."""
        fresh: list[Node] = []
        waiting, self.pending = self.pending, []
        for spec in waiting:
            made = self._nodes_of(spec)
            if made is None:
                self.pending.append(spec)
            else:
                fresh += made
        return fresh

    def waits_for(self, spec: StepSpec) -> str:
        """The step on which a pending spec waits."""
        for name in spec.needs():
            if name not in self.groups or (self._wants_members(spec, name) and self._members(name) is None):
                return name
        raise AssertionError(spec.name)

    def _wants_members(self, spec: StepSpec, name: str) -> bool:
        return bool(spec.each and spec.each.over == name) or any(
            ref.name == name and ref.member for ref in spec.references()
        )

    def _members(self, name: str) -> list[str] | None:
        """Node names of a foreach step or of a set's members; None while they can't be known."""
        if name not in self.groups:
            return None
        if self.recipe.steps[name].each is not None:
            return self.groups[name]
        node = self.nodes[name]
        if not node.digest or self.ledger is None:
            return None
        members = sorted(
            {entry.path.partition("/")[0] for entry in self.ledger.get(node.key, node.digest).manifest.files}
        )
        for member in members:
            self._add_member(node, member)
        return [f"{name}/{member}" for member in members]

    def _add_member(self, of: Node, member: str) -> None:
        name = f"{of.name}/{member}"
        if name in self.nodes:
            return
        kind = of.kind.set_of
        assert kind is not None, of.name
        plan_key, pin_key = (build_key(MEMBER, 1, {"member": member}, {"of": key}) for key in (of.plan_key, of.pin_key))
        self._add(Node(name, of.spec, None, {"of": of.name}, plan_key, pin_key, kind, member))

    def _nodes_of(self, spec: StepSpec) -> list[Node] | None:
        known = len(self.nodes)
        for name in spec.needs():
            if name not in self.groups or (self._wants_members(spec, name) and self._members(name) is None):
                return None
        if spec.each is None:
            names: list[tuple[str, str]] = [(spec.name, "")]
        elif spec.each.values is not None:
            names = [(f"{spec.name}/{index:04d}", "") for index in range(len(spec.each.values))]
        else:
            members = self._members(spec.each.over) or []
            names = [(f"{spec.name}/{member.rpartition('/')[2]}", member) for member in members]
        for index, (name, each) in enumerate(names):
            inputs = {key: self._sources(value, each, spec.step.inputs[key].many) for key, value in spec.inputs.items()}
            config = spec.config_of(index)
            plan_key, pin_key = self._keys(spec, config, inputs)
            withdrawn = spec.step.pinned and plan_key != pin_key
            node = Node(name, spec, config, inputs, pin_key if withdrawn else plan_key, pin_key, spec.step.kind)
            node.withdrawn = withdrawn
            self._add(node)
        self.groups[spec.name] = [name for name, _ in names]
        return list(itertools.islice(reversed(self.nodes.values()), len(self.nodes) - known))[::-1]

    def _sources(self, value: Ref | list[Ref], each: str, many: bool) -> Any:
        if isinstance(value, list):
            return [source for ref in value for source in self._source(ref, each, many)]
        return self._source(value, each, many)[0]

    def _source(self, ref: Ref, each: str, many: bool) -> list[str | Reference]:
        if ref.kind == "ledger":
            assert self.ledger is not None
            manifest = resolve(self.ledger, ref.name).stored.manifest
            return [Reference(manifest.kind, manifest.key, manifest.digest)]
        if ref.kind == "each":
            return [each]
        if ref.member:
            return [f"{ref.name}/{ref.member}"]
        return list(self.groups[ref.name]) if many else [self.groups[ref.name][0]]

    def _keys(self, spec: StepSpec, config: Config, inputs: dict[str, Any]) -> tuple[str, str]:
        """Plan key (for a pinned step not yet its pin key) and pin key."""
        plan_keys, pin_keys = self._input_keys(inputs, "plan_key"), self._input_keys(inputs, "pin_key")
        plain = canonical(config)
        plan_key = build_key(spec.use, spec.step.version, plain, plan_keys)
        if not spec.withdrawal_fields and plan_keys == pin_keys:
            return plan_key, plan_key
        pinned = canonical(_before_withdrawals(spec, config))
        return plan_key, build_key(spec.use, spec.step.version, pinned, pin_keys)

    def _input_keys(self, inputs: dict[str, Any], which: str) -> dict[str, str | list[str]]:
        def one(source: str | Reference) -> str:
            return getattr(self.nodes[source], which) if isinstance(source, str) else source.digest

        return {
            key: [one(each) for each in value] if isinstance(value, list) else one(value)
            for key, value in inputs.items()
        }

    def _add(self, node: Node) -> None:
        self.nodes[node.name] = node
        for source in node.sources():
            self.consumers.setdefault(source, []).append(node.name)

    # --- what is there ---

    def references(self, node: Node) -> dict[str, Reference | list[Reference]] | None:
        """The inputs as a manifest cites them; None while one isn't there."""

        def one(source: str | Reference) -> Reference | None:
            if isinstance(source, Reference):
                return source
            found = self.nodes[source]
            return found.reference if found.digest else None

        out: dict[str, Reference | list[Reference]] = {}
        for key, value in node.inputs.items():
            if isinstance(value, list):
                several = [one(each) for each in value]
                if any(each is None for each in several):
                    return None
                out[key] = [each for each in several if each is not None]
            elif (single := one(value)) is not None:
                out[key] = single
            else:
                return None
        return out

    def settle(self, node: Node) -> bool:
        """Look whether a node's artifact is there; True if so.

        The build key decides. Only where an input is absent (collected, or a partner pulled just the model) an artifact
        with the same plan key counts.
        """
        if node.digest or self.ledger is None:
            return bool(node.digest)
        if node.withdrawn and self._keep(node):
            return True
        inputs = self.references(node)
        if inputs is not None:
            node.key = build_key(node.use, node.version, node.pure_config, digests_of(inputs))
            node.digest = self._choose(node, self.ledger.digests(node.key))
        elif there := self._by_plan_key(node):
            node.key, node.digest = there[0]
            node.by_plan_key = True
        return bool(node.digest)

    def _by_plan_key(self, node: Node) -> list[tuple[str, str]]:
        assert self.ledger is not None
        found = self.index.by_plan_key(node.plan_key)
        return [(key, digest) for key, digest in found if digest in self.ledger.digests(key)]

    def _keep(self, node: Node) -> bool:
        """Give a pinned node the artifact that it made before the withdrawal, if that is there; see the top of this file."""
        assert self.ledger is not None
        named = self.ledger.names.latest(self.label(node))
        if named and named.plan_key == node.plan_key and named.digest in self.ledger.digests(named.key):
            node.key, node.digest, node.kept = named.key, named.digest, True
        elif there := self._by_plan_key(node):
            (node.key, node.digest), node.kept = there[0], True
        return node.kept

    def _choose(self, node: Node, digests: list[str]) -> str:
        """Of several digests of a key (`tolerance`) the one that the name means; else the only one."""
        if len(digests) > 1 and self.ledger is not None:
            named = self.ledger.names.latest(self.label(node))
            if named and named.key == node.key and named.digest in digests:
                return named.digest
        return digests[0] if digests else ""

    @property
    def index(self) -> Index:
        if self._index is None:
            assert self.ledger is not None
            self._index = Index.open(self.ledger)
        return self._index

    def label(self, node: Node) -> str:
        """The node's name in the ledger: `recipe/step`."""
        return f"{self.recipe.name}/{node.name}"

    def settle_all(self) -> None:
        """Settle every node in order; sets that turn out to be there give their members."""
        fresh = list(self.nodes.values())
        while fresh:
            for node in fresh:
                self.settle(node)
            fresh = self.expand()

    def states(self, goals: list[str] | None = None) -> dict[str, str]:
        """Step → `there`, `pinned` (kept though documents were withdrawn), `to build`, `not needed`, or `depends on …`."""
        needed = self.needed(goals)
        found = {
            name: "pinned" if node.kept else "there" if node.digest else "to build" if name in needed else "not needed"
            for name, node in self.nodes.items()
        }
        return {**found, **{spec.name: f"depends on {self.waits_for(spec)}" for spec in self.pending}}

    def needed(self, goals: list[str] | None = None) -> set[str]:
        """Names of absent nodes that must be built for the goals (default: every end of the recipe, and what a name promises)."""
        wanted = self._goals(goals)
        found: set[str] = set()
        while wanted:
            node = self.nodes[wanted.pop()]
            if node.digest or node.name in found:
                continue
            found.add(node.name)
            wanted += list(node.sources())
        return found

    def _goals(self, goals: list[str] | None) -> list[str]:
        if goals:
            return [name for goal in goals for name in self.groups.get(goal, [goal]) if name in self.nodes]
        ends = [name for name in self.nodes if not self.consumers.get(name)]
        waited = [name for spec in self.pending for need in spec.needs() for name in self.groups.get(need, [])]
        promised = [name for name, node in self.nodes.items() if not node.digest and self._named(node)]
        return [*ends, *waited, *promised]

    def _named(self, node: Node) -> bool:
        """Was this very artifact under its name before? Then its absence is damage, and it is made again."""
        named = self.ledger.names.latest(self.label(node)) if self.ledger else None
        return named is not None and named.plan_key == node.plan_key


def _before_withdrawals(spec: StepSpec, config: Config) -> Config:
    """The config as if only the compacted withdrawals were in force."""
    update = {}
    for name in spec.withdrawal_fields:
        found: Withdrawals = getattr(config, name)
        update[name] = Withdrawals.of(found.records[: found.compacted], found.compacted)
    return config.model_copy(update=update)


def estimate(graph: Graph) -> tuple[dict[str, Estimate], Estimate]:
    """Estimates of all nodes by their steps' `cost` hooks, and the total."""
    found: dict[str, Estimate] = {}
    total = Estimate()
    for node in graph.nodes.values():
        cost = None if node.member else node.spec.step.cost
        inputs: dict[str, Any] = {}
        for key, value in node.inputs.items():
            many = [
                found.get(each, Estimate()) if isinstance(each, str) else Estimate()
                for each in (value if isinstance(value, list) else [value])
            ]
            inputs[key] = many if isinstance(value, list) else many[0]
        found[node.name] = cost(node.config, inputs) if cost else Estimate()
        if not node.digest:
            total = total.plus(found[node.name])
        else:
            total = total.plus(Estimate(parameters=found[node.name].parameters))
    return found, total
