"""What is loaded of deployments before something is decided, and how the clock finds those that are due."""

from collections.abc import Mapping
from datetime import datetime
from typing import Any

from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncSession

from storage.load import Row, Who, one, role_in

# How many reports are looked at: more than any plan's threshold.
REPORTS = 101
FACTS = f"""
SELECT d.*, v.number, v.stage AS version_stage, y.block_invalid_data, clock_timestamp() AS now,
    ARRAY(SELECT DISTINCT w.id FROM dataset_uses u JOIN dataset_versions w ON w.id = u.dataset_version_id
        WHERE u.version_id = v.id AND w.status = 'INVALID' ORDER BY w.id) AS invalid_data,
    (SELECT coalesce(json_agg(json_build_array(h.at, h.healthy)), '[]') FROM (
        SELECT at, healthy FROM health_reports WHERE deployment_id = d.id ORDER BY at DESC, id DESC LIMIT {REPORTS}) h)
        AS reports
FROM deployments d JOIN versions v ON v.id = d.version_id JOIN project_policies y ON y.project_id = d.project_id
"""


def moment(text_: str) -> datetime:
    """A time as JSON from PostgreSQL tells it."""
    return datetime.fromisoformat(text_)


async def deployment(session: AsyncSession, id_: str, who: Who) -> Row | None:
    """A deployment by its id, with the model under whose lock it changes; read again under that lock."""
    role = role_in("deployments")
    statement = (
        f"SELECT id, project_id, model_id, {role} AS role FROM deployments WHERE id = :id AND {role} IS NOT NULL"
    )
    return await one(session, statement, id=id_, **who)


async def locked(session: AsyncSession, id_: str) -> dict[str, Any]:
    """A deployment whose model is locked, with all that decides what becomes of it."""
    found = await one(session, f"{FACTS} WHERE d.id = :id", id=id_)
    assert found is not None
    return dict(found)


async def living(session: AsyncSession, condition: str, **values: Any) -> list[dict[str, Any]]:
    """The deployments that have not ended and meet a condition; their models are locked."""
    statement = f"{FACTS} WHERE d.status NOT IN ('ROLLED_BACK', 'RETIRED') AND {condition} ORDER BY d.created_at, d.id"
    return [dict(row) for row in (await session.execute(text(statement), values)).mappings()]


async def in_place(session: AsyncSession, model_id: str, environment: str) -> list[dict[str, Any]]:
    """Who serves a model in an environment: what is active, and what is being rolled out."""
    condition = "d.model_id = :model AND d.environment = :environment AND d.strategy <> 'SHADOW'"
    return await living(session, condition, model=model_id, environment=environment)


async def of_version(session: AsyncSession, version_id: str) -> list[dict[str, Any]]:
    return await living(session, "d.version_id = :version", version=version_id)


async def change(session: AsyncSession, row: Mapping[str, Any], **values: Any) -> None:
    """Change a deployment, which must be as it was read."""
    sets = ", ".join(f"{name} = :{name}" for name in values)
    statement = f"UPDATE deployments SET {sets}, revision = revision + 1 WHERE id = :id AND revision = :revision"
    changed = await session.execute(text(statement), {"id": row["id"], "revision": row["revision"], **values})
    if changed.rowcount != 1:  # type: ignore[attr-defined]
        raise RuntimeError(f"{row['id']} changed while its model was locked.")


# The rollout that has been due for longest and whose model nobody else works on; one whose version may be rolled out no
# further is due at once. What is to be done is decided from the row as it is read under that lock: whoever held the
# model before may have done it.
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


async def due(session: AsyncSession) -> Row | None:
    """A rollout that is due, whose model is locked now."""
    return await one(session, DUE)
