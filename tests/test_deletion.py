"""What is deleted by age, and what never is."""

import ast
import json
import re
from collections.abc import AsyncIterator, Callable
from pathlib import Path
from typing import Any

import asyncpg
import pytest
import pytest_asyncio

from resolvers.rollouts import DONE
from resolvers.rules.actions import ACTIONS
from server.ops import deletion
from server.ops.deletion import delete_by_age
from server.settings import Settings
from storage.engine import Database
from storage.vocabulary import TransitionRequestStatus
from tests.conftest import Cluster, Registry, connect, make_project, run_sql
from tests.support.receivers import happen, listen

ROOT = Path(__file__).parent.parent
NOBODY = "http://127.0.0.1:9/nobody"
DEPLOY = "mutation($input: CreateDeploymentInput!) { createDeployment(input: $input) { deployment { id status } } }"
STREAM = "subscription($id: ID!, $after: BigInt) { auditEvents(projectId: $id, after: $after) { position } }"


@pytest_asyncio.fixture
async def opened(database: Cluster) -> AsyncIterator[Database]:
    made = Database(database.app_url, size=2)
    await made.open()
    yield made
    await made.close()


async def count(database: Cluster, table: str, project: str, condition: str = "true") -> int:
    connection = await connect(database.owner_url)
    found = await connection.fetchval(f"SELECT count(*) FROM {table} WHERE project_id = $1 AND {condition}", project)
    await connection.close()
    return int(found)


async def deploy(registry: Registry, project: str, strategy: str) -> str:
    version = {"modelId": f"model_{project[5:]}", "version": "1.0.0"}
    plan = {"canaryConfig": {"stages": [{"trafficPercentage": 5, "durationMinutes": 60.0},
                                        {"trafficPercentage": 100, "durationMinutes": 0.0}]}}  # fmt: skip
    asked = {"projectId": project, "registryVersion": version, "name": strategy, "environment": strategy.lower()}
    made = await registry.ask(DEPLOY, input=asked | {"strategy": strategy} | (plan if strategy == "CANARY" else {}))
    return str(made["createDeployment"]["deployment"]["id"])


async def report(database: Cluster, project: str, deployment: str, number: int, days: float) -> None:
    await run_sql(
        database.owner_url,
        "INSERT INTO health_reports (id, project_id, deployment_id, at, healthy, metrics, reported_by)"
        f" SELECT 'hlt_{deployment[4:]}_{days:g}_' || n, '{project}', '{deployment}',"
        f" now() - interval '{days} days' + n * interval '1 second', true, '{{}}', 'a@b'"
        f" FROM generate_series(1, {number}) n",
    )


async def test_health_reports_go_by_age_but_never_those_that_a_rollout_decides_on(
    registry: Registry, database: Cluster, project: str, opened: Database
) -> None:
    await happen(registry, project)
    rolling, serving = await deploy(registry, project, "CANARY"), await deploy(registry, project, "DIRECT")
    for deployment in (rolling, serving):
        await report(database, project, deployment, 150, 100)
    await report(database, project, serving, 3, 80)
    await delete_by_age(opened, Settings())
    assert await count(database, "health_reports", project, f"deployment_id = '{rolling}'") == 101
    assert await count(database, "health_reports", project, f"deployment_id = '{serving}'") == 3
    for refused in ("DELETE FROM", "UPDATE", "TRUNCATE"):
        rest = " SET healthy = false" if refused == "UPDATE" else ""
        with pytest.raises(asyncpg.IntegrityConstraintViolationError):
            await run_sql(database.owner_url, f"{refused} health_reports{rest}")
    with pytest.raises(asyncpg.InsufficientPrivilegeError):
        await run_sql(database.app_url, "DELETE FROM health_reports")


async def test_deliveries_that_ended_long_ago_go_in_batches_and_pending_ones_stay(
    registry: Registry, database: Cluster, project: str, opened: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(deletion, "BATCH", 2)
    made = await listen(registry, project, NOBODY)
    for number in range(1, 8):
        await happen(registry, project, number)
    await run_sql(
        database.owner_url,
        "INSERT INTO webhook_deliveries (id, project_id, webhook_id, event_id, status, attempts, next_at, attempted_at)"
        " SELECT 'dlv_' || substr(id, 5), project_id, '" + made["webhook"]["id"] + "', id,"
        " (ARRAY['DELIVERED', 'FAILED', 'PENDING'])[1 + n % 3], 1, CASE WHEN n % 3 = 2 THEN now() END,"
        " now() - CASE WHEN n < 6 THEN interval '31 days' ELSE interval '29 days' END"
        " FROM (SELECT *, row_number() OVER (ORDER BY at, seq) - 1 AS n FROM audit_events"
        f" WHERE project_id = '{project}' AND action = 'version.created') e",
    )
    assert await count(database, "webhook_deliveries", project) == 7
    await delete_by_age(opened, Settings())
    left = await count(database, "webhook_deliveries", project, "status = 'PENDING'")
    assert (await count(database, "webhook_deliveries", project), left) == (3, 2)


async def test_places_in_a_feed_go_by_age_once_every_webhook_has_passed_them(
    registry: Registry, make_database: Callable[[], Any], make_registry: Callable[..., Any]
) -> None:
    database: Cluster = await make_database()
    registry = await make_registry(database, webhook_private=True)
    opened = Database(database.app_url, size=2)
    await opened.open()
    project = await make_project(registry)
    made = await listen(registry, project, NOBODY)
    for number in range(1, 9):
        await happen(registry, project, number)
    await run_sql(
        database.owner_url,
        "SELECT audit_feed_events()",
        "ALTER TABLE audit_events DISABLE TRIGGER append_only; UPDATE audit_events SET at = at - interval '100 days';"
        "ALTER TABLE audit_events ENABLE ALWAYS TRIGGER append_only;",
        f"UPDATE webhooks SET position = 4 WHERE id = '{made['webhook']['id']}'",
    )
    before = await count(database, "audit_feed", project)
    events = await count(database, "audit_events", project)
    await delete_by_age(opened, Settings(keep_feed_days=120))
    assert await count(database, "audit_feed", project) == before
    await delete_by_age(opened, Settings())
    assert await count(database, "audit_feed", project, "position <= 4") == 0
    assert await count(database, "audit_feed", project) == before - 4
    await run_sql(database.owner_url, f"UPDATE webhooks SET position = {before} WHERE id = '{made['webhook']['id']}'")
    await delete_by_age(opened, Settings())
    # The newest stays: the next place follows from it.
    assert await count(database, "audit_feed", project) == 1
    assert await count(database, "audit_events", project) == events
    body = {"query": STREAM, "variables": {"id": project, "after": 2}}
    headers = {"Authorization": f"Bearer {registry.key}", "Accept": "text/event-stream"}
    answer = (await registry.client.post("/graphql", json=body, headers=headers)).text
    (refusal,) = [json.loads(line[6:]) for line in answer.splitlines() if line.startswith("data: {")]
    error = refusal["errors"][0]
    assert (error["extensions"]["code"], error["extensions"]["first"]) == ("BAD_USER_INPUT", before)
    assert f"begins at position {before}." in error["message"]
    await happen(registry, project, 9)
    await run_sql(database.owner_url, "SELECT audit_feed_events()")
    assert await count(database, "audit_feed", project, f"position > {before}") == 1
    await opened.close()


async def test_stolen_rights_of_the_app_delete_nothing_that_is_younger_than_a_day(
    registry: Registry, database: Cluster, project: str
) -> None:
    await happen(registry, project)
    await run_sql(database.owner_url, "SELECT audit_feed_events()")
    before = await count(database, "audit_feed", project)
    await run_sql(database.app_url, "SELECT forget_feed(-1000, 1000), forget_health(-1000, 1000)")
    assert await count(database, "audit_feed", project) == before > 1
    for table in ("audit_events", "approvals", "stage_transitions", "audit_feed", "models", "versions"):
        with pytest.raises(asyncpg.InsufficientPrivilegeError):
            await run_sql(database.app_url, f"DELETE FROM {table}")


# ---------------------------------------------------------------- the list of actions

# Texts of the form of an action that are none.
NO_ACTIONS = {"graphiql.css", "graphiql.js"}
RECORDING = {"event", "record", "_keep", "_record_tags", "_take_effect"}
# Actions whose verb is looked up: where it comes from.
VERBS = {
    "deployment": {*DONE.values(), "completed", "yielded", "restored", "retired"},
    "transition": {status.lower() for status in TransitionRequestStatus} - {"open"},
}


def actions_in(source: str) -> set[str]:
    """What is recorded: every text of the form of an action that stands in a call or an assignment of one."""
    form = re.compile(r"[a-z][A-Za-z]*\.[a-z][A-Za-z]+")
    found = set()
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Call) and getattr(node.func, "attr", getattr(node.func, "id", "")) in RECORDING:
            found |= {text for part in node.args for text in _texts(part) if form.fullmatch(text)}
            found |= {f"{noun}.{verb}" for part in node.args for noun in _nouns(part) for verb in VERBS[noun]}
        elif isinstance(node, ast.Assign) and _names_actions(node.targets[0], node.value):
            found |= {text for text in _texts(node.value) if form.fullmatch(text)}
    return found


def _names_actions(target: ast.AST, value: ast.AST) -> bool:
    """Whether an assignment is to `action`, or to constants that are texts alone."""
    names = [each.id for each in ast.walk(target) if isinstance(each, ast.Name)]
    parts = value.elts if isinstance(value, ast.Tuple) else [value]
    are_texts = all(isinstance(part, ast.Constant) for part in parts)
    return names == ["action"] or (are_texts and all(name.isupper() for name in names))


def _texts(node: ast.AST) -> list[str]:
    return [each.value for each in ast.walk(node) if isinstance(each, ast.Constant) and isinstance(each.value, str)]


def _nouns(node: ast.AST) -> list[str]:
    """Of an f-string such as f"deployment.{kind}"."""
    formatted = [each.values[0] for each in ast.walk(node) if isinstance(each, ast.JoinedStr)]
    texts = [str(each.value) for each in formatted if isinstance(each, ast.Constant)]
    return [text[:-1] for text in texts if re.fullmatch(r"[a-z][A-Za-z]*\.", text)]


def test_every_action_that_is_recorded_is_listed() -> None:
    files = [file for floor in ("storage", "resolvers", "server") for file in (ROOT / floor).rglob("*.py")]
    recorded = {action for file in files for action in actions_in(file.read_text())} - NO_ACTIONS
    assert len(recorded) > 35
    assert recorded <= set(ACTIONS)
    assert set(ACTIONS) <= recorded


@pytest.mark.parametrize(
    ("source", "action"),
    [
        ('await tx.record("model.renamed", id_, project)', "model.renamed"),
        ('events.append(tx.event("model.renamed", id_, project))', "model.renamed"),
        ('MADE, RENAMED = "model.created", "model.renamed"', "model.renamed"),
        ('action = "a.b" if x else "model.renamed"', "model.renamed"),
        ('return tx.event(f"deployment.{kind}", id_)', "deployment.rolledBack"),
    ],
)
def test_an_action_is_found_however_it_is_recorded(source: str, action: str) -> None:
    assert action in actions_in(f"def work():\n    {source}\n")
