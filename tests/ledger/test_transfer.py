"""Push and pull, to folders, an S3 server and web servers that misbehave."""

from __future__ import annotations

import hashlib
import json
import os
import pickle
import signal
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest

from allmend.kinds import content_digest
from allmend.kinds.errors import (
    AllmendError,
    DamagedError,
    DriftError,
    Interrupted,
    NewerFormatError,
    NotInLedgerError,
    TransferError,
    UsageError,
)
from allmend.ledger import Entry, Ledger, Manifest, Named, Stored, build_key, pull, push, remote, resolve, verify
from allmend.ledger.layout import dump_entries
from tests.ledger.conftest import flip, overwrite, put
from tests.ledger.servers import Folder, serving


@pytest.fixture(autouse=True)
def hasty(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(remote, "BACKOFF_S", 0.01)


@pytest.fixture
def store(ledger: Ledger, chain: list[Stored], tmp_path: Path) -> Path:
    """A folder that `toy/c` was pushed to."""
    push(ledger, ["toy/c"], str(tmp_path / "store"))
    return tmp_path / "store"


@pytest.fixture
def web(store: Path) -> Iterator[Folder]:
    with serving(store) as server:
        yield server


@pytest.fixture
def partner(tmp_path: Path) -> Ledger:
    return Ledger(tmp_path / "partner")


def everything(ledger: Ledger) -> list[str]:
    return sorted(path.relative_to(ledger.root).as_posix() for path in ledger.root.rglob("*") if path.is_file())


def test_what_is_pulled_is_what_was_pushed_and_verifies(
    ledger: Ledger, chain: list[Stored], store: Path, partner: Ledger
) -> None:
    done = pull(partner, ["toy/c"], str(store))
    assert (done.objects, done.files) == (3, 4 + 3)  # each has a file in `_run/`
    found = resolve(partner, "toy/c").stored
    assert found.manifest == chain[2].manifest
    assert verify(partner, found) == []
    assert partner.names.history("toy/a")[0].at == ledger.names.history("toy/a")[0].at
    assert os.listdir(partner.tmp) == []


def test_the_store_is_a_ledger_itself(chain: list[Stored], store: Path) -> None:
    there = Ledger(store)
    assert resolve(there, "toy/c").stored.manifest.digest == chain[2].manifest.digest
    put(there, "toy/more", {"x": b"1"})


def test_a_second_push_and_pull_move_nothing(ledger: Ledger, store: Path, partner: Ledger) -> None:
    assert push(ledger, ["toy/c"], str(store)).bytes == 0
    pull(partner, ["toy/c"], str(store))
    before = everything(partner)
    done = pull(partner, ["toy/c"], str(store))
    assert (done.objects, done.files, done.bytes) == (0, 0, 0)
    assert everything(partner) == before


def test_only_brings_just_the_artifact_and_verify_notes_the_rest(
    chain: list[Stored], store: Path, partner: Ledger
) -> None:
    assert pull(partner, ["toy/c"], str(store), only=True).objects == 1
    found = verify(partner, resolve(partner, "toy/c").stored)
    assert {(problem.severity, problem.sort) for problem in found} == {("note", "absent")}


def test_an_older_version_can_be_pulled(ledger: Ledger, tmp_path: Path, partner: Ledger) -> None:
    for n in range(3):
        put(ledger, "toy/v", {"x": str(n).encode()}, v=n)
        push(ledger, ["toy/v"], str(tmp_path / "store"))
    pull(partner, ["toy/v~2"], str(tmp_path / "store"))
    assert resolve(partner, "toy/v~2").stored.manifest.config == {"v": 0}
    with pytest.raises(NotInLedgerError, match="3 versions"):
        pull(partner, ["toy/v~3"], str(tmp_path / "store"))


def test_an_unknown_name_names_the_nearest(store: Path, partner: Ledger) -> None:
    with pytest.raises(NotInLedgerError, match=r"Did you mean `toy/.`"):
        pull(partner, ["toy/cc"], str(store))


def test_an_ancestors_name_means_afterwards_what_it_meant_here(store: Path, partner: Ledger) -> None:
    mine = put(partner, "toy/a", {"x.txt": b"my own"}, mine=1)
    pull(partner, ["toy/c"], str(store))
    assert resolve(partner, "toy/a").stored == mine
    assert verify(partner, resolve(partner, "toy/c").stored) == []


def test_progress_ends_at_the_total(store: Path, partner: Ledger) -> None:
    seen: list[tuple[int, int]] = []
    pull(partner, ["toy/c"], str(store), progress=lambda done, total: seen.append((done, total)))
    assert seen[-1][0] == seen[-1][1] == len("firstsharedsecondthird") + 3 * len('{"seconds": 1}')


def test_withdrawals_travel(ledger: Ledger, store: Path, partner: Ledger) -> None:
    (ledger.root / "withdrawals.jsonl").write_text('{"url": "https://a.example/"}\n')
    push(ledger, ["toy/a"], str(store))
    push(ledger, ["toy/a"], str(store))
    for _ in range(2):
        pull(partner, ["toy/a"], str(store))
    assert (partner.root / "notices.jsonl").read_text() == '{"url": "https://a.example/"}\n'
    third = Ledger(partner.root.parent / "third")
    push(partner, ["toy/a"], str(partner.root.parent / "store2"))
    pull(third, ["toy/a"], str(partner.root.parent / "store2"))
    assert (third.root / "notices.jsonl").exists()


def test_a_broken_push_is_never_seen_half(
    ledger: Ledger, chain: list[Stored], tmp_path: Path, partner: Ledger, monkeypatch: pytest.MonkeyPatch
) -> None:
    url, put_one = str(tmp_path / "store"), remote.Remote._put
    for budget in range(1, 30):
        left = [budget]

        def fail(self: remote.Remote, path: str, put: object, left: list[int] = left) -> None:
            left[0] -= 1
            if left[0] < 0:
                raise OSError("the line is dead")
            put_one(self, path, put)  # type: ignore[arg-type]

        monkeypatch.setattr(remote.Remote, "_put", fail)
        try:
            push(ledger, ["toy/c"], url)
            break
        except TransferError as error:
            assert "the line is dead" in str(error)
        there = Ledger(tmp_path / "store") if (tmp_path / "store/ledger.json").exists() else None
        for path in sorted((tmp_path / "store").glob("objects/*/*/manifest.json")):
            for entry in there.get(path.parts[-3], path.parts[-2]).manifest.files if there else []:
                assert there is not None and there.whole(entry.sha256)
    monkeypatch.setattr(remote.Remote, "_put", put_one)
    assert budget > 5
    pull(partner, ["toy/c"], url)
    assert verify(partner, resolve(partner, "toy/c").stored) == []


# --- stores that lie ---


def doctor(store: Path, one: Stored, **changes: object) -> None:
    path = store / "objects" / one.manifest.key / one.manifest.digest / "manifest.json"
    overwrite(path, json.dumps({**json.loads(path.read_bytes()), **changes}).encode())


ENTRY = {"path": "x", "size": 1, "sha256": "0" * 64}


@pytest.mark.parametrize(
    "changes",
    [
        {"files": [{**ENTRY, "path": "../../../../escape"}]},
        {"files": [{**ENTRY, "path": "/escape"}]},
        {"files": [{**ENTRY, "path": "x"}, {**ENTRY, "path": "x/y"}]},
        {"files": [{**ENTRY, "path": "\ud800"}]},
        {"files": [{**ENTRY, "size": 2**60}]},
        {"files": [{**ENTRY, "sha256": "../../etc/passwd"}]},
        {"run": [{**ENTRY, "path": "_run/../../escape"}]},
        {"inputs": {"of": {"kind": "Toy", "key": "../../..", "digest": "x"}}},
        {"format": 2},
        {"metrics": {"accuracy": 1}},
        {"config": {"n": 2**60}},
        {"config": {"n": 4}},
    ],
)
def test_a_hostile_manifest_is_refused_before_anything_is_written(
    chain: list[Stored], store: Path, partner: Ledger, changes: dict[str, object]
) -> None:
    doctor(store, chain[0], **changes)
    before = everything(partner)
    with pytest.raises((DamagedError, NewerFormatError)):
        pull(partner, ["toy/c"], str(store))
    assert everything(partner) == before


@pytest.mark.parametrize("name", ["../../x", "/x", "toy/../../x", ".hidden", "a//b", "a\\b", ""])
def test_a_hostile_name_is_refused(chain: list[Stored], store: Path, partner: Ledger, name: str) -> None:
    path = store / "names/by-digest" / f"{chain[0].manifest.digest}.json"
    rows = json.loads(path.read_bytes())
    path.write_text(json.dumps([*rows, {**rows[0], "name": name}]))
    before = everything(partner)
    with pytest.raises(DamagedError):
        pull(partner, ["toy/c"], str(store))
    with pytest.raises(UsageError):
        pull(partner, [name], str(store))
    assert everything(partner) == before


def test_a_store_of_a_newer_format_is_refused(store: Path, partner: Ledger) -> None:
    (store / "ledger.json").write_text('{"format": 2}')
    with pytest.raises(NewerFormatError):
        pull(partner, ["toy/c"], str(store))


def test_a_flipped_byte_in_the_store_is_found_on_arrival(chain: list[Stored], store: Path, partner: Ledger) -> None:
    flip(store / "files" / chain[0].manifest.files[0].sha256)
    with pytest.raises(TransferError, match=chain[0].manifest.files[0].sha256):
        pull(partner, ["toy/c"], str(store))
    assert partner.names.all() == [] and os.listdir(partner.objects) == [] and os.listdir(partner.tmp) == []
    assert len(os.listdir(partner.files)) == 3  # what arrived whole is kept


def test_a_flipped_byte_in_a_run_file_is_found_on_arrival(chain: list[Stored], store: Path, partner: Ledger) -> None:
    one = chain[0].manifest
    flip(store / "objects" / one.key / one.digest / "_run/timings.json")
    with pytest.raises(TransferError, match=r"_run/timings\.json"):
        pull(partner, ["toy/c"], str(store))
    assert partner.digests(one.key) == [] and os.listdir(partner.tmp) == []


def test_a_manifest_that_lies_about_a_size_is_refused(ledger: Ledger, store: Path, partner: Ledger) -> None:
    """The bytes are here already, so nothing is fetched that could show it."""
    pull(partner, ["toy/c"], str(store))
    lie = [Entry("x", 6, hashlib.sha256(b"first").hexdigest())]
    key, digest = build_key("toy.lie", 1, {}, {}), content_digest(lie)
    manifest = Manifest(key, digest, key, "toy.lie", 1, "Toy", {}, {}, lie, [], {}).to_bytes()
    folder = store / "objects" / key / digest
    folder.mkdir(parents=True)
    (folder / "manifest.json").write_bytes(manifest)
    entry = Named("toy/lie", 1, key, digest, hashlib.sha256(manifest).hexdigest(), key, "2026-11-25T00:00:00+00:00")
    (store / "names/toy/lie.name").mkdir(parents=True)
    (store / "names/toy/lie.name/history.json").write_bytes(dump_entries([entry]))
    with pytest.raises(DamagedError, match="wrong size"):
        pull(partner, ["toy/lie"], str(store))
    assert "toy/lie" not in partner.names.all() and partner.digests(key) == []


def test_a_list_of_names_may_speak_only_of_what_was_pulled(chain: list[Stored], store: Path, partner: Ledger) -> None:
    path = store / "names/by-digest" / f"{chain[0].manifest.digest}.json"
    rows = json.loads(path.read_bytes())
    path.write_text(json.dumps([*rows, {**rows[0], "name": "mine/model", "digest": "f" * 64}]))
    pull(partner, ["toy/c"], str(store))
    assert "mine/model" not in partner.names.all()


@pytest.mark.parametrize("data", ["", "{", "{}", "[1]", '["../x"]', "[" * 100_000])
def test_a_garbled_list_of_all_names_is_damage_and_no_crash(store: Path, partner: Ledger, data: str) -> None:
    (store / "names/index.json").write_text(data)
    with pytest.raises((DamagedError, NotInLedgerError)):
        pull(partner, ["toy/none"], str(store))


@pytest.mark.parametrize("name", ["toy/c~²", "toy/c~-1", "toy/c~x", "toy/c~1~1", "toy/c~99"])
def test_a_version_that_cant_be_is_not_found(store: Path, partner: Ledger, name: str) -> None:
    with pytest.raises(NotInLedgerError):
        pull(partner, [name], str(store))


def test_an_empty_place_says_that_nothing_was_pushed_there(partner: Ledger, tmp_path: Path) -> None:
    with pytest.raises(NotInLedgerError, match="nothing was pushed"):
        pull(partner, ["toy/c"], str(tmp_path / "nowhere"))


def test_no_damaged_file_is_pushed(ledger: Ledger, chain: list[Stored], tmp_path: Path) -> None:
    flip(ledger.files / chain[0].manifest.files[0].sha256)
    with pytest.raises(DamagedError, match="isn't pushed"):
        push(ledger, ["toy/c"], str(tmp_path / "store"))
    assert not list((tmp_path / "store").glob("objects/*/*/manifest.json"))


def test_after_a_broken_push_of_other_run_files_the_next_push_is_whole(
    ledger: Ledger, chain: list[Stored], tmp_path: Path, partner: Ledger
) -> None:
    folder = tmp_path / "store/objects" / chain[0].manifest.key / chain[0].manifest.digest
    (folder / "_run").mkdir(parents=True)
    (folder / "_run/timings.json").write_text('{"seconds": 9}')  # of the same size
    push(ledger, ["toy/c"], str(tmp_path / "store"))
    pull(partner, ["toy/c"], str(tmp_path / "store"))
    assert verify(partner, resolve(partner, "toy/c").stored) == []


def test_four_pushes_at_once_leave_a_whole_store(
    ledger: Ledger, chain: list[Stored], tmp_path: Path, partner: Ledger
) -> None:
    with ThreadPoolExecutor(4) as pool:
        list(pool.map(lambda _: push(ledger, ["toy/c"], str(tmp_path / "store")), range(4)))
    assert not list((tmp_path / "store").rglob("*.partial"))
    pull(partner, ["toy/c"], str(tmp_path / "store"))
    assert verify(partner, resolve(partner, "toy/c").stored) == []


def test_ctrl_c_breaks_off_what_is_on_its_way(web: Folder, partner: Ledger, monkeypatch: pytest.MonkeyPatch) -> None:
    web.spoil = lambda path, attempt: "slow" if path.startswith("files/") else ""

    def interrupt(done: int, total: int) -> None:
        signal.raise_signal(signal.SIGINT)

    with pytest.raises(Interrupted, match="kept"):
        pull(partner, ["toy/c"], web.url, progress=interrupt)
    assert os.listdir(partner.tmp) == [] and os.listdir(partner.leases) == []
    web.spoil = lambda path, attempt: ""
    pull(partner, ["toy/c"], web.url)
    assert verify(partner, resolve(partner, "toy/c").stored) == []


def test_what_was_pulled_runs_nothing(ledger: Ledger, tmp_path: Path, partner: Ledger) -> None:
    """A pickle that would write a file, under every name that some library loads by itself."""

    class Bomb:
        def __reduce__(self) -> tuple[Any, ...]:
            return (Path.touch, (tmp_path / "exploded",))

    bomb = pickle.dumps(Bomb())
    names = ("pytorch_model.bin", "training_args.bin", "model.pt", "modeling_toy.py", "conftest.py", "x.pkl", "x.npy")
    put(ledger, "toy/bomb", dict.fromkeys(names, bomb))
    push(ledger, ["toy/bomb"], str(tmp_path / "store"))
    pull(partner, ["toy/bomb"], str(tmp_path / "store"))
    found = resolve(partner, "toy/bomb").stored
    assert verify(partner, found) == [] and found.artifact.describe() == {"files": len(names)}
    assert not (tmp_path / "exploded").exists()


def test_drift_between_partners_is_found_and_nothing_comes(store: Path, partner: Ledger) -> None:
    put(partner, "toy/a", {"x.txt": b"other bytes from the same key"}, n=1)
    with pytest.raises(DriftError, match="there"):
        pull(partner, ["toy/c"], str(store))


def test_a_full_disk_is_said_at_once(chain: list[Stored], store: Path) -> None:
    entry = chain[0].manifest.files[0]
    with pytest.raises(OSError, match="No space left"):
        remote.Remote(str(store)).fetch(
            f"files/{entry.sha256}", entry.size, entry.sha256, Path("/dev/full"), lambda count: None
        )


# --- web servers ---


def test_a_web_server_without_listing_is_enough(web: Folder, partner: Ledger) -> None:
    pull(partner, ["toy/c"], web.url)
    assert verify(partner, resolve(partner, "toy/c").stored) == []


def test_nobody_can_push_to_a_web_server(ledger: Ledger, web: Folder) -> None:
    with pytest.raises(UsageError, match="only be pulled"):
        push(ledger, ["toy/c"], web.url)


@pytest.mark.parametrize("fault", ["500", "reset", "cut", "short", "flip"])
def test_two_bad_answers_to_every_request_are_overcome(web: Folder, partner: Ledger, fault: str) -> None:
    web.spoil = lambda path, attempt: fault if attempt <= 2 and path.startswith("files/") else ""
    pull(partner, ["toy/c"], web.url)
    assert verify(partner, resolve(partner, "toy/c").stored) == []


@pytest.mark.parametrize("fault", ["500", "reset", "cut", "short", "flip", "hang", "endless"])
def test_a_file_that_never_comes_right_is_named_with_its_host(
    web: Folder, partner: Ledger, chain: list[Stored], fault: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(remote, "READ_TIMEOUT_S", 0.2)
    bad = chain[2].manifest.files[0].sha256
    web.spoil = lambda path, attempt: fault if path.endswith(bad) else ""
    with pytest.raises(TransferError, match=f"files/{bad}.*127.0.0.1"):
        pull(partner, ["toy/c"], web.url)
    assert web.asked[f"files/{bad}"] == 3
    web.spoil = lambda path, attempt: ""
    pull(partner, ["toy/c"], web.url)
    assert {
        path: count for path, count in web.asked.items() if path.startswith("files/") and not path.endswith(bad)
    } == {f"files/{entry.sha256}": 1 for one in chain[:2] for entry in one.manifest.files}


def test_a_slow_server_is_waited_for(web: Folder, partner: Ledger, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(remote, "READ_TIMEOUT_S", 0.5)
    web.spoil = lambda path, attempt: "slow" if path.startswith("files/") else ""
    pull(partner, ["toy/c"], web.url)


def test_an_endless_manifest_doesnt_fill_the_memory(
    web: Folder, partner: Ledger, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(remote, "LARGEST_RECORD", 1 << 20)
    web.spoil = lambda path, attempt: "endless" if path.endswith("manifest.json") else ""
    with pytest.raises(TransferError, match="can't be a record"):
        pull(partner, ["toy/c"], web.url)


def test_a_dead_host_is_named(partner: Ledger) -> None:
    with pytest.raises(AllmendError, match=r"127\.0\.0\.1"):
        pull(partner, ["toy/c"], "http://127.0.0.1:9")


# --- S3 ---


@pytest.mark.system
def test_push_and_pull_through_a_real_s3_api(
    ledger: Ledger, chain: list[Stored], partner: Ledger, monkeypatch: pytest.MonkeyPatch
) -> None:
    s3fs = pytest.importorskip("s3fs", reason="needs the package s3fs")
    moto = pytest.importorskip("moto.server", reason="needs the package moto[server]")
    server = moto.ThreadedMotoServer(ip_address="127.0.0.1", port=0)
    server.start()
    try:
        host, port = server.get_host_and_port()
        settings = {"AWS_ACCESS_KEY_ID": "test", "AWS_SECRET_ACCESS_KEY": "test", "AWS_DEFAULT_REGION": "us-east-1"}
        for name, value in {**settings, "AWS_ENDPOINT_URL": f"http://{host}:{port}"}.items():
            monkeypatch.setenv(name, value)
        s3fs.S3FileSystem(client_kwargs={"endpoint_url": f"http://{host}:{port}"}).mkdir("commons")
        put(ledger, "toy/large", {"x": os.urandom(12 << 20)}, {"of": chain[2]}, large=1)
        assert push(ledger, ["toy/large"], "s3://commons/ours").objects == 4
        assert push(ledger, ["toy/large"], "s3://commons/ours").bytes == 0
        pull(partner, ["toy/large"], "s3://commons/ours")
        assert verify(partner, resolve(partner, "toy/large").stored) == []
        with pytest.raises(NotInLedgerError):
            pull(partner, ["toy/none"], "s3://commons/ours")
    finally:
        server.stop()
    assert threading.active_count() < 50
