"""Creates deployments, changes them by hand, and accepts health reports about them."""

from collections.abc import Mapping, Sequence
from datetime import datetime, timedelta
from typing import Any, Required, TypedDict, Unpack

from resolvers.errors import BadUserInput, Conflict, GateFailed, NotFound
from resolvers.rollouts import (
    blocked,
    make_due_step,
    make_step,
    plan_columns,
    recorded_state,
    state_columns,
    state_of,
    yield_to,
)
from resolvers.rules import canary
from resolvers.rules import rollouts as rollout_rules
from resolvers.rules.gates import data_gate
from resolvers.rules.objects import not_finite
from resolvers.rules.rollouts import ENDED, ROLLING, Action, Plan
from resolvers.transaction import Transaction
from storage import policies, rollouts
from storage.deployments import Deployment, HealthReport
from storage.ids import new_id
from storage.rollouts import Deployable, DeploymentRow
from storage.vocabulary import DeploymentStatus, DeploymentStrategy, Stage

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
) -> dict[str, object]:
    plan = canary.plan_of(strategy, canary_config, "input.canaryConfig")
    version, now = await _deployable(tx, project_id, registry_version, environment, strategy)
    state = rollout_rules.entered(plan, 0, now)
    shadow = strategy is DeploymentStrategy.SHADOW
    others = [] if shadow else await rollouts.in_place(tx.session, version.model_id, environment)
    same = await rollouts.shadows(tx.session, version.id, environment) if shadow else others
    _refuse_unless_free(same, version, environment)

    id_, columns = new_id("dep"), plan_columns(plan)
    row = {
        "id": id_,
        "project_id": project_id,
        "model_id": version.model_id,
        "version_id": version.id,
        "name": name,
        "environment": environment,
        "strategy": strategy,
        "previous_id": others[0].id if others else None,
        "created_by": tx.caller.actor,
        **columns,
        **state_columns(state, plan, []),
    }
    events = await yield_to(tx, others, name, state, "")
    await tx.keep(Deployment, row)
    after = {"name": name, "environment": environment, "strategy": strategy, "versionId": version.id,
             "plan": columns["stages"], **recorded_state(state)}  # fmt: skip
    events.append(tx.event("deployment.created", id_, project_id, after=after))
    await tx.append(version.model_id, *events)
    return {"deployment_id": id_, "warnings": _needed(plan, id_)}


def _needed(plan: Plan, id_: str) -> list[str]:
    """Warnings about health reports that a rollout needs but that are not sent automatically."""
    if not (plan.auto_advance and plan.health_required and len(plan.stages) > 1):
        return []
    limit = plan.age_limit(0).total_seconds() / 60
    return [
        f"The rollout pauses at the end of its first stage unless its health is reported: send reportDeploymentHealth"
        f" with deploymentId {id_} at least every {limit:g} minutes."
    ]


async def _deployable(
    tx: Transaction, project_id: str, named: Mapping[str, Any], environment: str, strategy: DeploymentStrategy
) -> tuple[Deployable, datetime]:
    """The version to deploy, whose model is locked, and the database's clock. Refuses a version that must not be
    deployed."""
    await tx.project(project_id)
    model_id, number = named["model_id"], named["version"]
    model = await tx.lock_model(model_id, "input.registryVersion.modelId")
    if model.project_id != project_id:
        raise NotFound("model", model_id, "input.registryVersion.modelId", f"in {project_id}", projectId=project_id)
    policy = await policies.lock_policy(tx.session, project_id, share=True)
    version = await rollouts.deployable(tx.session, model_id, number)
    if version is None:
        raise NotFound("version", str(number), "input.registryVersion.version", f"of {model_id}", modelId=model_id)
    stage = canary.stage_gate(number, Stage(version.stage), environment, strategy)
    gates = [stage, data_gate(version.invalid_data, policy.block_invalid_data)]
    if failed := [gate for gate in gates if not gate.passed]:
        reasons = " ".join(gate.reason for gate in failed)
        raise GateFailed(f"{number} cannot be deployed: {reasons}", gates=[gate._asdict() for gate in failed])
    return version, policy.now


def _refuse_unless_free(others: Sequence[DeploymentRow], version: Deployable, environment: str) -> None:
    for each in others:
        if each.status in ROLLING and each.strategy != DeploymentStrategy.SHADOW:
            raise Conflict(
                f"{each.name} is being rolled out in {environment}; complete it, roll it back or retire it first.",
                rollout=each.id,
            )
        if each.version_id == version.id:
            raise Conflict(f"{each.name} already serves this version in {environment}.", deployment=each.id)


class ByHand(TypedDict, total=False):
    """An action on a deployment. The caller's expectations about its state are checked first."""

    deployment_id: Required[str]
    reason: str
    expected_status: DeploymentStatus
    expected_stage: int


async def advance_deployment(tx: Transaction, **new: Unpack[ByHand]) -> dict[str, str]:
    return await _by_hand(tx, Action.ADVANCE, **new)


async def pause_deployment(tx: Transaction, **new: Unpack[ByHand]) -> dict[str, str]:
    return await _by_hand(tx, Action.PAUSE, **new)


async def resume_deployment(tx: Transaction, **new: Unpack[ByHand]) -> dict[str, str]:
    return await _by_hand(tx, Action.RESUME, **new)


async def rollback_deployment(tx: Transaction, **new: Unpack[ByHand]) -> dict[str, str]:
    return await _by_hand(tx, Action.ROLL_BACK, **new)


async def retire_deployment(tx: Transaction, **new: Unpack[ByHand]) -> dict[str, str]:
    return await _by_hand(tx, Action.RETIRE, **new)


async def _by_hand(
    tx: Transaction,
    action: Action,
    *,
    deployment_id: str,
    reason: str = NO_REASON,
    expected_status: DeploymentStatus | None = None,
    expected_stage: int | None = None,
) -> dict[str, str]:
    row = await tx.deployment(deployment_id)
    _require_expected(row, expected_status, expected_stage)
    rollout_rules.require(action, state_of(row).status)
    if action in (Action.ADVANCE, Action.RESUME) and (why := blocked(row)) is not None:
        raise Conflict(f"{row.name} cannot {action}. {why}", current=row.status)
    await tx.append(row.model_id, *await make_step(tx, row, action, reason))
    return {"deployment_id": deployment_id}


def _require_expected(row: DeploymentRow, status: DeploymentStatus | None, stage: int | None) -> None:
    if status is not None and status != row.status:
        sentence = f"input.expectedStatus is {status}, but {row.name} is {row.status}. Read the deployment again."
        raise Conflict(sentence, field="input.expectedStatus", current=row.status)
    if stage is not None and stage != row.stage:
        sentence = f"input.expectedStage is {stage}, but {row.name} is in stage {row.stage}. Read the deployment again."
        raise Conflict(sentence, field="input.expectedStage", current=row.stage)


async def report_deployment_health(
    tx: Transaction,
    *,
    deployment_id: str,
    healthy: bool,
    metrics: Mapping[str, Any] | None = None,
    observed_at: datetime | None = None,
) -> dict[str, object]:
    """Store a health report and make the step that it makes due, in the same transaction."""
    row = await tx.deployment(deployment_id)
    if row.status in ENDED:
        raise Conflict(f"{row.name} is {row.status}; its health is no longer watched.", current=row.status)
    at = _observed(observed_at, row)
    report = {"id": new_id("hlt"), "project_id": row.project_id, "deployment_id": row.id, "at": at}
    wrong = not_finite(metrics or {})
    observed = {"healthy": healthy and not wrong, "metrics": dict(metrics or {}), "reported_by": tx.caller.actor}
    await tx.keep(HealthReport, report | observed)
    events = await make_due_step(tx, await rollouts.locked_deployment(tx.session, deployment_id))
    if events:
        await tx.append(row.model_id, *events)
    return {"deployment_id": deployment_id, "warnings": _doubts(row, at, healthy, wrong)}


def _doubts(row: DeploymentRow, at: datetime, healthy: bool, wrong: Sequence[str]) -> list[str]:
    """Warnings if a report does not count, or not as it was sent."""
    doubts = []
    if row.status in ROLLING and at < row.stage_since:
        began = f"{row.stage_since:%Y-%m-%dT%H:%M:%SZ}"
        doubts.append(f"The report does not count: the stage began at {began}, after it was observed.")
    if any(datetime.fromisoformat(known) == at for known, _, _ in row.reports):
        doubts.append("Another report of the same time is known; the two count once.")
    if healthy and wrong:
        doubts.append(f"The report counts as unhealthy, because {', '.join(wrong[:3])} is not a finite number.")
    return doubts


def _observed(at: datetime | None, row: DeploymentRow) -> datetime:
    if at is not None and at > row.now + AHEAD:
        raise BadUserInput(
            "input.observedAt", f"is {at.isoformat()}, which is in the future; use the time of the observation."
        )
    return min(at or row.now, row.now)
