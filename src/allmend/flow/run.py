"""Running a recipe: what is there is reused, what is needed is built, as far side by side as `--workers` allows."""

from __future__ import annotations

import contextlib
import heapq
import signal
import threading
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any, Protocol

from allmend.flow.build import Built, Job, build, build_member
from allmend.flow.channel import Channel, Child, Pool, portable
from allmend.flow.engine import Engine
from allmend.flow.plan import Graph, Node
from allmend.flow.spec import Recipe
from allmend.kinds.errors import AllmendError, Interrupted, RecipeError, StepFailed, UsageError, nearest
from allmend.ledger import Ledger, Reference

POLL_S = 0.2


class Watch(Protocol):
    """Who follows a run: the terminal, a log, a test."""

    def begun(self, node: Node) -> None: ...
    def message(self, node: Node, message: tuple[Any, ...]) -> None: ...
    def ended(self, node: Node) -> None: ...


class Silent:
    """A watch that says nothing."""

    def begun(self, node: Node) -> None: ...
    def message(self, node: Node, message: tuple[Any, ...]) -> None: ...
    def ended(self, node: Node) -> None: ...


@dataclass
class Options:
    """Placement of a run; none of it enters a key."""

    workers: int = 1
    ranks: int = 1
    device: str = "cpu"
    engine: Engine | None = None
    only: list[str] = field(default_factory=list)
    again: list[str] = field(default_factory=list)
    accept: bool = False
    in_process: bool = False


def run(recipe: Recipe, ledger: Ledger, options: Options | None = None, watch: Watch | None = None) -> Graph:
    """Build what the recipe needs.

    Returns:
        The graph with every node's digest, and which were made now.

    Raises:
        StepFailed: a step failed; others that were running were let finish, nothing after it was started.
        Interrupted: Ctrl-C or SIGTERM; running parts were finished first.
    """
    scheduler = _Scheduler(recipe, ledger, options or Options(), watch or Silent())
    with _interruptible(scheduler), ledger.running():  # gc must not take what no name reaches yet
        scheduler.run()
    return scheduler.graph


class _Scheduler:
    def __init__(self, recipe: Recipe, ledger: Ledger, options: Options, watch: Watch) -> None:
        self.recipe, self.ledger, self.options, self.watch = recipe, ledger, options, watch
        self.graph = Graph(recipe, ledger)
        for name in [*options.only, *options.again]:
            if name.partition("/")[0] not in recipe.steps:
                raise UsageError(f"the recipe {recipe.name} has no step `{name}`.{nearest(name, recipe.steps)}")
        self.again = set(options.again)
        self.ready: list[tuple[int, str]] = []
        self.queued: set[str] = set()
        self.missing: dict[str, int] = {}
        self.needed: set[str] = set()
        self.order: dict[str, int] = {}
        self.error: AllmendError | None = None
        self.stopping = False
        self.pool: Pool | None = None

    def run(self) -> None:
        self.graph.settle_all()
        for node in self.graph.nodes.values():
            if node.kept and self._is_again(node):
                raise UsageError(
                    f"--again {node.name}: it is pinned, and keeps what it made before documents were withdrawn; what it was made of "
                    "may be gone. With `compact: true` in the recipe's head it is built anew."
                )
            if node.digest and not self._is_again(node):
                self._note(node)
        self._demand()
        if self.options.in_process:
            self._run_here()
            return
        with Pool(max(1, self.options.workers)) as pool:
            self.pool = pool
            self._run_pool(pool)

    def _is_again(self, node: Node) -> bool:
        return not node.made and (node.name in self.again or node.name.partition("/")[0] in self.again)

    # --- what is to be done ---

    def _demand(self) -> None:
        """Work out anew which absent nodes are needed, and queue those whose inputs are all there."""
        self.order = {name: index for index, name in enumerate(self.graph.nodes)}
        self.needed = self.graph.needed(self.options.only)
        for name, node in self.graph.nodes.items():
            if self._is_again(node) and node.digest:
                self.needed |= {name, *self.graph.needed(list(node.sources()))}
        for name in self.needed:
            if name not in self.queued:
                sources = set(self.graph.nodes[name].sources())
                self.missing[name] = sum(not self.graph.nodes[source].digest for source in sources)
                if not self.missing[name]:
                    self._queue(name)

    def _queue(self, name: str) -> None:
        if name not in self.queued:
            self.queued.add(name)
            heapq.heappush(self.ready, (self.order[name], name))

    def _note(self, node: Node) -> None:
        """A node's artifact is there: give it its name."""
        label = self.graph.label(node)
        known = self.ledger.names.latest(label)
        if (
            known
            and known.key == node.key
            and known.digest == node.digest
            and known.plan_key == node.plan_key
            and not node.made
        ):
            return
        if known and known.key == node.key and known.digest != node.digest and not self.options.accept:
            manifest = self.ledger.get(node.key, node.digest).manifest
            if manifest.reproducible == "tolerance" and known.digest in self.ledger.digests(node.key):
                node.digest = known.digest  # the name keeps the first digest of a key until --accept
                return
        self.ledger.names.put(
            label, node.key, node.digest, self.ledger.manifest_hash(node.key, node.digest), node.plan_key
        )

    def _arrived(self, node: Node, built: Built) -> None:
        node.key, node.digest, node.made, node.seconds = built.key, built.digest, not built.reused, built.seconds
        self._note(node)
        self.watch.ended(node)
        self._wake(node)
        if fresh := self.graph.expand():
            while fresh:
                for each in fresh:
                    if self.graph.settle(each):
                        self._note(each)
                fresh = self.graph.expand()
            self._demand()

    def _wake(self, node: Node) -> None:
        """Tell the nodes that wait for this one. Some turn out to be there already, under the key now known."""
        stack = [node.name]
        while stack:
            for name in dict.fromkeys(self.graph.consumers.get(stack.pop(), [])):
                child = self.graph.nodes[name]
                if child.digest:
                    continue
                if name in self.missing:
                    self.missing[name] -= 1
                if self.graph.settle(child):
                    self._note(child)
                    self.watch.ended(child)
                    stack.append(name)
                elif name in self.needed and not self.missing.get(name, 1):
                    self._queue(name)

    def _next(self) -> Node | None:
        while self.ready and not self.error and not self.stopping:
            node = self.graph.nodes[heapq.heappop(self.ready)[1]]
            again = self._is_again(node)
            if node.digest and not again:
                continue
            inputs = self.graph.references(node)
            assert inputs is not None, node.name
            if node.member:
                of = inputs["of"]
                assert isinstance(of, Reference)
                self.graph.settle(node)
                self._arrived(
                    node, build_member(self.ledger, of, node.member, node.kind.__name__, node.key, node.plan_key)
                )
                continue
            if not node.key:
                self.graph.settle(node)
            return node
        return None

    def _job(self, node: Node, workers: int) -> Job:
        inputs = self.graph.references(node)
        assert inputs is not None and node.config is not None
        return Job(
            self.graph.label(node), self.ledger.root, node.use, node.config, inputs, node.key, node.plan_key, workers=workers,
            ranks=self.options.ranks, device=self.options.device, again=self._is_again(node), engine=self.options.engine,
        )  # fmt: skip

    # --- doing it ---

    def _run_pool(self, pool: Pool) -> None:
        while True:
            while (node := self._start_one(pool)) is not None:
                self.watch.begun(node)
            if not pool.busy():
                break
            for tag, message in pool.events(POLL_S):
                self._hear(self.graph.nodes[tag[0]], message)
            if self.stopping:
                pool.stop()
        if self.error:
            raise self.error
        if self.stopping:
            raise Interrupted(f"stopped; what was finished is kept. Go on with: allmend run {self.recipe.file}")

    def _start_one(self, pool: Pool) -> Node | None:
        """Start the next node, if the budget of workers allows it. Nodes side by side get one worker each; a lone one gets all."""
        used = sum(child.busy[1] for child in pool.busy())
        if used >= max(1, self.options.workers) or (node := self._next()) is None:
            return None
        waiting = sum(not self.graph.nodes[name].digest for _, name in self.ready)
        workers = 1 if waiting or used else max(1, self.options.workers)
        child: Child | None = pool.idle()
        assert child is not None
        child.call((node.name, workers), build, (self._job(node, workers),))
        return node

    def _hear(self, node: Node, message: tuple[Any, ...]) -> None:
        if message[0] == "done":
            self._arrived(node, message[1])
        elif message[0] == "failed":
            self._failed(node, message[1])
        elif message[0] == "died":
            self._failed(node, StepFailed(message[1]))
        else:
            self.watch.message(node, message)

    def _failed(self, node: Node, error: AllmendError) -> None:
        if isinstance(error, Interrupted):
            self.stopping = True
            return
        if self.error is None:
            named = (
                type(error)(f"{self.graph.label(node)} ({node.use}): {error}")
                if not isinstance(error, RecipeError)
                else error
            )
            named.__dict__["trace"] = getattr(error, "trace", "")
            self.error = named if isinstance(named, StepFailed) else _as_step_failure(named)

    def _run_here(self) -> None:
        """All in this process, one after the other: for tests and for measuring the overhead."""
        channel = Channel()
        while (node := self._next()) is not None:
            self.watch.begun(node)
            try:
                built = build(self._job(node, self.options.workers), channel)
            except AllmendError as error:
                self._failed(node, error)
                break
            except Exception as error:
                self._failed(node, portable(error))
                break
            self._arrived(node, built)
        if self.error:
            raise self.error

    def interrupt(self) -> None:
        """First Ctrl-C: finish running parts, write checkpoints, stop."""
        self.stopping = True
        if self.pool:
            self.pool.stop()


def _as_step_failure(error: AllmendError) -> AllmendError:
    failure = StepFailed(str(error))
    failure.__dict__["trace"] = getattr(error, "trace", "")
    return failure


@contextlib.contextmanager
def _interruptible(scheduler: _Scheduler) -> Iterator[None]:
    """Ctrl-C and SIGTERM stop the run in an orderly way; a second one stops it at once."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return

    def handle(number: int, frame: Any) -> None:
        if scheduler.stopping:
            raise KeyboardInterrupt
        scheduler.interrupt()

    before = {number: signal.signal(number, handle) for number in (signal.SIGINT, signal.SIGTERM)}
    try:
        yield
    except KeyboardInterrupt:
        raise Interrupted(
            f"stopped at once; finished parts are kept. Go on with: allmend run {scheduler.recipe.file}"
        ) from None
    finally:
        for number, old in before.items():
            signal.signal(number, old)
