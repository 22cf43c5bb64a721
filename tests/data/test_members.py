"""The families of the room: each member on its own examples, and the table equal to the folder."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

import allmend.data
from allmend.data.annotator import Annotator, page
from allmend.data.annotators import ANNOTATORS, annotator
from allmend.data.rule import Rule
from allmend.data.rules import RULES, rule_class

ROOM = Path(allmend.data.__file__).parent


@pytest.mark.parametrize(("table", "folder"), [(ANNOTATORS, "annotators"), (RULES, "rules")])
def test_the_table_lists_the_folder(table: dict[str, str], folder: str) -> None:
    assert list(table) == sorted(path.stem for path in (ROOM / folder).glob("[a-z]*.py"))


@pytest.mark.parametrize("name", ANNOTATORS)
def test_an_annotator_says_of_its_examples_what_it_promises(name: str) -> None:
    judge = annotator(name)
    assert isinstance(judge, Annotator)
    assert judge.source and type(judge).__doc__ and len(judge.examples) >= 2
    for document, expected in judge.examples:
        verdict = judge.annotate(document)
        assert {key: verdict[key] for key in expected} == expected
        assert sorted(verdict) == sorted(field.name for field in judge.type)


@pytest.mark.parametrize("name", ANNOTATORS)
@pytest.mark.parametrize(
    "text",
    ["", " \n\t ", "a" * 200_000, "😀" * 5_000, "\0\0x\0", "שלום עולם " * 500, "ไม่มีช่องว่าง" * 500, "人人生而自由" * 900,
     "1.2.3.4." * 3_000, "a@" * 5_000, "+49 " * 3_000, ":" * 20_000, "4111 " * 4_000, "DE89 " * 4_000, "{" * 9_000, "\ud800 lone"],
    ids=lambda text: repr(text[:8]),
)  # fmt: skip
def test_an_annotator_takes_any_text(name: str, text: str) -> None:
    judge = annotator(name)
    assert annotator(name).annotate(page(text)) == judge.annotate(page(text))


@pytest.mark.parametrize("name", RULES)
def test_a_rule_keeps_and_drops_its_examples(name: str) -> None:
    cls = rule_class(name)
    assert issubclass(cls, Rule)
    assert cls.source and cls.__doc__ and cls.keeps and cls.drops
    rule = cls()
    assert [rule.judge(verdict) for verdict in cls.keeps] == [[]] * len(cls.keeps)
    assert all(rule.judge(verdict) for verdict in cls.drops)
    needed: set[Any] = {need.partition(".")[0] for need in rule.needs()}
    assert all(needed <= set(verdict) for verdict in (*cls.keeps, *cls.drops))
