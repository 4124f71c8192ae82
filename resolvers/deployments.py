"""Deploying versions, and what is done to deployments by hand or by those who watch them."""

from collections.abc import Mapping
from datetime import datetime, timedelta
from typing import Any

from resolvers.errors import BadUserInput, Conflict, GateFailed, NotFound
from resolvers.rollouts import Row, blocked, go_on, state_of, take, told_of, yield_to
from resolvers.rules import canary, rollout
from resolvers.rules.gates import data_gate
from resolvers.rules.rollout import ENDED, ROLLING, Action, Plan, Rollout
from resolvers.rules.semver import Number
from resolvers.transaction import Transaction
from resolvers.transitions import promotion_of
from storage import load, rollouts
from storage.deployments import Deployment, HealthReport
from storage.ids import new_id
from storage.vocabulary import DeploymentStrategy, Stage

# How far an observer's clock may be ahead of the database's.
AHEAD = timedelta(minutes=1)
NO_REASON = "No reason was given."


async def create_deployment(
    tx: Transaction,
    *,
    project_id: str,
    registry_version: Mapping[str, Any],
    name: str,
    strategy: DeploymentStrategy,
    environment: str = canary.PRODUCTION,
    canary_config: Mapping[str, Any] | None = None,
) -> dict[str, str]:
    plan = canary.plan_of(strategy, canary_config, "input.canaryConfig")
    found = await _version(tx, project_id, registry_version)
    await _refuse_unless_deployable(tx, found, environment, strategy)
    now = await load.now(tx.session)
    state = rollout.entered(plan, 0, now)
    shadow = strategy is DeploymentStrategy.SHADOW
    others = [] if shadow else await rollouts.in_place(tx.session, found["model_id"], environment)
    _refuse_unless_free(others, found, environment)

    row = {
        "id": new_id("dep"),
        "project_id": project_id,
        "model_id": found["model_id"],
        "version_id": found["id"],
        "name": name,
        "environment": environment,
        "strategy": strategy,
        "previous_id": others[0]["id"] if others else None,
        "created_by": tx.caller.actor,
        **_kept(plan, state),
    }
    events = await yield_to(tx, others, row, state, "")
    await tx.keep(Deployment, row)
    known = {name: row[name] for name in ("name", "environment", "strategy")}
    after = known | {"versionId": row["version_id"], "plan": row["stages"]} | told_of(state)
    events.append(tx.event("deployment.created", row["id"], project_id, after=after))
    await tx.append(found["model_id"], *events)
    return {"deployment_id": row["id"]}


async def _version(tx: Transaction, project_id: str, named: Mapping[str, Any]) -> Mapping[str, Any]:
    """The version to deploy, whose model is locked."""
    await tx.project(project_id)
    model_id, number = named["model_id"], named["version"]
    model = await tx.lock_model(model_id, "input.registryVersion.modelId")
    if model["project_id"] != project_id:
        raise NotFound("model", model_id, "input.registryVersion.modelId", f"in {project_id}", projectId=project_id)
    found = await load.version_in_model(tx.session, model_id, number)
    if found is None:
        raise NotFound("version", str(number), "input.registryVersion.version", f"of {model_id}", modelId=model_id)
    return dict(found) | {"project_id": project_id}


async def _refuse_unless_deployable(
    tx: Transaction, found: Mapping[str, Any], environment: str, strategy: DeploymentStrategy
) -> None:
    number = Number(*found["number"])
    promotion = await promotion_of(tx, found["project_id"], found["id"], Stage.PRODUCTION)
    gates = [canary.stage_gate(number, Stage(found["stage"]), environment, strategy), data_gate(promotion)]
    if failed := [gate for gate in gates if not gate.passed]:
        reasons = " ".join(gate.reason for gate in failed)
        raise GateFailed(f"{number} cannot be deployed: {reasons}", gates=[gate._asdict() for gate in failed])


def _refuse_unless_free(others: list[dict[str, Any]], found: Mapping[str, Any], environment: str) -> None:
    for each in others:
        if each["status"] in ROLLING:
            raise Conflict(
                f"{each['name']} is being rolled out in {environment}; finish it, roll it back or retire it first.",
                rollout=each["id"],
            )
        if each["version_id"] == found["id"]:
            raise Conflict(f"{each['name']} serves this version in {environment} already.", deployment=each["id"])


def _kept(plan: Plan, state: Rollout) -> dict[str, Any]:
    """The columns of a plan and of where it stands."""
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
        "status": state.status,
        "stage": state.stage,
        "traffic_percentage": state.traffic,
        "stage_since": state.since,
        "due_at": rollout.next_look(state, plan, []),
    }


async def advance_deployment(tx: Transaction, *, deployment_id: str, reason: str = NO_REASON) -> dict[str, str]:
    return await _by_hand(tx, Action.ADVANCE, deployment_id, reason)


async def pause_deployment(tx: Transaction, *, deployment_id: str, reason: str = NO_REASON) -> dict[str, str]:
    return await _by_hand(tx, Action.PAUSE, deployment_id, reason)


async def resume_deployment(tx: Transaction, *, deployment_id: str, reason: str = NO_REASON) -> dict[str, str]:
    return await _by_hand(tx, Action.RESUME, deployment_id, reason)


async def rollback_deployment(tx: Transaction, *, deployment_id: str, reason: str = NO_REASON) -> dict[str, str]:
    return await _by_hand(tx, Action.ROLL_BACK, deployment_id, reason)


async def retire_deployment(tx: Transaction, *, deployment_id: str, reason: str = NO_REASON) -> dict[str, str]:
    return await _by_hand(tx, Action.RETIRE, deployment_id, reason)


async def _by_hand(tx: Transaction, action: Action, deployment_id: str, reason: str) -> dict[str, str]:
    row = await tx.deployment(deployment_id)
    rollout.require(action, state_of(row).status)
    if action in (Action.ADVANCE, Action.RESUME) and (why := blocked(row)) is not None:
        raise Conflict(f"{row['name']} cannot {action}. {why}", current=row["status"])
    await tx.append(row["model_id"], *await take(tx, row, action, reason))
    return {"deployment_id": deployment_id}


async def report_deployment_health(
    tx: Transaction,
    *,
    deployment_id: str,
    healthy: bool,
    metrics: Mapping[str, Any] | None = None,
    observed_at: datetime | None = None,
) -> dict[str, str]:
    """Keep what was observed, and make the step that it makes due, in the same transaction."""
    row = await tx.deployment(deployment_id)
    if row["status"] in ENDED:
        raise Conflict(f"{row['name']} is {row['status']}; its health is watched no more.", current=row["status"])
    at = _observed(observed_at, row)
    report = {"id": new_id("hlt"), "project_id": row["project_id"], "deployment_id": row["id"], "at": at}
    told = {"healthy": healthy, "metrics": dict(metrics or {}), "reported_by": tx.caller.actor}
    await tx.keep(HealthReport, report | told)
    events = await go_on(tx, await rollouts.locked(tx.session, deployment_id))
    if events:
        await tx.append(row["model_id"], *events)
    return {"deployment_id": deployment_id}


def _observed(at: datetime | None, row: Row) -> datetime:
    now: datetime = row["now"]
    if at is not None and at > now + AHEAD:
        raise BadUserInput("input.observedAt", f"is {at.isoformat()}, later than now; give when it was observed.")
    return min(at or now, now)
