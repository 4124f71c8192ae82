"""When an approval counts, and whose (product description, "Use approval workflows for production transitions").

An approval is a reviewer's word for one step of a version, given for what the reviewer saw: the model card at its
revision, the description, the tags, what is said of the experiment, the data sets at their status since when, and the
artifact where it was; the training facts never change. It no longer counts when any of this has changed, when the
reviewer has lost the role since (also after getting it back), when it is older than the policy allows, or when the
version has gone another way. Services cannot approve. The person who registered the version approves only where the
policy allows it. The person who requested the step approves where the policy allows it, or where nobody else could.
"""

from collections.abc import Iterator, Mapping, Sequence
from hashlib import sha256
from typing import Any, NamedTuple, NotRequired, TypedDict, cast

import rfc8785

from resolvers.rules.access import at_least
from storage.vocabulary import Decision, PrincipalKind, Role, TransitionRequestStatus


class Reviewed(TypedDict):
    """What a review saw, and what an approval is bound to. `data` holds statuses by id, `dataSince` when each was set:
    null for one that was never set. Approvals from before schema revision 0009 have no more than the first two, and
    those from before 0020 no `artifactMovedAt`."""

    cardRevision: int
    data: Mapping[str, str]
    artifactMovedAt: NotRequired[str | None]
    dataSince: NotRequired[Mapping[str, str | None]]
    description: NotRequired[str | None]
    experiment: NotRequired[Mapping[str, Any] | None]
    tags: NotRequired[Sequence[str]]


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
    is_requester: bool | None
    has_others: bool
    returned: bool | None
    expired: bool
    superseded: bool
    valid_days: int
    allow_self: bool
    allow_requester: bool
    now: Reviewed
    stage: str
    now_position: int
    after_position: int | None
    # Whether the approval counted for the step that it was given for; null if that was not made.
    counted: bool | None


class Problem(NamedTuple):
    """Why a person's approval does not count: a stable word for programs and a sentence for people."""

    reason: str
    sentence: str


def is_reviewer(role: str | None, kind: str) -> bool:
    """Reviewers are people with the role REVIEWER or ADMIN in the project."""
    return kind == PrincipalKind.USER and role is not None and at_least(role, Role.REVIEWER)


def problem(review: Review) -> Problem | None:
    """Why a recorded decision no longer counts; None while it does. An approval that a step was made with is history:
    nothing that happens later takes it back."""
    if review["counted"] and review["decision"] == Decision.APPROVE:
        return None
    return _of_reviewer(review) or _of_request(review) or _of_reviewed(review)


def _of_reviewer(review: Review) -> Problem | None:
    email = review["reviewer"]
    if not is_reviewer(review["role"], review["kind"]):
        return Problem("REVIEWER_REMOVED", f"{email} is no longer a reviewer of the project.")
    if review["returned"]:
        return Problem("REVIEWER_REMOVED", f"{email} was not a reviewer for a time since. A new review is needed.")
    if review["is_author"] and not review["allow_self"]:
        return Problem("AUTHOR", AUTHOR.format(email=email))
    if _needs_another(review):
        return Problem("REQUESTER", REQUESTER.format(email=email))
    return None


def _needs_another(review: Review) -> bool:
    """Whether it is the requester's own approval, while another person can review and the step has not been made."""
    own = review["is_requester"] and review["decision"] == Decision.APPROVE and not review["allow_requester"]
    return bool(own) and review["has_others"] and review["request_status"] != TransitionRequestStatus.APPLIED


def _of_request(review: Review) -> Problem | None:
    status, position = review["request_status"], review["position"]
    if review["superseded"]:
        return Problem("SUPERSEDED", f"{review['reviewer']} has decided again since.")
    if status in (TransitionRequestStatus.CANCELLED, TransitionRequestStatus.EXPIRED):
        return Problem("REQUEST_CLOSED", f"The request that it was given for is {status}.")
    is_applied = review["after_position"] == position and review["stage"] == review["target"]
    if review["now_position"] != position and not is_applied:
        return Problem("MOVED_ON", f"The version has gone another way since and is in {review['stage']}.")
    return None


def _of_reviewed(review: Review) -> Problem | None:
    if changed := changes(review):
        return Problem(f"{changed[0].what}_CHANGED", changed[0].sentence)
    if review["expired"]:
        return Problem("EXPIRED", f"The review is older than {review['valid_days']} days.")
    return None


class ReviewedChange(NamedTuple):
    """What is no longer as a review saw it: `what` is a ReviewedPart, `subject` the id of the data set version."""

    what: str
    subject: str | None
    before: str | None
    after: str | None
    sentence: str


def changes(review: Review) -> list[ReviewedChange]:
    """What has changed since a decision, of what it was made on."""
    then, now = review["reviewed"], review["now"]
    return [
        *_card_change(then, now),
        *_data_changes(then, now),
        *_text_changes(then, now),
        *_artifact_change(then, now),
    ]


def _artifact_change(then: Reviewed, now: Reviewed) -> Iterator[ReviewedChange]:
    # Without one in earlier approvals: no artifact could be moved then.
    before, after = then.get("artifactMovedAt"), now.get("artifactMovedAt")
    if before != after:
        yield ReviewedChange("ARTIFACT", None, before, after, "The artifact was moved after the review.")


def _card_change(then: Reviewed, now: Reviewed) -> Iterator[ReviewedChange]:
    before, after = then["cardRevision"], now["cardRevision"]
    if before != after:
        sentence = f"The model card was edited after the review (reviewed at revision {before}, now at {after})."
        yield ReviewedChange("CARD", None, str(before), str(after), sentence)


def _data_changes(then: Reviewed, now: Reviewed) -> Iterator[ReviewedChange]:
    since, since_now = then.get("dataSince"), now.get("dataSince", {})
    for id_, status in now["data"].items():
        before = then["data"].get(id_)
        if before != status:
            was = before or "not used"
            sentence = f"The data set version {id_} is {status} now; it was {was} when reviewed."
            yield ReviewedChange("DATA", id_, before, status, sentence)
        elif since is not None and since.get(id_) != since_now.get(id_):
            sentence = f"The status of the data set version {id_} was set again after the review, and is {status}."
            yield ReviewedChange("DATA", id_, before, status, sentence)


def _text_changes(then: Reviewed, now: Reviewed) -> Iterator[ReviewedChange]:
    if "description" in then and then["description"] != now.get("description"):
        sentence = "The description was changed after the review."
        yield ReviewedChange("DESCRIPTION", None, then["description"], now.get("description"), sentence)
    if "experiment" in then and then["experiment"] != now.get("experiment"):
        before, after = (_experiment_text(each.get("experiment")) for each in (then, now))
        yield ReviewedChange("EXPERIMENT", None, before, after, "The experiment was changed after the review.")
    if "tags" in then and then["tags"] != now.get("tags"):
        before, after = ", ".join(then["tags"]), ", ".join(now.get("tags", ()))
        sentence = f"The tags were changed after the review (reviewed: {before or 'none'}; now: {after or 'none'})."
        yield ReviewedChange("TAGS", None, before, after, sentence)


def _experiment_text(experiment: Mapping[str, Any] | None) -> str | None:
    if experiment is None:
        return None
    return ", ".join(f"{name}: {value}" for name, value in experiment.items() if value is not None)


def digest(reviewed: Reviewed) -> str:
    """Stands for all that a review shows: it changes when any of that does."""
    return sha256(rfc8785.dumps(cast(dict[str, Any], reviewed))).hexdigest()


class Person(TypedDict):
    """A principal with its role in the project: None where it has none."""

    id: str | None
    email: str
    kind: str
    role: str | None


AUTHOR = "{email} registered the version, and the policy asks for another reviewer."
REQUESTER = "{email} requested this transition, and the policy asks for another reviewer."


class Panel(NamedTuple):
    """What decides who may review a step: its people, the version's author, the person who requested the step, and the
    policy. `reviewer_left` says that a person has lost the role of a reviewer lately."""

    people: Sequence[Person]
    author: str
    requester: str | None
    allow_self: bool
    allow_requester: bool
    reviewer_left: bool
    # The fields of the policy that one person loosened alone.
    loosened_alone: Sequence[str] = ()

    def is_alone(self, email: str) -> bool:
        """Whether nobody but this person could review the step. Nobody becomes alone by removing the others."""
        return not self.reviewer_left and not any(
            person["email"] != email
            and is_reviewer(person["role"], person["kind"])
            and (person["email"] != self.author or self.allow_self)
            for person in self.people
        )

    def problem(self, person: Person) -> Problem | None:
        """Why this person's own word is no approval; None where it is one."""
        email = person["email"]
        if person["kind"] == PrincipalKind.SERVICE:
            return Problem("SERVICE", f"{email} is a service, and only people approve.")
        if not is_reviewer(person["role"], person["kind"]):
            return Problem("NOT_A_REVIEWER", f"{email} is not a reviewer of the project.")
        if email == self.author and not self.allow_self:
            return Problem("AUTHOR", AUTHOR.format(email=email))
        if email == self.requester and not self.allow_requester and not self.is_alone(email):
            return Problem("REQUESTER", REQUESTER.format(email=email))
        return None

    def approves_alone(self, email: str) -> bool:
        """Whether an approval by this person has to be marked: it is its own work, and nobody else could review it, or
        agreed to the policy that allows it."""
        permissions = ((self.author, "allow_self_approval"), (self.requester, "allow_requester_approval"))
        return any(
            email == own and (self.is_alone(email) or field in self.loosened_alone) for own, field in permissions
        )


class Asked(NamedTuple):
    """Who would bring the version on, in whose name, and whether the caller's key may attest approvals.

    `by_review` where it is done by reviewing a request: then approvals count whichever the stage. `recorded_only` where
    nothing is done: then the caller's own approval does not count before it is given.
    """

    caller: Person
    approved_by: str | None = None
    may_attest: bool = False
    by_review: bool = False
    recorded_only: bool = False


class Tally(NamedTuple):
    """Whose approvals count for a step, who approves by taking it (None: nobody), whether that is attested by another,
    and what is wrong where the approvals are not enough."""

    approvers: Sequence[str]
    new_approver: str | None
    attested: bool
    problem: Problem | None


def tally(reviews: Sequence[Review], panel: Panel, required: int, asked: Asked) -> Tally:
    """Count the approvals of a step that a person asks for now. `reviews` are those of this step alone."""
    standing = [review for review in reviews if problem(review) is None]
    approvers = [review["reviewer"] for review in standing if review["decision"] == Decision.APPROVE]
    rejected = [review["reviewer"] for review in standing if review["decision"] == Decision.REJECT]
    new_approver, attested, wrong = _new_approval(asked, approvers, reviews, panel)
    if new_approver is not None:
        approvers = [*approvers, new_approver]
        rejected = [email for email in rejected if email != new_approver or attested]
    if rejected:
        wrong = Problem("REJECTED", f"{rejected[0]} has rejected it. Ask for a new review with requestTransition.")
    elif wrong is None and len(approvers) < required:
        wrong = _too_few(approvers, panel, required, asked)
    return Tally(approvers, new_approver, attested, wrong)


def _new_approval(
    asked: Asked, approvers: Sequence[str], reviews: Sequence[Review], panel: Panel
) -> tuple[str | None, bool, Problem | None]:
    """Whose approval comes with the request itself: the caller's own, or one that its key attests."""
    name = asked.approved_by
    if asked.recorded_only or (name is not None and name in approvers):
        return None, False, None
    if name in (None, asked.caller["email"]):
        wrong = panel.problem(asked.caller)
        may = wrong is None and asked.caller["email"] not in approvers
        return (asked.caller["email"] if may else None), False, (wrong if name is not None else None)
    wrong = _of_named(str(name), reviews, panel)
    if asked.may_attest and (wrong is None or wrong.reason == "NOT_APPROVED"):
        return name, True, None
    return None, False, wrong


def _of_named(email: str, reviews: Sequence[Review], panel: Panel) -> Problem | None:
    """Why the approval of a person who is named, not asking, does not count: there may be one that no longer does."""
    recorded = [r for r in reviews if r["reviewer"] == email and r["decision"] == Decision.APPROVE]
    person = next((person for person in panel.people if person["email"] == email), None)
    if person is None and not recorded:
        return Problem(
            "UNKNOWN_REVIEWER", f"{email} is not a reviewer of the project. An ADMIN can add one with setMember."
        )
    if person is not None and (wrong := panel.problem(person)):
        return wrong
    if recorded and (wrong := problem(recorded[-1])):
        return Problem(wrong.reason, f"The approval by {email} no longer counts: {wrong.sentence}")
    sentence = (
        f"{email} has not approved this transition. Ask for a review with requestTransition, or use a key that can"
        " attest approvals."
    )
    return Problem("NOT_APPROVED", sentence)


def _too_few(approvers: Sequence[str], panel: Panel, required: int, asked: Asked) -> Problem:
    missing = required - len(approvers)
    others = [p["email"] for p in panel.people if p["email"] not in approvers and not panel.problem(p)]
    by = f" by {' or '.join(others[:3])}{' or another reviewer' if len(others) > 3 else ''}" if others else ""
    count = f"{missing} more approval{'s' if missing > 1 else ''}{by} {'are' if missing > 1 else 'is'} needed."
    own = panel.problem(asked.caller)
    if asked.recorded_only or own is None or asked.caller["email"] in approvers:
        return Problem("TOO_FEW", f"{len(approvers)} of {required} approvals are recorded: {count}")
    return Problem(own.reason, f"{own.sentence[:-1]}: {count}")
