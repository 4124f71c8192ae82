"""When an approval counts, and whose (product description, "Use approval workflows for production transitions").

An approval is a reviewer's word for one step of a version, given for what the reviewer saw: the model card at its
revision and the data sets at their status; the training facts never change. It no longer counts when any of this is no
longer so, when the reviewer is no longer a reviewer, when it is older than the policy allows, or when the version has
gone another way. Services cannot approve, and who registered a version only where the policy says so.
"""

from collections.abc import Mapping, Sequence
from typing import NamedTuple, TypedDict

from resolvers.rules.access import at_least
from storage.vocabulary import Decision, PrincipalKind, Role, TransitionRequestStatus


class Reviewed(TypedDict):
    """What a review saw, and what an approval is bound to."""

    cardRevision: int
    data: Mapping[str, str]


class Review(TypedDict):
    """A recorded decision beside what holds now, as storage/review.sql gathers it."""

    reviewer: str
    decision: str
    target: str
    position: int
    reviewed: Reviewed
    request: str | None
    request_status: str | None
    role: str | None
    kind: str
    is_author: bool
    expired: bool
    superseded: bool
    valid_days: int
    allow_self: bool
    now: Reviewed
    stage: str
    now_position: int
    after_position: int | None


class Problem(NamedTuple):
    """Why somebody's approval does not count: a stable word for programs and a sentence for people."""

    reason: str
    sentence: str


def is_reviewer(role: str | None, kind: str) -> bool:
    """Reviewers are people with the role REVIEWER or ADMIN in the project."""
    return kind == PrincipalKind.USER and role is not None and at_least(role, Role.REVIEWER)


def problem(review: Review) -> Problem | None:
    """Why a recorded decision no longer counts; None while it does."""
    return _of_reviewer(review) or _of_request(review) or _of_reviewed(review)


def _of_reviewer(review: Review) -> Problem | None:
    who = review["reviewer"]
    if not is_reviewer(review["role"], review["kind"]):
        return Problem("REVIEWER_REMOVED", f"{who} is no longer a reviewer of the project.")
    if review["is_author"] and not review["allow_self"]:
        return Problem("AUTHOR", f"{who} registered the version, and the policy asks for somebody else.")
    return None


def _of_request(review: Review) -> Problem | None:
    status, position = review["request_status"], review["position"]
    if review["superseded"]:
        return Problem("SUPERSEDED", f"{review['reviewer']} has decided anew since.")
    if status in (TransitionRequestStatus.CANCELLED, TransitionRequestStatus.EXPIRED):
        return Problem("REQUEST_CLOSED", f"The request that it was given for is {status}.")
    is_applied = review["after_position"] == position and review["stage"] == review["target"]
    if review["now_position"] != position and not is_applied:
        return Problem("MOVED_ON", f"The version has gone another way since and is in {review['stage']}.")
    return None


def _of_reviewed(review: Review) -> Problem | None:
    then, now = review["reviewed"], review["now"]
    if then["cardRevision"] != now["cardRevision"]:
        change = f"reviewed at revision {then['cardRevision']}, now at {now['cardRevision']}"
        return Problem("CARD_CHANGED", f"The model card was edited after the review ({change}).")
    for id_, status in now["data"].items():
        if then["data"].get(id_) != status:
            before = then["data"].get(id_, "not used")
            return Problem(
                "DATA_CHANGED", f"The data set version {id_} is {status} now; it was {before} when reviewed."
            )
    if review["expired"]:
        return Problem("EXPIRED", f"The review is older than {review['valid_days']} days.")
    return None


class Person(TypedDict):
    """A principal with its role in the project: None where it has none."""

    id: str | None
    email: str
    kind: str
    role: str | None


class Asked(NamedTuple):
    """Who would bring the version on, in whose name, and whether the caller's key may attest approvals.

    `by_review` where it is done by reviewing a request: then approvals count whichever the stage.
    """

    caller: Person
    approved_by: str | None = None
    may_attest: bool = False
    by_review: bool = False


class Tally(NamedTuple):
    """Whose approvals count for a step, which of them are given with it, and what is wrong where they do not do."""

    approvers: Sequence[str]
    given: str | None
    attested: bool
    problem: Problem | None


def tally(
    reviews: Sequence[Review], people: Sequence[Person], author: str, allow_self: bool, required: int, asked: Asked
) -> Tally:
    """Count the approvals of a step that somebody asks for now. `reviews` are those of this step alone."""
    standing = [review for review in reviews if problem(review) is None]
    approvers = [review["reviewer"] for review in standing if review["decision"] == Decision.APPROVE]
    rejected = [review["reviewer"] for review in standing if review["decision"] == Decision.REJECT]
    given, attested, wrong = _given_now(asked, approvers, reviews, people, author, allow_self)
    if given is not None:
        approvers = [*approvers, given]
        rejected = [who for who in rejected if who != given or attested]
    if rejected:
        wrong = Problem("REJECTED", f"{rejected[0]} has rejected it; ask for a new review with requestTransition.")
    elif wrong is None and len(approvers) < required:
        wrong = _too_few(approvers, people, author, allow_self, required, asked)
    return Tally(approvers, given, attested, wrong)


def _given_now(
    asked: Asked,
    approvers: Sequence[str],
    reviews: Sequence[Review],
    people: Sequence[Person],
    author: str,
    allow_self: bool,
) -> tuple[str | None, bool, Problem | None]:
    """Whose approval comes with the request itself: the caller's own, or one that its key attests."""
    name = asked.approved_by
    if name is not None and name in approvers:
        return None, False, None
    if name in (None, asked.caller["email"]):
        wrong = reviewer_problem(asked.caller, author, allow_self)
        may = wrong is None and asked.caller["email"] not in approvers
        return (asked.caller["email"] if may else None), False, (wrong if name is not None else None)
    wrong = _of_named(str(name), reviews, people, author, allow_self)
    if asked.may_attest and (wrong is None or wrong.reason == "NOT_APPROVED"):
        return name, True, None
    return None, False, wrong


def reviewer_problem(caller: Person, author: str, allow_self: bool) -> Problem | None:
    """Why somebody's own word is no approval; None where it is one."""
    who = caller["email"]
    if caller["kind"] == PrincipalKind.SERVICE:
        return Problem("SERVICE", f"{who} is a service, and only people approve.")
    if not is_reviewer(caller["role"], caller["kind"]):
        return Problem("NOT_A_REVIEWER", f"{who} is not a reviewer of the project.")
    if who == author and not allow_self:
        return Problem("AUTHOR", f"{who} registered the version, and the policy asks for somebody else.")
    return None


def _of_named(
    who: str, reviews: Sequence[Review], people: Sequence[Person], author: str, allow_self: bool
) -> Problem | None:
    """Why the approval of somebody who is named, not asking, does not count: there may be one that no longer does."""
    recorded = [r for r in reviews if r["reviewer"] == who and r["decision"] == Decision.APPROVE]
    person = next((person for person in people if person["email"] == who), None)
    if person is None and not recorded:
        return Problem("UNKNOWN_REVIEWER", f"There is no reviewer {who} in the project.")
    if person is not None and (wrong := reviewer_problem(person, author, allow_self)):
        return wrong
    if recorded and (wrong := problem(recorded[-1])):
        return Problem(wrong.reason, f"The approval by {who} no longer counts: {wrong.sentence}")
    return Problem("NOT_APPROVED", f"{who} has not approved it; a review with reviewTransition records that.")


def _too_few(
    approvers: Sequence[str], people: Sequence[Person], author: str, allow_self: bool, required: int, asked: Asked
) -> Problem:
    missing = required - len(approvers)
    others = [p["email"] for p in people if p["email"] not in approvers and not reviewer_problem(p, author, allow_self)]
    by = f" by {' or '.join(others[:3])}{' or another reviewer' if len(others) > 3 else ''}" if others else ""
    count = f"{missing} more approval{'s' if missing > 1 else ''}{by} {'are' if missing > 1 else 'is'} needed."
    own = reviewer_problem(asked.caller, author, allow_self)
    if own is None or asked.caller["email"] in approvers:
        return Problem("TOO_FEW", f"{len(approvers)} of {required} approvals are there: {count}")
    return Problem(own.reason, f"{own.sentence[:-1]}: {count}")
