"""Which changes of a policy loosen it: every field, and what is decided of several at once."""

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from resolvers.rules.policies import LOOSENS, decide, loosens
from storage.policies import ProjectPolicy
from storage.vocabulary import PolicyMode

numbers = st.floats(0, 1, allow_nan=False)
metrics = st.dictionaries(st.sampled_from("abc"), numbers, max_size=3)
modes = st.sampled_from(list(PolicyMode))
bounds = st.one_of(
    st.tuples(st.integers(0, 5), st.none()),
    st.tuples(st.none(), st.integers(0, 5)),
    st.tuples(st.integers(0, 3), st.integers(3, 5)),
)
thresholds = st.dictionaries(st.sampled_from("abc"), bounds, max_size=3).map(
    lambda of: [{"name": name, "min": low, "max": high} for name, (low, high) in of.items()]
)
VALUES: dict[str, st.SearchStrategy[Any]] = {
    "required_approvals": st.integers(1, 10),
    "allow_self_approval": st.booleans(),
    "allow_requester_approval": st.booleans(),
    "require_complete_card": st.booleans(),
    "block_invalid_data": st.booleans(),
    "semver": modes,
    "tags": modes,
    "min_metrics": thresholds,
    "max_regression": st.none() | numbers,
    "approval_valid_days": st.integers(1, 3_650),
    "loosening_hours": st.floats(0, 8_760),
    "retention_days": st.none() | st.integers(1, 36_500),
    "protected_aliases": st.lists(st.sampled_from("abc"), unique=True),
}
policies = st.fixed_dictionaries(VALUES)
some_fields = st.fixed_dictionaries({}, optional=VALUES)


def test_every_field_of_the_policy_is_judged() -> None:
    kept = set(ProjectPolicy.__table__.columns.keys()) - {"project_id", "reviewer_left_at"}  # type: ignore[attr-defined]
    assert set(LOOSENS) == set(VALUES) == kept


@pytest.mark.parametrize("field", VALUES)
@given(data=st.data())
def test_no_change_loosens_both_ways_but_of_lists(field: str, data: st.DataObject) -> None:
    before, after = data.draw(VALUES[field]), data.draw(VALUES[field])
    assert not loosens(field, before, before)
    if field not in ("min_metrics", "protected_aliases", "retention_days") and before != after:
        assert loosens(field, before, after) is not loosens(field, after, before)


@given(VALUES["protected_aliases"], VALUES["protected_aliases"])
def test_an_alias_that_is_no_longer_protected_loosens(before: list[str], after: list[str]) -> None:
    assert loosens("protected_aliases", before, after) is any(alias not in after for alias in before)


def passes(thresholds: list[dict[str, Any]], values: dict[str, float]) -> bool:
    for each in thresholds:
        value = values.get(each["name"])
        if value is None or (each["min"] is not None and value < each["min"]):
            return False
        if each["max"] is not None and value > each["max"]:
            return False
    return True


@given(thresholds, thresholds, st.dictionaries(st.sampled_from("abc"), st.floats(-1, 6)))
def test_thresholds_that_do_not_loosen_let_nothing_more_through(before: Any, after: Any, values: Any) -> None:
    if not loosens("min_metrics", before, after):
        assert passes(before, values) or not passes(after, values)


@given(policies, some_fields, some_fields, st.booleans())
def test_each_field_that_is_asked_for_ends_in_one_place(
    policy: Any, asked: Any, pending: Any, confirmable: bool
) -> None:
    pending = {field: value for field, value in pending.items() if loosens(field, policy[field], value)}
    found = decide(policy, asked, pending, confirmable=confirmable, hours=policy["loosening_hours"])
    for field, value in asked.items():
        loosening = loosens(field, policy[field], value)
        again = field in pending and pending[field] == value
        waits = loosening and confirmable and policy["loosening_hours"] > 0
        assert (field in found.waiting) is (waits and not again)
        assert (field in found.at_once) is (value != policy[field] and not waits and not again)
        assert (field in found.alone) is (loosening and not confirmable and not again)
        assert (field in found.withdrawn) is (field in pending and not again)
    assert not set(found.at_once).union(found.waiting, found.withdrawn) - set(asked)
    assert found.alone.issubset(found.at_once)


@given(policies, some_fields)
def test_nothing_looser_is_in_force_at_once_while_somebody_could_confirm(policy: Any, asked: Any) -> None:
    for field, value in decide(policy, asked, {}, confirmable=True, hours=0.1).at_once.items():
        assert not loosens(field, policy[field], value)
