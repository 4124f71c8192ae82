"""The rollout machine: decides from the state of a rollout and the time which step is due, if any.

    IN_PROGRESS -> advance -> ... -> ACTIVE, when each stage's time has passed and health is good IN_PROGRESS -> PAUSED,
    for lack of good health, by hand, or because its version may no longer be rolled out IN_PROGRESS, PAUSED ->
    ROLLED_BACK, after `failure_threshold` unhealthy reports in a row, or by hand

A stage's time starts when the stage is entered and restarts when a pause ends. Only reports observed since then count.
Bad reports have priority over everything else. A rollout that was rolled back or retired never continues.
"""

from collections.abc import Sequence
from datetime import datetime, timedelta
from enum import StrEnum
from itertools import takewhile
from typing import NamedTuple

from resolvers.errors import Conflict
from storage.vocabulary import DeploymentStatus

IN_PROGRESS, PAUSED, ACTIVE = DeploymentStatus.IN_PROGRESS, DeploymentStatus.PAUSED, DeploymentStatus.ACTIVE
ROLLED_BACK, RETIRED = DeploymentStatus.ROLLED_BACK, DeploymentStatus.RETIRED
ROLLING = (IN_PROGRESS, PAUSED)
ENDED = (ROLLED_BACK, RETIRED)


class Action(StrEnum):
    """What can be done to a rollout, by hand or by the machine."""

    ADVANCE = "advance"
    PAUSE = "pause"
    RESUME = "resume"
    ROLL_BACK = "roll back"
    RETIRE = "retire"


# The statuses in which each action can be done by hand.
ALLOWED: dict[Action, tuple[DeploymentStatus, ...]] = {
    Action.ADVANCE: (IN_PROGRESS,),
    Action.PAUSE: (IN_PROGRESS,),
    Action.RESUME: (PAUSED,),
    Action.ROLL_BACK: (IN_PROGRESS, PAUSED, ACTIVE),
    Action.RETIRE: (IN_PROGRESS, PAUSED, ACTIVE),
}


class RolloutStage(NamedTuple):
    traffic_percentage: int
    duration_minutes: float


# The longest time for which a report counts in a plan that sets no age.
USUAL_AGE = timedelta(minutes=15)


class Plan(NamedTuple):
    """A `max_health_age` of None means the smaller of a stage's length and USUAL_AGE."""

    stages: Sequence[RolloutStage]
    auto_advance: bool = True
    auto_rollback: bool = True
    failure_threshold: int = 1
    health_required: bool = True
    max_health_age: timedelta | None = None

    def age_limit(self, stage: int) -> timedelta:
        """The maximum age of a report that lets this stage end."""
        if self.max_health_age is not None:
            return self.max_health_age
        return min(USUAL_AGE, timedelta(minutes=self.stages[stage].duration_minutes))


class Rollout(NamedTuple):
    """The state of a deployment. `since` is when its stage began, or was restarted."""

    status: DeploymentStatus
    stage: int
    traffic: int
    since: datetime


class Report(NamedTuple):
    """The health at one time: unhealthy if any report of that time is. `ids` are those of the reports."""

    at: datetime
    healthy: bool
    ids: Sequence[str] = ()


class Decision(NamedTuple):
    """A step, its reason, and the ids of the reports that it is based on."""

    action: Action
    reason: str
    reports: Sequence[str] = ()


def decide(
    rollout: Rollout, plan: Plan, reports: Sequence[Report], now: datetime, blocked: str | None = None
) -> Decision | None:
    """The step that is due now. The newest report comes first; `blocked` says why the version may not be rolled out."""
    if rollout.status not in ROLLING:
        return None
    counted = [report for report in reports if report.at >= rollout.since]
    bad = list(takewhile(lambda report: not report.healthy, counted))
    if len(bad) >= plan.failure_threshold:
        return _failed(rollout, plan, bad)
    if rollout.status is PAUSED:
        return None
    if blocked is not None:
        return Decision(Action.PAUSE, blocked)
    ends = stage_ends(rollout, plan)
    if ends is None or now < ends:
        return None
    return _at_its_end(plan, plan.age_limit(rollout.stage), counted, now)


def _failed(rollout: Rollout, plan: Plan, bad: Sequence[Report]) -> Decision | None:
    reason = f"{len(bad)} unhealthy reports in a row." if len(bad) > 1 else "An unhealthy report."
    ids = [id_ for report in bad for id_ in report.ids]
    if plan.auto_rollback:
        return Decision(Action.ROLL_BACK, reason, ids)
    return Decision(Action.PAUSE, reason, ids) if rollout.status is IN_PROGRESS else None


def _at_its_end(plan: Plan, limit: timedelta, counted: Sequence[Report], now: datetime) -> Decision | None:
    if plan.health_required and not counted:
        return Decision(Action.PAUSE, "No health was reported since the stage began.")
    newest = counted[0].ids if counted else ()
    if plan.health_required and now - counted[0].at > limit:
        age, most = (each.total_seconds() / 60 for each in (now - counted[0].at, limit))
        sentence = f"The newest health report is {age:.1f} minutes old; the limit is {most:g}."
        return Decision(Action.PAUSE, sentence, newest)
    if counted and not counted[0].healthy:
        return None  # held until another report is better, or worse
    good = " and its health is good" if counted else ""
    return Decision(Action.ADVANCE, f"The stage's time has passed{good}.", newest)


def stage_ends(rollout: Rollout, plan: Plan) -> datetime | None:
    """When the rollout advances automatically if health is good. None if it does not."""
    if rollout.status is not IN_PROGRESS or not plan.auto_advance:
        return None
    return rollout.since + timedelta(minutes=plan.stages[rollout.stage].duration_minutes)


def next_look(rollout: Rollout, plan: Plan, reports: Sequence[Report]) -> datetime | None:
    """The earliest time at which a step can become due, unless a report arrives or the version is blocked before."""
    ends = stage_ends(rollout, plan)
    counted = [report for report in reports if report.at >= rollout.since]
    if ends is None or not counted or counted[0].healthy:
        return ends
    # Held by an unhealthy report, until that is too old.
    return max(ends, counted[0].at + plan.age_limit(rollout.stage)) if plan.health_required else None


def after(action: Action, rollout: Rollout, plan: Plan, now: datetime) -> Rollout:
    """The state of the rollout after a step. If the last stage has no duration, it completes the rollout at once."""
    if action is Action.PAUSE:
        return rollout._replace(status=PAUSED)
    if action is Action.RESUME:
        return rollout._replace(status=IN_PROGRESS, since=now)
    if action is Action.ADVANCE:
        return _advanced(rollout, plan, now)
    return rollout._replace(status=ROLLED_BACK if action is Action.ROLL_BACK else RETIRED, traffic=0, since=now)


def _advanced(rollout: Rollout, plan: Plan, now: datetime) -> Rollout:
    last = len(plan.stages) - 1
    if rollout.stage == last:
        return rollout._replace(status=ACTIVE, since=now)
    return entered(plan, rollout.stage + 1, now)


def entered(plan: Plan, stage: int, now: datetime) -> Rollout:
    """The rollout at the beginning of a stage."""
    traffic, minutes = plan.stages[stage]
    is_over = stage == len(plan.stages) - 1 and minutes == 0
    return Rollout(ACTIVE if is_over else IN_PROGRESS, stage, traffic, now)


def require(action: Action, status: DeploymentStatus) -> None:
    """Refuse an action by hand that the deployment's status does not allow."""
    if status not in ALLOWED[action]:
        raise Conflict(
            f"A deployment that is {status} cannot {action}; {_instead(status)}.",
            current=status.value,
            allowed=[each.name for each in Action if status in ALLOWED[each]],
        )


def _instead(status: DeploymentStatus) -> str:
    possible = [each.value for each in Action if status in ALLOWED[each]]
    return f"it can {', '.join(possible)}" if possible else "create a new one with createDeployment"
