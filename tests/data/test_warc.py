"""WARC files, sound and spoiled: nothing is lost, nothing is taken for what it isn't."""

from __future__ import annotations

import gzip
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from allmend.data import warc
from allmend.data.warc import responses
from tests.data.conftest import answer, html, record, write_warc

PAGES = [record(answer(html(f"page {number}")), f"https://a.example/{number}") for number in range(5)]


def _seen(path: Path) -> list[tuple[str, str]]:
    return [(each.url.rpartition("/")[2], each.problem) for each in responses(path)]


@pytest.mark.parametrize("packed", ["record", "file", "no"])
def test_three_packings_give_the_same_records(tmp_path: Path, packed: str) -> None:
    path = write_warc(tmp_path / "a.warc", PAGES, packed)
    assert _seen(path) == [(str(number), "") for number in range(5)]
    assert [each.body for each in responses(path)] == [html(f"page {number}") for number in range(5)]
    assert next(responses(path)).header("content-type") == "text/html; charset=utf-8"


@pytest.mark.parametrize("packed", ["record", "file", "no"])
@pytest.mark.parametrize("lie", [-40, -1, 1, 3, 40, 10_000])
def test_a_lying_length_costs_its_own_record_only(tmp_path: Path, packed: str, lie: int) -> None:
    block = answer(html("liar"))
    liar = record(block, "https://a.example/liar", length=len(block) + lie)
    path = write_warc(tmp_path / "a.warc", [*PAGES[:2], liar, *PAGES[2:]], packed)
    assert _seen(path) == [("0", ""), ("1", ""), ("liar", "wrong_length"), ("2", ""), ("3", ""), ("4", "")]


def test_the_last_record_may_lie_too(tmp_path: Path) -> None:
    block = answer(b"x")
    for packed in ("record", "file", "no"):
        path = write_warc(
            tmp_path / "a.warc", [PAGES[0], record(block, "https://a.example/liar", length=len(block) + 9)], packed
        )
        assert _seen(path) == [("0", ""), ("liar", "wrong_length")]


def test_a_spoiled_member_is_one_rejected_record_and_the_next_is_read(tmp_path: Path) -> None:
    members = [gzip.compress(page, mtime=0) for page in PAGES]
    for spoiled in range(5):
        for place in (12, len(members[spoiled]) // 2, len(members[spoiled]) - 6):
            bad = bytearray(members[spoiled])
            bad[place] ^= 0xFF
            path = tmp_path / "a.warc.gz"
            path.write_bytes(b"".join([*members[:spoiled], bytes(bad), *members[spoiled + 1 :]]))
            found = list(responses(path))
            assert [each.problem for each in found] == [
                "broken_record" if number == spoiled else "" for number in range(5)
            ]


def test_a_file_cut_anywhere_keeps_what_came_before(tmp_path: Path) -> None:
    members = [gzip.compress(page, mtime=0) for page in PAGES]
    data, path = b"".join(members), tmp_path / "a.warc.gz"
    for cut in range(len(members[0]), len(data), 23):
        path.write_bytes(data[:cut])
        whole = max(number for number in range(6) if len(b"".join(members[:number])) <= cut)
        rest = len(b"".join(members[:whole])) < cut
        assert [problem for _, problem in _seen(path)] == [""] * whole + ["broken_record"] * rest


def test_a_crc_that_is_wrong_rejects_even_a_readable_record(tmp_path: Path) -> None:
    member = bytearray(gzip.compress(PAGES[0], mtime=0))
    member[-8] ^= 1
    (tmp_path / "a.warc.gz").write_bytes(bytes(member))
    assert _seen(tmp_path / "a.warc.gz") == [("0", "broken_record")]


def test_records_without_http_are_named_and_others_are_no_pages(tmp_path: Path) -> None:
    other = record(b"GET / HTTP/1.1\r\n\r\n", kind="request")
    path = write_warc(
        tmp_path / "a.warc",
        [record(b"software: x\r\n", kind="warcinfo"), other, record(b"plain words", "https://a.example/r"), record(b"x", "https://a.example/s", kind="resource")],
    )  # fmt: skip
    assert _seen(path) == [("r", "not_http"), ("s", "not_http")]


def test_a_body_beyond_the_limit_is_passed_over(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(warc, "LARGEST_BLOCK", 100_000)
    big = record(answer(b"x" * 300_000), "https://a.example/big")
    for packed in ("record", "file", "no"):
        assert _seen(write_warc(tmp_path / "a.warc", [PAGES[0], big, PAGES[1]], packed)) == [
            ("0", ""),
            ("big", "too_large"),
            ("1", ""),
        ]


@pytest.mark.parametrize(
    "data",
    [
        b"",
        b"rubbish",
        b"\x1f\x8b",
        b"WARC/1.1",
        b"WARC/1.1\r\n\r\n",
        b"\n\n\n",
        gzip.compress(b""),
        gzip.compress(b"no WARC"),
    ],
)
def test_a_file_that_is_no_warc_ends_without_a_page(tmp_path: Path, data: bytes) -> None:
    (tmp_path / "a.warc").write_bytes(data)
    assert all(each.problem for each in responses(tmp_path / "a.warc"))


@settings(max_examples=60, deadline=None)
@given(
    st.lists(st.tuples(st.integers(0, 2_500), st.integers(0, 255)), max_size=6),
    st.sampled_from(["record", "file", "no"]),
)
def test_no_damage_raises_or_runs_on(
    tmp_path_factory: pytest.TempPathFactory, flips: list[tuple[int, int]], packed: str
) -> None:
    path = write_warc(tmp_path_factory.mktemp("warc") / "a.warc", PAGES, packed)
    data = bytearray(path.read_bytes())
    for place, value in flips:
        data[place % len(data)] = value
    path.write_bytes(bytes(data))
    assert len(list(responses(path))) <= 12
