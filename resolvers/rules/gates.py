"""The conditions for moving a version to another stage. Each is a gate that passes or not, with a reason.

For PRODUCTION all gates count, for other stages only the stage machine and the reviewer that `approvedBy` names.
Metrics are compared with those of the version in production, as a share of its value. Only metrics whose direction is
known and that both versions have are compared: the registry never guesses.
"""

from collections.abc import Mapping, Sequence
from typing import NamedTuple, TypedDict

from resolvers.rules.approvals import Asked, Panel, Person, Review, Reviewed, Tally, tally
from resolvers.rules.bumps import NumberedFacts, declared_change
from resolvers.rules.cards import Card, missing_sections
from resolvers.rules.metrics import higher_is_better
from resolvers.rules.policies import Policy
from resolvers.rules.semver import Number
from resolvers.rules.stages import TRANSITIONS, no_way
from storage.vocabulary import ExperimentStatus, PolicyMode, Stage

TRANSITION, APPROVALS = "transition", "approvals"


class Gate(NamedTuple):
    name: str
    passed: bool
    reason: str


class Incumbent(TypedDict):
    """The version in production that a promotion would replace."""

    number: Sequence[int]
    metrics: Mapping[str, float]


class Promotion(NamedTuple):
    """The facts of one version that the gates check, as storage/promotion.sql gathers them."""

    stage: str
    position: int
    author: str
    number: Sequence[int]
    policy: Policy
    card: Card
    reviewed: Reviewed
    people: Sequence[Person]
    requester: str | None
    reviewer_left: bool
    loosened_alone: Sequence[str]
    request: str | None
    reviews: Sequence[Review]
    experiment: str | None
    metrics: Mapping[str, float]
    incumbent: Incumbent | None
    parent: NumberedFacts | None
    child: NumberedFacts

    @property
    def invalid_data(self) -> list[str]:
        return [id_ for id_, status in self.reviewed["data"].items() if status == "INVALID"]

    @property
    def panel(self) -> Panel:
        return Panel(
            self.people,
            self.author,
            self.requester,
            self.policy["allow_self_approval"],
            self.policy["allow_requester_approval"],
            self.reviewer_left,
            self.loosened_alone,
        )


class Assessment(NamedTuple):
    """All gates of a step, and the count of its approvals."""

    gates: list[Gate]
    tally: Tally

    @property
    def allowed(self) -> bool:
        return all(gate.passed for gate in self.gates)

    @property
    def failed(self) -> list[Gate]:
        return [gate for gate in self.gates if not gate.passed]


NOTHING_TO_COUNT = Tally([], None, False, None)


def assess(promotion: Promotion, target: Stage, asked: Asked) -> Assessment:
    """All gates of the step to a stage, for the caller in `asked`."""
    first = _transition(promotion, target)
    if target is not Stage.PRODUCTION and asked.approved_by is None and not asked.by_review:
        return Assessment([first], NOTHING_TO_COUNT)
    counted = counted_approvals(promotion, target, asked)
    gates = [first, _approvals(counted, required_approvals(promotion, target, asked))]
    if target is Stage.PRODUCTION:
        gates += [each(promotion) for each in (_card, _thresholds, _data, _experiment, _bump, _incumbent)]
    return Assessment(gates, counted)


def counted_approvals(promotion: Promotion, target: Stage, asked: Asked) -> Tally:
    """Count only decisions for the newest request, and decisions without a request."""
    reviews = [review for review in promotion.reviews if review["request"] in (None, promotion.request)]
    return tally(reviews, promotion.panel, required_approvals(promotion, target, asked), asked)


def required_approvals(promotion: Promotion, target: Stage, asked: Asked) -> int:
    """For stages other than production, and without a request, approvals are required only if a reviewer is named."""
    by_policy = target is Stage.PRODUCTION or asked.by_review
    return int(promotion.policy["required_approvals"]) if by_policy else 1


def _transition(promotion: Promotion, target: Stage) -> Gate:
    current = Stage(promotion.stage)
    if target in TRANSITIONS[current]:
        return Gate(TRANSITION, True, f"{current} can go to {target}.")
    return Gate(TRANSITION, False, no_way(current, target))


def _approvals(counted: Tally, required: int) -> Gate:
    if counted.problem is not None:
        return Gate(APPROVALS, False, counted.problem.sentence)
    return Gate(APPROVALS, True, f"Approved by {', '.join(counted.approvers)}; {required} needed.")


def _card(promotion: Promotion) -> Gate:
    missing = missing_sections(promotion.card)
    if not missing:
        return Gate("card", True, "The model card is complete.")
    lacks = f"The model card is missing {', '.join(missing)}"
    if promotion.policy["require_complete_card"]:
        return Gate("card", False, f"{lacks}; write it with updateModelCard.")
    return Gate("card", True, f"{lacks}; the policy does not require it.")


def _thresholds(promotion: Promotion) -> Gate:
    for asked in promotion.policy["min_metrics"]:
        name, low, high = asked["name"], asked.get("min"), asked.get("max")
        value = promotion.metrics.get(name)
        if value is None:
            return Gate("metrics", False, f"{name} was not measured, but the policy sets a threshold for it.")
        if low is not None and value < low:
            return Gate("metrics", False, f"{name} is {value:g}, below the policy's {low:g}.")
        if high is not None and value > high:
            return Gate("metrics", False, f"{name} is {value:g}, above the policy's {high:g}.")
    count = len(promotion.policy["min_metrics"])
    return Gate("metrics", True, f"All {count} thresholds are met." if count else "The policy sets no threshold.")


def _data(promotion: Promotion) -> Gate:
    return data_gate(promotion.invalid_data, promotion.policy["block_invalid_data"])


def data_gate(invalid: Sequence[str], blocks: bool) -> Gate:
    """Whether a version that used these INVALID data set versions may proceed. `blocks` is the policy's setting."""
    if not invalid:
        return Gate("data", True, "It used no INVALID data set version.")
    uses = f"It used {', '.join(invalid)}, which {'are' if len(invalid) > 1 else 'is'} INVALID"
    if blocks:
        return Gate("data", False, f"{uses}.")
    return Gate("data", True, f"{uses}; the policy allows it.")


def _experiment(promotion: Promotion) -> Gate:
    if promotion.experiment == ExperimentStatus.FAILED:
        return Gate("experiment", False, "The experiment that produced it is FAILED.")
    return Gate("experiment", True, "It does not come from a failed experiment.")


def _bump(promotion: Promotion) -> Gate:
    parent, child = promotion.parent, promotion.child
    if parent is None or promotion.policy["semver"] == PolicyMode.OFF:
        return Gate("bump", True, "There is no parent to compare with." if parent is None else "The policy is OFF.")
    change = declared_change(parent, child)
    declares = f"The number declares a {change.declared} change"
    if change.sufficient:
        return Gate("bump", True, f"{declares}; {change.required} is required.")
    short = f"{declares}, but {change.required} is required: {' '.join(change.reasons)}"
    return Gate("bump", promotion.policy["semver"] != PolicyMode.ENFORCE, short)


def _incumbent(promotion: Promotion) -> Gate:
    tolerance, incumbent = promotion.policy["max_regression"], promotion.incumbent
    if incumbent is None or tolerance is None:
        reason = "Nothing is in production." if incumbent is None else "The policy does not compare."
        return Gate("incumbent", True, reason)
    against = f"{Number(*incumbent['number'])} in production"
    for name, before in sorted(incumbent["metrics"].items()):
        worse = _worse_by(name, before, promotion.metrics.get(name))
        if worse > tolerance:
            now = promotion.metrics[name]
            reason = f"{name} is {now:g}, {worse:.1%} worse than {before:g} of {against}; {tolerance:.1%} is allowed."
            return Gate("incumbent", False, reason)
    return Gate("incumbent", True, f"No metric is more than {tolerance:.1%} worse than that of {against}.")


def _worse_by(name: str, before: float, now: float | None) -> float:
    """The share of its value by which a metric got worse. 0 if it did not, or cannot be compared."""
    better = higher_is_better(name)
    if now is None or better is None or before == 0:
        return 0.0
    return max(0.0, (before - now if better else now - before) / abs(before))
