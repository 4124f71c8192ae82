"""The floor of writing: the same rows as Lineal's, by a transaction written by hand, behind a bare ASGI application."""

import os
from collections.abc import Mapping
from typing import Any, TypeAlias

import asyncpg
import orjson
from asyncpg.pool import PoolConnectionProxy

from benchmarks.data import ACTOR, PRINCIPAL
from benchmarks.pool import open_pool
from benchmarks.wire import Receive, Scope, Send, answer, body_of, lived
from storage.ids import new_id

LOCK = "SELECT project_id FROM models WHERE id = $1 FOR NO KEY UPDATE"

# $1 the model's id: the version to derive from.
BEFORE = "SELECT id, number FROM versions WHERE model_id = $1 ORDER BY number DESC LIMIT 1"

# $1 to $13 the version, $14 $15 its metrics, $16 its tags.
CREATE = """
WITH version AS (
    INSERT INTO versions (id, project_id, model_id, number, stage, stage_position, description, algorithm, parameters,
        features, target, experiment_id, dataset_version_id, parent_id, created_by)
    VALUES ($1, $2, $3, $4, 'DEVELOPMENT', 0, $5, $6, $7, $8, $9, $10, $11, $12, $13)
), metric AS (
    INSERT INTO metrics (project_id, version_id, name, value)
    SELECT $2, $1, m.name, m.value FROM unnest($14::text[], $15::float8[]) m (name, value)
), tag AS (
    INSERT INTO tags (project_id, version_id, tag) SELECT $2, $1, unnest($16::text[])
)
INSERT INTO dataset_uses (project_id, version_id, role, dataset_version_id) VALUES ($2, $1, 'TRAINING', $11)"""

# The log, the history and the approvals are written by this function alone.
AUDIT = "SELECT audit_append($1, $2)"

CREATED = """
SELECT convert_to(json_build_object('data', json_build_object('createVersion', json_build_object(
    'version', (SELECT json_build_object('id', id, 'version', array_to_string(number, '.'), 'stage', stage)
        FROM versions WHERE id = $1), 'warnings', '[]'::json)))::text, 'UTF8')"""

# $1 the model's id, $2 the number.
FOUND = """
SELECT v.id, v.stage, v.stage_position, p.id AS production_id FROM versions v
LEFT JOIN versions p ON p.model_id = v.model_id AND p.stage = 'PRODUCTION'
WHERE v.model_id = $1 AND v.number = $2::int[]"""

# $1 the version's id, $2 the reviewer: what an approval is bound to, and whether nobody else could have given it.
REVIEWED = """
SELECT json_build_object(
    'description', v.description,
    'experiment', (SELECT json_build_object('id', x.id, 'status', x.status, 'notes', x.notes,
        'trainingDurationSecs', x.training_duration_secs) FROM experiments x WHERE x.id = v.experiment_id),
    'tags', (SELECT json_agg(t.tag ORDER BY t.tag) FROM tags t WHERE t.version_id = v.id),
    'cardRevision', 0,
    'data', json_build_object(d.id, d.status),
    'dataSince', json_build_object(d.id, to_char(d.status_at AT TIME ZONE 'UTC', 'YYYY-MM-DD"T"HH24:MI:SS.US"Z"'))
)::text AS reviewed,
NOT EXISTS (SELECT FROM members m JOIN principals p ON p.id = m.principal_id WHERE m.project_id = v.project_id
    AND m.role IN ('REVIEWER', 'ADMIN') AND p.kind = 'USER' AND p.email <> $2) AS alone
FROM versions v JOIN dataset_versions d ON d.id = v.dataset_version_id WHERE v.id = $1"""

TRANSITIONED = """
SELECT convert_to(json_build_object('data', json_build_object('transitionStage', json_build_object(
    'version', (SELECT json_build_object('id', id, 'version', array_to_string(number, '.'), 'stage', stage)
        FROM versions WHERE id = $1),
    'archived', (SELECT json_build_object('id', id) FROM versions WHERE id = $2))))::text, 'UTF8')"""

Given = Mapping[str, Any]
Connection: TypeAlias = "asyncpg.Connection[Any] | PoolConnectionProxy[Any]"


def event(project_id: str, subject_id: str, action: str, before: Any, after: Any, **more: Any) -> str:
    entry = {
        "id": new_id("evt"),
        "action": action,
        "actor": ACTOR,
        "projectId": project_id,
        "subjectId": subject_id,
        "notes": None,
        "details": {"before": before, "after": after},
        "requestId": os.urandom(8).hex(),
        **more,
    }
    return orjson.dumps(entry, option=orjson.OPT_SORT_KEYS).decode()


def step(version_id: str, before: str | None, after: str, automatic: bool, approved_by: str | None = None) -> Any:
    told = {"id": new_id("tra"), "versionId": version_id, "from": before, "to": after, "automatic": automatic}
    return told if before is None else told | {"approvedBy": approved_by}


async def create_version(connection: Connection, given: Given) -> bytes:
    model_id, version_id = given["modelId"], new_id("ver")
    project_id = await connection.fetchval(LOCK, model_id)
    before = await connection.fetchrow(BEFORE, model_id)
    number = [before["number"][0], before["number"][1] + 1, 0] if before else [1, 0, 0]
    parent_id = before["id"] if before else None
    metrics, parameters = given["metrics"], given["parameters"]
    await connection.execute(
        CREATE,
        *(version_id, project_id, model_id, number, given["description"]),
        *(parameters["algorithm"], orjson.dumps(parameters).decode(), given["features"], given["target"]),
        *(given["experimentId"], given["datasetVersionId"], parent_id, ACTOR),
        *(list(metrics), list(metrics.values()), given["tags"]),
    )
    after = {
        "modelId": model_id,
        "description": given["description"],
        "experimentId": given["experimentId"],
        "datasetVersionId": given["datasetVersionId"],
        "metrics": metrics,
        "parameters": parameters,
        "features": given["features"],
        "target": given["target"],
        "tags": given["tags"],
        "version": ".".join(map(str, number)),
        "parentVersion": None,
        "parentId": parent_id,
        "stage": "DEVELOPMENT",
    }
    first = step(version_id, None, "DEVELOPMENT", False)
    created = event(project_id, version_id, "version.created", None, after, step=first)
    await connection.execute(AUDIT, model_id, [created])
    answered: bytes = await connection.fetchval(CREATED, version_id)
    return answered


async def transition_stage(connection: Connection, given: Given) -> bytes:
    model_id, target = given["modelId"], given["targetStage"]
    project_id = await connection.fetchval(LOCK, model_id)
    found = await connection.fetchrow(FOUND, model_id, list(map(int, given["version"].split("."))))
    assert found is not None
    archived_id, events, by = None, [], None
    if target == "PRODUCTION":
        by = ACTOR
        basis = await connection.fetchrow(REVIEWED, found["id"], ACTOR)
        assert basis is not None
        events.append(approved(project_id, found, basis, target, given["notes"]))
        if archived_id := found["production_id"]:
            events.append(moved(project_id, archived_id, "PRODUCTION", "ARCHIVED", "Replaced in production.", True))
    events.append(moved(project_id, found["id"], found["stage"], target, given["notes"], False, by))
    await connection.execute(AUDIT, model_id, events)
    answered: bytes = await connection.fetchval(TRANSITIONED, found["id"], archived_id)
    return answered


def moved(
    project_id: str, id_: str, before: str, after: str, notes: str, automatic: bool, by: str | None = None
) -> str:
    told, came = {"stage": before}, {"stage": after, "approvedBy": by}
    kept = step(id_, before, after, automatic, by)
    return event(project_id, id_, "version.transitioned", told, came, notes=notes, step=kept)


def approved(project_id: str, found: Mapping[str, Any], basis: Mapping[str, Any], target: str, notes: str) -> str:
    approval = {
        "id": new_id("apr"),
        "requestId": None,
        "targetStage": target,
        "stagePosition": found["stage_position"],
        "reviewer": ACTOR,
        "reviewerId": PRINCIPAL,
        "attestedBy": None,
        "decision": "APPROVE",
        "alone": basis["alone"],
        "meaning": f"{ACTOR} approves that it goes to {target}.",
        "reviewed": orjson.loads(basis["reviewed"]),
    }
    return event(project_id, found["id"], "version.approved", None, approval, notes=notes, approval=approval)


BY_PATH = {"/create": create_version, "/transition": transition_stage}


class Written:
    pool: asyncpg.Pool

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "lifespan":
            self.pool = await open_pool()
            await lived(receive, send, self.pool.close)
            return
        given = orjson.loads(await body_of(receive))["variables"]["input"]
        async with self.pool.acquire() as connection, connection.transaction():
            body = await BY_PATH[scope["path"]](connection, given)
        await answer(send, body)


app = Written()
