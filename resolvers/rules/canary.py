"""Plans of deployments: the stages of a canary, the plan of each strategy, and which versions may be deployed where."""

from collections.abc import Mapping, Sequence
from datetime import timedelta
from typing import Any

from resolvers.errors import BadUserInput
from resolvers.rules.cleaning import check_count_between
from resolvers.rules.gates import Gate
from resolvers.rules.rollouts import Plan, RolloutStage
from resolvers.rules.semver import Number
from storage.vocabulary import DeploymentStrategy, Stage

PRODUCTION = "production"
MOST_STAGES = 20
MOST_FAILURES = 100

ALL_AT_ONCE = Plan([RolloutStage(100, 0)], auto_advance=False, auto_rollback=False, health_required=False)
NO_TRAFFIC = ALL_AT_ONCE._replace(stages=[RolloutStage(0, 0)])
TWO_SIDES = ALL_AT_ONCE._replace(stages=[RolloutStage(0, 0), RolloutStage(100, 0)])
PLANS = {
    DeploymentStrategy.DIRECT: ALL_AT_ONCE,
    DeploymentStrategy.SHADOW: NO_TRAFFIC,
    DeploymentStrategy.BLUE_GREEN: TWO_SIDES,
}


def plan_of(strategy: DeploymentStrategy, config: Mapping[str, Any] | None, field: str) -> Plan:
    """The plan of a new deployment. BadUserInput names an invalid stage."""
    if strategy is not DeploymentStrategy.CANARY:
        if config is not None:
            raise BadUserInput(field, f"is set, but {strategy} has no stages; omit it, or use CANARY.")
        return PLANS[strategy]
    if config is None:
        raise BadUserInput(field, "is missing; CANARY needs its stages.")
    minutes = config.get("max_health_age_minutes")
    return Plan(
        stages(config["stages"], f"{field}.stages"),
        auto_advance=config.get("auto_advance", True),
        auto_rollback=config.get("auto_rollback", True),
        failure_threshold=config.get("failure_threshold", 1),
        health_required="max_health_age_minutes" not in config or minutes is not None,
        max_health_age=None if minutes is None else timedelta(minutes=minutes),
    )


def stages(planned: Sequence[Mapping[str, Any]], field: str) -> list[RolloutStage]:
    """Stages whose shares rise strictly, from above 0 to 100. Each but the last has a duration above 0."""
    check_count_between(field, planned, 1, MOST_STAGES, "stages")
    before = 0
    for place, stage in enumerate(planned):
        _check(stage, before, place == len(planned) - 1, f"{field}[{place}]")
        before = stage["traffic_percentage"]
    return [RolloutStage(stage["traffic_percentage"], float(stage["duration_minutes"])) for stage in planned]


def _check(stage: Mapping[str, Any], before: int, is_last: bool, field: str) -> None:
    share, minutes = stage["traffic_percentage"], stage["duration_minutes"]
    if not before < share <= 100:
        raise BadUserInput(
            f"{field}.trafficPercentage",
            f"is {share}; each stage must be above the one before ({before}) and at most 100.",
        )
    if is_last and share != 100:
        raise BadUserInput(f"{field}.trafficPercentage", f"is {share}; the last stage must be 100.")
    if not is_last and share == 100:
        raise BadUserInput(f"{field}.trafficPercentage", "is 100 before the last stage; remove the stages after it.")
    if minutes == 0 and not is_last:
        raise BadUserInput(f"{field}.durationMinutes", "is 0; only the last stage may be 0.")


def stage_gate(number: Number, stage: Stage, environment: str, strategy: DeploymentStrategy) -> Gate:
    """The production environment accepts versions in PRODUCTION, and as a shadow also those in STAGING. Other
    environments accept all but archived versions."""
    possible = {Stage.PRODUCTION}
    if environment != PRODUCTION:
        possible |= {Stage.DEVELOPMENT, Stage.STAGING}
    elif strategy is DeploymentStrategy.SHADOW:
        possible.add(Stage.STAGING)
    if stage in possible:
        return Gate("stage", True, f"{number} is in {stage}.")
    needed = " or ".join(each for each in Stage if each in possible)
    return Gate("stage", False, f"{number} is in {stage}; for {environment} a {strategy} deployment needs {needed}.")


def blocked(
    stage: Stage, uses_invalid: Sequence[str], blocks_invalid: bool, *, was_replaced: bool = False
) -> str | None:
    """Why a version may not start to serve, or serve more. None if it may. With `was_replaced`, it served before and
    was archived only because another version replaced it, so it may serve again."""
    if stage is Stage.ARCHIVED and not was_replaced:
        return "Its version has been archived."
    if uses_invalid and blocks_invalid:
        return f"Its version depends on {', '.join(uses_invalid)}, which is INVALID."
    return None
