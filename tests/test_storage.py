"""What the database itself refuses, whoever asks: the app's role, and mostly even the owner."""

import hashlib
import json
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass
from typing import Any

import asyncpg
import pytest
import pytest_asyncio

from server.ops.demo import fill
from server.settings import Settings
from storage.migrate import SchemaTooNew, migrate
from tests.conftest import Cluster, connect

HISTORY = [
    "stage_transitions", "audit_events", "metrics", "dataset_uses", "dataset_parents", "approvals",
    "model_card_revisions",
]  # fmt: skip
KEPT = [
    "projects", "models", "versions", "datasets", "dataset_versions", "experiments", "audit_chains", "api_keys",
    "principals", "project_policies", "tag_definitions", "transition_requests", "model_cards",
]  # fmt: skip


@dataclass(frozen=True)
class Sample:
    cluster: Cluster
    app: asyncpg.Connection
    owner: asyncpg.Connection


@pytest_asyncio.fixture(scope="module")
async def sample(make_database: Callable[[], Any]) -> AsyncIterator[Sample]:
    cluster = await make_database()
    await fill(Settings(database_url=cluster.app_url))
    opened = Sample(cluster, await connect(cluster.app_url), await connect(cluster.owner_url))
    yield opened
    await opened.app.close()
    await opened.owner.close()


@pytest.mark.parametrize("table", HISTORY)
@pytest.mark.parametrize(
    "change", ["UPDATE {0} SET project_id = project_id", "DELETE FROM {0}", "TRUNCATE {0} CASCADE"]
)
async def test_history_and_training_facts_are_only_added_to(sample: Sample, table: str, change: str) -> None:
    with pytest.raises(asyncpg.InsufficientPrivilegeError):
        await sample.app.execute(change.format(table))
    with pytest.raises(asyncpg.IntegrityConstraintViolationError, match="is refused"):
        await sample.owner.execute(change.format(table))


@pytest.mark.parametrize("table", KEPT)
@pytest.mark.parametrize("change", ["DELETE FROM {0}", "TRUNCATE {0} CASCADE"])
async def test_nothing_is_ever_deleted(sample: Sample, table: str, change: str) -> None:
    with pytest.raises(asyncpg.InsufficientPrivilegeError):
        await sample.app.execute(change.format(table))
    with pytest.raises(asyncpg.IntegrityConstraintViolationError, match="is refused"):
        await sample.owner.execute(change.format(table))


async def test_a_session_that_plays_the_replica_does_not_get_past_the_triggers(sample: Sample) -> None:
    superuser = await connect(sample.cluster.superuser_url)
    try:
        await superuser.execute("SET session_replication_role = replica")
        with pytest.raises(asyncpg.IntegrityConstraintViolationError):
            await superuser.execute("UPDATE stage_transitions SET notes = 'forged'")
    finally:
        await superuser.close()


@pytest.mark.parametrize(
    "statement",
    [
        "INSERT INTO audit_events SELECT * FROM audit_events",
        "UPDATE audit_chains SET seq = 0",
        "INSERT INTO audit_chains VALUES ('forged', 0, '')",
        "UPDATE versions SET parameters = '{}'",
        "UPDATE versions SET number = '{9,9,9}'",
        "UPDATE experiments SET parameters = '{}'",
        "ALTER TABLE stage_transitions DISABLE TRIGGER ALL",
        "DROP TABLE audit_events",
        "CREATE TABLE smuggled (id int)",
        "INSERT INTO stage_transitions SELECT * FROM stage_transitions",
        "INSERT INTO approvals SELECT * FROM approvals",
        "UPDATE versions SET stage = 'PRODUCTION'",
        "UPDATE versions SET stage_position = 1",
        "UPDATE stage_transitions SET notes = 'forged'",
        "UPDATE audit_chains SET hash = ''",
        "UPDATE principals SET email = 'other'",
        "UPDATE principals SET kind = 'USER'",
        "UPDATE api_keys SET principal_id = 'prin_other'",
        "UPDATE api_keys SET secret_hash = ''",
        "UPDATE api_keys SET may_attest = true",
        "UPDATE transition_requests SET target_stage = 'PRODUCTION'",
        "DELETE FROM api_keys",
        "DELETE FROM transition_requests",
        *(f"ALTER TABLE {table} DISABLE TRIGGER ALL" for table in ("audit_events", "approvals", "versions", "metrics")),
        "ALTER TABLE audit_events DROP CONSTRAINT audit_events_pk",
        "DROP TRIGGER append_only ON audit_events",
        "SET session_replication_role = replica",
        "INSERT INTO version_texts SELECT * FROM version_texts",
        "UPDATE version_texts SET words = ''",
        "DELETE FROM version_texts",
        "SELECT keep_step('x', '{}', now())",
        "SELECT keep_approval('x', '{}', now())",
        "CREATE OR REPLACE FUNCTION refuse_change() RETURNS trigger LANGUAGE sql AS ''",
    ],
)
async def test_the_app_may_only_do_what_lineal_does(sample: Sample, statement: str) -> None:
    with pytest.raises(asyncpg.InsufficientPrivilegeError):
        await sample.app.execute(statement)


async def test_even_the_owner_cannot_change_training_facts(sample: Sample) -> None:
    with pytest.raises(asyncpg.IntegrityConstraintViolationError, match="training facts"):
        await sample.owner.execute("""UPDATE versions SET parameters = '{"max_depth": 99}'""")
    with pytest.raises(asyncpg.IntegrityConstraintViolationError, match="training facts"):
        await sample.owner.execute("UPDATE versions SET created_by = 'somebody'")


async def violated(connection: asyncpg.Connection, *statements: str) -> str:
    """The constraint that a transaction of these statements runs into."""
    with pytest.raises(asyncpg.IntegrityConstraintViolationError) as violation:
        async with connection.transaction():
            for statement in statements:
                await connection.execute(statement)
            await connection.execute("SET CONSTRAINTS ALL IMMEDIATE")
    return str(violation.value.constraint_name)


STEP = """
INSERT INTO stage_transitions (id, project_id, model_id, version_id, position, previous_position, after_position,
    from_stage, to_stage, at, actor, automatic)
SELECT 'tra_forged', project_id, model_id, id, {position}, {previous}, {after}, {before}, '{to}', now(), 'forger', false
FROM versions WHERE model_id = 'model_xgb_churn' AND number = '{number}'
"""


def step(**values: Any) -> str:
    return STEP.format(**({"number": "{2,1,0}", "before": "'STAGING'", "to": "PRODUCTION"} | values))


async def test_a_stage_without_its_history_cannot_be_committed(sample: Sample) -> None:
    found = await violated(sample.owner, "UPDATE versions SET stage = 'ARCHIVED' WHERE stage = 'DEVELOPMENT'")
    assert found == "versions_stage_is_in_history"


async def test_two_production_versions_of_one_model_are_impossible(sample: Sample) -> None:
    statement = "UPDATE versions SET stage = 'PRODUCTION' WHERE model_id = 'model_xgb_churn' AND number = '{2,1,0}'"
    assert await violated(sample.owner, statement) == "versions_one_production"


async def test_the_history_has_no_gap_no_fork_and_no_illegal_step(sample: Sample) -> None:
    last = await sample.app.fetchrow(
        "SELECT max(s.position) AS position, max(v.stage_position) AS after FROM stage_transitions s"
        " JOIN versions v ON v.model_id = s.model_id AND v.number = '{2,1,0}' WHERE s.model_id = 'model_xgb_churn'"
    )
    assert last is not None
    end, after = last["position"], last["after"]
    position, previous = end + 1, end
    gap = step(position=end + 2, previous=end + 1, after=after)
    assert await violated(sample.owner, gap) == "stage_transitions_without_gap"
    pretended = step(position=end + 2, previous=previous, after=after)
    assert await violated(sample.owner, pretended) == "stage_transitions_previous_position_check"
    taken = step(position=end, previous=end - 1, after=after)
    assert await violated(sample.owner, taken) in ("stage_transitions_position", "stage_transitions_position_check")
    other_past = step(position=position, previous=previous, after=after, before="'ARCHIVED'", to="STAGING")
    assert await violated(sample.owner, other_past) == "stage_transitions_continues"
    illegal = step(position=position, previous=previous, after=after, before="'STAGING'", to="STAGING")
    assert await violated(sample.owner, illegal) == "stage_transitions_legal_check"
    second_birth = step(position=position, previous=previous, after="NULL", before="NULL", to="DEVELOPMENT")
    assert await violated(sample.owner, second_birth) == "stage_transitions_no_fork"


@pytest.mark.parametrize(
    ("event", "wrong"),
    [
        ({"subjectId": "ver_none", "step": {"versionId": "ver_none"}}, "query returned no rows"),
        ({"step": {"to": "ARCHIVED", "from": "PRODUCTION"}}, "stage_transitions_continues"),
        ({"step": {"to": "PRODUCTION", "from": "DEVELOPMENT"}}, "stage_transitions_legal"),
        ({"subjectId": "ver_other", "step": {}}, "stands in the chain"),
    ],
)
async def test_an_event_cannot_tell_a_step_that_the_history_does_not_allow(
    sample: Sample, event: dict[str, Any], wrong: str
) -> None:
    version = await sample.app.fetchval("SELECT id FROM versions WHERE model_id = 'model_xgb_churn' AND number[2] = 1")
    told = {"id": "evt_forged", "projectId": "proj_abc123", "actor": "x", "action": "version.transitioned"}
    step = {"id": "tra_forged", "versionId": version, "from": "DEVELOPMENT", "to": "STAGING", "automatic": False}
    entry = told | {"subjectId": version} | event | {"step": step | event["step"]}
    with pytest.raises(asyncpg.PostgresError, match=wrong):
        await sample.app.execute("SELECT audit_append('model_xgb_churn', $1)", [json.dumps(entry)])


WAITING = """SELECT v.id, v.stage_position, p.id AS james FROM versions v, principals p
WHERE v.model_id = 'model_xgb_churn' AND v.number = '{2,1,0}' AND v.stage = 'STAGING' AND p.email LIKE 'james%'"""
STRANGER = {"reviewer": "eve@example.com", "reviewerId": "prin_eve"}


@pytest.mark.parametrize(
    ("event", "approval"),
    [
        ({"actor": "x"}, {}),
        ({"subjectId": "ver_none"}, {}),
        ({}, {"stagePosition": 1}),
        ({}, {"reviewer": "eve@example.com"}),
        ({"actor": "eve@example.com"}, STRANGER),
        ({"actor": "pipeline@company.com"}, {"attestedBy": "pipeline@company.com"} | STRANGER),
    ],
)
async def test_an_event_cannot_tell_an_approval_by_who_may_not_give_it(
    sample: Sample, event: dict[str, Any], approval: dict[str, Any]
) -> None:
    version = await sample.app.fetchrow(WAITING)
    assert version is not None
    given = {"id": "apr_forged", "targetStage": "PRODUCTION", "stagePosition": version["stage_position"]}
    given |= {"reviewer": "james.wu@company.com", "reviewerId": version["james"], "decision": "APPROVE"}
    given |= {"meaning": "Forged.", "reviewed": {"cardRevision": 0, "data": {}}}
    told = {
        "id": "evt_forged",
        "projectId": "proj_abc123",
        "actor": "james.wu@company.com",
        "action": "version.approved",
    }
    entry = told | {"subjectId": version["id"]} | event | {"approval": given | approval}
    with pytest.raises(asyncpg.IntegrityConstraintViolationError, match="is not one of the next step"):
        async with sample.app.transaction():
            eve = "('prin_eve', 'eve@example.com', 'USER', 'x')"
            await sample.app.execute(f"INSERT INTO principals (id, email, kind, created_by) VALUES {eve}")
            await sample.app.execute("SELECT audit_append('model_xgb_churn', $1)", [json.dumps(entry)])


async def test_an_event_cannot_bring_a_version_into_production_that_too_few_have_approved(sample: Sample) -> None:
    version = await sample.app.fetchrow(WAITING)
    assert version is not None
    step = {"id": "tra_forged", "versionId": version["id"], "from": "STAGING", "to": "PRODUCTION", "automatic": False}
    told = {"id": "evt_forged", "projectId": "proj_abc123", "actor": "x", "action": "version.transitioned"}
    entry = told | {"subjectId": version["id"], "step": step}
    with pytest.raises(asyncpg.IntegrityConstraintViolationError, match="too few have approved"):
        await sample.app.execute("SELECT audit_append('model_xgb_churn', $1)", [json.dumps(entry)])


@pytest.mark.parametrize("table", ["metrics (project_id, version_id, name, value)", "dataset_uses"])
async def test_facts_are_not_added_to_a_registered_version(sample: Sample, table: str) -> None:
    values = {
        "metrics": "project_id, id, 'forged', 1.0",
        "dataset_uses": "project_id, id, 'TEST', 'dsv_q2_2025'",
    }[table.split(maxsplit=1)[0]]
    for before in ("SELECT 1", "UPDATE versions SET touched_at = now()"):
        with pytest.raises(asyncpg.IntegrityConstraintViolationError, match="is not added to"):
            async with sample.app.transaction():
                await sample.app.execute(before)
                await sample.app.execute(
                    f"INSERT INTO {table} SELECT {values} FROM versions WHERE model_id = 'model_xgb_churn' LIMIT 1"
                )


async def test_references_cannot_leave_their_project(sample: Sample) -> None:
    found = await violated(
        sample.app,
        "INSERT INTO projects (id, name, created_by) VALUES ('proj_other', 'Other', 'x')",
        "INSERT INTO experiments (id, project_id, name, status, parameters, dataset_version_id, created_by)"
        " VALUES ('exp_other', 'proj_other', 'x', 'RUNNING', '{}', 'dsv_q4_2025', 'x')",
    )
    assert found == "experiments_project_id_dataset_version_id"


@pytest.mark.parametrize("value", ["'NaN'", "'Infinity'", "'-Infinity'"])
async def test_metrics_are_finite(sample: Sample, value: str) -> None:
    statement = f"INSERT INTO metrics SELECT project_id, id, 'odd', {value} FROM versions LIMIT 1"
    assert await violated(sample.app, statement) == "metrics_finite_check"


async def test_every_event_is_hashed_over_the_one_before_it(sample: Sample) -> None:
    moment = """to_char(at AT TIME ZONE 'UTC', 'YYYY-MM-DD"T"HH24:MI:SS.US"Z"') AS time"""
    rows = await sample.app.fetch(f"SELECT *, {moment} FROM audit_events ORDER BY chain, seq")
    heads: dict[str, tuple[int, bytes]] = {}
    for row in rows:
        seq, before = heads.get(row["chain"], (0, hashlib.sha256(row["chain"].encode()).digest()))
        text = "\n".join([row["chain"], str(seq + 1), row["time"], before.hex(), row["entry"]])
        assert (row["seq"], row["previous_hash"]) == (seq + 1, before)
        assert row["hash"] == hashlib.sha256(text.encode()).digest()
        heads[row["chain"]] = (row["seq"], row["hash"])
    kept = await sample.app.fetch("SELECT chain, seq, hash FROM audit_chains")
    assert {row["chain"]: (row["seq"], row["hash"]) for row in kept} == heads
    assert {"proj_abc123", "model_xgb_churn", "model_nn_demand"} <= set(heads)


async def test_migrating_again_changes_nothing(sample: Sample) -> None:
    assert await migrate(sample.cluster.owner_url, sample.cluster.app_url) is False


async def test_a_schema_newer_than_the_code_is_named(make_database: Callable[[], Any]) -> None:
    cluster = await make_database()
    owner = await connect(cluster.owner_url)
    await owner.execute("UPDATE alembic_version SET version_num = '9999'")
    await owner.close()
    with pytest.raises(SchemaTooNew, match="9999"):
        await migrate(cluster.owner_url, cluster.app_url)
