"""Tracing a text to the training documents that hold its spans, word for word."""

from __future__ import annotations

import contextlib
import itertools
import math
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any, NamedTuple

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from allmend.audit.index import digest_of
from allmend.audit.search import GAP, Part
from allmend.audit.spans import Candidate, Reading, candidates, readings
from allmend.audit.words import is_edge, word_count
from allmend.kinds import Index, Shards, Tokenizer, load_tokenizer
from allmend.kinds.errors import LedgerError, UsageError
from allmend.ledger import Ledger, Reference, resolve

KEPT_SHARE = 0.05
"""Of the text's tokens: so many spans are kept, the least likely (Liu et al. 2025, OLMoTrace, arXiv 2504.07096)."""
FEWEST_KEPT = 5
SHORTEST_WORDS = 3
"""Our value: shorter spans stand in any text. A text that is itself shorter is searched whole."""
MOST_DOCUMENTS = 10
MOST_PLACES = 10_000
"""Of a span, in one part, among which documents are chosen. `occurrences` counts all."""
CONTEXT_TOKENS = 40
EDGE_TOKENS = 4
"""Enough to see the characters beside a span."""
CUT = "\ufffd"
"""What a character that the context's edge cuts in two is decoded to."""


@dataclass(frozen=True)
class Source:
    """One place in a training document where a span stands.

    Attributes:
        document: the document's id.
        part: the part of the shards that holds it.
        offset: tokens from the document's begin (its <bod> is 0) to the span.
        before, text, after: the span as the document has it, and what stands around it.
    """

    document: str
    url: str
    host: str
    language: str
    licence: str
    part: str
    offset: int
    before: str
    text: str
    after: str


@dataclass(frozen=True)
class Span:
    """A run of words of a text that stands word for word in training documents.

    Attributes:
        begin, end: characters into the text.
        tokens: the ids found.
        nats: minus the log of the chance of these tokens, each drawn by itself from the training tokens; more is rarer.
        occurrences: places in the training text where these very tokens stand.
        sources: documents that hold it, those that hold most of the text's spans first.
    """

    begin: int
    end: int
    text: str
    tokens: tuple[int, ...]
    nats: float
    occurrences: int
    sources: tuple[Source, ...]


@dataclass(frozen=True)
class Document:
    """A training document, its text decoded from the shards."""

    id: str
    url: str
    host: str
    domain: str
    language: str
    licence: str
    text: str


@dataclass(frozen=True)
class _Search:
    """One text on its way through a searcher.

    Attributes:
        at: where each reading begins in the query.
        reach: int64 [parts, L], tokens found in each part from each place of the query where a span may begin.
    """

    text: str
    query: np.ndarray
    at: dict[Reading, int]
    reach: np.ndarray
    shortest: int
    most: int


@dataclass
class _Held:
    """A candidate, how often it stands in all parts, and some of the positions in each part that has it, rising."""

    candidate: Candidate
    occurrences: int = 0
    positions: dict[int, np.ndarray] = field(default_factory=dict)


class _Edges(NamedTuple):
    """Does a place in a document begin, does it end, between words?"""

    begin: bool
    end: bool

    @property
    def both(self) -> bool:
        return self.begin and self.end


class _Place(NamedTuple):
    """An occurrence in a document: named as in `Source`."""

    offset: int
    before: str
    text: str
    after: str

    @property
    def edges(self) -> _Edges:
        whole = self.before[-2:] + self.text + self.after[:2]
        begin = len(self.before[-2:])
        return _Edges(is_edge(whole, begin), is_edge(whole, begin + len(self.text)))


class Searcher:
    """Opens an index once and traces many texts; memory-mapped and only ever read, so threads may share one.

    Args:
        index: the suffix arrays.
        shards: what they were built from.
        tokenizer: the shards' tokenizer; None takes the copy that lies in them.

    Raises:
        UsageError: the index was built from other shards.
    """

    def __init__(self, index: Index, shards: Shards, tokenizer: Tokenizer | None = None) -> None:
        facts = index.json("index.json")
        if shards.digests and facts["shards"] != digest_of(shards):
            raise UsageError(
                f"{index.folder} was built from the shards {facts['shards'][:12]}…, not from {shards.folder}. Take "
                "those that its manifest names, or build the index anew."
            )
        self.encoder = tokenizer.load() if tokenizer else load_tokenizer(shards.path("tokenizer"))
        self.names = sorted(facts["parts"])
        self._parts = [_open_part(index, shards, name, facts) for name in self.names]
        self._documents = [shards.load(name, "documents") for name in self.names]
        self._offsets = [table["offset"].to_numpy() for table in self._documents]
        counts = np.sum([np.diff(part.first) for part in self._parts], axis=0)
        rare = -np.log(np.maximum(counts, 1) / max(1, int(counts.sum())))
        self._nats = np.concatenate([np.zeros(facts["first_text_token"]), rare])

    def trace(self, text: str, *, documents: int = MOST_DOCUMENTS, context_tokens: int = CONTEXT_TOKENS) -> list[Span]:
        """The longest and rarest spans of a text that stand in training documents, in the order of the text.

        A span is as long as it can be, begins and ends with whole words (in the documents too), and has no sentence's
        end inside.

        Args:
            text: an answer, or any text.
            documents: at most so many a span.
            context_tokens: shown before and after a span.
        """
        ways = readings(self.encoder, text)
        shortest = max(1, min(SHORTEST_WORDS, word_count(text)))
        most = max(FEWEST_KEPT, math.ceil(KEPT_SHARE * len(ways[0].ids)))
        query, at = _query([way.ids for way in ways])
        begins = np.concatenate([way.starts + start for way, start in zip(ways, at, strict=True)])
        reach = np.zeros((len(self._parts), len(query)), np.int64)
        for row, part in zip(reach, self._parts, strict=True):
            row[begins] = part.longest(query, begins)
        matched = reach.max(axis=0, initial=0)
        found = candidates((way, matched[way.starts + start]) for way, start in zip(ways, at, strict=True))
        search = _Search(text, query, dict(zip(ways, at, strict=True)), reach, shortest, most)
        return self._spans(text, self._choose(search, found), documents, context_tokens)

    def document(self, id: str) -> Document | None:
        """A training document by its id; None if there is none, or it is withdrawn."""
        for number, table in enumerate(self._documents):
            row = pc.index(table["id"], pa.scalar(id, table["id"].type)).as_py()
            if row >= 0 and table["withdrawn_at"][row].as_py() is None:
                begin, end = self._text_of(number, row)
                fields = {
                    name: table[name][row].as_py() or "" for name in ("url", "host", "domain", "language", "licence")
                }
                return Document(id, **fields, text=self._decode(number, begin, end))
        return None

    def _rarity(self, candidate: Candidate) -> float:
        return float(self._nats[candidate.ids].sum())

    def _choose(self, search: _Search, found: Sequence[Candidate]) -> list[_Held]:
        """The least likely candidates and where they stand; one that stands nowhere as whole words loses a word."""
        kept: list[_Held] = []
        waiting = [each for each in found if each.words(search.text) >= search.shortest]
        while waiting and len(kept) < search.most:
            waiting.sort(key=lambda each: (-self._rarity(each), each.begin))
            batch, waiting = waiting[: search.most - len(kept)], waiting[search.most - len(kept) :]
            for held in self._held(search, batch):
                good, one = self._whole_words(held), held.candidate
                if good.both:
                    kept += [held] if not any(one.inside(other.candidate) for other in kept) else []
                else:
                    less = one.without_last() if good.begin else one.without_first()
                    waiting += [less] if less and less.words(search.text) >= search.shortest else []
        return kept

    def _held(self, search: _Search, batch: Sequence[Candidate]) -> list[_Held]:
        """Where each candidate stands, in the parts where its run is found."""
        begins = np.array([search.at[each.reading] + each.first for each in batch], np.int64)
        lengths = np.array([len(each.ids) for each in batch], np.int64)
        found = [_Held(each) for each in batch]
        for number, part in enumerate(self._parts):
            rows = np.flatnonzero(search.reach[number, begins] >= lengths)
            low, high = part.ranges(search.query, begins[rows], lengths[rows])
            for row, begin, end in zip(rows.tolist(), low.tolist(), high.tolist(), strict=True):
                found[row].occurrences += end - begin
                found[row].positions[number] = np.sort(part.suffixes[begin : min(end, begin + MOST_PLACES)])
        return found

    def _documents_of(self, held: _Held) -> Iterator[tuple[int, int]]:
        """(part, row) of the documents, in order."""
        for part, positions in held.positions.items():
            rows = np.searchsorted(self._offsets[part], positions, side="right") - 1
            yield from ((part, row) for row in np.unique(rows).tolist())

    def _whole_words(self, held: _Held) -> _Edges:
        """Does it stand anywhere as whole words? If not, does it anywhere begin with one?"""
        begin = False
        for part, row in self._documents_of(held):
            for place in self._places(held, part, row, EDGE_TOKENS):
                if place.edges.both:
                    return place.edges
                begin = begin or place.edges.begin
        return _Edges(begin, False)

    def _places(self, held: _Held, part: int, row: int, context: int) -> Iterator[_Place]:
        """Where it stands in a document, with what is around it."""
        begin, end = self._text_of(part, row)
        positions, count = held.positions[part], len(held.candidate.ids)
        for position in positions[slice(*np.searchsorted(positions, (begin, end)))].tolist():
            before = self._decode(part, max(begin, position - context), position).lstrip(CUT)
            text = self._decode(part, position, position + count)
            after = self._decode(part, position + count, min(end, position + count + context)).rstrip(CUT)
            core = text.strip()
            lead = text.index(core)
            yield _Place(position - begin + 1, before + text[:lead], core, text[lead + len(core) :] + after)

    def _source(self, held: _Held, part: int, row: int, context: int) -> Source | None:
        """The first place in a document where the span stands as whole words; None if nowhere."""
        table = self._documents[part]
        for place in self._places(held, part, row, context):
            if place.edges.both:
                fields = {name: table[name][row].as_py() or "" for name in ("url", "host", "language", "licence")}
                return Source(table["id"][row].as_py(), **fields, part=self.names[part], **place._asdict())
        return None

    def _spans(self, text: str, kept: Sequence[_Held], documents: int, context: int) -> list[Span]:
        """The kept candidates with their documents, those first that hold most of the text."""
        places = [list(self._documents_of(held)) for held in kept]
        weight: Counter[tuple[int, int]] = Counter()
        for held, found in zip(kept, places, strict=True):
            weight.update(dict.fromkeys(found, len(held.candidate.ids)))
        spans = []
        for held, found in zip(kept, places, strict=True):
            best = sorted(found, key=lambda place: (-weight[place], place))
            sources = (self._source(held, *place, context) for place in best)
            shown = tuple(itertools.islice((each for each in sources if each), documents))
            one = held.candidate
            words, ids = text[one.begin : one.end], tuple(one.ids.tolist())
            spans.append(Span(one.begin, one.end, words, ids, self._rarity(one), held.occurrences, shown))
        return sorted(spans, key=lambda span: (span.begin, -span.end))

    def _text_of(self, part: int, row: int) -> tuple[int, int]:
        """The tokens of a document's text: between its <bod> and its <eod>."""
        begin = int(self._offsets[part][row])
        return begin + 1, begin + self._documents[part]["length"][row].as_py() - 1

    def _decode(self, part: int, begin: int, end: int) -> str:
        text: str = self.encoder.decode(self._parts[part].tokens[begin:end].tolist(), skip_special_tokens=False)
        return text


def trace(index: Index, shards: Shards, tokenizer: Tokenizer | None, text: str, **options: int) -> list[Span]:
    """Spans of a text and the training documents that hold them; for many texts, open a `Searcher` once."""
    return Searcher(index, shards, tokenizer).trace(text, **options)


def open_searcher(ledger: Ledger, name: str = "") -> Searcher:
    """A searcher over an index of a ledger and the shards that its manifest names.

    Args:
        name: `recipe/index`, a digest prefix or a path; empty: the only index there is.

    Raises:
        UsageError: it is no index; or none is named, and there are several or none.
        NotInLedgerError, DamagedError: as `ledger.resolve`; or the shards aren't here.
    """
    found = resolve(ledger, name or _only_index(ledger)).stored
    reference = found.manifest.inputs.get("shards")
    if found.manifest.kind != "Index" or not isinstance(reference, Reference):
        raise UsageError(
            f"{name} is a {found.manifest.kind}, and a text is traced through an Index (`use: audit.index`)."
        )
    shards = ledger.get(reference.key, reference.digest).artifact
    index = found.artifact
    assert isinstance(index, Index) and isinstance(shards, Shards), (index, shards)
    return Searcher(index, shards)


def _only_index(ledger: Ledger) -> str:
    """A name of the ledger's only index; several names of one artifact are no question."""
    found: dict[str, str] = {}
    for name in ledger.names.all():
        with contextlib.suppress(LedgerError):
            manifest = resolve(ledger, name).stored.manifest
            if manifest.kind == "Index":
                found.setdefault(manifest.digest, name)
    if len(found) != 1:
        several = f"there are several: {', '.join(sorted(found.values()))}"
        none = "there is none yet; a recipe makes one with `use: audit.index`"
        raise UsageError(f"name an index (--index recipe/step): {several if found else none}.")
    return next(iter(found.values()))


def _open_part(index: Index, shards: Shards, name: str, facts: dict[str, Any]) -> Part:
    first = np.fromfile(index.path(f"first/{name}.bin"), "<i8")
    dtype = np.dtype(facts["parts"][name]["dtype"]).newbyteorder("<")
    suffixes = np.memmap(index.path(f"suffix/{name}.bin"), dtype, "r") if first[-1] else np.zeros(0, dtype)
    # as plain arrays over the same maps: an index into np.memmap costs three times as much
    return Part(np.asarray(shards.tokens(name)), np.asarray(suffixes), first, facts["first_text_token"])


def _query(runs: Sequence[np.ndarray]) -> tuple[np.ndarray, list[int]]:
    """Runs of tokens one behind the other with gaps between; and where each begins."""
    at = np.cumsum([0, *(len(run) + len(GAP) for run in runs)])
    return np.concatenate([each for run in runs for each in (run, GAP)]).astype(np.int64), at[:-1].tolist()
