"""Which changes of a policy loosen it, and when they take effect.

Tightening takes effect at once. Loosening waits until a second reviewer confirms it, or until the policy's own
`loosening_hours` have passed. Otherwise an administrator could switch a rule off, promote, and switch it on again. If
there is no second reviewer, it takes effect at once and is marked as done alone.
"""

from collections.abc import Callable, Mapping, Sequence
from typing import Any, NamedTuple, NotRequired, TypedDict

from storage.vocabulary import PolicyMode

Looser = Callable[[Any, Any], bool]


class Threshold(TypedDict):
    """Bounds of one metric; a bound that is missing or null does not apply."""

    name: str
    min: NotRequired[float | None]
    max: NotRequired[float | None]


class Policy(TypedDict):
    """A project's policy, as the table project_policies holds it."""

    required_approvals: int
    allow_self_approval: bool
    allow_requester_approval: bool
    require_complete_card: bool
    block_invalid_data: bool
    semver: str
    tags: str
    retention_days: int | None
    min_metrics: Sequence[Threshold]
    max_regression: float | None
    approval_valid_days: int
    loosening_hours: float


def _lower(before: float, after: float) -> bool:
    return after < before


def _higher(before: float, after: float) -> bool:
    return after > before


def _allowed(before: bool, after: bool) -> bool:
    return after and not before


def _dropped(before: bool, after: bool) -> bool:
    return before and not after


def _weaker(before: str, after: str) -> bool:
    modes = list(PolicyMode)
    return modes.index(PolicyMode(after)) < modes.index(PolicyMode(before))


def _tolerant(before: float | None, after: float | None) -> bool:
    """Null means no comparison, which tolerates everything."""
    return before is not None and (after is None or after > before)


def _widened(before: Sequence[Mapping[str, Any]], after: Sequence[Mapping[str, Any]]) -> bool:
    """Whether any value of a metric passes now that did not pass before, even if other thresholds are tightened."""
    kept = {threshold["name"]: threshold for threshold in after}
    return any(not _implied(threshold, kept.get(threshold["name"], {})) for threshold in before)


def _implied(before: Mapping[str, Any], after: Mapping[str, Any]) -> bool:
    low, high = before.get("min"), before.get("max")
    low_now, high_now = after.get("min"), after.get("max")
    if low is None and high is None:
        return True
    has_low = low is None or (low_now is not None and low_now >= low)
    has_high = high is None or (high_now is not None and high_now <= high)
    return bool(after) and has_low and has_high


# A test finds a field of the policy that is missing here. `retention_days` does not affect promotions.
LOOSENS: Mapping[str, Looser | None] = {
    "required_approvals": _lower,
    "allow_self_approval": _allowed,
    "allow_requester_approval": _allowed,
    "require_complete_card": _dropped,
    "block_invalid_data": _dropped,
    "semver": _weaker,
    "tags": _weaker,
    "min_metrics": _widened,
    "max_regression": _tolerant,
    "approval_valid_days": _higher,
    "loosening_hours": _lower,
    "retention_days": None,
}


def loosens(field: str, before: Any, after: Any) -> bool:
    looser = LOOSENS[field]
    return looser is not None and looser(before, after)


# The cooling time that applies if only one person agreed to a shorter one.
USUAL_HOURS = 24.0


class Decision(NamedTuple):
    """The effect of a requested change on each field, by name.

    `at_once` takes effect now, and `alone` is the part of it that loosens without a second person to confirm it.
    `waiting` is loosening that has to be confirmed. `withdrawn` names the fields whose pending change is dropped.
    """

    at_once: Mapping[str, Any]
    alone: frozenset[str]
    waiting: Mapping[str, Any]
    withdrawn: frozenset[str]


def decide(
    policy: Mapping[str, Any],
    asked: Mapping[str, Any],
    pending: Mapping[str, Any],
    *,
    confirmable: bool,
    hours: float,
) -> Decision:
    """`pending` holds the waiting values by field. A request for the same value leaves it pending. Any other value,
    including the one in force, withdraws it. `hours` is the cooling time that applies."""
    new = {field: value for field, value in asked.items() if field not in pending or pending[field] != value}
    changed = {field: value for field, value in new.items() if value != policy[field]}
    # Without a cooling time there is nothing to wait for.
    waits = confirmable and hours > 0
    loosened = {field for field, value in changed.items() if loosens(field, policy[field], value)}
    waiting = {field: changed[field] for field in loosened} if waits else {}
    at_once = {field: value for field, value in changed.items() if field not in waiting}
    alone = frozenset() if confirmable else frozenset(loosened)
    return Decision(at_once, alone, waiting, frozenset(new).intersection(pending))
