"""JSON is read and written exactly as it was sent."""

import json
import math
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from resolvers.errors import BadUserInput
from resolvers.rules import exact_json
from resolvers.rules.objects import JsonObject

LONG = st.integers(1, 400).flatmap(lambda digits: st.integers(10 ** (digits - 1), 10**digits - 1))
NUMBERS = LONG | LONG.map(lambda number: -number) | st.floats(allow_nan=False, allow_infinity=False)
TEXT = st.text(st.characters(codec="utf-8", exclude_characters="\0"))
VALUES = st.recursive(
    st.none() | st.booleans() | NUMBERS | TEXT,
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(TEXT, inner, max_size=4),
    max_leaves=20,
)


def alike(one: Any, other: Any) -> bool:
    """Equal, and of the same types: 1 is not 1.0."""
    return json.dumps(one, sort_keys=True) == json.dumps(other, sort_keys=True)


@given(VALUES)
def test_a_value_is_read_as_it_was_written(value: Any) -> None:
    assert alike(exact_json.loads(json.dumps(value)), value)
    assert alike(exact_json.loads(exact_json.dumps(value)), value)


@given(st.dictionaries(TEXT, VALUES, max_size=3))
def test_an_object_within_its_limits_stays_as_it_is(value: dict[str, Any]) -> None:
    assert alike(JsonObject(10**6, 60).clean("parameters", value), value)


@pytest.mark.parametrize("edge", [2**53 + 1, 2**63 - 1, 2**63, 2**64 - 1, 2**64, -(2**63), -(2**63) - 1, 10**19])
def test_numbers_at_the_edges_of_machine_words_stay(edge: int) -> None:
    written = exact_json.dumps({"seed": [edge]})
    assert written == b'{"seed":[%d]}' % edge
    assert exact_json.loads(written) == {"seed": [edge]}


def test_numbers_that_are_not_finite_are_read_so_that_their_field_can_be_named() -> None:
    read = exact_json.loads('{"a": NaN, "b": [Infinity, -Infinity]}')
    assert math.isnan(read["a"])
    assert read["b"] == [math.inf, -math.inf]


@pytest.mark.parametrize(
    "text",
    [
        "",
        "{",
        "nan",
        '{"a": nan}',
        '{"a": NaN',
        '{"a": 1' + "0" * 1_000 + "}",
        '{"a": NaN, "b": "\\ud800"}',
        '{"a": "\\ud800", "b": 12345678901234567890123}',
        "[" * 100_000,
        "[" * 1_000 + "NaN" + "]" * 1_000 + "]",
    ],
)
def test_other_texts_are_refused(text: str) -> None:
    with pytest.raises(ValueError):
        exact_json.loads(text)


def test_a_number_of_too_many_digits_is_named() -> None:
    with pytest.raises(BadUserInput, match=r"parameters\.a has more than 1000 digits; write it as text"):
        JsonObject().clean("parameters", {"a": 10**5_000})
