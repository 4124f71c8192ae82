import math
import time
import unicodedata
from collections.abc import Callable, Mapping
from contextlib import suppress
from typing import Any

import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st

from resolvers.errors import BadUserInput
from resolvers.rules import limits
from resolvers.rules.limits import NAME, NOTES, ListOf, Seconds, Sought, Text, Whole
from resolvers.rules.objects import JsonObject, Metrics, Segments, Thresholds


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
    "value", [{"a": "x\0"}, {"x\0": 1}, {"a": "\ud800"}, {"a": math.nan}, {"a": [math.inf]}, {"a": 10**1_005}]
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


# ---------------------------------------------------------------- what is bounded before it is done

MARKS = "\u0301\u0316"  # each pair is in the wrong order: what puts them in order takes time that is quadratic
ASTRAL_MARKS = "\U00010a0f\u0316"
TWO_IN_ONE = "\u0f73"  # of class 0, and two marks of different classes in form NFD
texts_with_marks = st.text(
    st.one_of(st.characters(), st.sampled_from("\u0301\u0316\u0f73\u0344\u1f82\u1100\u1161\u11a8 e"))
)


def cost_of(work: Callable[[], Any]) -> float:
    """The least processor time of a few runs, in seconds; whether it is refused does not matter."""
    costs = []
    for _ in range(10):
        began = time.process_time()
        with suppress(BadUserInput):
            work()
        costs.append(time.process_time() - began)
    return min(costs)


@given(texts_with_marks)
def test_cleaning_is_plain_normalisation_wherever_it_accepts(text: str) -> None:
    try:
        kept = Sought().clean("filter.query", text)
    except BadUserInput:
        return
    assert kept == unicodedata.normalize("NFC", text).strip()
    assert unicodedata.is_normalized("NFC", kept)
    assert kept == Sought().clean("filter.query", kept)
    assert len(kept) <= 500


@given(texts_with_marks)
def test_what_is_refused_is_too_long_holds_a_control_or_has_too_many_marks(text: str) -> None:
    try:
        Sought().clean("filter.query", text)
    except BadUserInput as refusal:
        kept = unicodedata.normalize("NFC", text).strip()
        marks = "".join(" " if unicodedata.combining(c) == 0 else c for c in unicodedata.normalize("NFD", text))
        controls = any(unicodedata.category(c) in ("Cc", "Cs", "Zl", "Zp") for c in kept)
        assert len(kept) > 500 or controls or max(map(len, marks.split(" "))) > 30, str(refusal)


@pytest.mark.parametrize("mark", ["\u0301", "\u0344", TWO_IN_ONE, "\u0f75", "\u0f81", "\u3099", "\U0001e94a"])
@pytest.mark.parametrize("before", [0, 480, 499, 500, 530])
def test_thirty_marks_in_a_row_are_kept_and_one_more_is_refused_wherever_they_stand(mark: str, before: int) -> None:
    each = 2 if mark in "\u0f73\u0f75\u0f81" else 1
    text = "\u00e9" * before + "e" + mark * (30 // each)
    assert NOTES.clean("notes", text) == unicodedata.normalize("NFC", text)
    with pytest.raises(BadUserInput, match="notes has more than 30 combining marks in a row; remove some"):
        NOTES.clean("notes", text + mark)


@pytest.mark.parametrize("decomposed", ["e\u0301", "\u1100\u1161\u11a8", "\u03b1\u0313\u0300\u0345"])
def test_a_text_that_fits_once_it_is_composed_is_kept(decomposed: str) -> None:
    assert len(NAME.clean("name", decomposed * 200)) == 200
    with pytest.raises(BadUserInput, match=r"has 201 characters|has 804 characters"):
        NAME.clean("name", decomposed * 201)


@pytest.mark.parametrize("marks", [MARKS, ASTRAL_MARKS, TWO_IN_ONE, "\u0344\u0316"])
@pytest.mark.parametrize("length", [10_000, 40_000, 400_000])
def test_marks_alone_cost_at_most_ten_times_as_much_as_plain_text_of_that_length(marks: str, length: int) -> None:
    plain = cost_of(lambda: NOTES.clean("notes", "x" * length if length <= 10_000 else "x " * (length // 2)))
    assert cost_of(lambda: NOTES.clean("notes", (marks * length)[:length])) < 10 * plain + 0.001


@pytest.mark.parametrize("marks", [MARKS, ASTRAL_MARKS])
def test_runs_of_thirty_marks_cost_at_most_ten_times_as_much_as_other_letters(marks: str) -> None:
    plain = cost_of(lambda: NOTES.clean("notes", "\u65e5" * 10_000))
    assert cost_of(lambda: NOTES.clean("notes", (("a" + marks * 15) * 400)[:10_000])) < 10 * plain


def nested_names(depth: int, name: str, inner: Any) -> dict[str, Any]:
    return {name: nested_names(depth - 1, name, inner) if depth > 1 else inner}


# 0.9 MB.
WRITTEN = orjson.dumps(list(range(140_000)))
LARGE: dict[str, tuple[Any, Any]] = {
    "a long name over many numbers": (JsonObject(), {"k" * 450_000: list(range(80_000))}),
    "long names in each other": (JsonObject(), nested_names(9, "k" * 50_000, list(range(80_000)))),
    "many names": (JsonObject(), {f"{place:015}": place for place in range(45_000)}),
    "lists nested deeply": (JsonObject(), {"a": orjson.loads("[" * 900 + "]" * 900), "b": list(range(150_000))}),
    "lists in lists": (JsonObject(), {"a": [[[[]]]] * 100_000}),
    "half a pair beside many numbers": (JsonObject(), {"a": list(range(50_000)), "b": "\ud800"}),
    "a metric's name": (Metrics(), {"k" * 900_000: 1}),
    "metrics' names": (Metrics(), {"k" * 4_400 + str(place): 1 for place in range(200)}),
    "a metric that is a list": (Metrics(), {"auc": list(range(150_000))}),
    "a metric nested deeply": (Metrics(), {"auc": orjson.loads("[" * 900 + "]" * 900)}),
    "metrics that are a list": (Metrics(), list(range(150_000))),
    "many metrics": (Metrics(), {f"{place:015}": place for place in range(45_000)}),
    "a segment's name": (Segments(), {"k" * 900_000: {"auc": 1}}),
    "a segment that is a list": (Segments(), {"a": list(range(150_000))}),
    "many segments": (Segments(), {f"{place:015}": {} for place in range(40_000)}),
    "a segment of many metrics": (Segments(), {"a": {f"{place:015}": place for place in range(45_000)}}),
    "many thresholds": (Thresholds(), [{"name": "a", "min": 1}] * 40_000),
    "many tags": (ListOf(Text(64), 50), ["\u0301" * 60] * 5_000),
    "a long tag": (ListOf(Text(64), 50), ["\u0301" * 200_000]),
}


@pytest.mark.parametrize(("limit", "value"), LARGE.values(), ids=LARGE.keys())
def test_what_is_too_large_costs_about_as_much_as_parsing_it_and_is_not_quoted(limit: Any, value: Any) -> None:
    parsed = cost_of(lambda: orjson.loads(WRITTEN))
    with pytest.raises(BadUserInput) as refusal:
        limit.clean("input.value", value)
    assert cost_of(lambda: limit.clean("input.value", value)) < 10 * parsed
    assert len(str(refusal.value)) < 1_000
    assert len(refusal.value.extensions["field"]) < 800


def refused_at(limit: Any, value: Any) -> str:
    with pytest.raises(BadUserInput) as refusal:
        limit.clean("input", value)
    field: str = refusal.value.extensions["field"]
    return field


@pytest.mark.parametrize(
    ("value", "path"),
    [
        ({"a": [1, {"b": "x\0"}]}, "input.a[1].b"),
        ({"a": [1, {"b\0": "x"}]}, "input.a[1]"),
        ({"a": ["\\u0000", None], "b": [[math.nan]]}, "input.b[0][0]"),
        ({"a": {"b": ["\ud800"]}}, "input.a.b[0]"),
        ({"a": [{"b": 10**1_005}]}, "input.a[0].b"),
        ({"a" * 500: ["\0"]}, f"input.{'a' * 57}...[0]"),
    ],
)
def test_the_path_of_what_json_cannot_hold_is_told_and_bounded(value: Mapping[str, Any], path: str) -> None:
    assert refused_at(JsonObject(), value) == path


def test_what_looks_like_an_escaped_nul_is_kept() -> None:
    value = {"a": "\\u0000", "b": None, "c": [2**64 - 1, -(2**63)], "\\u0000": "null"}
    assert JsonObject().clean("input", value) == value
