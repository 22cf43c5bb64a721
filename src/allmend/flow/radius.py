"""The blast radius of documents: every named artifact that holds one of them, or follows from one that does."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass
from typing import Any, Literal

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from allmend.flow.rooms import find_step
from allmend.kinds import Artifact, Step, Touched
from allmend.kinds.config import heads
from allmend.kinds.errors import LedgerError, UsageError
from allmend.ledger import Index, Ledger, Manifest, Stored, children

Fate = Literal["rebuilt", "pinned", "holds"]


@dataclass(frozen=True)
class Named:
    """An artifact that one or more names mean now."""

    names: tuple[str, ...]
    stored: Stored
    artifact: Artifact

    @property
    def manifest(self) -> Manifest:
        return self.stored.manifest


@dataclass(frozen=True)
class Affected:
    """A named artifact that the documents touch.

    Attributes:
        touched: what of it comes from them; None where its step can't say.
        fate: `rebuilt` by the next run; `pinned`: follows from them and stays as it is; `holds` one and stays.
    """

    names: tuple[str, ...]
    kind: str
    step: str
    digest: str
    touched: Touched | None
    fate: Fate


def named_now(ledger: Ledger) -> list[Named]:
    """What each name means now, as far as it is here, in order of the names."""
    names: dict[tuple[str, str], list[str]] = {}
    for name in ledger.names.all():
        entry = ledger.names.latest(name)
        if entry and entry.digest in ledger.digests(entry.key):
            names.setdefault((entry.key, entry.digest), []).append(name)
    found = []
    for (key, digest), several in names.items():
        stored = ledger.get(key, digest)
        found.append(Named(tuple(several), stored, stored.artifact))
    return found


def blast_radius(ledger: Ledger, named: Sequence[Named], ids: Collection[str]) -> list[Affected]:
    """Named artifacts that hold one of the documents or follow from one that does, in order of their names.

    A rebuild starts at the steps that read the workspace's withdrawals and knew one of the documents; it ends at pinned steps.
    """
    touched = {_address(each.stored): touched_by(ledger, each, ids) for each in named}
    begins = [each.stored for each in named if _reads_withdrawals(each.manifest) and _knows(each.artifact, ids)]
    rebuilt, pinned = _followers(ledger, begins)
    found = []
    for each in named:
        here, one = _address(each.stored), touched[_address(each.stored)]
        fate: Fate | None = "holds" if one and one.documents else None
        fate = "rebuilt" if here in rebuilt else "pinned" if here in pinned else fate
        if fate:
            found.append(Affected(each.names, each.manifest.kind, each.manifest.step, here[1], one, fate))
    return found


def _address(stored: Stored) -> tuple[str, str]:
    return stored.manifest.key, stored.manifest.digest


def _followers(ledger: Ledger, begins: Sequence[Stored]) -> tuple[set[tuple[str, str]], set[tuple[str, str]]]:
    """All that follows from some artifacts, themselves included; and the pinned artifacts at which that ends."""
    index = Index.open(ledger)
    rebuilt: set[tuple[str, str]] = set()
    pinned: set[tuple[str, str]] = set()
    waiting = list(begins)
    while waiting:
        one = waiting.pop()
        step = _step(one.manifest)
        reached = pinned if step and step.pinned else rebuilt
        if _address(one) not in reached:
            reached.add(_address(one))
            waiting += children(ledger, one, index) if reached is rebuilt else []
    return rebuilt, pinned


def _step(manifest: Manifest) -> Step | None:
    try:
        return find_step(manifest.step)
    except UsageError:
        return None  # made by a room that isn't installed here, or a member of a set


def _reads_withdrawals(manifest: Manifest) -> bool:
    step = _step(manifest)
    return step is not None and "withdrawals" in heads(step.config).values()


def touched_by(ledger: Ledger, named: Named, ids: Collection[str]) -> Touched | None:
    """The answer of the step's `touches` hook; without one, what the ids in the artifact's main table say."""
    step = _step(named.manifest)
    if step is not None and step.touches is not None:
        return step.touched(named.artifact, ids, _inputs(ledger, named.manifest))
    return _by_id(named.artifact, ids)


def _inputs(ledger: Ledger, manifest: Manifest) -> dict[str, Any]:
    """The artifact's own inputs, as far as they are here."""
    found: dict[str, Any] = {}
    for name, value in manifest.inputs.items():
        several = value if isinstance(value, list) else [value]
        try:
            artifacts = [ledger.get(each.key, each.digest).artifact for each in several]
        except LedgerError:
            continue
        found[name] = artifacts if isinstance(value, list) else artifacts[0]
    return found


def _by_id(artifact: Artifact, ids: Collection[str]) -> Touched | None:
    counts = _count_ids(artifact, artifact.main, ids)
    return None if counts is None else Touched(documents=sum(counts.values()), shards=tuple(counts))


def _knows(artifact: Artifact, ids: Collection[str]) -> bool:
    """Does any of its tables have a row of one of the documents? A dropped page has a decision, though no text is kept."""
    tables = artifact.schemas or {artifact.main: None}
    return any(_count_ids(artifact, table, ids) for table in tables)


def _count_ids(artifact: Artifact, table: str, ids: Collection[str]) -> dict[str, int] | None:
    """Part → rows of these ids, where there are any; None for a table without ids."""
    if not table or not artifact.parts(table):
        return None
    wanted = pa.array(sorted(ids), pa.string())
    found: dict[str, int] = {}
    for part in artifact.parts(table):
        path = artifact.part_path(part, table)
        if path.suffix != ".parquet" or "id" not in pq.read_schema(path).names:
            return None
        count = pc.sum(pc.is_in(pq.read_table(path, columns=["id"], partitioning=None)["id"], wanted)).as_py() or 0
        if count:
            found[part] = count
    return found
