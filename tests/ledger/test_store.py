"""The store: whole or not at all, bytes once, damage never linked."""

from __future__ import annotations

import errno
import json
import os
import random
import shutil
import signal
import subprocess
import sys
import time
from dataclasses import replace
from pathlib import Path

import pytest

from allmend.kinds.errors import DamagedError, DriftError, LedgerError, NewerFormatError
from allmend.ledger import Ledger, Manifest, Stored, build_key, collect, store, verify
from tests.ledger.conftest import flip, put, unnamed


def test_equal_bytes_from_two_keys_are_one_file(ledger: Ledger) -> None:
    a, b = unnamed(ledger, {"x": b"same"}, n=1), unnamed(ledger, {"y": b"same"}, n=2)
    assert (a.folder / "x").samefile(b.folder / "y")
    assert len(os.listdir(ledger.files)) == 1


def test_the_same_key_with_other_bytes_is_drift_that_names_both(ledger: Ledger) -> None:
    first = put(ledger, "toy/a", {"x": b"1"}, n=1)
    with pytest.raises(DriftError, match=first.manifest.digest[:12]):
        unnamed(ledger, {"x": b"2"}, n=1)
    assert ledger.digests(first.manifest.key) == [first.manifest.digest]
    assert os.listdir(ledger.tmp) == []


def test_with_tolerance_a_key_has_several_digests(ledger: Ledger) -> None:
    for data in (b"1", b"2"):
        one = unnamed(ledger, {"x": data}, reproducible="tolerance", n=1)
    assert len(ledger.digests(one.manifest.key)) == 2


def test_a_second_build_to_equal_bytes_keeps_the_first(ledger: Ledger) -> None:
    first = unnamed(ledger, {"x": b"1"}, run=b"1")
    assert unnamed(ledger, {"x": b"1"}, run=b"2").manifest == first.manifest


def test_a_damaged_stored_file_is_set_aside_and_not_linked(ledger: Ledger) -> None:
    first = unnamed(ledger, {"x": b"right"}, n=1)
    flip(ledger.files / first.manifest.files[0].sha256)
    second = unnamed(ledger, {"x": b"right"}, n=2)
    assert (second.folder / "x").read_bytes() == b"right"
    assert len(os.listdir(ledger.root / "damaged")) == 1


def test_a_half_removed_object_makes_way(ledger: Ledger) -> None:
    one = unnamed(ledger, {"x": b"1", "y": b"2"})
    (one.folder / "manifest.json").unlink()
    assert ledger.digests(one.manifest.key) == []
    again = unnamed(ledger, {"x": b"1", "y": b"2"})
    assert sorted(os.listdir(again.folder)) == ["_run", "manifest.json", "x", "y"]


def test_files_are_read_only_and_folders_writable(ledger: Ledger) -> None:
    one = unnamed(ledger, {"x": b"1"})
    assert all((one.folder / path).stat().st_mode & 0o222 == 0 for path in ("x", "manifest.json", "_run/timings.json"))
    assert one.folder.stat().st_mode & 0o200  # so that a person can delete it


def test_a_ledger_of_a_newer_format_is_refused_and_untouched(tmp_path: Path) -> None:
    (tmp_path / "ledger.json").write_text('{"format": 2}')
    with pytest.raises(NewerFormatError, match="format 2"):
        Ledger(tmp_path)
    assert os.listdir(tmp_path) == ["ledger.json"]


def test_a_manifest_of_a_newer_format_is_refused(ledger: Ledger) -> None:
    value = json.loads((unnamed(ledger, {"x": b"1"}).folder / "manifest.json").read_bytes())
    with pytest.raises(NewerFormatError):
        Manifest.from_bytes(json.dumps({**value, "format": 2, "colour": "red"}).encode(), "here")


def test_without_create_an_absent_ledger_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(LedgerError, match="no ledger"):
        Ledger(tmp_path / "none", create=False)


@pytest.mark.parametrize(
    "path",
    [
        "../x",
        "/etc/passwd",
        "a/../../x",
        "",
        "a//b",
        "./a",
        "a\\b",
        "manifest.json",
        "_run/x",
        "a\0b",
        7,
        None,
        "x" * 256,
        "x/" * 600 + "x",
        "\ud800",
        "_run/timings.json/x",
    ],
)
def test_a_manifest_whose_path_leaves_its_folder_cant_be_read(ledger: Ledger, path: object) -> None:
    value = json.loads((unnamed(ledger, {"x": b"1"}).folder / "manifest.json").read_bytes())
    value["files"][0]["path"] = path
    with pytest.raises(DamagedError):
        Manifest.from_bytes(json.dumps(value).encode(), "here")


@pytest.mark.parametrize(
    "data", [b"", b"{", b"[]", b"null", b"\xff", b"[" * 100_000, b'{"inputs": {"a": {"key": "../.."}}}']
)
def test_what_is_no_manifest_is_damaged_and_no_crash(data: bytes) -> None:
    with pytest.raises(DamagedError):
        Manifest.from_bytes(data, "here")


def test_a_part_whose_file_is_gone_is_made_again(ledger: Ledger) -> None:
    entry = unnamed(ledger, {"x": b"1"}).manifest.files[0]
    ledger.put_part("p" * 64, {"files": [list(entry)], "rows": {}})
    assert ledger.find_part("p" * 64)
    (ledger.files / entry.sha256).unlink()
    assert ledger.find_part("p" * 64) is None


COMMITTER = """
import sys
from pathlib import Path
from allmend.ledger import Ledger
from tests.ledger.conftest import put
ledger = Ledger(Path(sys.argv[1]))
print("ready", flush=True)
for n in range(10_000):
    put(ledger, f"toy/n{n % 7}", {f"{i}.txt": f"{n} {i}".encode() * 500 for i in range(8)} | {"same": b"same"}, n=n)
"""


def test_after_kill_9_every_object_is_whole(tmp_path: Path) -> None:
    seed = random.randrange(2**32)
    print("seed", seed)
    draw = random.Random(seed)
    for _ in range(5):
        command = [sys.executable, "-c", COMMITTER, str(tmp_path / "ledger")]
        process = subprocess.Popen(command, stdout=subprocess.PIPE, cwd=Path(__file__).parents[2])
        assert process.stdout is not None and process.stdout.readline() == b"ready\n"
        time.sleep(draw.uniform(0.02, 0.25))
        process.send_signal(signal.SIGKILL)
        process.wait()
    ledger = Ledger(tmp_path / "ledger")
    keys = os.listdir(ledger.objects)
    assert keys
    for key in keys:
        for digest in ledger.digests(key):
            problems = verify(ledger, ledger.get(key, digest))
            assert [problem for problem in problems if problem.sort != "history"] == []  # killed before it got its name
    assert all(ledger.digests(key) for key in keys)


@pytest.mark.system
def test_70_000_equal_files_pass_the_link_limit(ledger: Ledger) -> None:
    one = unnamed(ledger, {f"{n:05d}": b"" for n in range(70_000)})
    assert len(one.manifest.files) == 70_000
    assert verify(ledger, one)[0].sort == "history"
    assert len(verify(ledger, one)) == 1


def test_a_manifest_with_a_path_that_is_file_and_folder_cant_be_read(ledger: Ledger) -> None:
    value = json.loads((unnamed(ledger, {"x": b"1", "y": b"2"}).folder / "manifest.json").read_bytes())
    value["files"][1]["path"] = "x/y"
    with pytest.raises(DamagedError, match="folder"):
        Manifest.from_bytes(json.dumps(value).encode(), "here")


def test_a_file_name_that_no_manifest_may_hold_is_refused_at_commit(ledger: Ledger) -> None:
    with pytest.raises(LedgerError, match="another name"):
        unnamed(ledger, {"a\\b": b"1"})
    assert os.listdir(ledger.objects) == []


def test_an_artifact_of_a_kind_that_nobody_here_knows_is_still_verified_and_named_when_used(ledger: Ledger) -> None:
    one = put(ledger, "toy/a", {"x": b"1"})
    strange = Stored(one.folder, replace(one.manifest, kind="Hologram"))
    assert verify(ledger, one) == []
    with pytest.raises(LedgerError, match="Hologram"):
        print(strange.artifact)


def test_every_file_is_synced_even_one_that_a_part_made(ledger: Ledger, monkeypatch: pytest.MonkeyPatch) -> None:
    part = unnamed(ledger, {"x": b"1"}, n=1).manifest.files[0]
    synced: list[Path] = []
    monkeypatch.setattr(store, "_sync", synced.extend)
    draft = ledger.draft()
    store.link(ledger.files / part.sha256, draft / "x")
    (draft / "y").write_text("2")
    key = build_key("toy.make", 1, {}, {})
    manifest = Manifest(key, "", key, "toy.make", 1, "Toy", {}, {}, [], [], {})
    ledger.commit(draft, manifest, known={"x": part})
    assert {path.name for path in synced} == {"x", "y", "manifest.json"}


def test_a_copy_with_just_objects_and_names_can_be_read_and_collected(ledger: Ledger, tmp_path: Path) -> None:
    one = put(ledger, "toy/a", {"x": b"1"})
    shutil.copytree(ledger.root, tmp_path / "copy")
    for name in ("files", "parts", "leases", "state", "tmp"):  # as git or a push leaves it
        shutil.rmtree(tmp_path / "copy" / name)
    copy = Ledger(tmp_path / "copy", create=False)
    assert verify(copy, copy.get(one.manifest.key, one.manifest.digest)) == []
    assert collect(copy).objects == []


def test_where_links_fail_files_are_copied(ledger: Ledger, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*paths: object) -> None:
        raise OSError(errno.EXDEV, "another device")

    first = put(ledger, "toy/a", {"x": b"same"}, n=1)
    with monkeypatch.context() as patch:
        patch.setattr(os, "link", refuse)
        second = unnamed(ledger, {"y": b"same", "z": b"new"}, n=2)
    assert not (second.folder / "y").samefile(first.folder / "x")
    assert [problem.sort for problem in verify(ledger, second)] == ["history"]
    assert ledger.whole(second.manifest.files[1].sha256)


def test_a_deletion_that_is_broken_off_leaves_no_half_where_the_whole_was(
    ledger: Ledger, monkeypatch: pytest.MonkeyPatch
) -> None:
    def killed(*arguments: object, **more: object) -> None:
        raise KeyboardInterrupt

    one = unnamed(ledger, {"x": b"1"})
    monkeypatch.setattr(shutil, "rmtree", killed)
    with pytest.raises(KeyboardInterrupt):
        ledger.trash(one.folder)
    assert not one.folder.exists() and os.listdir(ledger.tmp)[0].startswith("trash-")
