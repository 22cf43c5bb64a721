"""Finding artifacts, and the index that is only a cache."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from allmend.kinds.errors import DamagedError, NotInLedgerError
from allmend.ledger import Index, Ledger, Manifest, Stored, ancestors, children, locate, resolve
from tests.ledger.conftest import overwrite, put


def test_a_name_a_digest_prefix_a_key_prefix_and_a_path_find_the_same(ledger: Ledger, chain: list[Stored]) -> None:
    one = chain[1]
    relative = one.folder.relative_to(ledger.root)
    for text in ("toy/b", one.manifest.digest[:8], one.manifest.key[:6], str(one.folder), str(relative)):
        assert resolve(ledger, text, project_root=ledger.root).stored == one


def test_a_tilde_counts_different_digests(ledger: Ledger) -> None:
    builds = [
        put(ledger, "toy/a", {"x": data}, n=n, run=run)
        for n, data, run in [(1, b"1", b""), (2, b"2", b""), (3, b"2", b"9"), (4, b"3", b"")]
    ]
    assert resolve(ledger, "toy/a").stored == builds[3]
    assert resolve(ledger, "toy/a~1").stored == builds[2]
    assert resolve(ledger, "toy/a~2").stored == builds[0]
    with pytest.raises(NotInLedgerError, match="3 versions"):
        resolve(ledger, "toy/a~3")


def test_a_member_has_a_name_of_three_words(ledger: Ledger) -> None:
    one = put(ledger, "toy/swarm/0007", {"x": b"1"})
    assert resolve(ledger, "toy/swarm/0007").stored == one


def test_an_unknown_name_names_the_nearest(ledger: Ledger, chain: list[Stored]) -> None:
    put(ledger, "toy/corpus", {"x": b"c"}, c=1)
    with pytest.raises(NotInLedgerError, match="`toy/corpus`"):
        resolve(ledger, "toy/corpsu")


def test_an_ambiguous_prefix_lists_what_it_could_mean(
    ledger: Ledger, chain: list[Stored], monkeypatch: pytest.MonkeyPatch
) -> None:
    key = chain[0].manifest.key
    for tail in "ab":
        twin = ledger.objects / key / ("abcdef" + tail * 58)
        twin.mkdir()
        (twin / "manifest.json").write_text("{}")
    with pytest.raises(NotInLedgerError, match=r"abcdefaaa.*abcdefbbb"):
        resolve(ledger, "abcdef")


@pytest.mark.parametrize("text", ["../../etc", "/etc", "", ".", "~1", "a~99999999999", "\0"])
def test_a_strange_text_is_just_not_found(ledger: Ledger, text: str) -> None:
    with pytest.raises((NotInLedgerError, ValueError)):
        resolve(ledger, text)


def test_a_damaged_manifest_can_be_located_but_not_resolved(ledger: Ledger, chain: list[Stored]) -> None:
    overwrite(chain[0].folder / "manifest.json", b"{")
    assert locate(ledger, "toy/a") == ("toy/a", chain[0].folder)
    with pytest.raises(DamagedError):
        resolve(ledger, "toy/a")


def test_a_collected_version_says_so(ledger: Ledger, chain: list[Stored]) -> None:
    ledger.trash(chain[0].folder)
    with pytest.raises(NotInLedgerError, match="isn't here any more"):
        resolve(ledger, "toy/a")


def test_ancestors_come_once_and_parents_first(ledger: Ledger, chain: list[Stored]) -> None:
    assert ancestors(ledger, chain[2]) == chain


def test_children_come_from_the_index(ledger: Ledger, chain: list[Stored]) -> None:
    assert {one.folder for one in children(ledger, chain[0])} == {chain[1].folder, chain[2].folder}
    assert children(ledger, chain[2]) == []


def test_the_index_is_the_same_from_nothing_and_from_its_file(ledger: Ledger, chain: list[Stored]) -> None:
    Index.rebuild(ledger)
    kept = Index.open(ledger)
    assert not kept.fresh
    late = put(ledger, "toy/late", {"l": b"l"}, {"of": chain[0]}, l=1)
    index = Index.open(ledger)
    assert index.fresh and (late.manifest.key, late.manifest.digest) in index.children(
        chain[0].manifest.key, chain[0].manifest.digest
    )
    assert index.by_plan_key(late.manifest.plan_key) == [(late.manifest.key, late.manifest.digest)]
    assert index.names_of(late.manifest.digest) == ["toy/late"]
    ledger.trash(late.folder)
    assert Index.open(ledger).by_plan_key(late.manifest.plan_key) == []


@pytest.mark.parametrize("cut", [0, 1, 100, 5000, -1, -4096])
def test_a_truncated_index_is_built_again(ledger: Ledger, chain: list[Stored], cut: int) -> None:
    Index.rebuild(ledger)
    path = ledger.root / "index.sqlite"
    path.write_bytes(path.read_bytes()[:cut])
    assert len(Index.open(ledger).children(chain[0].manifest.key, chain[0].manifest.digest)) == 2


def test_a_damaged_or_newer_index_is_built_again(ledger: Ledger, chain: list[Stored]) -> None:
    path = ledger.root / "index.sqlite"
    Index.rebuild(ledger)
    whole = path.read_bytes()
    for data in (
        b"no database",
        os.urandom(8192),
        whole[:200] + os.urandom(3000) + whole[3200:],
        whole[:60] + b"\0\0\0\x63" + whole[64:],
    ):
        path.write_bytes(data)
        assert len(Index.open(ledger).children(chain[0].manifest.key, chain[0].manifest.digest)) == 2


def test_a_damaged_manifest_is_skipped_and_noticed_when_it_is_whole_again(ledger: Ledger, chain: list[Stored]) -> None:
    path = chain[1].folder / "manifest.json"
    data = path.read_bytes()
    overwrite(path, b"{")
    index = Index.open(ledger)
    assert index.by_plan_key(chain[1].manifest.plan_key) == []
    index.save()
    overwrite(path, data)
    assert Index.open(ledger).by_plan_key(chain[1].manifest.plan_key)


def test_every_manifest_is_indexed_from_nothing_and_read_once(
    ledger: Ledger, chain: list[Stored], monkeypatch: pytest.MonkeyPatch
) -> None:
    """What keeps it quick: 910 manifests in 0.1 s on a quiet machine."""
    reads: list[Path] = []
    read = Manifest.read

    def counting(folder: Path) -> Manifest:
        reads.append(folder)
        return read(folder)

    monkeypatch.setattr(Manifest, "read", counting)
    index = Index.rebuild(ledger)
    assert sorted(reads) == sorted(one.folder for one in chain)
    assert all(index.by_plan_key(one.manifest.plan_key) for one in chain)
    reads.clear()
    Index.open(ledger)
    assert reads == []


def test_an_empty_ledger_has_an_empty_index(tmp_path: Path) -> None:
    assert Index.open(Ledger(tmp_path)).by_plan_key("x") == []
