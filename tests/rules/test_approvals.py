"""Whose approval counts: every combination, against what the sentence says."""

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from resolvers.rules.approvals import Asked, Person, Review, is_reviewer, problem, tally

NAMES = ["ana", "bo", "cy", "robot"]
REVIEWED: Any = {"cardRevision": 1, "data": {"dsv_a": "ACTIVE"}}
SOUND: Review = {
    "reviewer": "ana", "decision": "APPROVE", "target": "PRODUCTION", "position": 5, "reviewed": REVIEWED,
    "request": None, "request_status": None, "role": "REVIEWER", "kind": "USER", "is_author": False, "expired": False,
    "superseded": False, "valid_days": 30, "allow_self": False, "now": REVIEWED, "stage": "STAGING", "now_position": 5,
    "after_position": 4,
}  # fmt: skip


def review(**changes: Any) -> Review:
    return {**SOUND, **changes}  # type: ignore[typeddict-item]


def test_an_approval_counts_while_nothing_has_changed() -> None:
    assert problem(SOUND) is None


@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        ({"role": None}, "REVIEWER_REMOVED"),
        ({"role": "CONTRIBUTOR"}, "REVIEWER_REMOVED"),
        ({"kind": "SERVICE"}, "REVIEWER_REMOVED"),
        ({"is_author": True}, "AUTHOR"),
        ({"superseded": True}, "SUPERSEDED"),
        ({"request_status": "CANCELLED"}, "REQUEST_CLOSED"),
        ({"request_status": "EXPIRED"}, "REQUEST_CLOSED"),
        ({"now_position": 6, "after_position": 5, "stage": "DEVELOPMENT"}, "MOVED_ON"),
        ({"now_position": 9, "after_position": 7, "stage": "PRODUCTION"}, "MOVED_ON"),
        ({"now": REVIEWED | {"cardRevision": 2}}, "CARD_CHANGED"),
        ({"now": REVIEWED | {"data": {"dsv_a": "INVALID"}}}, "DATA_CHANGED"),
        ({"now": REVIEWED | {"data": {"dsv_a": "ACTIVE", "dsv_b": "ACTIVE"}}}, "DATA_CHANGED"),
        ({"expired": True}, "EXPIRED"),
    ],
)
def test_it_no_longer_counts_and_says_why(changes: Any, reason: str) -> None:
    wrong = problem(review(**changes))
    assert wrong is not None
    assert wrong.reason == reason
    assert wrong.sentence.endswith(".")


@pytest.mark.parametrize(
    "changes",
    [
        {"role": "ADMIN"},
        {"is_author": True, "allow_self": True},
        {"request_status": "OPEN"},
        {"request_status": "APPLIED"},
        {"now_position": 6, "after_position": 5, "stage": "PRODUCTION"},
    ],
)
def test_what_does_not_matter_changes_nothing(changes: Any) -> None:
    assert problem(review(**changes)) is None


people = st.lists(
    st.builds(
        Person,
        id=st.none(),
        email=st.sampled_from(NAMES),
        kind=st.sampled_from(["USER", "SERVICE"]),
        role=st.sampled_from([None, "VIEWER", "CONTRIBUTOR", "REVIEWER", "ADMIN"]),
    ),
    unique_by=lambda person: person["email"],
    min_size=1,
)


@st.composite
def cases(draw: st.DrawFn) -> Any:
    known = draw(people)
    caller = draw(st.sampled_from(known))
    named = draw(st.sampled_from([None, None, *NAMES, "nobody"]))
    asked = Asked(caller, named, draw(st.booleans()))
    who = [person for person in known if is_reviewer(person["role"], person["kind"])]
    reviewers = draw(st.lists(st.sampled_from(who), unique_by=lambda p: p["email"])) if who else []
    author, allow_self = draw(st.sampled_from(NAMES)), draw(st.booleans())
    reviews = [
        review(
            reviewer=person["email"],
            role=person["role"],
            is_author=person["email"] == author,
            allow_self=allow_self,
            decision=draw(st.sampled_from(["APPROVE", "APPROVE", "REJECT"])),
            expired=draw(st.booleans()),
        )
        for person in reviewers
    ]
    return reviews, known, author, allow_self, draw(st.integers(1, 4)), asked


@given(cases())
def test_a_step_is_free_only_with_enough_approvals_and_no_rejection(case: Any) -> None:
    reviews, known, author, allow_self, required, asked = case
    counted = tally(reviews, known, author, allow_self, required, asked)
    standing = {r["reviewer"]: r["decision"] for r in reviews if problem(r) is None}
    if counted.given is not None:
        # One's own word is the newer one; what somebody else attests does not take a rejection back.
        standing[counted.given] = standing.get(counted.given, "APPROVE") if counted.attested else "APPROVE"
    by_name = {person["email"]: person for person in known}
    for who in counted.approvers:
        assert standing[who] == "APPROVE" or (counted.attested and who == counted.given)
        assert is_reviewer(by_name[who]["role"], by_name[who]["kind"])
        assert allow_self or who != author
    assert len(set(counted.approvers)) == len(counted.approvers)
    if counted.attested:
        assert asked.may_attest
        assert counted.given == asked.approved_by != asked.caller["email"]
    elif counted.given is not None:
        assert counted.given == asked.caller["email"]
    enough = len(counted.approvers) >= required and "REJECT" not in standing.values()
    if asked.approved_by is not None:
        enough = enough and asked.approved_by in counted.approvers
    assert (counted.problem is None) is enough
