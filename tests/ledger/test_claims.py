"""Claims: what a report says is what its sources give, to the last digit."""

from __future__ import annotations

import html
import json
import re
from collections.abc import Callable
from dataclasses import replace
from decimal import Decimal
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from allmend.kinds import write_json, write_jsonl, write_table
from allmend.kinds.errors import CheckFailed, DamagedError, NewerFormatError
from allmend.ledger import (
    Claim,
    Ledger,
    ReportProblem,
    print_number,
    read_claims,
    recompute,
    verify_report,
    write_claims,
)
from allmend.ledger.claims import is_rounding
from allmend.ledger.shown import loose_numbers
from tests.ledger.conftest import flip, put

unhurried = settings(deadline=None, max_examples=60, suppress_health_check=[HealthCheck.too_slow])


def claim(query: str, value: Any = 1, **more: Any) -> Claim:
    given = {"artifact": "a" * 64, "file": "t.parquet", "file_sha256": "b" * 64, "command": "allmend run r", **more}
    return Claim("n", "A number.", value, "documents", query=query, **given)


@pytest.fixture
def table(tmp_path: Path) -> Path:
    write_table(tmp_path / "t.parquet", pa.table({"language": ["gsw", "rm", "rm"], "tokens": [10, 20, 4]}))
    return tmp_path / "t.parquet"


# --- recompute ---


@pytest.mark.parametrize(
    ("query", "result"),
    [
        ("SELECT count(*) FROM source", 3),
        ("SELECT CAST(sum(tokens) AS BIGINT) FROM source WHERE language = 'rm'", 24),
        ("WITH a AS (SELECT tokens FROM source) SELECT max(tokens) FROM a", 20),
        ("SELECT CAST(0.25 AS DECIMAL(4, 2)) FROM source LIMIT 1", Decimal("0.25")),
    ],
)
def test_a_query_gives_its_number(table: Path, query: str, result: Any) -> None:
    assert recompute(claim(query), table) == result


@pytest.mark.parametrize(
    "query",
    [
        "SELECT * FROM '/etc/passwd', source",
        "SELECT length(content) FROM read_text('/etc/hostname'), source",
        "SELECT 1 FROM source; SELECT 1 FROM source",
        "SELECT 3",
        "COPY source TO 'escape.csv'",
        "ATTACH 'source.db'",
        "INSTALL httpfs",
        "SET memory_limit = '9TB'",
        "CREATE TABLE source2 AS SELECT * FROM source",
        "SELECT count(*) FROM read_csv('https://example.org/x.csv'), source",
        "SELECT count(*) FROM table, source",
        "SELECT tokens FROM source",
        "SELECT tokens, tokens FROM source LIMIT 1",
        "SELECT language FROM source LIMIT 1",
        "SELECT NULL FROM source LIMIT 1",
        "SELECT true FROM source LIMIT 1",
        "SELECT CAST('nan' AS DOUBLE) FROM source LIMIT 1",
        "SELECT from source where",
        "",
        "PRAGMA database_list",
    ],
)
def test_a_query_that_reaches_further_or_gives_no_number_fails(table: Path, query: str) -> None:
    with pytest.raises(CheckFailed):
        recompute(claim(query), table)


def test_a_query_without_end_is_stopped(table: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("allmend.ledger.claims.QUERY_TIMEOUT_S", 0.2)
    with pytest.raises(CheckFailed, match=r"(?i)interrupt"):
        recompute(claim("SELECT sum(a.range * b.range) FROM range(10000000) a, range(10000000) b, source"), table)


@pytest.mark.parametrize(
    ("pointer", "result"), [("/a/b/1", 5), ("/a~1b", 1), ("/m~0n", 2), ("/", 3), ("/list/0/x", 2.5)]
)
def test_a_json_pointer_gives_its_number(tmp_path: Path, pointer: str, result: Any) -> None:
    write_json(tmp_path / "t.json", {"a": {"b": [4, 5]}, "a/b": 1, "m~n": 2, "": 3, "list": [{"x": 2.5}]})
    assert recompute(claim(pointer), tmp_path / "t.json") == result


@pytest.mark.parametrize("pointer", ["/none", "/a/b/2", "/a/b/01", "/a/b/-1", "/a/b/0/c", "/a", "/text", "/a/b/²"])
def test_a_pointer_that_leads_nowhere_fails(tmp_path: Path, pointer: str) -> None:
    write_json(tmp_path / "t.json", {"a": {"b": [4, 5]}, "text": "5"})
    with pytest.raises(CheckFailed):
        recompute(claim(pointer), tmp_path / "t.json")


def test_jsonl_and_csv_are_sources_too(tmp_path: Path) -> None:
    write_jsonl(tmp_path / "t.jsonl", [{"x": 1}, {"x": 2}])
    (tmp_path / "t.csv").write_text("x\n1\n2\n")
    for name in ("t.jsonl", "t.csv"):
        assert recompute(claim("SELECT count(*) FROM source WHERE x > 1"), tmp_path / name) == 1


# --- printing ---


@pytest.mark.parametrize(
    ("value", "digits", "style", "text"),
    [(1234567, 0, "", "1,234,567"), (1234567, 1, "M", "1.2M"), (0.12345, 1, "%", "12.3%"), (-2.5, 0, "", "-2"), (-0.2,
    0, "", "0"),
     (600000, 0, "k", "600k"), (0.125, 2, "", "0.12")],
)  # fmt: skip
def test_numbers_are_printed(value: float, digits: int, style: str, text: str) -> None:
    assert print_number(value, digits, style) == text


@unhurried
@given(
    st.integers(-(2**53), 2**53) | st.floats(-1e15, 1e15), st.integers(0, 6), st.sampled_from(["", "%", "k", "M", "G"])
)
def test_what_is_printed_is_a_rounding_and_no_single_digit_may_change(value: float, digits: int, style: str) -> None:
    text = print_number(value, digits, style)
    assert is_rounding(text, value)
    for at, mark in enumerate(text):
        if mark.isdigit():
            changed = text[:at] + str((int(mark) + 1) % 10) + text[at + 1 :]
            assert not is_rounding(changed, value)


@unhurried
@given(st.floats(-1e6, 1e6), st.integers(0, 8))
def test_pythons_own_format_is_a_rounding(value: float, digits: int) -> None:
    assert is_rounding(f"{value:,.{digits}f}", value)
    assert is_rounding(f"{value:.{digits}e}", value)


@pytest.mark.parametrize(
    "text", ["", "none", "12 34", "1,23", "1,2345", "0x1f", "١٢", "1.2.3", "12m", "--1", "1e9999", "½"]
)
def test_what_is_no_plain_number_is_no_rounding(text: str) -> None:
    assert not is_rounding(text, 12)


def test_a_narrow_space_between_thousands_and_a_true_minus_are_read() -> None:
    assert is_rounding("−1\u202f234.50", -1234.5)


# --- claims.json ---


def test_claims_come_back_as_written_and_no_digit_may_change(tmp_path: Path) -> None:
    path = tmp_path / "claims.json"
    claims = [claim("SELECT count(*) FROM source", 0.1 + 0.2, tolerance=0.001), replace(claim("/a/0", 7), id="second")]
    write_claims(path, claims)
    assert list(read_claims(path).values()) == claims
    data = path.read_bytes()
    for at in range(len(data)):
        flip(path, at)
        with pytest.raises((DamagedError, NewerFormatError)):
            read_claims(path)
        path.write_bytes(data)


@pytest.mark.parametrize(
    "change", [{"id": ""}, {"id": "a b"}, {"value": True}, {"value": "1"}, {"tolerance": -1}, {"sentence": None}]
)
def test_a_claim_that_isnt_well_formed_is_refused(tmp_path: Path, change: dict[str, Any]) -> None:
    with pytest.raises(DamagedError):
        write_claims(tmp_path / "claims.json", [replace(claim("/a"), **change)])


def test_a_count_of_flops_beyond_the_largest_integer_is_a_double_and_comes_back(tmp_path: Path) -> None:
    write_claims(tmp_path / "claims.json", [claim("/a", 1.2e18)])
    assert read_claims(tmp_path / "claims.json")["n"] == claim("/a", 1.2e18)
    with pytest.raises(DamagedError):
        write_claims(tmp_path / "claims.json", [claim("/a", 2**53 + 1)])


def test_two_claims_of_one_id_are_refused(tmp_path: Path) -> None:
    with pytest.raises(CheckFailed, match="same id"):
        write_claims(tmp_path / "claims.json", [claim("/a"), claim("/b")])


# --- reports ---


PAGE = """<!doctype html><html><head><title>Report 2026</title><style>p {{ margin: 3px }}</style></head><body>
<h1>Chapter 1</h1><p>Made on <time>2026-11-23</time> by Qwen3-0.6B with SHA-256 and CC-BY-4.0,
<span class="date">23 November 2026</span>.
There are <data class="claim" value="3" data-claim="documents">3</data> documents with
<data class="claim" value="34" data-claim="tokens">34</data> tokens,
<data class="claim" value="0.7058823529411765" data-claim="share">70.6%</data>
Romansh, digest <code>91b2c7</code>.</p>
<svg viewBox="0 0 10 10"><g class="tick"><text>20</text></g><path d="M 1 2"/>
<text class="claim" data-value="34" data-claim="tokens">34</text></svg>
<script>let x = 5;</script></body></html>"""


@pytest.fixture
def report(ledger: Ledger, table: Path, tmp_path: Path) -> Path:
    source = put(ledger, "toy/corpus", {"corpus/0.parquet": table.read_bytes()})
    folder = tmp_path / "report"
    common = {
        "unit": "", "artifact": source.manifest.digest, "file": "corpus/0.parquet",
        "file_sha256": source.manifest.files[0].sha256,
        "command": "allmend run toy",
    }  # fmt: skip
    claims = [
        Claim("documents", "Documents.", 3, query="SELECT count(*) FROM source", **common),
        Claim("tokens", "Tokens.", 34, query="SELECT CAST(sum(tokens) AS BIGINT) FROM source", **common),
        Claim(
            "share", "Romansh.", 24 / 34, tolerance=1e-12, **common,
            query="SELECT sum(tokens) FILTER (language = 'rm') / sum(tokens) FROM source",
        ),
    ]  # fmt: skip
    write_claims(folder / "claims.json", claims)
    (folder / "index.html").write_text(PAGE.format())
    evidence = folder / "evidence" / source.manifest.digest / "corpus" / "0.parquet"
    evidence.parent.mkdir(parents=True)
    evidence.write_bytes(table.read_bytes())
    return folder


def failed(problems: list[ReportProblem]) -> list[str]:
    return [str(problem) for problem in problems if problem.severity == "failed"]


def rewrite(report: Path, change: Callable[[str], str]) -> None:
    path = report / "index.html"
    path.write_text(change(path.read_text()))


def test_a_sound_report_has_no_problem(ledger: Ledger, report: Path) -> None:
    assert verify_report(ledger, report) == []


def test_without_a_ledger_the_evidence_serves_and_that_is_said(report: Path, tmp_path: Path) -> None:
    for ledger in (None, Ledger(tmp_path / "empty")):
        found = verify_report(ledger, report)
        assert failed(found) == [] and "evidence only" in str(found[-1])


def test_each_changed_digit_in_the_page_fails(ledger: Ledger, report: Path) -> None:
    text = (report / "index.html").read_text()
    elements = (
        r"<(title|style|h1|time|code|script)\b.*?</\1>|<span class=.date.*?</span>|<g class=.tick.*?</g>|<path.*?/>"
    )
    free = re.compile(elements + r"|viewBox=\"[^\"]*\"|Qwen3-0.6B|SHA-256|CC-BY-4.0", re.DOTALL)
    fixed = {at for match in free.finditer(text) for at in range(*match.span())}
    tried = 0
    for at, mark in enumerate(text):
        if mark.isdigit() and at not in fixed:
            (report / "index.html").write_text(text[:at] + str((int(mark) + 1) % 10) + text[at + 1 :])
            assert failed(verify_report(ledger, report)), text[at - 30 : at + 10]
            tried += 1
    assert tried == 2 + 4 + 17 + 3 + 4


def test_each_changed_digit_in_claims_json_fails(ledger: Ledger, report: Path) -> None:
    data = (report / "claims.json").read_text()
    for at, mark in enumerate(data):
        if mark.isdigit():
            (report / "claims.json").write_text(data[:at] + str((int(mark) + 1) % 10) + data[at + 1 :])
            assert failed(verify_report(ledger, report))


def test_a_value_changed_in_all_places_still_fails_at_the_source(ledger: Ledger, report: Path) -> None:
    claims = read_claims(report / "claims.json")
    write_claims(
        report / "claims.json", [replace(each, value=4) if each.id == "documents" else each for each in claims.values()]
    )
    rewrite(
        report, lambda text: text.replace('value="3" data-claim="documents">3', 'value="4" data-claim="documents">4')
    )
    assert failed(verify_report(ledger, report)) == [
        "claims.json: claim documents: it says 4, and the query gives 3 (tolerance 0)."
    ]


LOOSE = [
    "448", "<b>448</b>", "n=448", "(448)", "about 4.2%", "448x", "½", "10²", "٤٤٨", "&#52;48",
    "loss: 2.31", "$5", "−7", "5–7",
    "<p title='448 of them'>x</p>", "<img alt='a 448'>", "<svg><text>448</text></svg>", "<span class='tick'>448</span>",
    "<input value='448'>", "<meter value='448'></meter>", "<iframe srcdoc='448 of them'></iframe>",
    "<time>448 documents</time>", "<span class='date'>448</span>", "<svg><title>x</title><text>448</text></svg>",
]  # fmt: skip


@pytest.mark.parametrize("loose", LOOSE)
def test_a_number_outside_a_claim_fails(ledger: Ledger, report: Path, loose: str) -> None:
    rewrite(report, lambda text: text.replace("</p>", f" {loose}</p>"))
    assert failed(verify_report(ledger, report))


@pytest.mark.parametrize(
    "word",
    [
        "Qwen3-0.6B",
        "H100",
        "SHA-256",
        "F1",
        "v1.2",
        "no number",
        "<h4>Step 5</h4>",
        "<code>4,8</code>",
        "<time>2026-11-23T10:00:00Z</time>",
    ],
)
def test_names_headings_code_and_dates_are_fine(ledger: Ledger, report: Path, word: str) -> None:
    rewrite(report, lambda text: text.replace("</p>", f" {word}</p>"))
    assert failed(verify_report(ledger, report)) == []


def test_a_claim_without_an_entry_fails_and_one_never_shown_is_noted(ledger: Ledger, report: Path) -> None:
    rewrite(report, lambda text: text.replace('data-claim="share"', 'data-claim="other"'))
    found = verify_report(ledger, report)
    assert "'other'" in failed(found)[0] and "share is shown on no page" in str(found[-1])


def test_of_two_values_the_one_that_a_browser_takes_counts(ledger: Ledger, report: Path) -> None:
    rewrite(report, lambda text: text.replace('value="3"', 'value="9" value="3"'))
    assert failed(verify_report(ledger, report))


def test_changed_or_missing_evidence_fails(report: Path) -> None:
    path = next((report / "evidence").rglob("*.parquet"))
    flip(path, 100)
    assert failed(verify_report(None, report))
    path.unlink()
    assert "neither in the ledger nor in evidence" in failed(verify_report(None, report))[0]


def test_a_claim_cant_point_out_of_the_report(ledger: Ledger, report: Path) -> None:
    claims = read_claims(report / "claims.json")
    for change in ({"file": "../../../../etc/passwd"}, {"file": "/etc/passwd"}, {"artifact": "../.."}):
        write_claims(report / "claims.json", [replace(each, **change) for each in claims.values()])
        assert failed(verify_report(ledger, report))


def test_evidence_with_a_manifest_must_be_listed_in_it(ledger: Ledger, report: Path) -> None:
    path = next((report / "evidence").rglob("*.parquet"))
    folder = path.parents[1]
    listed = next(ledger.objects.glob(f"*/{folder.name}/manifest.json")).read_bytes()
    (folder / "manifest.json").write_bytes(listed)
    assert failed(verify_report(None, report)) == []
    (folder / "manifest.json").write_bytes(listed.replace(b"corpus/0.parquet", b"corpus/1.parquet"))
    assert failed(verify_report(None, report))


@pytest.mark.parametrize("data", ["", "[]", "{", '{"format": 1, "claims": 5}', '{"format": 9}'])
def test_unreadable_claims_fail_and_dont_crash(ledger: Ledger, report: Path, data: str) -> None:
    (report / "claims.json").write_text(data)
    assert failed(verify_report(ledger, report))


def test_a_report_without_pages_fails(ledger: Ledger, report: Path) -> None:
    (report / "index.html").unlink()
    assert failed(verify_report(ledger, report))


@unhurried
@given(st.text())
def test_any_text_is_searched_without_a_crash(text: str) -> None:
    for word in loose_numbers(text):
        assert word in text and not html.escape(word)[0].isalpha()


def test_the_verifier_imports_no_torch() -> None:
    import subprocess
    import sys

    code = "import sys, allmend.ledger; assert not {'torch', 'duckdb', 'fsspec', 's3fs'} & set(sys.modules)"
    subprocess.run([sys.executable, "-c", code], check=True)


def test_claims_json_is_plain_json(report: Path) -> None:
    rows = json.loads((report / "claims.json").read_bytes())["claims"]
    assert [row["id"] for row in rows] == ["documents", "share", "tokens"]
