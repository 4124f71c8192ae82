"""Each line of docs/stolen-credentials.md, tried: what somebody with the credentials of the app's role can do."""

import re
from collections.abc import AsyncIterator, Callable
from pathlib import Path
from typing import Any

import asyncpg
import pytest
import pytest_asyncio

from server.audit.verify import report_on_database
from server.ops.demo import MARIA, PROJECT, fill
from server.settings import Settings
from storage.migrate import OUTSIDE
from tests.conftest import Cluster, Registry, connect, make_key, run_sql
from tests.support.documents import CREATE_VERSION
from tests.support.forged import APPEND, event
from tests.support.receivers import MAKE

PAGE = (Path(__file__).parent.parent / "docs" / "stolen-credentials.md").read_text()
PERSON = "(SELECT id FROM principals WHERE email = 'maria.chen@company.com')"
STAGE = "mutation($input: TransitionStageInput!) { transitionStage(input: $input) { version { stage } } }"
MODEL = "(SELECT min(id) FROM models)"

# What the page says cannot be done, and statements that try it.
CANNOT = {
    "Change or delete an event of the audit log, or insert one that does not follow from the one before": [
        "UPDATE audit_events SET actor = 'forged'",
        "DELETE FROM audit_events",
        "TRUNCATE audit_events CASCADE",
        "INSERT INTO audit_events SELECT * FROM audit_events LIMIT 1",
        "UPDATE audit_chains SET seq = 0",
        "DELETE FROM audit_chains",
    ],
    "Change, delete or insert a step of a version's history, or change a version's stage, without an event": [
        "UPDATE stage_transitions SET notes = 'forged'",
        "DELETE FROM stage_transitions",
        "INSERT INTO stage_transitions SELECT * FROM stage_transitions LIMIT 1",
        "UPDATE versions SET stage = 'PRODUCTION'",
        "SELECT keep_step('model_xgb_churn', '{}', now())",
    ],
    "Change, delete or insert an approval without an event": [
        "UPDATE approvals SET decision = 'APPROVE'",
        "DELETE FROM approvals",
        "INSERT INTO approvals SELECT * FROM approvals LIMIT 1",
        "SELECT keep_approval('model_xgb_churn', '{}', now())",
    ],
    "Change what a version was trained with, or add to it": [
        "UPDATE versions SET parameters = '{}'",
        "UPDATE versions SET artifact_uri = 's3://other'",
        "UPDATE metrics SET value = 1",
        f"INSERT INTO metrics SELECT project_id, id, 'forged', 1 FROM versions WHERE model_id = {MODEL}",
        f"INSERT INTO dataset_uses SELECT project_id, id, (SELECT min(id) FROM dataset_versions), 'TEST'"
        f" FROM versions WHERE model_id = {MODEL}",
    ],
    "Set, move or remove an alias, move an artifact or delete a webhook without an event": [
        "INSERT INTO model_aliases (project_id, model_id, name, version_id, set_by)"
        f" SELECT project_id, model_id, 'champion', id, 'a' FROM versions WHERE model_id = {MODEL}",
        "UPDATE versions SET artifact_uri = 's3://other'",
    ],
    "Delete a project, model, version, data set, experiment, principal, key, policy or model card": [
        f"DELETE FROM {table}"
        for table in [
            "projects",
            "models",
            "versions",
            "datasets",
            "dataset_versions",
            "experiments",
            "principals",
            "api_keys",
            "project_policies",
            "policy_changes",
            "model_cards",
            "model_card_revisions",
        ]
    ],
    "Change principals, members, API keys, policies or pending changes of a policy without an event": [
        "UPDATE principals SET administers = true WHERE NOT administers",
        "UPDATE members SET role = 'ADMIN' WHERE role <> 'ADMIN'",
        "DELETE FROM members",
        "UPDATE project_policies SET allow_self_approval = NOT allow_self_approval",
        "UPDATE api_keys SET expires_at = 'infinity'",
        f"INSERT INTO api_keys (id, name, principal_id, secret_hash, created_by)"
        f" VALUES ('key_forged', 'a', {PERSON}, sha256('a'), 'a')",
        f"INSERT INTO policy_changes (id, project_id, field, from_value, to_value, effective_at, status, alone,"
        f" created_by) VALUES ('pch_forged', {MODEL.replace('models', 'projects')}, 'required_approvals', '2', '1',"
        f" now(), 'PENDING', false, 'a')",
    ],
    "Turn an existing key into another's, or learn a key: only its SHA-256 is stored": [
        f"UPDATE api_keys SET principal_id = {PERSON}",
        "UPDATE api_keys SET secret_hash = sha256('mine')",
        "UPDATE api_keys SET may_attest = true",
    ],
    "Learn the secret that signs a webhook's requests": [],
    "Switch off, drop or replace a trigger, a function, a constraint or a table": [
        "ALTER TABLE audit_events DISABLE TRIGGER ALL",
        "DROP TRIGGER tied_to_event ON members",
        "SET session_replication_role = replica",
        "CREATE OR REPLACE FUNCTION refuse_change() RETURNS trigger LANGUAGE sql AS ''",
        "ALTER TABLE approvals DROP CONSTRAINT approvals_pk",
        "DROP TABLE approvals",
    ],
    "Become the owner of the tables, a superuser or another role": [
        "SET ROLE {owner}",
        "SET SESSION AUTHORIZATION {owner}",
        "ALTER ROLE {app} SUPERUSER",
        "GRANT {owner} TO {app}",
        "CREATE ROLE other",
    ],
    "Keep anything outside Lineal's tables: tables, functions and large objects of their own": [
        "CREATE TABLE smuggled (id int)",
        "CREATE TEMPORARY TABLE smuggled (id int)",
        "CREATE SCHEMA smuggled",
        "CREATE FUNCTION smuggled() RETURNS int LANGUAGE sql AS 'SELECT 1'",
        "SELECT lo_create(0)",
        "SELECT lo_creat(0)",
        "SELECT lo_from_bytea(0, 'kept')",
        "SELECT lo_put(1, 0, 'kept')",
        "SELECT lo_open(1, 131072)",
        "SELECT lo_import('/etc/passwd')",
        "SELECT lo_export(1, '/tmp/kept')",
        "SELECT pg_logical_emit_message(false, 'kept', 'kept')",
    ],
    "Run programs, or read or write files of the database's machine": [
        "COPY (SELECT 1) TO PROGRAM 'true'",
        "COPY projects TO '/tmp/kept'",
        "SELECT pg_read_file('postgresql.conf')",
    ],
}
REFUSED = (asyncpg.InsufficientPrivilegeError, asyncpg.IntegrityConstraintViolationError)

# Tables that it may write to without an event, and a statement that does.
UNTIED = {
    "projects": "INSERT INTO projects (id, name, created_by) VALUES ('proj_forged', 'forged', 'a')",
    "models": "UPDATE models SET description = 'forged'",
    "datasets": "INSERT INTO datasets (id, project_id, name, created_by)"
    " SELECT 'ds_forged', min(id), 'forged', 'a' FROM projects",
    "dataset_versions": "UPDATE dataset_versions SET status = 'ACTIVE', status_reason = NULL",
    "dataset_parents": "INSERT INTO dataset_parents SELECT project_id, max(id), min(id) FROM dataset_versions"
    " GROUP BY project_id",
    "experiments": "UPDATE experiments SET notes = 'forged'",
    "versions": "UPDATE versions SET description = 'forged', touched_at = now()",
    "tags": "DELETE FROM tags",
    "tag_definitions": "INSERT INTO tag_definitions (project_id, name, deprecated, created_by)"
    " SELECT min(id), 'forged', false, 'a' FROM projects",
    "tag_aliases": "INSERT INTO tag_definitions (project_id, name, deprecated, created_by)"
    " SELECT min(id), 'forged', false, 'a' FROM projects;"
    " INSERT INTO tag_aliases (project_id, alias, name, created_by)"
    " SELECT min(id), 'other', 'forged', 'a' FROM projects",
    "model_cards": "UPDATE model_cards SET intended_use = 'forged'",
    "model_card_revisions": "INSERT INTO model_card_revisions (project_id, version_id, revision, at, by, changed,"
    " sections) SELECT project_id, id, 99, now(), 'a', '{}', '{}' FROM versions",
    "transition_requests": "UPDATE transition_requests SET status = 'CANCELLED'",
    "deployments": "UPDATE deployments SET traffic_percentage = 100",
    "health_reports": "INSERT INTO health_reports SELECT * FROM health_reports WHERE false",
    "webhooks": "UPDATE webhooks SET active = false",
    "webhook_deliveries": "UPDATE webhook_deliveries SET error = 'forged'",
    "idempotent_answers": "DELETE FROM idempotent_answers",
    "daily_runs": "UPDATE daily_runs SET finished_at = now()",
    "checkpoint_reports": "INSERT INTO checkpoint_reports (place, reported_at) VALUES ('nowhere', now())",
}
# Written with a version's first event alone, or tied to an event.
TIED = {
    "metrics",
    "dataset_uses",
    "model_aliases",
    "principals",
    "members",
    "project_policies",
    "policy_changes",
    "api_keys",
}

# What the page says can be done, beside writing to the tables above, and statements that do it.
CAN = {
    "Read everything of every project": [
        "SELECT * FROM audit_events",
        "SELECT * FROM versions",
        "SELECT * FROM members",
    ],
    "Append events in any person's name, about anything": [],
    "Change rights and policies, approve and promote, with events in others' names": [],
    "Write to the tables below without an event": [],
    "Hold up or end the work of Lineal's own connections": [
        "LOCK TABLE models IN ROW EXCLUSIVE MODE",
        "SELECT pg_advisory_lock(1)",
    ],
    "Change the password and the settings of the role that they stole": [
        "ALTER ROLE {app} PASSWORD 'theirs'",
        "ALTER ROLE {app} SET statement_timeout = 1",
    ],
}


class Stolen:
    """A registry with the sample, and a connection of somebody who has the app's credentials."""

    def __init__(self, cluster: Cluster, thief: asyncpg.Connection):
        self.cluster, self.thief = cluster, thief

    async def roles(self) -> dict[str, str]:
        owner = await self.thief.fetchval("SELECT tableowner FROM pg_tables WHERE tablename = 'audit_events'")
        return {"owner": owner, "app": await self.thief.fetchval("SELECT current_user")}

    async def tries(self, statement: str) -> None:
        """As far as the commit, where deferred triggers speak; what was done is taken back."""
        transaction = self.thief.transaction()
        await transaction.start()
        try:
            await self.thief.execute(statement)
            await self.thief.execute("SET CONSTRAINTS ALL IMMEDIATE")
        finally:
            await transaction.rollback()


@pytest_asyncio.fixture(scope="module", loop_scope="session")
async def stolen(make_database: Callable[[], Any]) -> AsyncIterator[Stolen]:
    cluster = await make_database()
    # As in the embedded database, and in another one whose superuser has followed docs/security.md.
    await run_sql(cluster.superuser_url, OUTSIDE)
    await fill(Settings(database_url=cluster.app_url))
    await make_key(cluster.app_url)
    opened = Stolen(cluster, await connect(cluster.app_url))
    yield opened
    await opened.thief.close()


@pytest.mark.parametrize("line", [line for line, statements in CANNOT.items() if statements])
async def test_it_cannot(stolen: Stolen, line: str) -> None:
    roles = await stolen.roles()
    for statement in CANNOT[line]:
        with pytest.raises(REFUSED):
            await stolen.tries(statement.replace("{owner}", roles["owner"]).replace("{app}", roles["app"]))


async def test_it_cannot_learn_the_secret_of_a_webhook(stolen: Stolen, make_registry: Callable[..., Any]) -> None:
    registry: Registry = await make_registry(stolen.cluster)
    made = await registry.with_key(await make_key(stolen.cluster.app_url)).ask(
        MAKE, input={"projectId": PROJECT, "url": "https://example.com/events"}
    )
    (row,) = await stolen.thief.fetch(
        "SELECT w::text, w.secret FROM webhooks w WHERE id = $1", made["createWebhook"]["webhook"]["id"]
    )
    assert made["createWebhook"]["secret"].removeprefix("whsec_") not in row[0]
    assert row[1].startswith("v1."), "sealed with a key outside the database"


@pytest.mark.parametrize("line", [line for line, statements in CAN.items() if statements])
async def test_it_can(stolen: Stolen, line: str) -> None:
    roles = await stolen.roles()
    for statement in CAN[line]:
        await stolen.tries(statement.replace("{app}", roles["app"]))


async def test_it_can_end_lineals_connections(stolen: Stolen) -> None:
    lineals = await connect(stolen.cluster.app_url)
    pid = lineals.get_server_pid()
    assert await stolen.thief.fetchval("SELECT pg_terminate_backend($1::int, 5000)", pid)
    assert await stolen.thief.fetchval("SELECT count(*) FROM pg_stat_activity WHERE pid = $1", pid) == 0
    lineals.terminate()


@pytest.mark.parametrize("table", UNTIED)
async def test_it_can_write_without_an_event_to(stolen: Stolen, table: str) -> None:
    await stolen.tries(UNTIED[table])


async def test_it_writes_to_no_other_table(stolen: Stolen) -> None:
    writable = await stolen.thief.fetch(
        "SELECT relname FROM pg_class WHERE relnamespace = 'public'::regnamespace AND relkind IN ('r', 'v', 'p', 'm')"
        " AND (has_any_column_privilege(oid, 'INSERT, UPDATE') OR has_table_privilege(oid, 'DELETE, TRUNCATE'))"
    )
    assert {row[0] for row in writable} == UNTIED.keys() | TIED


async def test_it_can_approve_and_promote_in_anothers_name_and_the_log_keeps_it(
    stolen: Stolen, make_registry: Callable[..., Any]
) -> None:
    thief = stolen.thief
    registry: Registry = await make_registry(stolen.cluster)
    registry = registry.with_key(await make_key(stolen.cluster.app_url))
    new = {"projectId": PROJECT, "modelId": "model_stolen", "createModel": True}
    await registry.ask(CREATE_VERSION, input=new)
    await registry.ask(STAGE, input={"modelId": "model_stolen", "version": "1.0.0", "targetStage": "STAGING"})
    (version,) = await thief.fetch("SELECT * FROM versions WHERE model_id = 'model_stolen'")
    reviewer = await thief.fetchval("SELECT id FROM principals WHERE email = $1", MARIA)
    approval = {"id": "apr_forged", "requestId": None, "targetStage": "PRODUCTION", "reviewer": MARIA,
        "stagePosition": version["stage_position"], "reviewerId": reviewer, "attestedBy": None, "decision": "APPROVE",
        "meaning": "APPROVAL", "reviewed": {}}  # fmt: skip
    step = {"id": "tra_forged", "versionId": version["id"], "from": version["stage"], "to": "PRODUCTION",
        "automatic": False, "approvedBy": MARIA}  # fmt: skip
    about = version["id"], version["project_id"]
    forged = [event("version.reviewed", *about, actor=MARIA, approval=approval),
        event("version.transitioned", *about, actor=MARIA, step=step)]  # fmt: skip
    for told in forged:
        await thief.execute(APPEND, version["model_id"], told)
    outcome = await report_on_database(stolen.cluster.app_url, None)
    assert outcome.code == 0, "verify does not tell a forged event from another"
    seen = await registry.ask(
        "query($id: ID!) { auditEvents(filter: {subjectId: $id}, first: 2) { nodes { actor action } } }",
        id=version["id"],
    )
    assert seen["auditEvents"]["nodes"] == [
        {"actor": MARIA, "action": "version.transitioned"}, {"actor": MARIA, "action": "version.reviewed"}
    ]  # fmt: skip
    for statement in ("DELETE FROM audit_events", "UPDATE versions SET stage = 'STAGING'"):
        with pytest.raises(REFUSED):
            await stolen.tries(statement)


async def test_what_it_writes_without_an_event_is_not_shown_by_verify(stolen: Stolen) -> None:
    await stolen.thief.execute("UPDATE model_cards SET intended_use = 'forged'")
    assert (await report_on_database(stolen.cluster.app_url, None)).code == 0


def rows(heading: str) -> list[str]:
    """The first column of the table under a heading."""
    part = PAGE.partition(f"## {heading}\n")[2].partition("\n## ")[0]
    return [row.strip() for row in re.findall(r"^\|([^|]+)\|", part, re.MULTILINE)][2:]


def test_the_page_says_what_was_tried() -> None:
    assert rows("What they cannot do") == list(CANNOT)
    assert rows("What they can do") == list(CAN)
    assert rows("Tables that can be written to without an event") == [f"`{table}`" for table in UNTIED]
