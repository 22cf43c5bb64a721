"""Keys and names: what moves a key, what a name may be, and that no entry of a history is ever lost."""

from __future__ import annotations

import os
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest

from allmend.ledger import Ledger, Named, Reference, Stored, build_key, digests_of
from allmend.ledger.names import is_name
from tests.ledger.conftest import overwrite, put

KEY: dict[str, Any] = {"step": "toy.make", "version": 1, "config": {"x": 1}, "inputs": {"a": "d" * 64}, "writer": 1}


@pytest.mark.parametrize(
    "change",
    [
        {"step": "toy.bake"}, {"version": 2}, {"config": {"x": 2}}, {"config": {}}, {"config": {"x": True}},
        {"inputs": {"b": "d" * 64}}, {"inputs": {"a": "e" * 64}}, {"inputs": {"a": ["d" * 64]}}, {"writer": 2},
    ],
)  # fmt: skip
def test_each_of_these_moves_the_build_key(change: dict[str, Any]) -> None:
    assert build_key(**{**KEY, **change}) != build_key(**KEY)


def test_the_order_of_config_and_inputs_and_the_key_of_a_parent_move_nothing() -> None:
    swapped = {**KEY, "config": {"y": 2, "x": 1}}
    assert build_key(**swapped) == build_key(**{**KEY, "config": {"x": 1, "y": 2}})
    one, other = Reference("Toy", "1" * 64, "d" * 64), Reference("Toy", "2" * 64, "d" * 64)
    assert digests_of({"a": one}) == digests_of({"a": other})


def test_the_order_of_a_list_of_inputs_is_identity() -> None:
    inputs = [{"a": ["d" * 64, "e" * 64]}, {"a": ["e" * 64, "d" * 64]}]
    assert len({build_key(**{**KEY, "inputs": each}) for each in inputs}) == 2


def test_a_name_that_means_it_already_gets_no_new_entry(ledger: Ledger) -> None:
    for _ in range(2):
        put(ledger, "toy/a", {"x": b"1"})
    assert ledger.names.numbers("toy/a") == [1]


def test_a_rebuild_to_equal_bytes_adds_an_entry(ledger: Ledger) -> None:
    first = put(ledger, "toy/a", {"x": b"1"})
    ledger.trash(first.folder)
    put(ledger, "toy/a", {"x": b"1"}, run=b"another clock")
    assert ledger.names.numbers("toy/a") == [1, 2] and len(ledger.names.versions("toy/a")) == 1


def test_of_entries_written_at_once_none_is_lost(ledger: Ledger) -> None:
    def append(n: int) -> None:
        ledger.names.append(Named("toy/a", 0, f"{n:064x}", "d" * 64, "e" * 64, "p", "2026-11-25T00:00:00+00:00"))

    with ThreadPoolExecutor(8) as pool:
        list(pool.map(append, range(64)))
    assert {entry.key for entry in ledger.names.history("toy/a")} == {f"{n:064x}" for n in range(64)}
    assert ledger.names.numbers("toy/a") == list(range(1, 65)) and os.listdir(ledger.tmp) == []


def test_an_unreadable_last_entry_gives_way_to_the_one_before(ledger: Ledger) -> None:
    first = put(ledger, "toy/a", {"x": b"1"}, v=1)
    put(ledger, "toy/a", {"x": b"2"}, v=2)
    overwrite(ledger.names.folder("toy/a") / "000002.json", b"")
    latest = ledger.names.latest("toy/a")
    assert latest is not None and latest.digest == first.manifest.digest


def test_labels_prefer_the_recipe_asked_for_and_count_versions(ledger: Ledger) -> None:
    one = put(ledger, "toy/a", {"x": b"1"}, v=1)
    put(ledger, "other/a", {"x": b"1"}, v=1)
    put(ledger, "toy/a", {"x": b"2"}, v=2)
    address = (one.manifest.key, one.manifest.digest)
    assert ledger.names.labels(first="toy/")[address] == "toy/a~1"
    assert ledger.names.labels(first="other/")[address] == "other/a"


BAD = ["", ".", "..", "a/../b", "/a", "a/", ".hidden/x", "a.name/b", "a~1", "a\nb", "a\\b"]
TOO_LONG = ["x" * 201, "é" * 101]


@pytest.mark.parametrize("name", [*BAD, *TOO_LONG, "\ud800"])
def test_what_cant_be_a_folder_cant_be_a_name(name: str) -> None:
    assert not is_name(name)


@pytest.mark.parametrize("name", ["toy/corpus", "toy/proxies/0007", "commons-demo@1M:20k/model", "grüezi/文"])
def test_what_recipes_and_steps_are_called_is_a_name(name: str) -> None:
    assert is_name(name)


def test_the_folder_of_a_name_reads_well(ledger: Ledger, chain: list[Stored]) -> None:
    assert (ledger.root / "names/toy/a.name/000001.json") == Path(ledger.names.folder("toy/a")) / "000001.json"
    assert ledger.names.all() == ["toy/a", "toy/b", "toy/c"]
