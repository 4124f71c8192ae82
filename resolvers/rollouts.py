"""Advances deployments. Each step changes which versions serve which share, and is recorded, in one transaction."""

from collections.abc import Sequence
from datetime import datetime, timedelta
from typing import Any

from resolvers.callers import Caller
from resolvers.errors import Conflict
from resolvers.rules import canary
from resolvers.rules import rollouts as rollout_rules
from resolvers.rules.access import Need
from resolvers.rules.rollbacks import Former, ProductionStep, exits, was_replaced
from resolvers.rules.rollouts import ACTIVE, RETIRED, ROLLED_BACK, ROLLING, Action, Plan, Report, Rollout, RolloutStage
from resolvers.transaction import Transaction
from storage import production, rollouts
from storage.audit import NewEvent
from storage.engine import Database
from storage.rollouts import DeploymentRow
from storage.vocabulary import DeploymentStatus, Stage

CLOCK = Caller("lineal rollouts", None, "rollouts")
DONE = {
    Action.ADVANCE: "advanced",
    Action.PAUSE: "paused",
    Action.RESUME: "resumed",
    Action.ROLL_BACK: "rolledBack",
    Action.RETIRE: "retired",
}

Events = list[NewEvent]


def plan_of(row: DeploymentRow) -> Plan:
    minutes = row.max_health_age_minutes
    return Plan(
        stages=[RolloutStage(each["trafficPercentage"], each["durationMinutes"]) for each in row.stages],
        auto_advance=row.auto_advance,
        auto_rollback=row.auto_rollback,
        failure_threshold=row.failure_threshold,
        health_required=row.health_required,
        max_health_age=None if minutes is None else timedelta(minutes=minutes),
    )


def plan_columns(plan: Plan) -> dict[str, Any]:
    """The columns of a plan, which `plan_of` reads."""
    age = plan.max_health_age
    return {
        "stages": [
            {"trafficPercentage": stage.traffic_percentage, "durationMinutes": stage.duration_minutes}
            for stage in plan.stages
        ],
        "auto_advance": plan.auto_advance,
        "auto_rollback": plan.auto_rollback,
        "failure_threshold": plan.failure_threshold,
        "health_required": plan.health_required,
        "max_health_age_minutes": None if age is None else age.total_seconds() / 60,
    }


def state_of(row: DeploymentRow) -> Rollout:
    return Rollout(DeploymentStatus(row.status), row.stage, row.traffic_percentage, row.stage_since)


def state_columns(state: Rollout, plan: Plan, reports: Sequence[Report]) -> dict[str, Any]:
    """The columns of a deployment's state, which `state_of` reads, and the time of its next check."""
    return {
        "status": state.status,
        "stage": state.stage,
        "traffic_percentage": state.traffic,
        "stage_since": state.since,
        "due_at": rollout_rules.next_look(state, plan, reports),
    }


def recorded_state(state: Rollout) -> dict[str, Any]:
    """A deployment's state, as events record it."""
    return {"status": state.status, "stage": state.stage, "trafficPercentage": state.traffic}


def reports_of(row: DeploymentRow) -> list[Report]:
    return [Report(datetime.fromisoformat(at), healthy, ids) for at, healthy, ids in row.reports]


def blocked(row: DeploymentRow, *, was_replaced: bool = False) -> str | None:
    stage = Stage(row.version_stage)
    return canary.blocked(stage, row.invalid_data, row.block_invalid_data, was_replaced=was_replaced)


async def cannot_return(tx: Transaction, row: DeploymentRow) -> str | None:
    """Why a deployment that served before may not get traffic again. None if it may."""
    if row.version_stage != Stage.ARCHIVED:
        return blocked(row)
    version = await production.how_it_stands(tx.session, row.version_id)
    history = await production.production_history(tx.session, row.model_id)
    left = exits([ProductionStep(step.version_id, step.enters, step.at) for step in history]).get(row.version_id)
    former = Former(version.id, Stage(version.stage), Stage(version.came_from))
    return blocked(row, was_replaced=was_replaced(former, left))


async def make_due_step(tx: Transaction, row: DeploymentRow) -> Events:
    """Make the step that is due now, if any. The deployment's model is locked."""
    state, plan, reports = state_of(row), plan_of(row), reports_of(row)
    decision = rollout_rules.decide(state, plan, reports, row.now, blocked(row))
    if decision is not None:
        return await make_step(tx, row, decision.action, decision.reason, decision.reports)
    due_at = rollout_rules.next_look(state, plan, reports)
    if due_at != row.due_at:
        await rollouts.change_deployment(tx.session, row, due_at=due_at)
    return []


async def make_step(
    tx: Transaction, row: DeploymentRow, action: Action, reason: str, reports: Sequence[str] = ()
) -> Events:
    """Make one step of the deployment itself, and change the deployment that serves the rest. `reports` are the ids of
    the reports that the step is based on."""
    others = [each for each in await _in_place(tx, row) if each.id != row.id]
    if row.status == ACTIVE and action in (Action.RETIRE, Action.ROLL_BACK) and others:
        raise Conflict(
            f"{row.name} serves what {others[0].name} does not yet; end that rollout first.",
            rollout=others[0].id,
        )
    state = rollout_rules.after(action, state_of(row), plan_of(row), row.now)
    kind = "completed" if action is Action.ADVANCE and state.status is ACTIVE else DONE[action]
    events: Events = []
    # The deployment that serves alone afterwards is changed last: no other may be active then.
    if row.status in ROLLING:
        events += await yield_to(tx, others, row.name, state, reason)
    events.append(await _change(tx, row, state, kind, reason, reports))
    if row.status == ACTIVE and action is Action.ROLL_BACK:
        events += await _restore(tx, row, reason)
    if action is Action.ROLL_BACK:
        notes = f"{row.name} in {row.environment} was rolled back. {reason}"
        after = {"deploymentId": row.id}
        events.append(tx.event("version.rolledBack", row.version_id, row.project_id, after=after, notes=notes))
    return events


async def _in_place(tx: Transaction, row: DeploymentRow) -> Sequence[DeploymentRow]:
    if row.strategy == "SHADOW":
        return []
    return await rollouts.in_place(tx.session, row.model_id, row.environment)


async def yield_to(tx: Transaction, others: Sequence[DeploymentRow], name: str, state: Rollout, reason: str) -> Events:
    """Give the deployment that serves the rest the share that the rollout of this name leaves. It retires when the
    rollout is complete."""
    events = []
    for base in others:
        traffic = 100 - state.traffic
        if state.status is ACTIVE:
            replaced = state_of(base)._replace(status=RETIRED, traffic=0)
            events.append(await _change(tx, base, replaced, "retired", f"Replaced by {name}."))
        elif traffic < base.traffic_percentage:
            state_of_base = state_of(base)._replace(traffic=traffic)
            events.append(await _change(tx, base, state_of_base, "yielded", f"{name} has {state.traffic}."))
        elif traffic > base.traffic_percentage:
            events.append(await _restored(tx, base, state_of(base)._replace(traffic=traffic), reason))
    return events


async def _restored(tx: Transaction, row: DeploymentRow, state: Rollout, reason: str) -> NewEvent:
    """Return traffic to a deployment. If it may not serve, the traffic is unmanaged, and the event says why."""
    why = await cannot_return(tx, row)
    if why is None:
        return await _change(tx, row, state, "restored", reason)
    share = state.traffic - (row.traffic_percentage if row.status == ACTIVE else 0)
    notes = f"{share} % of the traffic of {row.environment} is unmanaged, because {row.name} cannot serve it. {why}"
    now = recorded_state(state_of(row))
    return tx.event("deployment.unmanaged", row.id, row.project_id, before=now, after=now, notes=notes)


async def roll_back_version(tx: Transaction, version_id: str, reason: str) -> Events:
    """Roll back the deployments of a version that was rolled back from production, if another one can take over."""
    events: Events = []
    # Rollouts first: an active deployment whose successor is being rolled out cannot end before that.
    for each in sorted(await rollouts.of_version(tx.session, version_id), key=lambda row: row.status == ACTIVE):
        row = await rollouts.locked_deployment(tx.session, each.id)
        if row.status != ACTIVE or row.strategy == "SHADOW" or await _has_heir(tx, row):
            events += await make_step(tx, row, Action.ROLL_BACK, reason)
    return events


async def _has_heir(tx: Transaction, row: DeploymentRow) -> bool:
    """Whether the deployment that served before an active one can take over from it now."""
    if row.previous_id is None or len(await _in_place(tx, row)) > 1:
        return False
    previous = await rollouts.locked_deployment(tx.session, row.previous_id)
    return previous.status != ROLLED_BACK and await cannot_return(tx, previous) is None


async def _restore(tx: Transaction, row: DeploymentRow, reason: str) -> Events:
    """Bring back the deployment that this one replaced."""
    if row.previous_id is None:
        return []
    previous = await rollouts.locked_deployment(tx.session, row.previous_id)
    if previous.status == ROLLED_BACK:
        return []
    state = state_of(previous)._replace(status=ACTIVE, traffic=100, since=row.now)
    return [await _restored(tx, previous, state, reason)]


async def _change(
    tx: Transaction, row: DeploymentRow, state: Rollout, kind: str, reason: str, reports: Sequence[str] = ()
) -> NewEvent:
    """Change one deployment. Returns the event that records it."""
    columns = state_columns(state, plan_of(row), reports_of(row))
    await rollouts.change_deployment(tx.session, row, **columns)
    before, after = recorded_state(state_of(row)), recorded_state(state)
    if reports:
        after["healthReports"] = list(reports)
    return tx.event(f"deployment.{kind}", row.id, row.project_id, before=before, after=after, notes=reason)


async def run_due(database: Database) -> int:
    """Make every due step, one after another, and return their number. Any number of processes may call it at once."""
    made = 0
    while (events := await _one_due(database)) is not None:
        made += bool(events)
    return made


async def _one_due(database: Database) -> Events | None:
    """The events of one step. None if nothing is due that no other process is working on."""
    async with database.transaction() as session:
        due = await rollouts.due_deployment(session)
        if due is None:
            return None
        tx = Transaction(session, CLOCK, Need.CONTRIBUTOR)
        await tx.lock_model(due.model_id)
        events = await make_due_step(tx, await rollouts.locked_deployment(session, due.id))
        if events:
            await tx.append(due.model_id, *events)
        return events
