"""Rights, and the rules of approval, change only with an event that tells of it, whoever holds the app's role."""

import json
import secrets
from collections.abc import AsyncIterator
from typing import Any

import asyncpg
import pytest
import pytest_asyncio

from tests.conftest import POLICY, Cluster, Registry, connect, make_project
from tests.support.forged import APPEND, event


@pytest_asyncio.fixture
async def thief(database: Cluster) -> AsyncIterator[asyncpg.Connection]:
    """Somebody with the credentials of the app's role."""
    connection = await connect(database.app_url)
    yield connection
    await connection.close()


@pytest_asyncio.fixture
async def ids(registry: Registry, project: str) -> dict[str, str]:
    """A project with a member bo, who has a key, and a pending change of its policy."""
    tag = secrets.token_hex(4)
    email = f"bo-{tag}@example.com"
    made = await registry.ask(
        """mutation($key: CreateApiKeyInput!, $other: CreateApiKeyInput!, $member: SetMemberInput!) {
        createApiKey(input: $key) { id } other: createApiKey(input: $other) { id }
        setMember(input: $member) { project { id } } }""",
        key={"name": "a", "email": email, "kind": "USER", "projectId": project},
        other={"name": "b", "email": f"cy-{tag}@example.com"},
        member={"projectId": project, "email": email, "role": "REVIEWER"},
    )
    await registry.ask(POLICY, input={"projectId": project, "allowSelfApproval": False})
    await registry.ask(POLICY, input={"projectId": project, "allowSelfApproval": True})
    return {"project": project, "email": email, "key": made["createApiKey"]["id"], "tag": tag}


CHANGES = {
    "principals: insert": "INSERT INTO principals (id, email, kind, administers, created_by)"
    " VALUES ('prin_{tag}', '{tag}@example.com', 'USER', true, 'ana@example.com')",
    "principals: update": "UPDATE principals SET administers = true WHERE email = '{email}'",
    "members: insert": "INSERT INTO members (project_id, principal_id, role, created_by)"
    " SELECT '{project}', id, 'ADMIN', 'ana@example.com' FROM principals WHERE email = 'cy-{tag}@example.com'",
    "members: update": "UPDATE members SET role = 'ADMIN' WHERE project_id = '{project}' AND role = 'REVIEWER'",
    "members: delete": "DELETE FROM members WHERE project_id = '{project}' AND role = 'REVIEWER'",
    "project_policies: update": "UPDATE project_policies SET allow_self_approval = true, required_approvals = 1,"
    " max_regression = NULL WHERE project_id = '{project}'",
    "policy_changes: update": "UPDATE policy_changes SET status = 'APPLIED', confirmed_by = '{email}'"
    " WHERE project_id = '{project}' AND status = 'PENDING'",
    "policy_changes: sooner": "UPDATE policy_changes SET effective_at = now() WHERE project_id = '{project}'"
    " AND status = 'PENDING'",
    "policy_changes: insert": "INSERT INTO policy_changes (id, project_id, field, from_value, to_value, effective_at,"
    " status, alone, created_by) VALUES ('pch_{tag}', '{project}', 'required_approvals', '2', '1', now(), 'PENDING',"
    " false, 'ana@example.com')",
    "api_keys: insert": "INSERT INTO api_keys (id, name, principal_id, secret_hash, created_by)"
    " SELECT 'key_{tag}', 'a', id, sha256('{tag}'), 'ana@example.com' FROM principals WHERE email = '{email}'",
    "api_keys: revive": "UPDATE api_keys SET expires_at = 'infinity', last_used_at = now() WHERE id = '{key}'",
    "api_keys: revoke": "UPDATE api_keys SET revoked_at = now() WHERE id = '{key}'",
}
UNTOLD = "no event of the same transaction tells of it"


@pytest.mark.parametrize("change", CHANGES)
async def test_no_right_and_no_rule_changes_without_an_event(
    change: str, thief: asyncpg.Connection, ids: dict[str, str]
) -> None:
    with pytest.raises(asyncpg.IntegrityConstraintViolationError, match=UNTOLD):
        await changed(thief, CHANGES[change], ids)


async def changed(thief: asyncpg.Connection, change: str, ids: dict[str, str], *events: tuple[str, str]) -> None:
    async with thief.transaction():
        for chain, told in events:
            await thief.execute(APPEND, chain, told)
        done = await thief.execute(change.format(**ids))
        assert done.split()[-1] != "0", "something was changed"


def of_bo(ids: dict[str, str]) -> dict[str, Any]:
    return {"email": ids["email"], "role": "ADMIN"}


async def test_an_event_about_somebody_or_something_else_is_not_enough(
    thief: asyncpg.Connection, ids: dict[str, str], registry: Registry
) -> None:
    project, other = ids["project"], await make_project(registry)
    person = await thief.fetchval("SELECT id FROM principals WHERE email = $1", ids["email"])
    ana = await thief.fetchval("SELECT id FROM principals WHERE email = 'ana@example.com'")
    loose = {"allow_self_approval": True, "required_approvals": 1}
    forged = [
        ("members: update", project, event("member.set", project, project, of_bo(ids) | {"email": "ana@example.com"})),
        ("members: update", project, event("member.set", project, project, of_bo(ids) | {"role": "VIEWER"})),
        ("members: update", other, event("member.set", other, other, of_bo(ids))),
        ("members: update", project, event("member.set", project, other, of_bo(ids))),
        ("members: update", project, event("policy.updated", project, project, of_bo(ids))),
        ("members: update", "registry", event("member.set", project, project, of_bo(ids))),
        ("members: delete", project, event("member.set", project, project, of_bo(ids) | {"role": "REVIEWER"})),
        ("principals: update", "registry", event("principal.administersSet", ana, None, {"administers": True})),
        ("principals: update", "registry", event("principal.administersSet", person, None, {"administers": False})),
        ("project_policies: update", project, event("policy.updated", project, project, loose)),
        ("api_keys: revoke", "registry", event("key.revoked", "key_another", None, {"revoked": True})),
    ]  # fmt: skip
    for change, chain, told in forged:
        with pytest.raises(asyncpg.IntegrityConstraintViolationError, match=UNTOLD):
            await changed(thief, CHANGES[change], ids, (chain, told))


async def test_an_earlier_event_is_not_enough_and_neither_is_a_change_after_the_one_that_was_told(
    thief: asyncpg.Connection, ids: dict[str, str]
) -> None:
    project = ids["project"]
    told = project, event("member.set", project, project, of_bo(ids))
    await thief.execute(APPEND, *told)
    with pytest.raises(asyncpg.IntegrityConstraintViolationError, match=UNTOLD):
        await changed(thief, CHANGES["members: update"], ids)
    told = project, event("member.set", project, project, of_bo(ids))
    lower = project, event("member.set", project, project, of_bo(ids) | {"role": "VIEWER"})
    with pytest.raises(asyncpg.IntegrityConstraintViolationError, match=UNTOLD):
        await changed(thief, CHANGES["members: update"], ids, told, lower)
    with pytest.raises(asyncpg.IntegrityConstraintViolationError, match=UNTOLD):
        async with thief.transaction():
            await thief.execute("SET CONSTRAINTS ALL IMMEDIATE")
            await thief.execute(CHANGES["members: update"].format(**ids))


async def test_a_change_with_an_event_of_its_own_is_kept_and_stands_in_the_log(
    thief: asyncpg.Connection, ids: dict[str, str], registry: Registry
) -> None:
    project = ids["project"]
    forged = event("member.set", project, project, of_bo(ids))
    await changed(thief, CHANGES["members: update"], ids, (project, forged))
    seen = await registry.ask(
        'query($p: ID!) { auditEvents(filter: {projectId: $p, action: ["member.set"]}, first: 1) { nodes { id } } }',
        p=project,
    )
    assert seen["auditEvents"]["nodes"] == [{"id": json.loads(forged)["id"]}]


@pytest.mark.parametrize(
    "names",
    [
        ("allow_self_approval", "required_approvals", "max_regression"),
        ("allowSelfApproval", "requiredApprovals", "maxRegression"),
    ],
)
async def test_the_event_of_a_policy_may_name_it_in_either_spelling(
    thief: asyncpg.Connection, ids: dict[str, str], names: tuple[str, str, str]
) -> None:
    # Servers of an earlier version may run beside new ones for a while.
    project, after = ids["project"], dict(zip(names, (True, 1, None), strict=True))
    other = project, event("policy.updated", project, project, after | {names[0]: False})
    with pytest.raises(asyncpg.IntegrityConstraintViolationError, match=UNTOLD):
        await changed(thief, CHANGES["project_policies: update"], ids, other)
    told = project, event("policy.updated", project, project, after)
    await changed(thief, CHANGES["project_policies: update"], ids, told)


async def test_the_app_cannot_switch_the_triggers_off(thief: asyncpg.Connection) -> None:
    for table in ("principals", "members", "project_policies", "policy_changes", "api_keys"):
        for statement in (
            f"ALTER TABLE {table} DISABLE TRIGGER tied_to_event",
            f"DROP TRIGGER tied_to_event ON {table}",
            f"TRUNCATE {table} CASCADE",
            f"DELETE FROM {table}" if table != "members" else "SELECT told_now('registry')",
            "SET session_replication_role = replica",
        ):
            with pytest.raises(asyncpg.InsufficientPrivilegeError):
                await thief.execute(statement)


async def test_that_a_key_was_used_needs_no_event(thief: asyncpg.Connection, ids: dict[str, str]) -> None:
    await changed(thief, "UPDATE api_keys SET last_used_at = now() WHERE id = '{key}'", ids)
