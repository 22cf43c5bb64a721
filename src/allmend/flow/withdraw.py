"""Withdrawing documents: which they are, the record of it, and what they touch in everything that a name means now.

Documents are looked up in the decisions of each named Corpus (latest versions) and in each named Documents. A record is appended
to `withdrawals.jsonl` (`flow.records`), which is an input of every step with a field of type `Withdrawals`; the next run then
rebuilds what follows from there, and pinned steps keep what they made (`flow.plan`). Nothing is built or deleted here.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Sequence
from contextlib import nullcontext
from dataclasses import dataclass, field, fields
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from allmend.flow.plan import Graph
from allmend.flow.radius import Affected, Named, blast_radius, named_now
from allmend.flow.recipe import load_recipe
from allmend.flow.records import FORMAT, Record, append, check_undo, in_force, now, read_history, writing
from allmend.flow.shrink import shrink_recipe
from allmend.kinds import Artifact, Corpus, Documents, Shards, Verdicts, sha256_json
from allmend.kinds.errors import CheckFailed, UsageError
from allmend.ledger import Ledger

Mask = Callable[[pa.Table], pa.ChunkedArray]
COLUMNS = ("id", "url", "host", "language", "licence", "domain", "source", "bytes")


@dataclass(frozen=True)
class Selector:
    """Which documents: all that is given must hold. Hosts are compared without case, the rest as it is."""

    host: str | None = None
    url: str | None = None
    document: str | None = None
    licence: str | None = None
    source: str | None = None

    def given(self) -> dict[str, str]:
        found = {each.name: getattr(self, each.name) for each in fields(self)}
        return {name: value for name, value in found.items() if value is not None}

    def columns(self) -> set[str]:
        return {"id" if name == "document" else name for name in self.given()}

    def mask(self, table: pa.Table) -> pa.ChunkedArray:
        """bool [rows]: the rows that are meant."""
        found = pa.chunked_array([pa.repeat(True, table.num_rows)])
        for name, value in self.given().items():
            column = table["id" if name == "document" else name].cast(pa.string())
            equal = pc.equal(pc.utf8_lower(column), value.lower()) if name == "host" else pc.equal(column, value)
            found = pc.and_(found, pc.fill_null(equal, False))
        return found


@dataclass
class Document:
    """One document as a record keeps it; nothing of its text."""

    id: str
    url: str | None = None
    host: str | None = None
    language: str | None = None
    licence: str | None = None
    domain: str | None = None
    source: str | None = None
    bytes: int | None = None
    tokens: dict[str, int] = field(default_factory=dict)
    """Content digest of a tokenizer → tokens in the shards made with it."""

    def as_record(self) -> dict[str, Any]:
        left_out = ("source", "bytes")
        return {each.name: getattr(self, each.name) for each in fields(self) if each.name not in left_out}


@dataclass
class Withdrawal:
    """What was recorded, or would be.

    Attributes:
        number: the record's number; None in a dry run.
        documents: those of the record.
        already: how many that were meant are withdrawn already, and so are not in the record.
        copies: documents in the same duplicate cluster at other addresses, not in the record.
        affected: named artifacts that hold one, or will be rebuilt.
        rebuilds: recipe → step → state after it (`to build`, `pinned`, `there`, …).
        notes: what could not be found out.
    """

    number: int | None
    record: Record
    documents: list[Document]
    already: int
    copies: list[Document]
    affected: list[Affected]
    rebuilds: dict[str, dict[str, str]]
    notes: list[str]


def withdraw(
    ledger: Ledger,
    selector: Selector,
    reason: str,
    *,
    with_copies: bool = False,
    dry_run: bool = False,
    recipes: Sequence[Path] = (),
    root: Path | None = None,
) -> Withdrawal:
    """Record that documents are withdrawn.

    Args:
        with_copies: their duplicates at other addresses too.
        dry_run: write nothing, only say what it would touch.
        recipes: for which to plan the next run.
        root: project root, where recipes of the names touched are looked for if none are given.

    Raises:
        UsageError: nothing says which documents.
        CheckFailed: no document is meant, or all of them are withdrawn already.
    """
    if not selector.given():
        raise UsageError("which documents? Give --host, --url, --document, --licence or --source.")
    if not reason.strip():
        raise UsageError("--reason is empty; it stays in the record for whoever asks later.")
    named = named_now(ledger)
    with nullcontext() if dry_run else writing(ledger):
        history = read_history(ledger.root)
        meant = find(named, selector.mask, selector.columns())
        gone = {each["id"] for record in in_force(history).records for each in record["documents"]}
        new = {one: document for one, document in meant.items() if one not in gone}
        copies = find_copies(named, new, gone)
        if with_copies:
            new, copies = dict(sorted({**new, **copies}.items())), {}
        _check_any(selector, meant, new)
        count_tokens(named, new)
        told = {"at": now(), "reason": reason, "selector": selector.given()}
        record = {"format": FORMAT, **told, "documents": [each.as_record() for each in new.values()]}
        affected = blast_radius(ledger, named, set(new))
        rebuilds, notes = plan_after(ledger, [*history, record], affected, recipes, root)
        number = None if dry_run else append(ledger, record)
    documents = list(new.values())
    return Withdrawal(
        number, record, documents, len(meant) - sum(one in meant for one in new), list(copies.values()), affected, rebuilds, notes
    )  # fmt: skip


def undo(
    ledger: Ledger,
    number: int,
    reason: str,
    *,
    dry_run: bool = False,
    recipes: Sequence[Path] = (),
    root: Path | None = None,
) -> Withdrawal:
    """Cancel a withdrawal by a record of its own; history stays.

    Raises:
        UsageError: there is no withdrawal in force of that number.
    """
    if not reason.strip():
        raise UsageError("--reason is empty; it stays in the record for whoever asks later.")
    named = named_now(ledger)
    with nullcontext() if dry_run else writing(ledger):
        history = read_history(ledger.root)
        check_undo(history, number)
        undone = history[number - 1]
        record = {"format": FORMAT, "at": now(), "reason": reason, "undo": number, "of": sha256_json(undone)}
        ids = pa.array([each["id"] for each in undone["documents"]], pa.string())
        known = find(named, lambda rows: pc.is_in(rows["id"], ids))
        documents = [known.get(each["id"], Document(**each)) for each in undone["documents"]]
        count_tokens(named, {each.id: each for each in documents})
        affected = blast_radius(ledger, named, {each.id for each in documents})
        rebuilds, notes = plan_after(ledger, [*history, record], affected, recipes, root)
        written = None if dry_run else append(ledger, record)
    return Withdrawal(written, record, documents, 0, [], affected, rebuilds, notes)


def _check_any(selector: Selector, meant: Collection[str], new: Collection[str]) -> None:
    said = ", ".join(f"{name} {value}" for name, value in selector.given().items())
    if not meant:
        raise CheckFailed(f"no document here has {said}; nothing was recorded.")
    if not new:
        raise CheckFailed(f"all {len(meant)} documents with {said} are withdrawn already; nothing was recorded.")


def find(named: Sequence[Named], mask: Mask, needed: Collection[str] = ("id",)) -> dict[str, Document]:
    """Documents by id, in order of id, with all that any named Corpus or Documents says of them."""
    found: dict[str, Document] = {}
    for artifact, table in _document_tables(named):
        for path in artifact.paths(table):
            names = [name for name in COLUMNS if name in pq.read_schema(path).names]
            if set(needed) <= set(names):
                rows = pq.read_table(path, columns=names, partitioning=None)
                _take(found, rows.filter(mask(rows)))
    for artifact, _ in _document_tables(named):  # the domain stands beside the kept text only
        if isinstance(artifact, Corpus) and found:
            for path in artifact.paths("corpus"):
                rows = pq.read_table(path, columns=["id", "domain"], partitioning=None)
                _take(found, rows.filter(pc.is_in(rows["id"], pa.array(list(found), pa.string()))))
    return dict(sorted(found.items()))


def _document_tables(named: Iterable[Named]) -> list[tuple[Artifact, str]]:
    """Corpora first: a decision says more than a page."""
    artifacts = [each.artifact for each in named]
    corpora = [each for each in artifacts if isinstance(each, Corpus)]
    tables = [(each, "decisions" if each.parts("decisions") else "corpus") for each in corpora]
    return [*tables, *((each, "documents") for each in artifacts if isinstance(each, Documents))]


def _take(found: dict[str, Document], rows: pa.Table) -> None:
    for row in rows.to_pylist():
        document = found.setdefault(row["id"], Document(row["id"]))
        for name, value in row.items():
            if getattr(document, name) is None:
                setattr(document, name, value)


def find_copies(named: Sequence[Named], documents: Collection[str], gone: Collection[str]) -> dict[str, Document]:
    """Documents in a duplicate cluster with one of `documents`, by the named Verdicts that know clusters."""
    wanted: set[str] = set()
    for each in named:
        paths = each.artifact.paths() if isinstance(each.artifact, Verdicts) else []
        if not paths or "duplicates" not in pq.read_schema(paths[0]).names:
            continue
        rows = pa.concat_tables(pq.read_table(path, columns=["id", "duplicates"], partitioning=None) for path in paths)
        cluster = pc.struct_field(rows["duplicates"], "cluster")
        mine = pc.drop_null(cluster.filter(pc.is_in(rows["id"], pa.array(list(documents), pa.string()))))
        wanted |= set(rows["id"].filter(pc.is_in(cluster, mine)).to_pylist())
    wanted -= {*documents, *gone}
    return find(named, lambda rows: pc.is_in(rows["id"], pa.array(sorted(wanted), pa.string()))) if wanted else {}


def count_tokens(named: Sequence[Named], documents: dict[str, Document]) -> None:
    """Fill in domain and tokens from the named Shards."""
    ids = pa.array(list(documents), pa.string())
    for each in named:
        if not isinstance(each.artifact, Shards):
            continue
        tokenizer = each.artifact.json("shards.json")["tokenizer"]
        for path in each.artifact.paths():
            rows = pq.read_table(path, columns=["id", "length", "domain"], partitioning=None)
            for row in rows.filter(pc.is_in(rows["id"], ids)).to_pylist():
                documents[row["id"]].domain = row["domain"]
                documents[row["id"]].tokens[tokenizer] = row["length"]


def plan_after(
    ledger: Ledger, history: list[Record], affected: Sequence[Affected], recipes: Sequence[Path], root: Path | None
) -> tuple[dict[str, dict[str, str]], list[str]]:
    """What the next run of each recipe would build; recipes that aren't given are looked for by the names touched."""
    wanted = {str(path): (path, "") for path in recipes}
    notes: list[str] = []
    if not wanted:
        names = {name.partition("/")[0] for each in affected if each.fate == "rebuilt" for name in each.names}
        for name in sorted(names):
            stem, _, shrunk = name.partition("@")
            path = next((each for each in _places(stem, root) if each.is_file()), None)
            if path is None:
                notes.append(f"no recipe file of {name} was found; with --recipe FILE its next run is planned")
            else:
                wanted[name] = (path, shrunk)
    found = {}
    for name, (path, shrunk) in wanted.items():
        try:
            recipe, _ = load_recipe(path, ledger.root, history=history)
            graph = Graph(shrink_recipe(recipe, shrunk) if shrunk else recipe, ledger)
        except UsageError as error:
            if recipes:
                raise
            notes.append(f"{name} can't be planned: {error}")
            continue
        graph.settle_all()
        found[graph.recipe.name] = graph.states()
    return found, notes


def _places(stem: str, root: Path | None) -> list[Path]:
    return [root / "recipes" / f"{stem}.yaml", root / f"{stem}.yaml"] if root else []
