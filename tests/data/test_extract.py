"""From an answer to a document: encodings, charsets, main text, hints, and pages that mean harm."""

from __future__ import annotations

import gzip
import re
import zlib
from pathlib import Path
from typing import Any

import pytest

from allmend.data import payload as payload_module
from allmend.data.page import header_hints, read_page, tidy_language
from allmend.data.payload import decode
from allmend.kinds import document_id, url_id
from allmend.kinds.errors import StepFailed
from tests.data.conftest import COMMONS, Built, answer, crawl_of, html, record, rows, run_step, write_warc

PROSE = (
    "The meadow above the village is shared by eleven families, and each of them sends one person to the yearly meeting. "
    * 3
)


def _extract(folder: Path, answers: list[bytes], workers: int = 1) -> tuple[list[dict[str, Any]], list[dict[str, Any]]]:
    """Documents and rejected rows of some answers at https://a.example/0, 1, …"""
    records = [record(each, f"https://a.example/{number}") for number, each in enumerate(answers)]
    crawl = crawl_of(folder / "crawl", [write_warc(folder / "pages.warc.gz", records)])
    made = run_step("extract", folder / "documents", workers, {"crawl": crawl}, parts=4, min_chars=200)
    assert made.rows() + made.rows("rejected") == len(answers)
    by_url = {row["url"][-1]: row for row in rows(made)}
    rejected = {row["url"][-1]: row for row in rows(made, "rejected")}
    return [by_url.get(str(number), {}) for number in range(len(answers))], [
        rejected.get(str(number), {}) for number in range(len(answers))
    ]


def test_a_document_has_all_its_columns(tmp_path: Path) -> None:
    body = html(PROSE, '<link rel="license" href="https://creativecommons.org/licenses/by/4.0/">', "de_ch")
    ((document,), _) = _extract(tmp_path, [answer(body, X_Robots_Tag="noai", Server="x")])
    assert document["text"] == PROSE.strip()
    assert document["id"] == document_id("https://a.example/0", PROSE)
    assert (document["host"], document["title"], document["charset"], document["media_type"]) == (
        "a.example",
        "T",
        "utf-8",
        "text/html",
    )
    assert (document["declared_language"], document["fetched_at"], document["source"]) == (
        "de-CH",
        "2026-11-02T07:00:00Z",
        "pages.warc.gz",
    )
    assert document["bytes"] == len(PROSE.strip().encode())
    assert document["hints"] == [
        {"source": "header", "name": "x-robots-tag", "value": "noai"},
        {"source": "link", "name": "license", "value": "https://creativecommons.org/licenses/by/4.0/"},
    ]


def test_encodings_are_undone_and_spoiled_ones_named(tmp_path: Path) -> None:
    body = html(PROSE)
    packed = gzip.compress(body, mtime=0)
    raw = zlib.compressobj(wbits=-15)
    answers = [
        answer(packed, Content_Encoding="gzip"),
        answer(zlib.compress(body), Content_Encoding="deflate"),
        answer(raw.compress(body) + raw.flush(), Content_Encoding="deflate"),
        answer(b"%x\r\n" % len(body) + body + b"\r\n0\r\n\r\n", Transfer_Encoding="chunked"),
        answer(body, Content_Encoding="gzip", Transfer_Encoding="chunked"),  # a crawler undid both and left the fields
        answer(packed[:40] + b"\xff" * 30 + packed[70:], Content_Encoding="gzip"),
        answer(packed[:-20], Content_Encoding="gzip"),
        answer(body, Content_Encoding="sdch"),
    ]
    documents, rejected = _extract(tmp_path, answers)
    assert [document.get("text") for document in documents[:5]] == [PROSE.strip()] * 5
    expected = ["broken_content_encoding", "broken_content_encoding", "unknown_content_encoding"]
    assert [row.get("reason") for row in rejected[5:]] == expected


def test_a_bomb_is_too_large(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(payload_module, "LARGEST_BODY", 100_000)
    _, rejected = _extract(tmp_path, [answer(gzip.compress(b"\0" * 10_000_000), Content_Encoding="gzip")])
    assert rejected[0]["reason"] == "too_large"


@pytest.mark.parametrize(
    ("text", "encoding", "content_type", "charset"),
    [
        ("Zürich “Löwen”", "utf-8", "text/html; charset=ISO-8859-1", "utf-8"),
        ("Zürich “Löwen”", "cp1252", "text/html; charset=ISO-8859-1", "cp1252"),
        ("Zürich “Löwen”", "cp1252", "text/html; charset=nonsense", None),
        ("Москва и весь мир говорят", "koi8-r", "text/html; charset=koi8-r", "koi8-r"),
        ("東京で会いましょう", "shift_jis", "text/html; charset=Shift_JIS", "shift_jis"),
        ("東京で会いましょう", "iso-2022-jp", "text/html; charset=iso-2022-jp", "iso-2022-jp"),
        ("Zürich", "utf-16", "text/html", "utf-16"),
        ("Zürich", "utf-8-sig", "text/html", "utf-8"),
        ("plain", "ascii", "text/html; charset=koi8-r", "utf-8"),
    ],
)  # fmt: skip
def test_charsets(text: str, encoding: str, content_type: str, charset: str | None) -> None:
    found, name = decode(text.encode(encoding), content_type)
    assert found == text
    assert charset is None or re.sub("[-_]", "", name.lower()) == re.sub("[-_]", "", charset)


def test_bytes_of_no_charset_are_read_with_replacements() -> None:
    text, _ = decode(bytes(range(256)) * 3, "text/html; charset=utf-8")
    assert len(text) > 200


def test_the_declarations_keep_every_word(commons: Built) -> None:
    """Bullets off: each paragraph that stands in an article of the markup stands in the text, in every script."""
    import html as entities

    from allmend.data.warc import responses

    texts = {
        row["url"]: " ".join(row["text"].split()) for row in rows(commons.documents) if row["source"] == "pages.warc.gz"
    }
    checked = 0
    for each in responses(COMMONS / "pages.warc.gz"):
        for paragraph in re.findall(r"<p>([^<]+)</p>", each.body.decode()) if each.url in texts else ():
            checked += 1
            assert " ".join(entities.unescape(paragraph).split()) in texts[each.url], each.url
    assert checked > 20_000


def test_an_unclosed_banner_leaves_all_visible_text() -> None:
    page = read_page(
        '<div class="cookie-banner"><p>Accept?</p><main><p>The gate is closed.</p></main><script>x()</script>'
    )
    assert page.whole and "The gate is closed." in page.text and "x()" not in page.text


def test_hints_are_found_where_pages_put_them() -> None:
    head = (
        '<meta name="robots" content="noai, nofollow"><META NAME="TDM-Reservation" CONTENT="1"><meta name="DC.Rights" content="CC BY 4.0">'
        '<link rel="license" type="application/rsl+xml" href="/rsl.xml">'
        '<script type="application/ld+json">{"@graph": [{"license": {"@id": "https://x.example/l"}, "image": {"license": "https://picture.example"}}]}</script>'
        '<script type="application/ld+json">{"license": "\\ud800", </script><script type="application/ld+json">{"license": "\\ud800"}</script>'
    )
    foot = (
        '<footer><a href="https://creativecommons.org/licenses/by-nc/4.0/">pictures</a> © All rights reserved</footer>'
    )
    page = read_page(f"<html><head>{head}</head><body><main><p>x</p></main>{foot}</body></html>")
    assert set(page.hints) == {
        ("meta", "robots", "noai, nofollow"), ("meta", "tdm-reservation", "1"), ("meta", "rights", "CC BY 4.0"), ("link", "rsl", "/rsl.xml"),
        ("jsonld", "license", "https://x.example/l"), ("jsonld", "license", "?"), ("a", "mentions", "https://creativecommons.org/licenses/by-nc/4.0/"),
        ("footer", "rights", "All rights reserved"),
    }  # fmt: skip
    assert header_hints((("server", "x"), ("tdm-reservation", "1"))) == (("header", "tdm-reservation", "1"),)


@pytest.mark.parametrize(
    ("tag", "tidy"),
    [
        ("DE_ch", "de-CH"),
        ("zh-hant-tw", "zh-Hant-TW"),
        ("de-1996", "de-1996"),
        ("", ""),
        ("{{lang}}", ""),
        ("en, fr", "en"),
        ("x", ""),
    ],
)
def test_language_tags_are_written_one_way(tag: str, tidy: str) -> None:
    assert tidy_language(tag) == tidy


HOSTILE = {
    "nothing": b"", "nul bytes": b"<p>" + b"\0word " * 200, "one character": b"<p>" + b"a" * 2_000_000, "right to left": html("שלום לכם וברוכים הבאים " * 30, language="he"),
    "no spaces": html("ที่นี่ไม่มีช่องว่างระหว่างคำ" * 20, language="th"), "emoji": html("😀" * 3_000), "deep": b"<div>" * 20_000 + b"word " * 100, "open tags": b"<" * 50_000,
    "no text": b"<html><body></body></html>", "binary": bytes(range(256)) * 100, "entities": b"<p>" + b"&#xD800;&#0;&amp;" * 200, "attributes": b"<p " + b"a=b " * 20_000 + b">x",
}  # fmt: skip


def test_hostile_pages_are_documents_or_rejected_rows_and_nothing_stops(tmp_path: Path) -> None:
    records = [record(answer(body), f"https://h.example/{name}") for name, body in HOSTILE.items()]
    records += [
        record(answer(b"x", 404), "https://h.example/404"),
        record(answer(b"%PDF", Content_Type="application/pdf"), "https://h.example/pdf"),
    ]
    records += [record(answer(html(PROSE)), "http://[bad/url"), record(answer(html(PROSE)), "")]
    crawl = crawl_of(tmp_path / "crawl", [write_warc(tmp_path / "h.warc.gz", records)])
    made = run_step("extract", tmp_path / "documents", inputs={"crawl": crawl}, parts=2)
    assert made.rows() + made.rows("rejected") == len(records)
    reasons = {row["url"].rpartition("/")[2]: row["reason"] for row in rows(made, "rejected")}
    assert {name: reasons[name] for name in ("nothing", "no text", "404", "pdf", "deep")} == {
        "nothing": "empty_body", "no text": "too_short", "404": "http_status", "pdf": "media_type", "deep": "too_deep",
    }  # fmt: skip
    verdicts = run_step(
        "annotate",
        tmp_path / "verdicts",
        inputs={"documents": made, "crawl": crawl},
        annotators=["language", "quality", "pii", "toxicity"],
    )
    copies = run_step("deduplicate", tmp_path / "duplicates", inputs={"documents": made})
    assert verdicts.rows() == copies.rows() == made.rows()


def test_a_page_met_twice_is_a_repeated_record(tmp_path: Path) -> None:
    one = record(answer(html(PROSE)), "https://a.example/x")
    crawl = crawl_of(
        tmp_path / "crawl", [write_warc(tmp_path / "a.warc.gz", [one]), write_warc(tmp_path / "b.warc.gz", [one])]
    )
    made = run_step("extract", tmp_path / "documents", inputs={"crawl": crawl}, parts=1)
    assert (made.rows(), [row["reason"] for row in rows(made, "rejected")]) == (1, ["repeated_record"])


def test_rejected_rows_lie_in_the_part_of_their_url(commons: Built) -> None:
    for part in commons.documents.parts("rejected"):
        assert all(row["id"][0] == part for row in commons.documents.load(part, "rejected").to_pylist())
    assert url_id("https://empty.planted.example/") in {row["id"] for row in rows(commons.documents, "rejected")}


# --- crawl ---


def test_two_files_of_one_name_are_an_error(tmp_path: Path) -> None:
    (tmp_path / "b").mkdir()
    paths = [
        write_warc(folder / "a.warc.gz", [record(answer(html(str(folder))))]) for folder in (tmp_path, tmp_path / "b")
    ]
    with pytest.raises(StepFailed, match=r"2 WARC files are called a\.warc\.gz"):
        crawl_of(tmp_path / "crawl", paths)


def test_policy_files_are_listed_cut_and_decoded(tmp_path: Path) -> None:
    import json

    long = b"User-agent: *\n" + b"# comment line\n" * 400_000 + b"Disallow: /\n"
    found = [
        record(answer(long, Content_Type="text/plain"), "https://long.example/robots.txt"),
        record(answer(bytes(range(256)) * 20, Content_Type="text/plain"), "https://binary.example/robots.txt"),
        record(answer(gzip.compress(b"User-agent: *\nDisallow: /"), Content_Encoding="gzip"), "https://packed.example:8080/robots.txt"),
        record(answer(b"gone", 404), "https://gone.example/robots.txt"),
        record(answer(b"[]"), "https://tdm.example/.well-known/tdmrep.json"),
        record(answer(b"<rsl/>", Content_Type="application/rsl+xml"), "https://rsl.example/terms"),
        record(answer(html(PROSE)), "https://page.example/robots.txt/"),
    ]  # fmt: skip
    crawl = crawl_of(tmp_path / "crawl", [write_warc(tmp_path / "a.warc.gz", found)])
    policies = {row["host"]: row for row in map(json.loads, crawl.path("policies.jsonl").read_text().splitlines())}
    assert sorted(policies) == [
        "binary.example",
        "gone.example",
        "long.example",
        "packed.example:8080",
        "rsl.example",
        "tdm.example",
    ]
    assert len(policies["long.example"]["body"]) <= 500 * 1024 and policies["long.example"]["body"].endswith(
        "# comment line\n"
    )
    assert policies["packed.example:8080"]["body"] == "User-agent: *\nDisallow: /"
    assert (policies["gone.example"]["status"], policies["gone.example"]["body"]) == (404, None)
    assert (policies["tdm.example"]["kind"], policies["rsl.example"]["kind"]) == ("tdmrep", "rsl")
    assert policies["tdm.example"]["fetched_at"] == "2026-11-02T07:00:00Z"
