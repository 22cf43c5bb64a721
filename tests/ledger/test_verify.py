"""verify names every changed, missing or extra byte, never crashes; repair sets aside what the next run makes again."""

from __future__ import annotations

import json
import os
import shutil
import sys
from collections import Counter
from dataclasses import replace
from pathlib import Path

import pytest

from allmend.kinds import sha256_file
from allmend.ledger import Ledger, Problem, Stored, repair, resolve, verify
from tests.ledger.conftest import flip, overwrite, put, unnamed


def failed(problems: list[Problem]) -> list[str]:
    return [problem.sort for problem in problems if problem.severity == "failed"]


def test_a_sound_chain_has_no_problem(ledger: Ledger, chain: list[Stored]) -> None:
    seen = []
    assert verify(ledger, chain[2], lambda done, total: seen.append((done, total))) == []
    every = [entry.size for one in chain for entry in (*one.manifest.files, *one.manifest.run)]
    assert seen[-1] == (sum(every), sum(every))


def test_an_artifact_in_tmp_is_never_needed(ledger: Ledger, chain: list[Stored]) -> None:
    assert os.listdir(ledger.tmp) == []


@pytest.mark.parametrize("which", [0, 1, 2])
def test_a_flipped_byte_in_any_ancestor_shows(ledger: Ledger, chain: list[Stored], which: int) -> None:
    flip(chain[which].folder / ("z.txt" if which == 2 else "x.txt"))
    found = verify(ledger, chain[2])
    assert failed(found) == ["file"]
    assert found[0].digest == chain[which].manifest.digest


def test_missing_and_cut_files_show(ledger: Ledger, chain: list[Stored]) -> None:
    (chain[2].folder / "z.txt").unlink()
    assert failed(verify(ledger, chain[2])) == ["file"]
    overwrite(chain[1].folder / "x.txt", b"sec")
    assert "3 bytes instead of 6" in str(verify(ledger, chain[1])[0])


@pytest.mark.parametrize("path", ["extra.txt", "_run/extra.txt", "deep/er/extra.txt", ".hidden"])
def test_an_extra_file_anywhere_shows(ledger: Ledger, chain: list[Stored], path: str) -> None:
    (chain[0].folder / path).parent.mkdir(parents=True, exist_ok=True)
    (chain[0].folder / path).write_text("x")
    assert failed(verify(ledger, chain[2])) == ["extra"]


def test_a_symlink_shows_and_an_empty_folder_is_fine(ledger: Ledger, chain: list[Stored], tmp_path: Path) -> None:
    (chain[0].folder / "empty").mkdir()
    assert verify(ledger, chain[0]) == []
    (chain[0].folder / "link").symlink_to(tmp_path)
    assert failed(verify(ledger, chain[0])) == ["extra"]
    (chain[0].folder / "link").unlink()
    copy = tmp_path / "copy"
    copy.write_bytes((chain[0].folder / "x.txt").read_bytes())
    (chain[0].folder / "x.txt").unlink()
    (chain[0].folder / "x.txt").symlink_to(copy)
    assert failed(verify(ledger, chain[0])) == ["file"]


def test_a_changed_run_file_shows(ledger: Ledger, chain: list[Stored]) -> None:
    flip(chain[1].folder / "_run/timings.json")
    assert failed(verify(ledger, chain[2])) == ["run"]


def test_each_flipped_byte_of_a_manifest_fails_and_none_crashes(ledger: Ledger, chain: list[Stored]) -> None:
    path = chain[1].folder / "manifest.json"
    data = path.read_bytes()
    for at in range(len(data)):
        for mask in (1, 0x80) if at % 8 == 0 else (1,):
            changed = bytearray(data)
            changed[at] ^= mask
            overwrite(path, bytes(changed))
            assert failed(verify(ledger, chain[1].folder)), (at, mask)
    overwrite(path, data)
    assert verify(ledger, chain[2]) == []


def test_a_manifest_rewritten_to_fit_forged_files_shows_in_the_names_history(
    ledger: Ledger, chain: list[Stored]
) -> None:
    one = chain[0]
    forged = replace(one.manifest, metrics={"accuracy": 1.0})
    overwrite(one.folder / "manifest.json", forged.to_bytes())
    assert failed(verify(ledger, chain[2])) == ["history"]


def test_an_ancestor_that_was_here_and_is_gone_fails(ledger: Ledger, chain: list[Stored]) -> None:
    ledger.trash(chain[0].folder)
    found = verify(ledger, chain[2])
    assert failed(found) == ["absent"] and str(chain[0].folder) in str(found[0])


def test_an_ancestor_that_never_was_here_is_a_note(ledger: Ledger, chain: list[Stored]) -> None:
    ledger.trash(chain[0].folder)
    ledger.trash(ledger.names.folder("toy/a"))
    assert [(problem.severity, problem.sort) for problem in verify(ledger, chain[2])] == [("note", "absent")]


EVERY_FILE = [
    (which, path)
    for which, paths in enumerate((("x.txt", "deep/y.txt"), ("x.txt", "y.txt"), ("z.txt",)))
    for path in (*paths, "_run/timings.json", "manifest.json")
]


@pytest.mark.parametrize("change", ["append", "change", "remove"])
@pytest.mark.parametrize(("which", "path"), EVERY_FILE)
def test_any_change_to_any_file_of_any_ancestor_fails_and_names_it(
    ledger: Ledger, chain: list[Stored], which: int, path: str, change: str
) -> None:
    file = chain[which].folder / path
    if change == "append":
        overwrite(file, file.read_bytes() + b" ")
    elif change == "change":
        flip(file, file.stat().st_size // 2)
    else:
        file.unlink()
    messages = [str(problem) for problem in verify(ledger, chain[2]) if problem.severity == "failed"]
    assert any(str(file) in message for message in messages), messages


def test_a_purged_artifact_is_a_note(ledger: Ledger, chain: list[Stored]) -> None:
    one = chain[0]
    overwrite(one.folder / "manifest.json", replace(one.manifest, purged=True).to_bytes())
    for entry in one.manifest.files:
        (one.folder / entry.path).unlink()
    key, digest = one.manifest.key, one.manifest.digest
    ledger.names.put("toy/a", key, digest, ledger.manifest_hash(key, digest), one.manifest.plan_key)
    assert [(problem.severity, problem.sort) for problem in verify(ledger, chain[2])] == [("note", "purged")]


@pytest.mark.parametrize("data", [b"", b"{", b"[]", b'{"key": "../../x"}', b"\xff\xfe"])
def test_an_unreadable_entry_of_a_name_is_named(ledger: Ledger, chain: list[Stored], data: bytes) -> None:
    put(ledger, "toy/other", {"o": b"o"}, o=1)
    path = ledger.names.folder("toy/other") / "000001.json"
    overwrite(path, data)
    assert str(path) in str(verify(ledger, chain[2])[0])


def test_an_artifact_that_lies_in_anothers_folder_shows(ledger: Ledger, chain: list[Stored]) -> None:
    a, b = chain[0].folder, chain[1].folder
    ledger.trash(b)
    os.rename(a, b)
    assert "manifest" in failed(verify(ledger, b))


def test_repair_sets_aside_a_file_and_all_that_link_it_and_the_next_build_is_sound(
    ledger: Ledger, chain: list[Stored]
) -> None:
    shared = chain[0].manifest.files[0]
    ledger.put_part("a" * 64, {"files": [list(shared)], "rows": {}})
    flip(chain[0].folder / shared.path)
    moved = repair(ledger, verify(ledger, chain[0]))
    assert {chain[0].folder, chain[1].folder, ledger.files / shared.sha256} == set(moved)
    assert not (ledger.parts / ("a" * 64 + ".json")).exists()
    a = put(ledger, "toy/a", {"x.txt": b"first", "deep/y.txt": b"shared"}, n=1, run=b"other clock")
    put(ledger, "toy/b", {"x.txt": b"second", "y.txt": b"shared"}, {"of": a}, n=2, run=b"other clock")
    for text in ("toy/c", chain[2].manifest.digest[:12], chain[2].manifest.key):
        assert verify(ledger, resolve(ledger, text).stored) == []


def test_repair_sets_aside_a_damaged_manifest_and_only_that(ledger: Ledger, chain: list[Stored]) -> None:
    overwrite(chain[1].folder / "manifest.json", b"{")
    repair(ledger, verify(ledger, chain[1].folder))
    assert ledger.digests(chain[1].manifest.key) == []
    assert ledger.digests(chain[0].manifest.key) and ledger.digests(chain[2].manifest.key)


def test_repair_removes_nothing_from_a_sound_ledger(ledger: Ledger, chain: list[Stored]) -> None:
    ledger.trash(chain[0].folder)
    assert repair(ledger, verify(ledger, chain[2])) == []


def test_an_unnamed_artifact_fails(ledger: Ledger) -> None:
    assert failed(verify(ledger, unnamed(ledger, {"x": b"1"}))) == ["history"]


def test_manifests_are_json_that_anyone_can_read(chain: list[Stored]) -> None:
    value = json.loads((chain[2].folder / "manifest.json").read_bytes())
    assert value["inputs"]["of"][0] == {"kind": "Toy", "key": chain[0].manifest.key, "digest": chain[0].manifest.digest}


def test_repair_of_an_extra_file_moves_only_that(ledger: Ledger, chain: list[Stored]) -> None:
    (chain[0].folder / "extra.txt").write_text("x")
    assert repair(ledger, verify(ledger, chain[2])) == [chain[0].folder / "extra.txt"]
    assert verify(ledger, chain[2]) == []


@pytest.mark.parametrize("how", ["missing", "replaced", "symlink"])
def test_repair_links_a_file_anew_whose_bytes_still_lie_in_the_store(
    ledger: Ledger, chain: list[Stored], how: str
) -> None:
    path = chain[0].folder / "deep/y.txt"
    path.unlink()
    if how == "replaced":
        path.write_text("shaped")
    if how == "symlink":
        path.symlink_to("/etc/hostname")
    repair(ledger, verify(ledger, chain[0]))
    assert verify(ledger, chain[2]) == []


def test_repair_of_a_copy_elsewhere_leaves_the_ledger_alone(
    ledger: Ledger, chain: list[Stored], tmp_path: Path
) -> None:
    shutil.copytree(chain[2].folder, tmp_path / "copy")
    overwrite(tmp_path / "copy/manifest.json", replace(chain[2].manifest, version=2).to_bytes())
    problems = verify(ledger, tmp_path / "copy")
    assert failed(problems) == ["manifest"]
    assert repair(ledger, problems) == [] and verify(ledger, chain[2]) == []


def test_without_a_ledger_the_files_are_checked_against_the_manifest_beside_them(
    chain: list[Stored], tmp_path: Path
) -> None:
    shutil.copytree(chain[2].folder, tmp_path / "copy")
    assert verify(None, tmp_path / "copy") == []
    flip(tmp_path / "copy/z.txt")
    assert failed(verify(None, tmp_path / "copy")) == ["file"]


def test_a_way_through_a_symlink_hides_no_forged_manifest(ledger: Ledger, chain: list[Stored], tmp_path: Path) -> None:
    one = chain[2]
    overwrite(one.folder / "manifest.json", replace(one.manifest, metrics={"accuracy": 1.0}).to_bytes())
    (tmp_path / "link").symlink_to(one.folder.parent)
    assert failed(verify(ledger, tmp_path / "link" / one.folder.name)) == ["history"]


def test_of_600_small_artifacts_each_manifest_is_read_and_each_stored_file_hashed_once(
    ledger: Ledger, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What keeps it under a second: 0.16 s on a quiet machine."""
    parents = [put(ledger, f"toy/m/{n:04d}", {"own": str(n).encode(), "same": b"same"}, n=n) for n in range(600)]
    child = put(ledger, "toy/all", {"x": b"x"}, {"of": parents}, n=-1)
    hashed: Counter[int] = Counter()
    hash_file = sha256_file

    def counting(path: Path) -> str:
        hashed[path.stat().st_ino] += 1
        return hash_file(path)

    monkeypatch.setattr(sys.modules[verify.__module__], "sha256_file", counting)
    assert verify(ledger, child) == []
    assert set(hashed.values()) == {1}
    assert len(hashed) == (600 + 2) + 601 + 601  # contents; a `_run/` file and a manifest each
