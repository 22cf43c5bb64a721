"""What differs between two artifacts, and where their histories part."""

from __future__ import annotations

from typing import Any

from allmend.ledger import Ledger, Manifest, Stored, causes, differences
from tests.ledger.conftest import put


def line(ledger: Ledger, rate: float, data: bytes = b"shared", **more: Any) -> list[Stored]:
    """source → two models of it → a table of both."""
    source = put(ledger, "toy/source", {"x": data}, **more)
    models = [
        put(ledger, f"toy/models/{n}", {"m": b"%d %f" % (n, rate) + data}, {"of": source}, rate=rate, n=n)
        for n in (0, 1)
    ]
    return [source, *models, put(ledger, "toy/table", {"t": b"%f" % rate + data, "same": b"same"}, {"of": models})]


def said(ledger: Ledger, before: Stored, after: Stored) -> list[tuple[str, list[str]]]:
    found = causes(ledger, before.manifest, after.manifest)
    labels = ledger.names.labels()
    return [(labels[cause.after.key, cause.after.digest], cause.sentences) for cause in found]


def test_equal_artifacts_do_not_differ(ledger: Ledger) -> None:
    one = line(ledger, 0.5)[3]
    assert differences(one.manifest, one.manifest) == [] and causes(ledger, one.manifest, one.manifest) == []


def test_a_changed_config_far_up_is_named_at_each_artifact_that_has_it(ledger: Ledger) -> None:
    before, after = line(ledger, 0.5)[3], line(ledger, 0.25)[3]
    sentence = ["config rate: 0.5 → 0.25"]
    assert said(ledger, before, after) == [("toy/models/0", sentence), ("toy/models/1", sentence)]
    found = differences(before.manifest, after.manifest)
    assert [each.partition(":")[0] for each in found] == ["input of[0]", "input of[1]", "files"]
    assert found[-1] == "files: 1 of 2 changed: t"


def test_where_bytes_come_out_equal_nothing_before_them_is_a_cause(ledger: Ledger) -> None:
    before, after = line(ledger, 0.5, seed=1)[3], line(ledger, 0.5, seed=2)[3]
    assert before.manifest.digest == after.manifest.digest
    assert causes(ledger, before.manifest, after.manifest) == []


def test_other_bytes_from_the_same_key_are_said_to_be_that(ledger: Ledger) -> None:
    for data in (b"1", b"2"):
        put(ledger, "toy/rough", {"x": data}, reproducible="tolerance")
    new, old = (ledger.get(entry.key, entry.digest) for entry in ledger.names.versions("toy/rough"))
    assert said(ledger, old, new) == [("toy/rough", ["the same key gave other bytes"])]


def test_an_absent_ancestor_ends_the_search_quietly(ledger: Ledger) -> None:
    before, after = line(ledger, 0.5, seed=1), line(ledger, 0.5, b"other", seed=2)
    ledger.trash(before[0].folder)
    assert said(ledger, before[3], after[3]) == []


def config(**values: Any) -> Manifest:
    return Manifest("k" * 64, "d" * 64, "p" * 64, "toy.make", 1, "Toy", values, {}, [], [], {})


def test_defaults_types_and_outside_files_are_told_apart() -> None:
    files = [{"name": name, "size": 1, "sha256": letter * 64} for name, letter in (("a", "0"), ("b", "1"), ("c", "2"))]
    assert differences(config(x=1), config()) == ["config x: 1 → default"]
    assert differences(config(x=1), config(x=True)) == ["config x: 1 → true"]
    changed = {**files[1], "sha256": "f" * 64}
    assert differences(config(warc=files[:2]), config(warc=[changed, files[2]])) == [
        "config warc: c new", "config warc: a gone", "config warc: b changed",
    ]  # fmt: skip


def test_a_long_value_is_cut_and_many_files_are_counted() -> None:
    (sentence,) = differences(config(x="y" * 500), config(x="z"))
    assert len(sentence) < 100 and sentence.endswith("… → z")
    files = [{"name": f"{n:02d}", "size": 1, "sha256": "0" * 64} for n in range(20)]
    assert differences(config(warc=[]), config(warc=files))[0].endswith("07 and 12 more new")
