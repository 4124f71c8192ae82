"""Loads the facts of deployments for decisions, and finds the rollouts that are due."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, TypedDict

from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncSession

from storage.rows import at_most_one, columns, every, one
from storage.visibility import Viewer, VisibleRow, visible

# The number of report times that are loaded: more than any plan's threshold.
REPORTS = 101


class PlannedStage(TypedDict):
    """One stage of a plan as it is stored."""

    trafficPercentage: int
    durationMinutes: float


def invalid_data(version: str) -> str:
    """The ids of the INVALID data set versions that a version used. `version` is the alias of its row."""
    return f"""ARRAY(SELECT w.id FROM dataset_versions w WHERE w.status = 'INVALID' AND w.id = ANY (
        ARRAY(SELECT u.dataset_version_id FROM dataset_uses u WHERE u.version_id = {version}.id)
            || {version}.dataset_version_id) ORDER BY w.id)"""


@dataclass(frozen=True)
class DeploymentRow:
    """A deployment whose model is locked, with all facts that decide its next step: its version's stage and invalid
    data, the policy, its latest health reports (time, verdict and ids, newest first), and the database's clock."""

    id: str
    project_id: str
    model_id: str
    version_id: str
    name: str
    environment: str
    strategy: str
    status: str
    traffic_percentage: int
    stages: list[PlannedStage]
    stage: int
    auto_advance: bool
    auto_rollback: bool
    failure_threshold: int
    health_required: bool
    max_health_age_minutes: float | None
    stage_since: datetime
    due_at: datetime | None
    previous_id: str | None
    revision: int
    version_stage: str
    block_invalid_data: bool
    invalid_data: list[str]
    reports: Sequence[tuple[str, bool, list[str]]]
    now: datetime


COMPUTED = ("version_stage", "block_invalid_data", "invalid_data", "reports", "now")
FACTS = f"""
SELECT {columns(DeploymentRow, "d", *COMPUTED)}, v.stage AS version_stage, y.block_invalid_data,
    {invalid_data("v")} AS invalid_data,
    (SELECT coalesce(json_agg(json_build_array(h.at, h.healthy, h.ids)), '[]') FROM (
        SELECT at, bool_and(healthy) AS healthy, array_agg(id ORDER BY id) AS ids FROM health_reports
        WHERE deployment_id = d.id GROUP BY at ORDER BY at DESC LIMIT {REPORTS}) h) AS reports,
    clock_timestamp() AS now
FROM deployments d JOIN versions v ON v.id = d.version_id JOIN project_policies y ON y.project_id = d.project_id
"""


@dataclass(frozen=True, kw_only=True)
class VisibleDeployment(VisibleRow):
    model_id: str


async def visible_deployment(session: AsyncSession, id_: str, viewer: Viewer) -> VisibleDeployment | None:
    """A deployment by its id, with the model under whose lock it changes; it is read again under that lock."""
    return await visible(session, VisibleDeployment, "deployments", id_, viewer)


async def locked_deployment(session: AsyncSession, id_: str) -> DeploymentRow:
    return await one(session, DeploymentRow, f"{FACTS} WHERE d.id = :id", id=id_)


async def _living(session: AsyncSession, condition: str, **values: Any) -> list[DeploymentRow]:
    """The deployments that have not ended and meet a condition; their models are locked."""
    statement = f"{FACTS} WHERE d.status NOT IN ('ROLLED_BACK', 'RETIRED') AND {condition} ORDER BY d.created_at, d.id"
    return await every(session, DeploymentRow, statement, **values)


async def in_place(session: AsyncSession, model_id: str, environment: str) -> list[DeploymentRow]:
    """The deployments that serve a model in an environment: the active one, and the one being rolled out."""
    condition = "d.model_id = :model AND d.environment = :environment AND d.strategy <> 'SHADOW'"
    return await _living(session, condition, model=model_id, environment=environment)


async def shadows(session: AsyncSession, version_id: str, environment: str) -> list[DeploymentRow]:
    """The shadows of a version in an environment."""
    condition = "d.version_id = :version AND d.environment = :environment AND d.strategy = 'SHADOW'"
    return await _living(session, condition, version=version_id, environment=environment)


async def of_version(session: AsyncSession, version_id: str) -> list[DeploymentRow]:
    return await _living(session, "d.version_id = :version", version=version_id)


@dataclass(frozen=True)
class Deployable:
    """The facts that decide, together with the project's policy, whether a version of a locked model can be
    deployed."""

    id: str
    model_id: str
    number: list[int]
    stage: str
    invalid_data: list[str]


async def deployable(session: AsyncSession, model_id: str, number: Sequence[int]) -> Deployable | None:
    """A version. Its project's policy must have been locked by an earlier statement, so that the status of data cannot
    change in between."""
    return await at_most_one(session, Deployable, DEPLOYABLE, model_id=model_id, number=list(number))


DEPLOYABLE = f"""
SELECT v.id, v.model_id, v.number, v.stage, {invalid_data("v")} AS invalid_data
FROM versions v WHERE v.model_id = :model_id AND v.number = CAST(:number AS int[])
"""


async def change_deployment(session: AsyncSession, row: DeploymentRow, **values: Any) -> None:
    """Change a deployment, which must be unchanged since it was read."""
    sets = ", ".join(f"{name} = :{name}" for name in values)
    statement = f"UPDATE deployments SET {sets}, revision = revision + 1 WHERE id = :id AND revision = :revision"
    changed = await session.execute(text(statement), {"id": row.id, "revision": row.revision, **values})
    if changed.rowcount != 1:  # type: ignore[attr-defined]
        raise RuntimeError(f"{row.id} changed while its model was locked.")


# The rollout that has been due for longest and whose model is not locked by another transaction. A rollout whose
# version may no longer be rolled out is due at once. The step is decided from the row as read under that lock, because
# the previous holder of the lock may have made it already.
DUE = """
SELECT d.id, d.model_id
FROM deployments d JOIN models m ON m.id = d.model_id
JOIN versions v ON v.id = d.version_id JOIN project_policies y ON y.project_id = d.project_id
WHERE d.status = 'IN_PROGRESS' AND (d.due_at <= clock_timestamp() OR v.stage = 'ARCHIVED'
    OR y.block_invalid_data AND EXISTS (
        SELECT FROM dataset_uses u JOIN dataset_versions w ON w.id = u.dataset_version_id
        WHERE u.version_id = v.id AND w.status = 'INVALID'))
ORDER BY d.due_at LIMIT 1 FOR NO KEY UPDATE OF m SKIP LOCKED
"""


@dataclass(frozen=True)
class DueDeployment:
    id: str
    model_id: str


async def due_deployment(session: AsyncSession) -> DueDeployment | None:
    """A rollout that is due. Its model is locked now."""
    return await at_most_one(session, DueDeployment, DUE)
