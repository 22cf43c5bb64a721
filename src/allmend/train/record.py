"""Step ↔ documents, from `order.json` and the shards alone: no log is kept, none is needed."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from allmend.kinds import Artifact, Probes, Shards
from allmend.kinds.errors import DamagedError, UsageError
from allmend.ledger import Ledger, Reference, Stored
from allmend.train.loader import Loader, batch_hash
from allmend.train.order import Order, Stage
from allmend.train.places import Place, ProbePlaces, ShardPlaces
from allmend.train.streams import PROBES, digest_of, open_streams

NAMED = 5
"""Documents that an error message names."""


@dataclass(frozen=True)
class Part:
    """Tokens [start, end) of a document, as one sample of a step reads them."""

    step: int
    sample: int
    domain: str
    epoch: int
    window: int
    start: int
    end: int
    fed: bool
    """False: the step was skipped, and nobody was fed."""


class Record:
    """Answers which documents a step read, and which steps read a document.

    Args:
        order: of the run.
        shards: content digest → shards, for every stage.
        probes: of the run, if it has any.
    """

    def __init__(self, order: Order, shards: Mapping[str, Shards], probes: Probes | None = None) -> None:
        self.order, self._shards, self._probes = order, dict(shards), probes
        missing = [stage.shards for stage in order.stages if stage.shards not in self._shards]
        if missing:
            raise DamagedError(
                f"order.json names the shards {missing[0][:12]}…, which are not those that the model's manifest names."
            )
        self._places = {digest: ShardPlaces(each) for digest, each in self._shards.items()}

    @classmethod
    def of(cls, ledger: Ledger, stored: Stored) -> Record:
        """The record of a model in a ledger.

        Raises:
            UsageError: it isn't a model that was trained here.
            DamagedError: its shards aren't in the ledger any more.
        """
        manifest = stored.manifest
        shards, probes = (manifest.inputs.get(name) for name in ("shards", "probes"))
        if manifest.kind != "Model" or not isinstance(shards, Reference):
            raise UsageError(
                f"{manifest.digest[:12]} is a {manifest.kind} made by {manifest.step}; only a model has a data order."
            )
        planted = ledger.get(probes.key, probes.digest).artifact if isinstance(probes, Reference) else None
        assert planted is None or isinstance(planted, Probes), planted
        read = ledger.get(shards.key, shards.digest).artifact
        assert isinstance(read, Shards), read
        return cls(Order.read(stored.folder / "order.json"), {shards.digest: read}, planted)

    @classmethod
    def of_model(cls, model: Artifact, shards: Shards, probes: Probes | None) -> Record:
        """The record of a model whose inputs are at hand."""
        return cls(Order.read(model.path("order.json")), {digest_of(shards): shards}, probes)

    # --- step → documents ---

    def batch(self, step: int) -> list[tuple[Part, dict[str, Any]]]:
        """What a step reads: spans of documents in the order of its samples, each with what `places.SHOWN` names.

        Raises:
            UsageError: the run has no such step.
        """
        first, count = self.order.batch(step)
        samples = self.order.samples(first, count)
        stage, fed = samples.stage, not bool(self.order.is_skipped(step))
        found = []
        for number in range(count):
            name = stage.domains[int(samples.domain[number])].name
            window = int(samples.window[number])
            begin, end = window * stage.context, (window + 1) * stage.context
            for place, shown in self._between(stage, name, begin, end):
                span = max(begin, place.start) - place.start, min(end, place.start + place.length) - place.start
                found.append((Part(step, first + number, name, int(samples.epoch[number]), window, *span, fed), shown))
        return found

    def _between(self, stage: Stage, domain: str, start: int, end: int) -> list[tuple[Place, dict[str, Any]]]:
        if domain == PROBES and self._probes is not None:
            return ProbePlaces(self._probes, stage.context).between(start, end)
        return self._places[stage.shards].between(domain, start, end)

    def hash(self, step: int) -> str:
        """The batch's hash, recomputed from the shards."""
        streams = [open_streams(self._shards[stage.shards], self._probes, stage.context) for stage in self.order.stages]
        return batch_hash(Loader(self.order, streams).batch(step).hashes).hex()

    def named(self, step: int) -> str:
        """A sentence that names a step's documents, for an error message."""
        rows = {shown["id"]: shown["url"] for _, shown in self.batch(step)}
        shown = ", ".join(f"{name} ({url})" if url else name for name, url in list(rows.items())[:NAMED])
        more = f", and {len(rows) - NAMED} more" if len(rows) > NAMED else ""
        return f"Its batch holds {len(rows)} documents: {shown}{more}."

    # --- document → steps ---

    def seen(self, document: str) -> list[Part] | None:
        """The parts of a document that steps read, ascending; None if no stage's shards (or probes) hold it."""
        found, known = [], False
        for stage in self.order.stages:
            places = list(self._places[stage.shards].places([document]).values())
            if not places and self._probes is not None and stage.probes is not None:
                places = ProbePlaces(self._probes, stage.context).places(document)
            known = known or bool(places)
            for place in places:
                found += self._parts(stage, place)
        return sorted(found, key=lambda part: (part.sample, part.start)) if known else None

    def _parts(self, stage: Stage, place: Place) -> list[Part]:
        domain = stage.number(place.domain)
        if domain is None:
            return []
        samples = self.order.samples_of(stage, domain, _windows(place, stage.context))
        if not len(samples):
            return []
        where, steps = self.order.locate(stage, samples), self.order.step_of(samples)
        start = np.maximum(where.window * stage.context - place.start, 0)
        end = np.minimum((where.window + 1) * stage.context - place.start, place.length)
        columns = (steps, samples, where.epoch, where.window, start, end, ~self.order.is_skipped(steps))
        return [
            Part(step, sample, place.domain, epoch, window, first, last, fed)
            for step, sample, epoch, window, first, last, fed in zip(*(each.tolist() for each in columns), strict=True)
        ]

    def first_seen(self, documents: Collection[str]) -> dict[str, tuple[Place, int]]:
        """Document → (its place, the first step that was fed some of it), for those that were read."""
        found: dict[str, tuple[Place, int]] = {}
        for stage in self.order.stages:
            for document, place in self._places[stage.shards].places(list(documents)).items():
                domain = stage.number(place.domain)
                if domain is None or document in found:
                    continue
                steps = self.order.step_of(self.order.samples_of(stage, domain, _windows(place, stage.context)))
                fed = steps[~self.order.is_skipped(steps)]
                if len(fed):
                    found[document] = place, int(fed.min())
        return found


def _windows(place: Place, context: int) -> np.ndarray:
    """Windows that hold a part of a document."""
    return np.arange(place.start // context, (place.start + place.length - 1) // context + 1)
