"""A ledger of format 1 stays readable for ever. If this fails, the reader is wrong, never the ledger."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from allmend.ledger import Index, Ledger, ancestors, collect, resolve, verify

DIGESTS = {
    "first/documents": "f1313ccd7636514c4b85cc7fda2ac874b0f2a2339e67d3f96f66715bb948e6be",
    "first/documents~1": "1210d79d88257134ea7b96f3e7ae12f1f6afb0f9af09810a206aa2d8d7e8fa90",
    "first/corpus": "87f0a9b618f5bcd85ef4331c0fb5bcab4fe5dfefa0561ec3b08e4f83bc845198",
    "first/report": "7967102261bcb26acefc5d59b61e7ef7fd6c34f9dd0a4e5000d37aaeddb93bdd",
}


@pytest.fixture
def old(tmp_path: Path) -> Ledger:
    shutil.copytree(Path(__file__).with_name("format1"), tmp_path / "old")
    return Ledger(tmp_path / "old")


@pytest.mark.parametrize("name", DIGESTS)
def test_each_artifact_is_found_and_sound(old: Ledger, name: str) -> None:
    found = resolve(old, name)
    assert found.stored.manifest.digest == DIGESTS[name]
    assert verify(old, found.stored) == []


def test_its_lineage_parts_and_index_are_read(old: Ledger) -> None:
    report = resolve(old, "first/report").stored
    assert [one.manifest.step for one in ancestors(old, report)] == ["toy.make"] * 3
    assert old.find_part("c" * 64) == {
        "files": [list(entry) for entry in resolve(old, "first/corpus").stored.manifest.files],
        "rows": {"corpus": 1},
    }
    assert (
        len(Index.open(old).children(*(lambda m: (m.key, m.digest))(resolve(old, "first/documents").stored.manifest)))
        == 2
    )


def test_it_is_collected_like_any_other(old: Ledger) -> None:
    assert collect(old, keep=1).objects == [
        (entry.key, entry.digest) for entry in old.names.versions("first/documents")[1:]
    ]
    assert verify(old, resolve(old, "first/report").stored) == []
