"""Whose approval counts: every combination, against what the sentence says."""

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from resolvers.rules.approvals import Asked, Panel, Person, Review, changes, digest, is_reviewer, problem, tally

NAMES = ["ana", "bo", "cy", "robot"]
REVIEWED: Any = {
    "cardRevision": 1, "data": {"dsv_a": "ACTIVE"}, "dataSince": {"dsv_a": None}, "description": "As it was.",
    "tags": ["a", "b"], "experiment": {"id": "exp_a", "status": "COMPLETED", "notes": None},
}  # fmt: skip
SOUND: Review = {
    "reviewer": "ana", "decision": "APPROVE", "target": "PRODUCTION", "position": 5, "reviewed": REVIEWED,
    "request": None, "request_status": None, "role": "REVIEWER", "kind": "USER", "is_author": False, "expired": False,
    "superseded": False, "valid_days": 30, "allow_self": False, "now": REVIEWED, "stage": "STAGING", "now_position": 5,
    "after_position": 4,
    "is_requester": None, "has_others": True, "returned": None, "allow_requester": False, "counted": None,
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
        ({"returned": True}, "REVIEWER_REMOVED"),
        ({"is_requester": True, "request_status": "OPEN"}, "REQUESTER"),
        ({"superseded": True}, "SUPERSEDED"),
        ({"request_status": "CANCELLED"}, "REQUEST_CLOSED"),
        ({"request_status": "EXPIRED"}, "REQUEST_CLOSED"),
        ({"now_position": 6, "after_position": 5, "stage": "DEVELOPMENT"}, "MOVED_ON"),
        ({"now_position": 9, "after_position": 7, "stage": "PRODUCTION"}, "MOVED_ON"),
        ({"now": REVIEWED | {"cardRevision": 2}}, "CARD_CHANGED"),
        ({"now": REVIEWED | {"data": {"dsv_a": "INVALID"}}}, "DATA_CHANGED"),
        ({"now": REVIEWED | {"data": {"dsv_a": "ACTIVE", "dsv_b": "ACTIVE"}}}, "DATA_CHANGED"),
        ({"now": REVIEWED | {"dataSince": {"dsv_a": "2026-11-25T09:00:00.000000Z"}}}, "DATA_CHANGED"),
        ({"now": REVIEWED | {"description": "Another."}}, "DESCRIPTION_CHANGED"),
        ({"now": REVIEWED | {"description": None}}, "DESCRIPTION_CHANGED"),
        ({"now": REVIEWED | {"tags": ["a"]}}, "TAGS_CHANGED"),
        ({"now": REVIEWED | {"experiment": {"id": "exp_a", "notes": "Leaks."}}}, "EXPERIMENT_CHANGED"),
        ({"expired": True}, "EXPIRED"),
    ],
)
def test_it_no_longer_counts_and_says_why(changes: Any, reason: str) -> None:
    wrong = problem(review(**changes))
    assert wrong is not None
    assert problem(review(**changes, counted=True)) is None, "an approval of a step that was made is history"
    assert problem(review(**changes, counted=False)) == wrong
    assert wrong.reason == reason
    assert wrong.sentence.endswith(".")


@pytest.mark.parametrize(
    "changes",
    [
        {"role": "ADMIN"},
        {"is_author": True, "allow_self": True},
        {"is_requester": True, "allow_requester": True},
        {"is_requester": True, "has_others": False},
        {"is_requester": True, "request_status": "APPLIED"},
        {"is_requester": True, "decision": "REJECT"},
        # An approval from before schema revision 0009 is bound to what it recorded.
        {"reviewed": {"cardRevision": 1, "data": {"dsv_a": "ACTIVE"}}, "now": REVIEWED | {"tags": []}},
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
    requester, allow_requester = draw(st.sampled_from([None, *NAMES])), draw(st.booleans())
    panel = Panel(known, author, requester, allow_self, allow_requester, draw(st.booleans()))
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
    return reviews, panel, draw(st.integers(1, 4)), asked


@given(cases())
def test_a_step_is_free_only_with_enough_approvals_and_no_rejection(case: Any) -> None:
    reviews, panel, required, asked = case
    counted = tally(reviews, panel, required, asked)
    standing = {r["reviewer"]: r["decision"] for r in reviews if problem(r) is None}
    if counted.new_approver is not None:
        # One's own word is the newer one; what somebody else attests does not take a rejection back.
        before = standing.get(counted.new_approver, "APPROVE")
        standing[counted.new_approver] = before if counted.attested else "APPROVE"
    by_name = {person["email"]: person for person in panel.people}
    for who in counted.approvers:
        assert standing[who] == "APPROVE" or (counted.attested and who == counted.new_approver)
        assert is_reviewer(by_name[who]["role"], by_name[who]["kind"])
        assert panel.allow_self or who != panel.author
    assert len(set(counted.approvers)) == len(counted.approvers)
    if counted.new_approver == panel.requester is not None:
        others = {
            person["email"] for person in panel.people
            if is_reviewer(person["role"], person["kind"]) and (panel.allow_self or person["email"] != panel.author)
        }  # fmt: skip
        assert panel.allow_requester or (others == {counted.new_approver} and not panel.reviewer_left)
    if counted.attested:
        assert asked.may_attest
        assert counted.new_approver == asked.approved_by != asked.caller["email"]
    elif counted.new_approver is not None:
        assert counted.new_approver == asked.caller["email"]
    enough = len(counted.approvers) >= required and "REJECT" not in standing.values()
    if asked.approved_by is not None:
        enough = enough and asked.approved_by in counted.approvers
    assert (counted.problem is None) is enough


@given(cases())
def test_a_dry_run_counts_what_is_recorded_and_nothing_else(case: Any) -> None:
    reviews, panel, required, asked = case
    counted = tally(reviews, panel, required, asked._replace(recorded_only=True, approved_by=None))
    assert counted.new_approver is None
    assert set(counted.approvers) == {
        r["reviewer"] for r in reviews if problem(r) is None and r["decision"] == "APPROVE"
    }
    if counted.problem is not None:
        assert counted.problem.reason in ("TOO_FEW", "REJECTED")


def test_all_that_has_changed_since_a_review_is_listed() -> None:
    now = {
        "cardRevision": 2, "data": {"dsv_a": "INVALID", "dsv_b": "ACTIVE"}, "dataSince": {"dsv_a": "t", "dsv_b": None},
        "description": None, "tags": ["b", "c"], "experiment": {"id": "exp_a", "status": "FAILED", "notes": "Leaks."},
    }  # fmt: skip
    found = [change[:4] for change in changes(review(now=now))]
    assert found == [
        ("CARD", None, "1", "2"),
        ("DATA", "dsv_a", "ACTIVE", "INVALID"),
        ("DATA", "dsv_b", None, "ACTIVE"),
        ("DESCRIPTION", None, "As it was.", None),
        ("EXPERIMENT", None, "id: exp_a, status: COMPLETED", "id: exp_a, status: FAILED, notes: Leaks."),
        ("TAGS", None, "a, b", "b, c"),
    ]
    back = changes(review(now=REVIEWED | {"dataSince": {"dsv_a": "t"}}))
    assert [(change.what, change.before, change.after) for change in back] == [("DATA", "ACTIVE", "ACTIVE")]


def test_the_digest_stands_for_all_that_a_review_shows() -> None:
    others = [
        {"cardRevision": 2}, {"data": {}}, {"dataSince": {"dsv_a": "t"}}, {"description": None}, {"tags": ["a"]}, {}
    ]  # fmt: skip
    assert len({digest(REVIEWED | other) for other in others}) == len(others)
