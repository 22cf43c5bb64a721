"""`Config`: what a recipe may say, what a key is made of, and what is said of a value that is wrong."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError

from allmend.kinds import (
    Config,
    Count,
    Date,
    Field,
    InputFile,
    InputFiles,
    Member,
    Parts,
    RecipeName,
    Secret,
    Seed,
    Share,
    Withdrawals,
    canonical,
    canonical_json,
    load_config,
    parse_count,
)
from allmend.kinds.config import heads
from allmend.kinds.errors import RecipeError


class Inner(Config):
    """Nested."""

    rate: float = 0.5


class Outer(Config):
    """Some of everything."""

    name: str = "x"
    tokens: Count = 1000
    share: Share = 0.1
    inner: Inner = Inner()
    inners: tuple[Inner, ...] = ()
    table: dict[str, int] = Field({})
    maybe: int | None = None


class Headed(Config):
    """All head values, and one that is none."""

    seed: Seed
    parts: Parts
    date: Date
    title: RecipeName
    withdrawals: Withdrawals
    own: int = 0


def load(data: dict[str, Any], cls: type[Any] = Outer) -> Any:
    return load_config(cls, data, lambda place: "recipe.yaml:3  " + ".".join(map(str, place)))


# --- identity ---


def test_only_what_differs_from_the_default_enters_the_key() -> None:
    assert canonical(Outer()) == {}
    assert canonical(load({"tokens": "1k", "share": 0.1, "inners": []})) == {}
    assert canonical(load({"tokens": "2k", "maybe": 0})) == {"tokens": 2000, "maybe": 0}


def test_a_new_field_moves_no_key() -> None:
    class Before(Config):
        rate: float = 0.5

    class After(Before):
        added: int = 7

    assert canonical(Before(rate=0.25)) == canonical(After(rate=0.25))


def test_a_nested_config_names_its_class_wherever_it_stands() -> None:
    assert canonical(load({"inners": [{}, {"rate": 1.5}]})) == {
        "inners": [{"class": "Inner"}, {"class": "Inner", "rate": 1.5}]
    }
    assert canonical(load({"inner": {"rate": 0.5}})) == {}


def test_the_order_in_which_fields_are_given_moves_no_key() -> None:
    one, two = load({"name": "a", "tokens": 5}), load({"tokens": 5, "name": "a"})
    assert canonical_json(canonical(one)) == canonical_json(canonical(two))


def test_a_field_left_out_for_a_part_key_is_left_out() -> None:
    assert canonical(load({"name": "a", "tokens": 5}), leave_out=["tokens"]) == {"name": "a"}


def test_a_files_place_isnt_in_the_key_and_its_bytes_are(tmp_path: Path) -> None:
    class Reads(Config):
        files: InputFiles

    digests = []
    for folder, text in (("a", "same"), ("b", "same"), ("c", "other")):
        (tmp_path / folder).mkdir()
        (tmp_path / folder / "x.txt").write_text(text)
        digests.append(canonical(load({"files": str(tmp_path / folder / "*.txt")}, Reads)))
    assert digests[0] == digests[1] != digests[2]
    assert [sorted(file) for file in digests[0]["files"]] == [["name", "sha256", "size"]]


def test_files_are_sorted_and_named_once_whatever_the_globs(tmp_path: Path) -> None:
    class Reads(Config):
        files: InputFiles

    for name in ("b", "a", "c"):
        (tmp_path / f"{name}.txt").write_text(name)
    one = load({"files": [str(tmp_path / "b.txt"), str(tmp_path / "*.txt")]}, Reads)
    assert [file.name for file in one.files] == ["a.txt", "b.txt", "c.txt"]


def test_a_secret_is_named_and_never_held() -> None:
    class Judge(Config):
        key: Secret

    assert canonical(load({"key": {"secret": "JUDGE_KEY"}}, Judge)) == {"key": {"secret": "JUDGE_KEY"}}
    with pytest.raises(RecipeError, match="never held"):
        load({"key": "sk-1234"}, Judge)


def test_a_config_cant_be_changed() -> None:
    with pytest.raises(ValidationError):
        Outer().name = "y"  # type: ignore[misc]


# --- values ---


@pytest.mark.parametrize(
    ("text", "count"),
    [("600k", 600_000), ("600K", 600_000), ("1M", 10**6), ("1.5B", 1_500_000_000), ("2G", 2 * 10**9),
     ("15T", 15 * 10**12),
     ("0.001k", 1), ("1_000", 1000), ("1 M", 10**6), ("12", 12), ("1.234567891234567891B", "1.234567891234567891B"),
     ("0.5", "0.5"), ("-1k", "-1k"), ("k", "k"), ("1kk", "1kk"), ("1e3", "1e3"), (7, 7), (True, True), (None, None)],
)  # fmt: skip
def test_counts(text: Any, count: Any) -> None:
    assert parse_count(text) == count and type(parse_count(text)) is type(count)


@given(st.integers(0, 10**6), st.sampled_from(["k", "M", "B", "T"]))
def test_a_count_is_exact(number: int, letter: str) -> None:
    scale = {"k": 10**3, "M": 10**6, "B": 10**9, "T": 10**12}[letter]
    assert parse_count(f"{number}{letter}") == number * scale
    assert parse_count(f"{number / 1000:.3f}{letter}") == number * scale // 1000


def test_heads_are_found_by_their_type_and_described() -> None:
    assert heads(Headed) == {
        "seed": "seed", "parts": "parts", "date": "date", "title": "recipe", "withdrawals": "withdrawals"
    }  # fmt: skip
    assert all(Headed.model_fields[name].description for name in ("seed", "parts", "date", "title"))


@pytest.mark.parametrize(
    ("data", "sentence"),
    [({"nam": "y"}, r"recipe\.yaml:3  nam: unknown key `nam`\. Did you mean `name`\?"),
     ({"inner": {"rat": 1.0}}, r"inner\.rat: unknown key `rat`\. Did you mean `rate`\?"),
     ({"name": 3}, r"recipe\.yaml:3  name: given 3: .*string"),
     ({"tokens": "many"}, r"tokens: given \"many\": .*integer"),
     ({"tokens": -1}, r"tokens: given -1: .*greater than or equal to 0"),
     ({"tokens": True}, r"tokens: given true"),
     ({"share": 1.5}, r"share: given 1\.5: .*less than or equal to 1"),
     ({"inners": [{}, {"rate": "x"}]}, r"inners\.1\.rate: given \"x\""),
     ({"table": {"a": "b"}}, r"table\.a: given \"b\""),
     ({"table": {"a": 2**60}}, r"table\.a: the integer 1152921504606846976 is beyond"),
     ({"name": "y" * 500}, None)],
    ids=str,
)  # fmt: skip
def test_what_is_wrong_is_said_with_place_value_and_cure(data: dict[str, Any], sentence: str | None) -> None:
    if sentence is None:
        load(data)
        return
    with pytest.raises(RecipeError, match=sentence) as raised:
        load(data)
    assert "\n" not in str(raised.value)


def test_a_missing_field_is_named() -> None:
    class Needs(Config):
        file: InputFile

    with pytest.raises(RecipeError, match="the field `file` is required"):
        load({}, Needs)
    with pytest.raises(RecipeError, match="no file nowhere"):
        load({"file": "nowhere"}, Needs)


def test_a_member_of_a_family_is_read_like_any_config() -> None:
    class AtLeast(Member):
        value: float = Field(description="smallest value kept")

    assert AtLeast.of({"value": 2}, str).value == 2.0
    with pytest.raises(RecipeError, match="unknown key"):
        AtLeast.of({"value": 2, "other": 1}, str)


@given(st.dictionaries(st.sampled_from(["name", "tokens", "maybe"]), st.none() | st.integers() | st.text(max_size=5)))
def test_any_value_is_taken_or_refused_in_one_sentence(data: dict[str, Any]) -> None:
    try:
        config = load(data)
    except RecipeError as error:
        assert str(error).startswith("recipe.yaml:3  ")
    else:
        json.loads(canonical_json(canonical(config)))
