"""Every planted page of the bundled crawl gets its labelled fate, and what the rules do to its real pages is known."""

from __future__ import annotations

from collections import Counter
from typing import Any

from tests.data.conftest import COMMONS, Built, rows


def _fates(built: Built) -> dict[str, tuple[str, set[str]]]:
    """URL → fate and the annotators (or parser's reason) that speak against it."""
    rejected = {row["url"]: ("reject", {row["reason"]}) for row in rows(built.documents, "rejected")}
    decided = {
        row["url"]: (row["fate"], {reason["annotator"] for reason in row["reasons"]})
        for row in rows(built.corpus, "decisions")
    }
    return rejected | decided


def test_every_planted_page_gets_its_fate_for_its_reasons_alone(commons: Built, plants: list[dict[str, Any]]) -> None:
    fates = _fates(commons)
    assert len(plants) == 116
    assert {plant["case"]: fates[plant["url"]] for plant in plants} == {
        plant["case"]: (plant["fate"], set(plant["reasons"])) for plant in plants
    }


def test_redacted_spans_are_exactly_those_labelled_and_leave_markers(
    commons: Built, plants: list[dict[str, Any]]
) -> None:
    found = {row["id"]: row["pii"]["spans"] for row in rows(commons.verdicts)}
    documents = {row["url"]: row for row in rows(commons.documents)}
    texts = {row["url"]: row["text"] for row in rows(commons.corpus)}
    for plant in (plant for plant in plants if "spans" in plant):
        document = documents[plant["url"]]
        spans = found[document["id"]]
        assert [{"kind": span["kind"], "text": span["text"]} for span in spans] == plant["spans"]
        assert all(document["text"][span["start"] : span["end"]] == span["text"] for span in spans)
        expected = document["text"]
        for span in plant["spans"]:
            expected = expected.replace(span["text"], f"<{span['kind']}-pii>")
        assert texts[plant["url"]] == expected


def test_texts_hold_what_they_must_and_no_footers(commons: Built, plants: list[dict[str, Any]]) -> None:
    texts = {row["url"]: row["text"] for row in rows(commons.corpus)}
    for plant in plants:
        assert all(words in texts[plant["url"]] for words in plant.get("must_contain", ())), plant
        assert all(words not in texts[plant["url"]] for words in plant.get("must_not_contain", ())), plant


def test_every_response_is_a_document_or_a_rejected_row_and_every_document_is_decided(commons: Built) -> None:
    assert commons.documents.rows() == 651
    assert commons.documents.rows("rejected") == 7
    assert [row["id"] for row in rows(commons.corpus, "decisions")] == [row["id"] for row in rows(commons.documents)]
    assert 542 + 116 == 651 + 7


def test_what_the_rules_take_of_the_542_real_pages_is_known(commons: Built) -> None:
    """Two are too short for the parser; thirteen fall to rules, six of them as true near copies in their own language."""
    short = [row["url"] for row in rows(commons.documents, "rejected") if row["source"] == "pages.warc.gz"]
    assert short == ["https://tzm-tfng.udhr.example/declaration", "https://tgl-tglg.udhr.example/declaration"]
    real = [row for row in rows(commons.corpus, "decisions") if row["source"] == "pages.warc.gz"]
    assert Counter(row["fate"] for row in real) == {"keep": 527, "drop": 13}
    reasons = Counter((reason["annotator"], reason["rule"]) for row in real for reason in row["reasons"])
    assert reasons == {
        ("duplicate", "one of 2 copies"): 6, ("quality", "sentences at least 5"): 4, ("quality", "words at least 50"): 3,
        ("quality", "duplicate_5grams at most 0.15"): 1, ("quality", "duplicate_10grams at most 0.1"): 1,
    }  # fmt: skip


def test_no_real_page_is_called_refused_toxic_or_personal(commons: Built) -> None:
    real = {row["id"] for row in rows(commons.documents) if row["source"] == "pages.warc.gz"}
    verdicts = [row for row in rows(commons.verdicts) if row["id"] in real]
    assert not [row for row in verdicts if row["optout"]["refused"] or row["pii"]["count"]]
    assert max(row["toxicity"]["score"] or 0 for row in verdicts) < 0.04


def test_all_languages_of_the_demo_are_kept(commons: Built) -> None:
    wanted = [line for line in (COMMONS / "demo-languages.txt").read_text().split("\n") if line and line[0] != "#"]
    assert set(wanted) <= {row["domain"] for row in rows(commons.corpus)}
