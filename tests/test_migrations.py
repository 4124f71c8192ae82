"""A registry that an earlier Lineal filled is brought on with all that it holds."""

import json
import secrets
from datetime import timedelta
from typing import Any

from alembic import command
from sqlalchemy import make_url

from server.audit.verify import report_on_database
from storage.engine import short_engine
from storage.migrate import _config, migrate
from tests.conftest import EXTERNAL, Cluster, Registry, connect, make_key, run_sql

FIRST = """
INSERT INTO projects (id, name, created_by) VALUES ('proj_a', 'A', 'old'), ('proj_b', 'B', 'old');
INSERT INTO api_keys (id, name, email, kind, project_id, secret_hash, created_by) VALUES
    ('key_1', 'first key', 'admin@localhost', 'SERVICE', NULL, sha256('1'), 'admin@localhost'),
    ('key_2', 'two', 'Bo@Example.com', 'SERVICE', 'proj_a', sha256('2'), 'lineal keys'),
    ('key_3', 'three', 'bo@example.com', 'SERVICE', 'proj_b', sha256('3'), 'lineal keys');
INSERT INTO models (id, project_id, name, created_by) VALUES ('model_m', 'proj_a', 'M', 'old');
BEGIN;
INSERT INTO versions (id, project_id, model_id, number, stage, stage_position, parameters, features, created_at,
    created_by) VALUES ('ver_1', 'proj_a', 'model_m', '{1,0,0}', 'STAGING', 2, '{}', '{}', '2026-01-31', 'old');
INSERT INTO tags VALUES ('proj_a', 'ver_1', 'gold-standard');
INSERT INTO metrics VALUES ('proj_a', 'ver_1', 'auc', 0.9);
INSERT INTO stage_transitions (id, project_id, model_id, version_id, position, previous_position, after_position,
    from_stage, to_stage, at, actor, automatic) VALUES
    ('tra_1', 'proj_a', 'model_m', 'ver_1', 1, NULL, NULL, NULL, 'DEVELOPMENT', '2026-01-31', 'old', false),
    ('tra_2', 'proj_a', 'model_m', 'ver_1', 2, 1, 1, 'DEVELOPMENT', 'STAGING', '2026-02-01', 'old', false);
COMMIT;
"""


def event(action: str, **details: Any) -> str:
    told = {"action": action, "actor": "old", "id": f"evt_{secrets.token_hex(4)}", "projectId": "proj_a"}
    return json.dumps(
        told | {"subjectId": "ver_1", "notes": None, "requestId": "r", "details": details},
        sort_keys=True,
        separators=(",", ":"),
    )


async def database_at(cluster: Cluster, revision: str) -> Cluster:
    """A database at a revision, as an earlier Lineal left it; the caller drops it."""
    name, owner = f"lineal_old_{secrets.token_hex(4)}", make_url(cluster.owner_url).username
    order = "LOCALE 'C.UTF-8'" if EXTERNAL else ""
    await run_sql(
        cluster.superuser_url, f"CREATE DATABASE {name} OWNER {owner} TEMPLATE template0 ENCODING 'UTF8' {order}"
    )
    within = cluster.database(name)
    await run_sql(within.superuser_url, f"ALTER SCHEMA public OWNER TO {owner}")
    async with short_engine(within.owner_url) as engine, engine.begin() as connection:
        await connection.run_sync(lambda c: command.upgrade(_config(c), revision))
    return within


async def old_registry(cluster: Cluster) -> Cluster:
    within = await database_at(cluster, "0001")
    owned = await connect(within.owner_url)
    await owned.execute(FIRST)
    for action, details in (("version.created", {}), ("version.transitioned", {"transitionId": "tra_2"})):
        await owned.execute("SELECT audit_append('model_m', $1)", event(action, **details))
    await owned.close()
    return within


async def test_what_was_kept_before_governance_is_governed_and_still_sound(
    cluster: Cluster, make_registry: Any
) -> None:
    old = await old_registry(cluster)
    assert await migrate(old.owner_url, old.app_url)
    owned = await connect(old.owner_url)
    principals = await owned.fetch("SELECT email, kind, administers FROM principals ORDER BY email")
    assert [tuple(row) for row in principals] == [
        ("admin@localhost", "USER", True), ("bo@example.com", "SERVICE", False)]  # fmt: skip
    members = await owned.fetch("SELECT project_id, role FROM members ORDER BY project_id")
    assert [tuple(row) for row in members] == [("proj_a", "ADMIN"), ("proj_b", "ADMIN")]
    age = await owned.fetchval("SELECT clock_timestamp() - touched_at FROM versions")
    assert age < timedelta(minutes=1), "retention counts from now"
    await owned.close()

    registry: Registry = await make_registry(old)
    registry = registry.with_key(await make_key(old.app_url, "admin@localhost"))
    seen = await registry.ask(
        '{ version(modelId: "model_m", version: "1.0.0") { metric(name: "auc") modelCard { revision updatedBy }'
        " stageHistory { toStage approvals { id } } model { project { policy { requiredApprovals"
        " retentionDays allowRequesterApproval pendingChanges { id } } } } } }"
    )
    assert seen["version"] == {
        "metric": 0.9, "modelCard": {"revision": 0, "updatedBy": "old"},
        "stageHistory": [{"toStage": "DEVELOPMENT", "approvals": []}, {"toStage": "STAGING", "approvals": []}],
        "model": {"project": {"policy": {
            "requiredApprovals": 1, "retentionDays": 90, "allowRequesterApproval": True, "pendingChanges": []}}},
    }  # fmt: skip
    found = await registry.ask('{ searchVersions(filter: {query: "m gold stan"}) { nodes { version } } }')
    assert found["searchVersions"]["nodes"] == [{"version": "1.0.0"}], "its words were gathered"
    move = 'modelId: "model_m", version: "1.0.0", targetStage: ARCHIVED'
    await registry.ask(f"mutation {{ transitionStage(input: {{{move}}}) {{ version {{ stage }} }} }}")
    outcome = await report_on_database(old.app_url, None)
    assert outcome.code == 0, outcome
    name = make_url(old.owner_url).database
    await registry.client._transport.app.app.state.database.close()  # type: ignore[attr-defined]
    await run_sql(cluster.superuser_url, f"DROP DATABASE {name} WITH (FORCE)")


LINES = """
INSERT INTO projects (id, name, created_by) VALUES ('proj_l', 'L', 'old');
INSERT INTO project_policies (project_id, required_approvals, allow_self_approval, require_complete_card,
    block_invalid_data, semver, tags, retention_days, min_metrics, max_regression, approval_valid_days)
    VALUES ('proj_l', 1, true, false, true, 'WARN', 'WARN', 90, '[]', 0.1, 30);
"""
REGISTER = """
INSERT INTO versions (id, project_id, model_id, number, stage, stage_position, parameters, features, artifact_uri,
    created_at, created_by)
    VALUES ($1, 'proj_l', $2, $3, 'DEVELOPMENT', 0, '{}', '{}', 's3://a', '2026-01-31', 'old')
"""


async def test_versions_of_an_old_registry_are_counted_in_the_order_of_their_registration(
    cluster: Cluster, make_registry: Any
) -> None:
    old = await database_at(cluster, "0015")
    owned = await connect(old.owner_url)
    await owned.execute(LINES)
    # Numbers, ids and times all in other orders than the registrations, of which two take turns in two models.
    numbers = [[2, 0, 0], [1, 0, 0], [10, 0, 0], [1, 5, 0], [3, 0, 0]]
    for model in ("model_a", "model_b"):
        await owned.execute("INSERT INTO models VALUES (now(), 'old', $1, 'proj_l', $1, NULL)", model)
    for place, number in enumerate(numbers):
        for model in ("model_a", "model_b"):
            id_ = f"ver_{9 - place}{model[-1]}"
            async with owned.transaction():
                await owned.execute(REGISTER, id_, model, number)
                step = {"id": f"tra_{id_[4:]}", "versionId": id_, "from": None, "to": "DEVELOPMENT", "automatic": False}
                told = json.loads(event("version.created")) | {"projectId": "proj_l", "subjectId": id_, "step": step}
                text = json.dumps(told, sort_keys=True, separators=(",", ":"))
                await owned.execute("SELECT audit_append($1, ARRAY[$2])", model, text)
    last = await owned.fetchval("SELECT at FROM audit_chains WHERE chain = 'model_b'")
    assert await migrate(old.owner_url, old.app_url)
    counted = await owned.fetch("SELECT model_id, number, ordinal FROM versions ORDER BY model_id, ordinal")
    assert [(row[0], row[1], row[2]) for row in counted] == [
        (model, number, place) for model in ("model_a", "model_b") for place, number in enumerate(numbers, start=1)
    ]
    assert await owned.fetchval("SELECT updated_at FROM models WHERE id = 'model_b'") == last
    assert await owned.fetchval("SELECT count(*) FROM model_aliases") == 0
    enabled = "SELECT tgenabled FROM pg_trigger WHERE tgrelid = 'versions'::regclass AND tgname = 'keep_training_facts'"
    assert await owned.fetchval(enabled) == b"A", "training facts are kept again"
    await owned.close()
    assert (await report_on_database(old.app_url, None)).code == 0

    registry: Registry = await make_registry(old)
    registry = registry.with_key(await make_key(old.app_url, "admin@localhost"))
    new = 'projectId: "proj_l", modelId: "model_a", version: "11.0.0"'
    made = await registry.ask(f"mutation {{ createVersion(input: {{{new}}}) {{ version {{ ordinal aliases }} }} }}")
    assert made["createVersion"]["version"] == {"ordinal": 6, "aliases": []}
    seen = await registry.ask(
        '{ model(id: "model_a") { owner properties origin { id } archived aliases { name }'
        " project { policy { protectedAliases } } versionByOrdinal(ordinal: 3) { version } } models { totalCount } }"
    )
    assert seen == {
        "model": {
            "owner": None, "properties": {}, "origin": None, "archived": False, "aliases": [],
            "project": {"policy": {"protectedAliases": []}}, "versionByOrdinal": {"version": "10.0.0"},
        },
        "models": {"totalCount": 2},
    }  # fmt: skip
    move = 'modelId: "model_a", version: "11.0.0", alias: "champion"'
    await registry.ask(f"mutation {{ setAlias(input: {{{move}}}) {{ alias {{ name }} }} }}")
    assert (await report_on_database(old.app_url, None)).code == 0
    name = make_url(old.owner_url).database
    await registry.client._transport.app.app.state.database.close()  # type: ignore[attr-defined]
    await run_sql(cluster.superuser_url, f"DROP DATABASE {name} WITH (FORCE)")


BEARING = "https://u:hunter2@host/m?sig=hunter2"
ANSWER = {"createVersion": {"version": {"where": BEARING, "plain": "s3://b/m?versionId=1", "notes": 'sig=a b é "#'}}}
ANSWERED = """
INSERT INTO projects (id, name, created_by) VALUES ('proj_a', 'A', 'old');
INSERT INTO datasets (id, project_id, name, created_by) VALUES ('ds_a', 'proj_a', 'A', 'old');
INSERT INTO dataset_versions (id, project_id, dataset_id, label, status, features, uri, created_by)
    VALUES ('dsv_a', 'proj_a', 'ds_a', 'q1', 'ACTIVE', '{}', 'https://u:hunter2@host/m?sig=hunter2', 'old');
"""
KEEP = """INSERT INTO idempotent_answers (actor, key, place, body_hash, answer, extensions, projects, at)
    VALUES ('a', 'k', 0, '', convert_to($1, 'UTF8'), '', '{proj_a}', now())"""


async def test_credentials_in_stored_addresses_and_answers_are_cut_by_the_upgrade(cluster: Cluster) -> None:
    old = await database_at(cluster, "0008")
    owned = await connect(old.owner_url)
    await owned.execute(ANSWERED)
    await owned.execute(KEEP, json.dumps(ANSWER, ensure_ascii=False))
    assert await migrate(old.owner_url, old.app_url)
    kept = json.loads(await owned.fetchval("SELECT convert_from(answer, 'UTF8') FROM idempotent_answers"))
    cut = {"where": "https://***@host/m?sig=***"}
    assert kept["createVersion"]["version"] == ANSWER["createVersion"]["version"] | cut
    assert await owned.fetchval("SELECT shown_uri(uri) FROM dataset_versions") == cut["where"]
    # What was stored is still changed in other ways, as its facts stay what they were.
    await owned.execute("UPDATE dataset_versions SET status = 'DEPRECATED', status_reason = 'old'")
    await owned.close()
    await run_sql(cluster.superuser_url, f"DROP DATABASE {make_url(old.owner_url).database} WITH (FORCE)")
