import math
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from resolvers.errors import BadUserInput
from resolvers.rules import limits
from resolvers.rules.limits import NAME, NOTES, ListOf, Seconds, Text, Whole
from resolvers.rules.objects import JsonObject, Metrics


@given(st.text())
def test_names_are_kept_normal_trimmed_and_without_controls_or_refused_by_field(text: str) -> None:
    try:
        kept = NAME.clean("input.name", text)
    except BadUserInput as refusal:
        assert refusal.extensions["field"] == "input.name"
        assert str(refusal).startswith("input.name ")
    else:
        assert kept == NAME.clean("input.name", kept)
        assert kept == kept.strip()
        assert 1 <= len(kept) <= 200
        assert not any(ord(c) < 32 or 0x7F <= ord(c) < 0xA0 for c in kept)
        kept.encode()


def test_composed_and_decomposed_spellings_are_one_name() -> None:
    assert NAME.clean("name", "Caf\u0065\u0301") == NAME.clean("name", "Caf\u00e9")


@pytest.mark.parametrize("text", ["", "  ", "a\tb", "a\nb", "a\0b", "a\u2028b", "a\x7fb", "\ud800", "x" * 201])
def test_what_a_name_cannot_hold_is_refused(text: str) -> None:
    with pytest.raises(BadUserInput):
        NAME.clean("name", text)


def test_notes_may_have_lines_but_no_other_controls() -> None:
    assert NOTES.clean("notes", "one\r\n\ttwo") == "one\r\n\ttwo"
    with pytest.raises(BadUserInput, match=r"U\+0000"):
        NOTES.clean("notes", "a\0b")


@pytest.mark.parametrize(
    "id_", ["model_", "model_ä", "Model_a", "model_a b", "ver_a", "model_" + "x" * 101, "model_a\n"]
)
def test_an_id_that_does_not_name_its_type_is_refused(id_: str) -> None:
    with pytest.raises(BadUserInput, match="model_"):
        limits.Id("model").clean("input.id", id_)


def test_an_id_is_kept_as_it_is() -> None:
    assert limits.Id("model").clean("input.id", "model_XGB-churn.v2_a") == "model_XGB-churn.v2_a"


@given(st.dictionaries(st.text("abc", min_size=1, max_size=3), st.floats(allow_nan=False, allow_infinity=False)))
def test_finite_metrics_are_kept_as_they_are(values: dict[str, float]) -> None:
    assert Metrics().clean("input.metrics", values) == values


@pytest.mark.parametrize("value", [math.nan, math.inf, -math.inf, True, "0.9", None, [1], 10**400])
def test_a_metric_that_is_not_a_finite_number_is_refused_by_its_name(value: Any) -> None:
    with pytest.raises(BadUserInput) as refusal:
        Metrics().clean("input.metrics", {"auc": value})
    assert refusal.value.extensions["field"] == "input.metrics.auc"


@pytest.mark.parametrize("value", [None, 1, "x", [], [["auc", 1]]])
def test_metrics_that_are_no_object_are_refused(value: Any) -> None:
    with pytest.raises(BadUserInput, match="must be an object"):
        Metrics().clean("input.metrics", value)


def test_two_metrics_of_one_name_after_trimming_are_refused() -> None:
    with pytest.raises(BadUserInput, match="same after trimming"):
        Metrics().clean("input.metrics", {"auc": 1, " auc": 2})


def nested(depth: int) -> dict[str, Any]:
    return {"a": nested(depth - 1)} if depth > 1 else {}


def test_parameters_are_bounded_in_depth_and_size() -> None:
    limit = JsonObject()
    assert limit.clean("input.parameters", nested(limit.deepest)) == nested(limit.deepest)
    with pytest.raises(BadUserInput, match="nested more than"):
        limit.clean("input.parameters", nested(limit.deepest + 1))
    with pytest.raises(BadUserInput, match="bytes as JSON"):
        limit.clean("input.parameters", {"a": "x" * limit.most_bytes})
    with pytest.raises(BadUserInput, match="nested more than"):
        limit.clean("input.parameters", nested(900))


@pytest.mark.parametrize(
    "value", [{"a": "x\0"}, {"x\0": 1}, {"a": "\ud800"}, {"a": math.nan}, {"a": [math.inf]}, {"a": 2**70}]
)
def test_parameters_that_the_database_cannot_keep_are_refused(value: dict[str, Any]) -> None:
    with pytest.raises(BadUserInput, match=r"input\.parameters"):
        JsonObject().clean("input.parameters", value)


def test_lists_keep_each_entry_once_in_order_and_name_a_bad_one_by_its_place() -> None:
    limit = ListOf(Text(5), 3)
    assert limit.clean("input.tags", ["b", "a ", "b"]) == ["b", "a"]
    with pytest.raises(BadUserInput) as refusal:
        limit.clean("input.tags", ["ok", ""])
    assert refusal.value.extensions["field"] == "input.tags[1]"
    with pytest.raises(BadUserInput, match="at most 3"):
        limit.clean("input.tags", list("abcd"))


@pytest.mark.parametrize(("limit", "value"), [(Whole(), -1), (Whole(5), 6), (Seconds(), -0.1), (Seconds(), math.inf)])
def test_numbers_out_of_range_are_refused(limit: Any, value: float) -> None:
    with pytest.raises(BadUserInput):
        limit.clean("field", value)
