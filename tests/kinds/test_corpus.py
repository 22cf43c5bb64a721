"""What identifies a document, and into which part it goes."""

from __future__ import annotations

import unicodedata
from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest
from blake3 import blake3
from hypothesis import given
from hypothesis import strategies as st

from allmend.kinds import Shards, document_id, normal_text, part_names, part_of, url_id, write_json, write_table
from allmend.kinds.corpus import SHARD_DOCUMENTS

ids = st.integers(0, 2**128 - 1).map(lambda number: f"{number:032x}")
powers = st.integers(0, 16).map(lambda exponent: 1 << exponent)


def test_an_id_is_half_of_blake3_over_url_zero_and_normal_text() -> None:
    assert (
        document_id("https://a.example/", "Grüezi  mitenand\n")
        == (blake3(b"https://a.example/\x00Gr\xc3\xbcezi mitenand").hexdigest()[:32])
    )
    assert document_id("", "") == blake3(b"\x00").hexdigest()[:32]
    assert url_id("https://a.example/") == blake3(b"https://a.example/").hexdigest()[:32]


def test_an_id_known_by_its_digits() -> None:
    """BLAKE3 of one zero byte and of none, from its authors' test vectors (BLAKE3-team/BLAKE3, test_vectors.json)."""
    assert document_id("", " \t\n") == "2d3adedff11b61f14c886e35afa03673"
    assert url_id("") == "af1349b9f5f9a1a6a0404dea36dcc949"


@pytest.mark.parametrize(
    ("text", "same"),
    [("a  b", "a b"), ("\u00a0a\u2003b\r\n", "a b"), ("e\u0301", "é"), ("\u212b", "Å"), ("  ", "")],
)
def test_white_space_and_composition_make_no_other_document(text: str, same: str) -> None:
    assert normal_text(text) == same
    assert document_id("u", text) == document_id("u", same)


@pytest.mark.parametrize(("one", "other"), [("a b", "ab"), ("a", "A"), ("ﬁ", "fi"), ("a\u200bb", "ab"), ("a", "а")])
def test_what_a_reader_tells_apart_stays_apart(one: str, other: str) -> None:
    assert document_id("u", one) != document_id("u", other)


def test_the_zero_byte_keeps_url_and_text_apart() -> None:
    assert document_id("ab", "c") != document_id("a", "bc")


@given(st.text())
def test_normal_text_is_its_own_normal_text(text: str) -> None:
    normal = normal_text(text)
    assert normal_text(normal) == normal == unicodedata.normalize("NFC", normal)


@given(st.text(), st.text())
def test_every_text_has_an_id_of_32_hex_digits(url: str, text: str) -> None:
    assert len(bytes.fromhex(document_id(url, text))) == 16


def test_a_lone_surrogate_as_a_broken_page_may_hold_is_no_obstacle() -> None:
    assert len(document_id("\ud800", "\ud800")) == len(url_id("\ud800")) == 32


@pytest.mark.parametrize(
    ("parts", "names"),
    [(1, ["0"]), (2, ["0", "1"]), (16, list("0123456789abcdef")), (32, ["00", "01", "1e", "1f"]),
     (65536, ["0000", "ffff"])],
)  # fmt: skip
def test_part_names_are_of_one_width_and_sorted(parts: int, names: list[str]) -> None:
    found = part_names(parts)
    assert len(found) == parts and found == sorted(found) and len({len(name) for name in found}) == 1
    half = len(names) // 2
    assert [*found[:half], *found[len(found) - (len(names) - half) :]] == names


@pytest.mark.parametrize("parts", [0, -1, 3, 24])
def test_a_number_of_parts_that_isnt_a_power_of_two_is_refused(parts: int) -> None:
    with pytest.raises(AssertionError, match="power of two"):
        part_names(parts)


def test_parts_at_their_boundaries() -> None:
    edges = ["0" * 32, "0" + "f" * 31, "1" + "0" * 31, "7" + "f" * 31, "8" + "0" * 31, "f" * 32]
    assert part_of(pa.array(edges), 1).tolist() == [0, 0, 0, 0, 0, 0]
    assert part_of(pa.array(edges), 2).tolist() == [0, 0, 0, 0, 1, 1]
    assert part_of(pa.array(edges), 16).tolist() == [0, 0, 1, 7, 8, 15]
    assert part_of(pa.array(edges), 32).tolist() == [0, 1, 2, 15, 16, 31]
    assert part_of(pa.array(edges), 65536).tolist() == [0, 4095, 4096, 32767, 32768, 65535]
    assert part_of(pa.array([], pa.string()), 16).tolist() == []


@given(st.lists(ids, max_size=20), powers)
def test_with_sixteen_parts_the_part_is_the_first_digit(found: list[str], parts: int) -> None:
    assert [part_names(16)[number] for number in part_of(pa.array(found, pa.string()), 16)] == [one[0] for one in found]
    numbers = part_of(pa.chunked_array([found], pa.string()), parts)
    assert numbers.tolist() == [int(one, 16) * parts >> 128 for one in found]


@given(st.lists(ids, max_size=20), st.integers(0, 15))
def test_doubling_the_parts_splits_each_and_mixes_none(found: list[str], exponent: int) -> None:
    few, many = (part_of(pa.array(found, pa.string()), 1 << bits) for bits in (exponent, exponent + 1))
    assert (many >> 1).tolist() == few.tolist()


@pytest.mark.parametrize("dtype", ["uint16", "uint32"])
def test_shards_read_their_tokens_as_written_on_any_machine(tmp_path: Path, dtype: str) -> None:
    (tmp_path / "tokens").mkdir()
    (tmp_path / "tokens" / "0.bin").write_bytes(np.array([1, 258, 65535], np.dtype(dtype).newbyteorder("<")).tobytes())
    (tmp_path / "tokens" / "1.bin").write_bytes(b"")
    write_json(tmp_path / "shards.json", {"dtype": dtype})
    for part in "01":
        write_table(tmp_path / "documents" / f"{part}.parquet", SHARD_DOCUMENTS.empty_table())
    shards = Shards(tmp_path)
    assert shards.tokens("0").tolist() == shards.load("0", "tokens").tolist() == [1, 258, 65535]
    assert shards.tokens("1").tolist() == []
