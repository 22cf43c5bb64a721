"""The decision: policies and their mistakes, copies, redaction, and what withdrawals do to one document and not to the rest."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from allmend.data import STEPS
from allmend.data.decide import redact
from allmend.data.policy import load_policy
from allmend.kinds import Withdrawals
from allmend.kinds.errors import RecipeError, StepFailed
from tests.data.conftest import POLICY, Built, decided, outside, rows, run_step


def _policy(folder: Path, rules: str) -> Path:
    path = folder / "p.yaml"
    path.write_text(f"policy: p\nrules:\n{rules}")
    return path


def _record(selector: dict[str, str], *documents: dict[str, Any]) -> dict[str, Any]:
    return {
        "format": 1,
        "at": "2026-11-20T10:00:00Z",
        "reason": "asked to",
        "selector": selector,
        "documents": list(documents),
    }


def _fates(corpus: Any) -> dict[str, tuple[str, list[str]]]:
    return {
        row["url"]: (row["fate"], [reason["annotator"] for reason in row["reasons"]])
        for row in rows(corpus, "decisions")
    }


# --- policies ---


@pytest.mark.parametrize(
    ("rules", "said"),
    [
        ("  - {rule: at_leest, value: quality.words, limit: 1}", r"p\.yaml:3  rules\[0\]\.rule: rule `at_leest` is not known\. Did you mean `at_least`\?"),
        ("  - {rule: redact}\n  - {rule: at_most, value: quality.words, limitt: 1}", r"p\.yaml:4  rules\[1\]\.limitt: unknown key `limitt`\. Did you mean `limit`\?"),
        ("  - {rule: at_most, value: words}", r"p\.yaml:3  rules\[0\]\.value: given \"words\""),
        ("  - {rule: redact, kinds: [phones]}", r"p\.yaml:3  rules\[0\]\.kinds.*phones"),
        ("  - {rule: redact, rule: redact}", r"p\.yaml:3 .*the key `rule` stands here a second time"),
        ("  - &a {rule: redact}\n  - *a", r"p\.yaml:3 .*anchors and aliases"),
        ("  - redact", r"p\.yaml:3  rules\[0\]: a rule is a mapping with the key `rule`"),
        ("  - {rule: one_copy}\n  - {rule: one_copy}", "stands here twice"),
        ("  - {rule: redact", r"p\.yaml:\d+: isn't YAML"),
        ("extra: 1", r"p\.yaml:\d"),
    ],
)  # fmt: skip
def test_a_mistake_in_a_policy_is_named_with_its_line_and_what_was_meant(tmp_path: Path, rules: str, said: str) -> None:
    with pytest.raises(RecipeError, match=said):
        load_policy(outside(_policy(tmp_path, rules)))


def test_a_mistake_in_a_policy_is_found_before_anything_runs(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="at_leest"):
        STEPS["decide"].config(policy=outside(_policy(tmp_path, "  - {rule: at_leest}")), withdrawals=Withdrawals())


def test_norwegian_is_a_language_and_not_false(tmp_path: Path) -> None:
    policy = load_policy(outside(_policy(tmp_path, "  - {rule: redact, only_languages: [no, en], because: 12:30}")))
    assert policy.rules[0].only_languages == ["no", "en"] and policy.rules[0].because == "12:30"


def test_a_rule_holds_only_for_its_languages(tmp_path: Path) -> None:
    policy = load_policy(
        outside(
            _policy(
                tmp_path,
                "  - {rule: at_least, only_languages: [en]}\n  - {rule: at_least, not_languages: [en], limit: 9}",
            )
        )
    )
    verdict = {"quality": {"words": 10}}
    assert policy.judge({**verdict, "language": {"base": "en"}})[0] == "drop"
    assert policy.judge({**verdict, "language": {"base": "de"}})[0] == "keep"


def test_a_policy_that_reads_what_nobody_said_is_refused(commons: Built, tmp_path: Path) -> None:
    for rules, said in (
        ("  - {rule: at_most, value: contamination.score}", "verdicts of `contamination`"),
        ("  - {rule: at_most, value: quality.wrds}", "Did you mean `words`"),
    ):
        with pytest.raises(StepFailed, match=said):
            decided(commons, tmp_path / "corpus", _policy(tmp_path, rules))


def test_the_policy_of_the_commons_reads_every_annotator() -> None:
    policy = load_policy(outside(POLICY))
    needed = {need.partition(".")[0] for need in policy.needs()}
    assert needed == {"duplicates", "language", "licence", "optout", "pii", "quality", "toxicity"}
    assert all(rule.because for rule in policy.rules)


def test_all_reasons_are_kept(commons: Built, tmp_path: Path) -> None:
    policy = _policy(
        tmp_path, "  - {rule: at_least, limit: 100000}\n  - {rule: open_licence, allowed: [MIT]}\n  - {rule: redact}\n"
    )
    row = next(
        row for row in rows(decided(commons, tmp_path / "corpus", policy), "decisions") if "email.planted" in row["url"]
    )
    assert row["fate"] == "drop"
    assert [reason["annotator"] for reason in row["reasons"]] == ["quality", "licence", "pii", "pii"]
    assert not any("keller" in reason["evidence"] for reason in row["reasons"])


@given(st.lists(st.tuples(st.text(min_size=1, max_size=5), st.booleans()), max_size=8))
def test_redaction_touches_its_spans_and_nothing_else(pieces: list[tuple[str, bool]]) -> None:
    text, spans, expected = "", [], ""
    for piece, secret in pieces:
        if secret:
            spans.append({"kind": "ip", "start": len(text), "end": len(text) + len(piece)})
        text += piece
        expected += "<ip-pii>" if secret else piece
    assert redact(text, spans, frozenset({"ip"})) == expected
    assert redact(text, spans, frozenset({"email"})) == text


# --- withdrawals ---


def test_a_withdrawn_document_is_dropped_and_becomes_a_hole_and_no_other_changes(
    commons: Built, tmp_path: Path
) -> None:
    page = next(row for row in rows(commons.corpus) if row["domain"] == "fi")
    known = {name: page[name] for name in ("id", "url", "host", "language", "licence", "domain")}
    corpus = decided(
        commons, tmp_path / "corpus", records=[_record({"url": page["url"]}, {**known, "tokens": {"t1": 12, "t2": 13}})]
    )
    before, after = _fates(commons.corpus), _fates(corpus)
    assert {url for url in before if before[url] != after[url]} == {page["url"]}
    assert after[page["url"]] == ("drop", ["withdrawal"])
    assert [(row["id"], row["domain"], row["tokenizer"], row["tokens"], row["withdrawn_at"]) for row in rows(corpus, "holes")] == [
        (page["id"], "fi", "t1", 12, "2026-11-20T10:00:00Z"), (page["id"], "fi", "t2", 13, "2026-11-20T10:00:00Z"),
    ]  # fmt: skip
    assert "text" not in corpus.table("holes").column_names
    same = [
        part
        for part in corpus.parts()
        if corpus.part_path(part).read_bytes() == commons.corpus.part_path(part).read_bytes()
    ]
    assert len(same) == 15


def test_a_selector_takes_pages_that_came_after_the_record(commons: Built, tmp_path: Path) -> None:
    host = "languages.planted.example"
    corpus = decided(commons, tmp_path / "a", records=[_record({"host": host.upper()})])
    assert {url for url, (_, reasons) in _fates(corpus).items() if "withdrawal" in reasons} == {
        url for url in _fates(corpus) if host in url
    }
    narrow = decided(commons, tmp_path / "b", records=[_record({"host": host, "source": "pages.warc.gz"})])
    assert not [url for url, (_, reasons) in _fates(narrow).items() if "withdrawal" in reasons]
    licence = decided(commons, tmp_path / "c", records=[_record({"licence": "CC-BY-NC-4.0"})])
    assert _fates(licence)["https://nc.planted.example/story"] == ("drop", ["withdrawal", "licence"])


def test_a_selector_nobody_knows_is_not_passed_over(commons: Built, tmp_path: Path) -> None:
    with pytest.raises(StepFailed, match="selects by `hosts`"):
        decided(commons, tmp_path / "corpus", records=[_record({"hosts": "a.example"})])


def test_copies_of_a_withdrawn_page_wait_until_a_compact_build(commons: Built, tmp_path: Path) -> None:
    kept, waiting = "https://exact-new.planted.example/walls", "https://exact-old.planted.example/walls"
    one = next(row for row in rows(commons.corpus) if row["url"] == kept)
    record = _record({"url": kept}, {"id": one["id"], "url": kept, "domain": "en", "tokens": {"t": 9}})
    corpus = decided(commons, tmp_path / "a", records=[record])
    assert _fates(corpus)[kept] == ("drop", ["withdrawal"])
    assert _fates(corpus)[waiting] == ("drop", ["duplicate"])
    assert one["id"] in (tmp_path / "a" / "_run" / "log.txt").read_text()
    compact = decided(commons, tmp_path / "b", records=[record], compacted=1)
    assert _fates(compact)[waiting] == ("keep", [])
    assert rows(compact, "holes") == []


def test_a_document_that_left_the_crawl_still_leaves_its_hole(commons: Built, tmp_path: Path) -> None:
    gone = {
        "id": "ab" * 16,
        "url": "https://gone.example/",
        "host": "gone.example",
        "language": "en",
        "licence": None,
        "domain": "en",
        "tokens": {"t": 5},
    }
    corpus = decided(commons, tmp_path / "corpus", records=[_record({"host": "gone.example"}, gone)])
    assert [row["id"] for row in corpus.load("a", "holes").to_pylist()] == ["ab" * 16]


def test_touches_counts_what_comes_from_given_documents(commons: Built) -> None:
    pages = [row for row in rows(commons.corpus) if row["domain"] in ("fi", "rm")]
    ids = {row["id"] for row in pages}
    touched = STEPS["decide"].touches(commons.corpus, ids)
    assert (touched.documents, touched.bytes) == (len(pages), sum(row["bytes"] for row in pages))
    assert touched.shards == tuple(sorted({row["id"][0] for row in pages}))
    shards = STEPS["tokenize"].touches(commons.shards, ids)
    lengths = {row["id"]: row["length"] for row in rows(commons.shards)}
    assert shards.tokens == sum(lengths[one] for one in ids)
    assert sorted(shards.by_domain) == ["fi", "rm"] and shards.by_domain["fi"][0] == touched.by_domain["fi"][0]
    assert STEPS["extract"].touches(commons.documents, ids).documents == len(ids)
    assert STEPS["annotate"].touches(commons.verdicts, ids).by_domain.keys() == {"fi", "rm"}
    assert STEPS["decide"].touches(commons.corpus, {"0" * 32}).documents == 0


def test_costs_grow_with_the_crawl(commons: Built) -> None:
    from allmend.kinds import Estimate

    small, large = ({"crawl": Estimate(disk_bytes=size)} for size in (10**6, 10**8))
    for name in ("extract", "annotate", "deduplicate", "decide", "tokenize"):
        cost = STEPS[name].cost
        assert 0 < cost(None, small).seconds < cost(None, large).seconds
    assert STEPS["tokenize"].cost(None, large).tokens > 10**8


def test_the_policy_alone_moves_the_decision(commons: Built, tmp_path: Path) -> None:
    inputs = {"documents": commons.documents, "verdicts": [commons.verdicts, commons.duplicates]}
    config = {"policy": outside(_policy(tmp_path, "  - {rule: redact}\n")), "withdrawals": Withdrawals()}
    corpus = run_step("decide", tmp_path / "corpus", inputs=inputs, **config)
    assert corpus.rows() == commons.documents.rows()
