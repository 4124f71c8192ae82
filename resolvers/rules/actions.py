"""The actions of the audit log. A test finds one that is recorded and not listed here."""

from collections.abc import Sequence
from difflib import get_close_matches

from resolvers.errors import BadUserInput
from resolvers.rules.cleaning import quoted

VERBS = {
    "card": "updated",
    "checkpoint": "written",
    "dataset": "created",
    "datasetVersion": "created statusSet",
    "deployment": "advanced completed created paused restored resumed retired rolledBack yielded",
    "experiment": "completed created",
    "key": "created revoked rotated",
    "member": "removed set",
    "model": "created",
    "policy": "changeApplied changeConfirmed changeRequested changeWithdrawn updated",
    "principal": "administersSet created",
    "project": "created",
    "signingKey": "lost rotated",
    "tag": "defined",
    "transition": "applied cancelled expired rejected requested",
    "version": "approved created rejected rolledBack tagged transitioned untagged updated",
    "webhook": "created disabled replayed secretRotated updated",
}
ACTIONS = tuple(f"{noun}.{verb}" for noun, verbs in VERBS.items() for verb in verbs.split())
SUGGESTED, ALIKE = 3, 0.5


def known_actions(field: str, actions: Sequence[str]) -> list[str]:
    """The actions, all of which events have; BAD_USER_INPUT naming the first that none has, and those like it."""
    for place, action in enumerate(actions):
        if action not in ACTIONS:
            raise BadUserInput(f"{field}[{place}]", f"is {quoted(action)}; {_advice(action)}")
    return list(actions)


def _advice(action: str) -> str:
    nearest = get_close_matches(action, ACTIONS, SUGGESTED, ALIKE)
    nearest = nearest or [
        f"{action.partition('.')[0]}.{verb}" for verb in VERBS.get(action.partition(".")[0], "").split()
    ]
    listed = ", ".join(nearest or ACTIONS)
    return f"no event has that action. {'The nearest are' if nearest else 'Use one of'} {listed}."
