"""The version that a rollback returns to: how versions left production decides which can return, and with which
approval.

A version that another one replaced may return. One that was rolled back from production, or archived by hand, was left
on purpose: it is never chosen automatically, and returns only with a new approval.
"""

from collections.abc import Sequence
from datetime import datetime
from enum import StrEnum
from itertools import groupby
from typing import NamedTuple

from storage.vocabulary import Stage


class Left(StrEnum):
    """How a version left production the last time."""

    REPLACED = "replaced"
    ROLLED_BACK = "rolled back from production"
    ARCHIVED = "archived by hand"


class ProductionStep(NamedTuple):
    """A version that entered production, or left it. Steps with the same time were made together."""

    version_id: str
    enters: bool
    at: datetime


class Former(NamedTuple):
    """A version that was in production. `came_from` is the stage before its current one."""

    version_id: str
    stage: Stage
    came_from: Stage


def exits(history: Sequence[ProductionStep]) -> dict[str, Left]:
    """How each version that is no longer in production left it, in the order of the last exits. The history is in the
    order of the steps."""
    known, left = set[str](), dict[str, Left]()
    for _, together in groupby(history, key=lambda step: step.at):
        steps = list(together)
        entered = {step.version_id for step in steps if step.enters}
        how = (Left.ROLLED_BACK if entered <= known else Left.REPLACED) if entered else Left.ARCHIVED
        for step in steps:
            left.pop(step.version_id, None)
            if not step.enters:
                left[step.version_id] = how
        known |= entered
    return left


def was_replaced(former: Former, left: Left | None) -> bool:
    """Whether a version left production only because another one replaced it."""
    by_hand = former.stage is Stage.ARCHIVED and former.came_from is not Stage.PRODUCTION
    return left is Left.REPLACED and not by_hand


def why_not(former: Former, left: Left | None) -> Left | None:
    """Why a version is not chosen automatically. None if it can be."""
    if was_replaced(former, left):
        return None
    return Left.ROLLED_BACK if left is Left.ROLLED_BACK else Left.ARCHIVED
