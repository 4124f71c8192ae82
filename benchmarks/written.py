"""The floor of writing: the same rows as Lineal's, by a transaction written by hand, behind a bare ASGI application."""

import os
from collections.abc import Mapping
from typing import Any, TypeAlias

import asyncpg
import orjson
from asyncpg.pool import PoolConnectionProxy

from benchmarks.pool import open_pool
from benchmarks.wire import Receive, Scope, Send, answer, body_of, lived
from storage.ids import new_id

ACTOR = "pipeline@example.com"

LOCK = "SELECT project_id FROM models WHERE id = $1 FOR NO KEY UPDATE"

# $1 the model's id: the version to derive from, the end of the history.
BEFORE = """
SELECT v.id, v.number, t.position, greatest(clock_timestamp(), t.at) AS now FROM (SELECT) one
LEFT JOIN LATERAL (SELECT id, number FROM versions WHERE model_id = $1 ORDER BY number DESC LIMIT 1) v ON true
LEFT JOIN LATERAL (SELECT position, at FROM stage_transitions WHERE model_id = $1 ORDER BY position DESC LIMIT 1) t
    ON true"""

# $1 to $15 the version, $16 $17 its metrics, $18 its tags, $19 the step's id.
CREATE = """
WITH version AS (
    INSERT INTO versions (id, project_id, model_id, number, stage, stage_position, description, algorithm, parameters,
        features, target, experiment_id, dataset_version_id, parent_id, created_at, created_by)
    VALUES ($1, $2, $3, $4, 'DEVELOPMENT', $5, $6, $7, $8, $9, $10, $11, $12, $13, $14, $15)
), metric AS (
    INSERT INTO metrics (project_id, version_id, name, value)
    SELECT $2, $1, m.name, m.value FROM unnest($16::text[], $17::float8[]) m (name, value)
), tag AS (
    INSERT INTO tags (project_id, version_id, tag) SELECT $2, $1, unnest($18::text[])
), use AS (
    INSERT INTO dataset_uses (project_id, version_id, role, dataset_version_id) VALUES ($2, $1, 'TRAINING', $12)
)
INSERT INTO stage_transitions (id, project_id, model_id, version_id, position, previous_position, to_stage, at, actor,
    automatic)
VALUES ($19, $2, $3, $1, $5, nullif($5::bigint - 1, 0), 'DEVELOPMENT', $14, $15, false)"""

AUDIT = "SELECT audit_append($1, $2)"

CREATED = """
SELECT convert_to(json_build_object('data', json_build_object('createVersion', json_build_object(
    'version', (SELECT json_build_object('id', id, 'version', array_to_string(number, '.'), 'stage', stage)
        FROM versions WHERE id = $1), 'warnings', '[]'::json)))::text, 'UTF8')"""

# $1 the model's id, $2 the number.
FOUND = """
SELECT v.id, v.stage, v.stage_position, p.id AS production_id, p.stage_position AS production_position, t.position,
    greatest(clock_timestamp(), t.at) AS now
FROM versions v
LEFT JOIN versions p ON p.model_id = v.model_id AND p.stage = 'PRODUCTION'
CROSS JOIN LATERAL (
    SELECT position, at FROM stage_transitions WHERE model_id = v.model_id ORDER BY position DESC LIMIT 1) t
WHERE v.model_id = $1 AND v.number = $2::int[]"""

STEP = """
WITH step AS (
    INSERT INTO stage_transitions (id, project_id, model_id, version_id, position, previous_position, after_position,
        from_stage, to_stage, at, actor, notes, automatic)
    VALUES ($1, $2, $3, $4, $5, $5::bigint - 1, $6, $7, $8, $9, $10, $11, $12)
)
UPDATE versions SET stage = $8, stage_position = $5 WHERE id = $4"""

TRANSITIONED = """
SELECT convert_to(json_build_object('data', json_build_object('transitionStage', json_build_object(
    'version', (SELECT json_build_object('id', id, 'version', array_to_string(number, '.'), 'stage', stage)
        FROM versions WHERE id = $1),
    'archived', (SELECT json_build_object('id', id) FROM versions WHERE id = $2))))::text, 'UTF8')"""

Given = Mapping[str, Any]
Connection: TypeAlias = "asyncpg.Connection[Any] | PoolConnectionProxy[Any]"


async def record(connection: Connection, model_id: str, project_id: str, **event: Any) -> None:
    entry = {"id": new_id("evt"), "actor": ACTOR, "projectId": project_id, "requestId": os.urandom(8).hex(), **event}
    await connection.execute(AUDIT, model_id, orjson.dumps(entry, option=orjson.OPT_SORT_KEYS).decode())


async def create_version(connection: Connection, given: Given) -> bytes:
    model_id, version_id = given["modelId"], new_id("ver")
    project_id = await connection.fetchval(LOCK, model_id)
    before = await connection.fetchrow(BEFORE, model_id)
    assert before is not None
    number = [before["number"][0], before["number"][1] + 1, 0] if before["number"] else [1, 0, 0]
    metrics, parameters = given["metrics"], given["parameters"]
    await connection.execute(
        CREATE,
        *(version_id, project_id, model_id, number, (before["position"] or 0) + 1, given["description"]),
        *(parameters["algorithm"], orjson.dumps(parameters).decode(), given["features"], given["target"]),
        *(given["experimentId"], given["datasetVersionId"], before["id"], before["now"], ACTOR),
        *(list(metrics), list(metrics.values()), given["tags"], new_id("tra")),
    )
    details = {
        "model_id": model_id,
        "description": given["description"],
        "experiment_id": given["experimentId"],
        "dataset_version_id": given["datasetVersionId"],
        "metrics": metrics,
        "parameters": parameters,
        "features": given["features"],
        "target": given["target"],
        "tags": given["tags"],
        "version": ".".join(map(str, number)),
        "parent_version": None,
        "parent_id": before["id"],
    }
    event = {"action": "version.created", "subjectId": version_id, "notes": None, "details": details}
    await record(connection, model_id, project_id, **event)
    answered: bytes = await connection.fetchval(CREATED, version_id)
    return answered


async def transition_stage(connection: Connection, given: Given) -> bytes:
    model_id, target = given["modelId"], given["targetStage"]
    project_id = await connection.fetchval(LOCK, model_id)
    found = await connection.fetchrow(FOUND, model_id, list(map(int, given["version"].split("."))))
    assert found is not None
    position, archived_id, steps = found["position"] + 1, None, []
    if target == "PRODUCTION" and found["production_id"]:
        archived_id = found["production_id"]
        after = found["production_position"]
        steps.append((archived_id, position, after, "PRODUCTION", "ARCHIVED", "Replaced in production.", True))
        position += 1
    steps.append((found["id"], position, found["stage_position"], found["stage"], target, given["notes"], False))
    for version_id, place, after, before, to, notes, automatic in steps:
        step_id = new_id("tra")
        row = (step_id, project_id, model_id, version_id, place, after, before, to, found["now"], ACTOR, notes)
        await connection.execute(STEP, *row, automatic)
        details = {"from": before, "to": to, "approvedBy": None, "automatic": automatic, "transitionId": step_id}
        event = {"action": "version.transitioned", "subjectId": version_id, "notes": given["notes"], "details": details}
        await record(connection, model_id, project_id, **event)
    answered: bytes = await connection.fetchval(TRANSITIONED, found["id"], archived_id)
    return answered


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
