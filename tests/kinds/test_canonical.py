"""Canonical JSON and config identity: what may and what may not move a key."""

from __future__ import annotations

import json
import math
import struct
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from allmend.kinds import Config, canonical, canonical_json, content_digest, load_config
from allmend.kinds.canonical import number
from allmend.kinds.errors import RecipeError

unhurried = settings(deadline=None, max_examples=60, suppress_health_check=[HealthCheck.too_slow])
# RFC 8785, appendix B: IEEE 754 bits → text
VECTORS = {
    "0000000000000000": "0",
    "8000000000000000": "0",
    "0000000000000001": "5e-324",
    "8000000000000001": "-5e-324",
    "7fefffffffffffff": "1.7976931348623157e+308",
    "ffefffffffffffff": "-1.7976931348623157e+308",
    "4340000000000000": "9007199254740992",
    "c340000000000000": "-9007199254740992",
    "4430000000000000": "295147905179352830000",
    "44b52d02c7e14af5": "9.999999999999997e+22",
    "44b52d02c7e14af6": "1e+23",
    "44b52d02c7e14af7": "1.0000000000000001e+23",
    "444b1ae4d6e2ef4e": "999999999999999700000",
    "444b1ae4d6e2ef4f": "999999999999999900000",
    "444b1ae4d6e2ef50": "1e+21",
    "3eb0c6f7a0b5ed8c": "9.999999999999997e-7",
    "3eb0c6f7a0b5ed8d": "0.000001",
    "41b3de4355555553": "333333333.3333332",
    "41b3de4355555554": "333333333.33333325",
    "41b3de4355555555": "333333333.3333333",
    "41b3de4355555556": "333333333.3333334",
    "41b3de4355555557": "333333333.33333343",
    "becbf647612f3696": "-0.0000033333333333333333",
    "43143ff3c1cb0959": "1424953923781206.2",
}

json_values = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-(2**53), 2**53)
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.text(),
    lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner),
    max_leaves=20,
)


@pytest.mark.parametrize(("bits", "text"), VECTORS.items())
def test_numbers_are_written_as_rfc_8785_says(bits: str, text: str) -> None:
    assert number(struct.unpack(">d", bytes.fromhex(bits))[0]) == text


def test_the_example_of_rfc_8785_comes_out_byte_for_byte() -> None:
    value = json.loads(
        '{"numbers": [333333333.33333329, 1E30, 4.50, 2e-3, 0.000000000000000000000000001], '
        '"string": "\\u20ac$\\u000F\\u000aA\'\\u0042\\u0022\\u005c\\\\\\"\\/", "literals": [null, true, false]}'
    )
    expected = (
        '{"literals":[null,true,false],"numbers":[333333333.3333333,1e+30,4.5,0.002,1e-27],'
        '"string":"€$\\u000f\\nA\'B\\"\\\\\\\\\\"/"}'
    )
    assert canonical_json(value) == expected.encode()


def test_keys_are_sorted_by_utf_16_units() -> None:
    keys = ["\u20ac", "\r", "\ufb33", "1", "\U0001f600", "\u0080", "\u00f6"]
    assert list(json.loads(canonical_json(dict.fromkeys(keys, 0)))) == [
        "\r",
        "1",
        "\u0080",
        "\u00f6",
        "\u20ac",
        "\U0001f600",
        "\ufb33",
    ]


def as_ecmascript(digits: str) -> float:
    """The double 1e18 is written without a point.

    As ECMAScript does; beyond ±2⁵³ a reader must take it as a double again.
    """
    return int(digits) if abs(int(digits)) <= 2**53 else float(digits)


@unhurried
@given(json_values)
def test_canonical_json_reads_back_and_is_its_own_canonical_form(value: Any) -> None:
    data = canonical_json(value)
    again = json.loads(data, parse_int=as_ecmascript)
    assert again == value
    assert canonical_json(again) == data


@unhurried
@given(st.dictionaries(st.text(), st.integers(0, 9), min_size=2))
def test_the_order_of_keys_moves_nothing(value: dict[str, int]) -> None:
    assert canonical_json(value) == canonical_json(dict(reversed(value.items())))


@unhurried
@given(st.floats(allow_nan=False, allow_infinity=False))
def test_a_number_reads_back_to_the_same_double(value: float) -> None:
    assert float(number(value)) == value


@pytest.mark.parametrize("value", [math.nan, math.inf, -math.inf, 2**53 + 1, -(2**53) - 1, "\ud800", {1}, b"x"])
def test_what_json_cant_hold_is_an_error_that_names_the_place(value: Any) -> None:
    with pytest.raises(ValueError, match=r"config\.layers\[1\]"):
        canonical_json({"layers": [0, value]}, "config")


def test_true_and_one_differ() -> None:
    assert canonical_json(True) != canonical_json(1)
    assert canonical_json(1.0) == canonical_json(1)  # ECMAScript has one kind of number


def test_the_content_digest_doesnt_depend_on_the_order_of_files() -> None:
    files = [("b", 1, "0" * 64), ("a", 2, "1" * 64)]
    assert content_digest(files) == content_digest(reversed(files))


class Red(Config):
    """All default."""

    strength: int = 1


class Blue(Config):
    """All default, too."""

    strength: int = 1


class Paint(Config):
    """Holds a union."""

    colour: Red | Blue = Red()
    colours: tuple[Red | Blue, ...] = ()
    scale: int | float = 1
    flag: bool | int = False
    rate: float = 0.5
    count: int = 0


def test_a_union_of_two_all_default_configs_gives_two_keys() -> None:
    assert canonical(Paint(colour=Red())) == {}
    assert canonical(Paint(colour=Blue())) == {"colour": {"class": "Blue"}}
    assert canonical(Paint(colours=(Red(),))) != canonical(Paint(colours=(Blue(),)))


def test_equal_to_the_default_means_of_the_same_type_too() -> None:
    assert canonical(Paint(scale=1)) == {}
    assert canonical(Paint(scale=1.0)) == {"scale": 1.0}
    assert canonical(Paint(flag=0)) == {"flag": 0}
    assert canonical(Paint(flag=False)) == {}


def test_a_value_equal_to_its_default_moves_no_key() -> None:
    assert canonical(Paint(rate=0.5, count=0)) == canonical(Paint())


@pytest.mark.parametrize(
    ("text", "field"),
    [('{"rate": NaN}', "rate"), ('{"rate": Infinity}', "rate"), ('{"count": 9007199254740993}', "count")],
)
def test_nan_infinity_and_large_integers_are_refused_by_field(text: str, field: str) -> None:
    with pytest.raises(RecipeError, match=field):
        load_config(Paint, json.loads(text), lambda place: ".".join(map(str, place)))
