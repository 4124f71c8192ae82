"""How deployments go on: each step changes who serves which share, and is recorded, in one transaction."""

from collections.abc import Mapping, Sequence
from datetime import timedelta
from typing import Any

from resolvers.errors import Conflict
from resolvers.rules import canary, rollout
from resolvers.rules.access import Need
from resolvers.rules.rollout import ACTIVE, RETIRED, ROLLED_BACK, ROLLING, Action, Plan, Report, Rollout, Stage
from resolvers.transaction import Caller, Transaction
from storage import rollouts
from storage.engine import Database
from storage.vocabulary import DeploymentStatus
from storage.vocabulary import Stage as VersionStage

CLOCK = Caller("lineal rollouts", None, "rollouts")
DONE = {
    Action.ADVANCE: "advanced",
    Action.PAUSE: "paused",
    Action.RESUME: "resumed",
    Action.ROLL_BACK: "rolledBack",
    Action.RETIRE: "retired",
}

Row = Mapping[str, Any]
Events = list[dict[str, Any]]


def state_of(row: Row) -> Rollout:
    return Rollout(DeploymentStatus(row["status"]), row["stage"], row["traffic_percentage"], row["stage_since"])


def plan_of(row: Row) -> Plan:
    minutes = row["max_health_age_minutes"]
    return Plan(
        [Stage(each["trafficPercentage"], each["durationMinutes"]) for each in row["stages"]],
        row["auto_advance"],
        row["auto_rollback"],
        row["failure_threshold"],
        row["health_required"],
        None if minutes is None else timedelta(minutes=minutes),
    )


def reports_of(row: Row) -> list[Report]:
    return [Report(rollouts.moment(at), healthy) for at, healthy in row["reports"]]


def blocked(row: Row) -> str | None:
    return canary.blocked(VersionStage(row["version_stage"]), row["invalid_data"], row["block_invalid_data"])


async def go_on(tx: Transaction, row: Row) -> Events:
    """Make the step that is due now, if one is; a deployment's model is locked."""
    state, plan, reports = state_of(row), plan_of(row), reports_of(row)
    decision = rollout.decide(state, plan, reports, row["now"], blocked(row))
    if decision is not None:
        return await take(tx, row, decision.action, decision.reason)
    due_at = rollout.next_look(state, plan, reports)
    if due_at != row["due_at"]:
        await rollouts.change(tx.session, row, due_at=due_at)
    return []


async def take(tx: Transaction, row: Row, action: Action, reason: str) -> Events:
    """Make one step: of the deployment itself, and of who serves the rest."""
    others = [each for each in await _in_place(tx, row) if each["id"] != row["id"]]
    if row["status"] == ACTIVE and action in (Action.RETIRE, Action.ROLL_BACK) and others:
        raise Conflict(
            f"{row['name']} serves what {others[0]['name']} does not yet; end that rollout first.",
            rollout=others[0]["id"],
        )
    state = rollout.after(action, state_of(row), plan_of(row), row["now"])
    kind = "completed" if action is Action.ADVANCE and state.status is ACTIVE else DONE[action]
    events: Events = []
    # Who serves alone afterwards is last: nobody else may be active then.
    if row["status"] in ROLLING:
        events += await yield_to(tx, others, row, state, reason)
    events.append(await _move(tx, row, state, kind, reason))
    if row["status"] == ACTIVE and action is Action.ROLL_BACK:
        events += await _restore(tx, row, reason)
    if action is Action.ROLL_BACK:
        note = f"{row['name']} in {row['environment']} was rolled back. {reason}"
        after = {"deploymentId": row["id"]}
        events.append(tx.event("version.rolledBack", row["version_id"], row["project_id"], after=after, notes=note))
    return events


async def _in_place(tx: Transaction, row: Row) -> Sequence[Row]:
    if row["strategy"] == "SHADOW":
        return []
    return await rollouts.in_place(tx.session, row["model_id"], row["environment"])


async def yield_to(tx: Transaction, others: Sequence[Row], row: Row, state: Rollout, reason: str) -> Events:
    """Give the one that serves the rest what a rollout leaves; it retires when the rollout is complete."""
    events = []
    for base in others:
        traffic = 100 - state.traffic
        if state.status is ACTIVE:
            replaced = state_of(base)._replace(status=RETIRED, traffic=0)
            events.append(await _move(tx, base, replaced, "retired", f"Replaced by {row['name']}."))
        elif traffic != base["traffic_percentage"]:
            kind = "yielded" if traffic < base["traffic_percentage"] else "restored"
            told = f"{row['name']} has {state.traffic}." if kind == "yielded" else reason
            events.append(await _move(tx, base, state_of(base)._replace(traffic=traffic), kind, told))
    return events


async def _restore(tx: Transaction, row: Row, reason: str) -> Events:
    """Bring back whom the deployment replaced."""
    if row["previous_id"] is None:
        return []
    previous = await rollouts.locked(tx.session, row["previous_id"])
    if previous["status"] == ROLLED_BACK:
        return []
    state = state_of(previous)._replace(status=ACTIVE, traffic=100, since=row["now"])
    return [await _move(tx, previous, state, "restored", reason)]


async def _move(tx: Transaction, row: Row, state: Rollout, kind: str, reason: str) -> dict[str, Any]:
    """Change one deployment; the event that tells of it."""
    await rollouts.change(
        tx.session,
        row,
        status=state.status,
        stage=state.stage,
        traffic_percentage=state.traffic,
        stage_since=state.since,
        due_at=rollout.next_look(state, plan_of(row), reports_of(row)),
    )
    change = {"before": told_of(state_of(row)), "after": told_of(state)}
    return tx.event(f"deployment.{kind}", row["id"], row["project_id"], **change, notes=reason)


def told_of(state: Rollout) -> dict[str, Any]:
    return {"status": state.status, "stage": state.stage, "trafficPercentage": state.traffic}


async def run_due(database: Database) -> int:
    """Make every step that is due, one after another: how many. Any number of processes may call it at once."""
    made = 0
    while (events := await _one_due(database)) is not None:
        made += bool(events)
    return made


async def _one_due(database: Database) -> Events | None:
    """The events of one step; None where nothing is due that nobody else is at."""
    async with database.transaction() as session:
        found = await rollouts.due(session)
        if found is None:
            return None
        tx = Transaction(session, CLOCK, Need.CONTRIBUTOR)
        await tx.lock_model(found["model_id"])
        events = await go_on(tx, await rollouts.locked(session, found["id"]))
        if events:
            await tx.append(found["model_id"], *events)
        return events
