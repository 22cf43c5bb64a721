"""Opt-outs: the case table, and the parser against another one where both follow the RFC."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st

from allmend.data.annotator import page
from allmend.data.annotators.optout import Optout
from allmend.data.policies import host_of, newest
from allmend.data.robots import matches, parse_robots, path_of

CASES = yaml.safe_load((Path(__file__).parent / "optout_cases.yaml").read_text())
SITE = "https://site.example"


def _policies(case: dict[str, Any]) -> list[dict[str, Any]]:
    """The host's files as `policies.jsonl` has them."""
    places = {"robots": "/robots.txt", "tdmrep": "/.well-known/tdmrep.json", "licence": "/license.xml"}
    found = []
    for name, place in places.items():
        if name in case:
            status = case.get(f"{name}_status", 200)
            row = {
                "host": "site.example",
                "url": SITE + place,
                "kind": {"licence": "rsl"}.get(name, name),
                "status": status,
            }
            found.append(row | {"fetched_at": "2026-11-02T06:00:00Z", "body": case[name] if status == 200 else None})
    return found


def test_there_are_enough_cases_and_each_has_a_name_and_a_source() -> None:
    assert len(CASES) >= 60
    assert len({case["case"] for case in CASES}) == len(CASES)
    assert all(case["source"] for case in CASES)


@pytest.mark.parametrize("case", CASES, ids=lambda case: case["case"])
def test_a_signal_means_what_its_standard_says(case: dict[str, Any]) -> None:
    hints = [("header", name, value) for name, value in case.get("headers", {}).items()]
    hints += [("meta", name, value) for name, value in case.get("metas", {}).items()]
    verdict = Optout().annotate(page(url=case.get("url", f"{SITE}/page"), hints=hints), _policies(case))
    assert sorted({f"{signal['signal']} {signal['agent']}" for signal in verdict["signals"]}) == sorted(case["expect"])
    assert verdict["refused"] == bool(case["expect"])


def test_evidence_names_the_line_and_the_file() -> None:
    verdict = Optout().annotate(
        page(url=f"{SITE}/page"), _policies({"robots": "User-agent: CCBot\nDisallow: /pa # no"})
    )
    expected = {
        "signal": "robots",
        "agent": "CCBot",
        "rule": "Disallow: /pa",
        "evidence": "/page",
        "source": f"{SITE}/robots.txt",
    }
    assert verdict["signals"] == [expected]


@given(
    st.lists(st.tuples(st.sampled_from(["Allow", "Disallow"]), st.text("/ab*$", min_size=1, max_size=6).map(lambda text: "/" + text)), max_size=6),
    st.text("/ab", max_size=8).map(lambda text: "/" + text),
)  # fmt: skip
def test_the_parser_agrees_with_protego_where_both_follow_the_rfc(rules: list[tuple[str, str]], path: str) -> None:
    from protego import Protego

    rules = [
        (kind, pattern)
        for kind, pattern in rules
        if "$" not in pattern[:-1] and "**" not in pattern and not pattern.endswith("*$")
    ]
    text = "User-agent: *\n" + "".join(f"{kind}: {pattern}\n" for kind, pattern in rules)
    ours = parse_robots(text).refusal("AnyBot", path_of(f"{SITE}{path}")) is None
    longest = max((len(pattern) for _, pattern in rules if matches(pattern, path)), default=0)
    tied = {kind for kind, pattern in rules if matches(pattern, path) and len(pattern) == longest}
    if len(tied) < 2:  # protego settles some ties by what `*` stands for
        assert Protego.parse(text).can_fetch(f"{SITE}{path}", "AnyBot") == ours


@given(st.text("a*$/", max_size=12), st.text("a/", max_size=30))
def test_matching_is_what_a_regular_expression_says(pattern: str, path: str) -> None:
    import re

    pattern = "/" + pattern
    body, end = (pattern[:-1], "$") if pattern.endswith("$") else (pattern, "")
    expression = ".*".join(map(re.escape, body.split("*"))) + end
    assert matches(pattern, path) == (re.match(expression, path, re.DOTALL) is not None)


def test_many_stars_cost_no_time() -> None:
    assert not matches("/" + "*a" * 5_000 + "b", "/" + "a" * 20_000)


def test_the_newest_answer_of_a_host_counts() -> None:
    old = {
        "host": "a.example",
        "url": "http://a.example/robots.txt",
        "kind": "robots",
        "status": 200,
        "fetched_at": "2026-01-01",
        "body": "x",
    }
    new = old | {"url": "https://a.example/robots.txt", "fetched_at": "2026-02-01", "body": "y"}
    assert [policy["body"] for policy in newest([new, old])["a.example"]] == ["y"]


@pytest.mark.parametrize(
    ("url", "host"),
    [("https://A.Example:443/x", "a.example"), ("http://a.example:8080/", "a.example:8080"), ("https://u:p@a.example./", "a.example"),
     ("https://[::1]:80/", "::1:80"), ("no url", ""), ("http://[bad", "")],
)  # fmt: skip
def test_hosts_are_written_one_way(url: str, host: str) -> None:
    assert host_of(url) == host
