"""`batch` and `seen` against brute force: every sample of a run laid out token by token. Group 4 of the cases."""

from __future__ import annotations

import dataclasses
from collections import defaultdict
from pathlib import Path

import pytest

from allmend.kinds import Probes
from allmend.train import Order, Record
from allmend.train.streams import open_streams
from tests.train import making, reference
from tests.train.making import Library

CONTEXT = 16
Spans = dict[tuple[int, int, str], tuple[int, int]]
"""(step, sample, document) → tokens [start, end) of it that were read."""


def edges() -> Library:
    """Documents over several windows, on window edges, without words, and one that ends in the padded window."""
    library = Library()
    for number, words in enumerate([0, 14, 30, 60, 0, 0, 13, 1, 100, 14, 14, 5]):
        library.add("de", [13 + number] * words, f"de {number}")
    for number, words in enumerate([14, 3, 46]):
        library.add("fr", [40 + number] * words, f"fr {number}")
    return library


def run_of(library: Library, folder: Path, probes: Probes | None = None) -> Record:
    """Ramps, a stage of one step, batches of one, a skipped step, two stages of other contexts."""
    shards = library.shards(folder / "shards")
    digest = making.digest(shards)
    tokens = open_streams(shards, probes, CONTEXT).tokens
    shares = {"de": 0.6, "fr": 0.4}
    order = Order(7).with_stage(shares, tokens, context=CONTEXT, batches=[(3, 1), (4, 3), (2, 5)], shards=digest)
    order = order.with_stage({"de": 1.0}, tokens, context=CONTEXT, batches=[(1, 2)], shards=digest)
    if probes is not None:
        order = order.with_stage(
            {**shares, "probes": 0.5}, tokens, context=CONTEXT, batches=[(9, 2)], shards=digest, probes="p"
        )
    else:
        order = order.with_stage({"fr": 1.0}, tokens, context=24, batches=[(5, 1)], shards=digest)
    return Record(dataclasses.replace(order, skipped=((4, 1), (8, 2))), {digest: shards}, probes)


def brute_force(library: Library, record: Record) -> Spans:
    """Every sample of every step, token by token."""
    owners = {domain: [] for domain in library.domains}  # type: dict[str, list[tuple[str, int]]]
    for each in library.sorted():
        owners[each.domain] += [(each.id, place) for place in range(len(each.tokens))]
    read, order = {}, record.order.as_json()
    for step in range(record.order.step_count):
        for i in reference.batch_of(order, step):
            stage, domain, _, window = reference.sample(order, i)
            if domain["name"] in owners:
                size = stage["S"]
                places = defaultdict(list)
                for document, place in owners[domain["name"]][window * size : (window + 1) * size]:
                    places[document].append(place)
                read.update({(step, i, each): (min(found), max(found) + 1) for each, found in places.items()})
    return read


def test_case_04_batch_lists_what_brute_force_finds(tmp_path: Path) -> None:
    library = edges()
    record = run_of(library, tmp_path)
    expected = brute_force(library, record)
    listed = {
        (part.step, part.sample, shown["id"]): (part.start, part.end)
        for step in range(record.order.step_count)
        for part, shown in record.batch(step)
    }
    assert listed == expected and len(expected) > 40


def test_case_04_seen_lists_what_brute_force_finds(tmp_path: Path) -> None:
    library = edges()
    record = run_of(library, tmp_path)
    expected = brute_force(library, record)
    for each in library.sorted():
        parts = record.seen(each.id)
        assert parts is not None
        listed = {(part.step, part.sample, each.id): (part.start, part.end) for part in parts}
        assert listed == {key: span for key, span in expected.items() if key[2] == each.id}
        assert [part.sample for part in parts] == sorted(part.sample for part in parts)
    assert record.seen("f" * 32) is None and record.seen("no id") is None


def test_case_04_a_skipped_step_was_fed_to_nobody(tmp_path: Path) -> None:
    library = edges()
    record = run_of(library, tmp_path)
    parts = [part for each in library.sorted() for part in record.seen(each.id) or []]
    assert {part.step for part in parts if not part.fed} == {4, 8, 9}
    assert not any(part.fed for part, _ in record.batch(4)) and all(part.fed for part, _ in record.batch(5))


def test_case_04_first_seen_is_the_first_fed_step_of_brute_force(tmp_path: Path) -> None:
    library = edges()
    record = run_of(library, tmp_path)
    first: dict[str, int] = {}
    for (step, _, document), _ in sorted(brute_force(library, record).items()):
        if not record.order.is_skipped(step):
            first.setdefault(document, step)
    found = record.first_seen([*library.documents, "e" * 32])
    assert {document: step for document, (_, step) in found.items()} == first


def test_each_row_says_what_is_known_of_the_document(tmp_path: Path) -> None:
    library = edges()
    for part, shown in run_of(library, tmp_path).batch(5):
        assert shown["url"] == f"https://{part.domain}.example/{shown['id'][:6]}" and shown["withdrawn_at"] is None


def test_copies_of_probes_are_found_from_both_sides(tmp_path: Path) -> None:
    probes = making.probes(tmp_path / "probes", [0, 1, 5], length=7)
    record = run_of(edges(), tmp_path, probes)
    ids = sorted(making.read_probes(probes), key=lambda each: making.read_probes(probes)[each]["repeats"])
    read = [
        (part, shown["id"]) for step in range(10, 19) for part, shown in record.batch(step) if part.domain == "probes"
    ]
    assert read and {name for _, name in read} <= set(ids) and all((part.start, part.end) == (0, 7) for part, _ in read)
    for name in ids:
        assert sorted((part.step, part.sample) for part in record.seen(name) or []) == sorted(
            (part.step, part.sample) for part, each in read if each == name
        )
    assert record.seen(ids[0]) is None  # planted zero times


@pytest.mark.parametrize("parts", [1, 16])
def test_places_do_not_depend_on_parts(tmp_path: Path, parts: int) -> None:
    library = making.library({"de": 20, "fr": 9})
    shards = library.shards(tmp_path / "shards", parts)
    order = Order(1).with_stage(
        {"de": 1, "fr": 1}, open_streams(shards).tokens, context=8, batches=[(40, 2)], shards="a"
    )
    record = Record(order, {"a": shards})
    expected = brute_force(library, record)
    listed = {
        (part.step, part.sample, each.id): (part.start, part.end)
        for each in library.sorted()
        for part in record.seen(each.id) or []
    }
    assert listed == expected
