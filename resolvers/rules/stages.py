"""The stage machine (product description, "Stage Management").

DEVELOPMENT -> STAGING -> PRODUCTION -> ARCHIVED, with steps back: STAGING can return to DEVELOPMENT, versions in any
stage can be archived, and archived versions can return only to STAGING. The database has the same table as a check
(storage.versions.LEGAL_STEPS). A test keeps the two, and the diagram in README.md, equal.
"""

from typing import NamedTuple

from resolvers.errors import Conflict, IllegalTransition
from storage.vocabulary import Stage

TRANSITIONS: dict[Stage, tuple[Stage, ...]] = {
    Stage.DEVELOPMENT: (Stage.STAGING, Stage.ARCHIVED),
    Stage.STAGING: (Stage.PRODUCTION, Stage.DEVELOPMENT, Stage.ARCHIVED),
    Stage.PRODUCTION: (Stage.ARCHIVED,),
    Stage.ARCHIVED: (Stage.STAGING,),
}


def allowed(stage: str) -> list[str]:
    """The stages to which a version in this one can move, the usual one first."""
    return [target.value for target in TRANSITIONS[Stage(stage)]]


def no_way(current: Stage, target: Stage) -> str:
    onward = f"it can go to {' or '.join(allowed(current))}."
    if current is target:
        return f"The version is already in {current}; {onward}"
    return f"A version in {current} cannot go to {target}; {onward}"


class Step(NamedTuple):
    """A new entry of the history: the version, its new stage, and whether the step is automatic."""

    version_id: str
    to_stage: Stage
    automatic: bool


def transition(
    version_id: str, current: Stage, target: Stage, *, expected: Stage | None, in_production: str | None
) -> list[Step]:
    """The steps that move a version to a stage. A promotion first archives the version that it replaces."""
    if expected is not None and expected is not current:
        raise Conflict(
            f"The version is in {current}, not in {expected} as expectedStage says. Read it again.",
            current=current,
            expected=expected,
        )
    if target not in TRANSITIONS[current]:
        facts = {"from": current, "to": target, "allowed": allowed(current)}
        raise IllegalTransition(no_way(current, target), **facts)
    step = Step(version_id, target, automatic=False)
    if target is Stage.PRODUCTION and in_production is not None:
        return [Step(in_production, Stage.ARCHIVED, automatic=True), step]
    return [step]


def way_back(current: Stage) -> list[Stage]:
    """The stages through which a version that was in production returns there."""
    if current is Stage.PRODUCTION:
        return []
    return [Stage.PRODUCTION] if current is Stage.STAGING else [Stage.STAGING, Stage.PRODUCTION]
