"""Principals, their roles and their keys, through the API."""

import asyncio
import time
from collections.abc import Callable
from typing import Any

import pytest
import pytest_asyncio

from storage.vocabulary import PrincipalKind, Role
from tests.conftest import Cluster, Registry, connect, make_key, make_project

NEW_KEY = "mutation($input: CreateApiKeyInput!) { createApiKey(input: $input) { id secret } }"
ROTATE = "mutation($input: RotateApiKeyInput!) { rotateApiKey(input: $input) { id secret } }"
REVOKE = "mutation($input: RevokeApiKeyInput!) { revokeApiKey(input: $input) { id } }"
MEMBER = """mutation($input: SetMemberInput!) { setMember(input: $input) {
    project { members { email role kind createdBy } } } }"""
LEAVE = "mutation($input: RemoveMemberInput!) { removeMember(input: $input) { project { members { email } } } }"
HAND_ON = """mutation($input: SetAdministratorInput!) { setAdministrator(input: $input) {
    principal { id email administers } } }"""
KEYS = """{ apiKeys(first: 100) { totalCount nodes { id name status mayAttest expiresAt lastUsedAt revokedAt createdBy
    principal { email kind } project { id } } } }"""
VIEWER = """{ viewer { principal email kind administers mayAttest memberships { role project { id } } }
    principals { totalCount nodes { email } } }"""


@pytest_asyncio.fixture(scope="module")
async def own(make_database: Callable[[], Any]) -> Cluster:
    made: Cluster = await make_database()
    return made


@pytest_asyncio.fixture(scope="module")
async def registry(own: Cluster, make_registry: Callable[..., Any]) -> Registry:
    """A registry of its own, whose one administrator is ana@example.com."""
    made: Registry = await make_registry(own)
    return made


async def with_new_key(registry: Registry, email: str, **more: Any) -> tuple[Registry, str]:
    made = (await registry.ask(NEW_KEY, input={"name": "test", "email": email} | more))["createApiKey"]
    return registry.with_key(made["secret"]), made["id"]


# ---------------------------------------------------------------- members


async def test_who_makes_a_project_is_its_first_admin(registry: Registry) -> None:
    project = await make_project(registry)
    seen = await registry.ask("query($id: ID!) { project(id: $id) { members { email role kind } } }", id=project)
    assert seen["project"]["members"] == [{"email": "ana@example.com", "role": "ADMIN", "kind": "USER"}]


async def test_a_member_is_set_changed_and_removed_and_each_is_in_the_log(registry: Registry) -> None:
    project = await make_project(registry)
    given = {"projectId": project, "email": " Bo@Example.com ", "role": "VIEWER"}
    for role in ("VIEWER", "ADMIN", "ADMIN"):
        done = await registry.ask(MEMBER, input=given | {"role": role})
    bo = {"email": "bo@example.com", "role": "ADMIN", "kind": "USER", "createdBy": "ana@example.com"}
    assert done["setMember"]["project"]["members"][-1] == bo
    await registry.ask(LEAVE, input={"projectId": project, "email": "bo@example.com"})
    log = await registry.ask(
        'query($p: ID!) { auditEvents(filter: {projectId: $p, action: ["member.set", "member.removed"]}) {'
        " nodes { actor action details } } }",
        p=project,
    )
    changes = [(e["action"], e["details"]) for e in log["auditEvents"]["nodes"]][:3]
    viewer, admin = ({"email": "bo@example.com", "role": role} for role in ("VIEWER", "ADMIN"))
    assert changes == [
        ("member.removed", {"before": admin, "after": None}),
        ("member.set", {"before": viewer, "after": admin}),
        ("member.set", {"before": None, "after": viewer}),
    ]
    refusal = await registry.refusal(LEAVE, input={"projectId": project, "email": "bo@example.com"})
    assert (refusal["code"], refusal["field"]) == ("NOT_FOUND", "input.email")


@pytest.mark.parametrize(
    "email",
    ["bo", "bo@", "@example.com", "b o@example.com", "bö@example.com", "x" * 251 + "@b.c", "\u212aim@example.com"],
)
async def test_an_address_must_be_one(registry: Registry, email: str) -> None:
    refusal = await registry.refusal(MEMBER, input={"projectId": "proj_x", "email": email, "role": "VIEWER"})
    assert (refusal["code"], refusal["field"]) == ("BAD_USER_INPUT", "input.email")


async def test_a_removed_member_writes_no_more_at_once_and_sees_no_more_soon(registry: Registry) -> None:
    project = await make_project(registry)
    await registry.ask(MEMBER, input={"projectId": project, "email": "cy@example.com", "role": "CONTRIBUTOR"})
    cy, _ = await with_new_key(registry, "cy@example.com", kind="USER")
    create = "mutation($input: CreateModelInput!) { createModel(input: $input) { model { id } } }"
    look = "query($id: ID!) { project(id: $id) { id } }"
    await cy.ask(create, input={"projectId": project, "name": "One"})
    assert (await cy.ask(look, id=project))["project"]
    await registry.ask(LEAVE, input={"projectId": project, "email": "cy@example.com"})
    began = time.monotonic()
    refusal = await cy.refusal(create, input={"projectId": project, "name": "Two"})
    assert refusal["code"] == "NOT_FOUND"
    assert refusal["message"].startswith(f"There is no project {project}, or your key has no role in it. ")
    while (await cy.ask(look, id=project))["project"]:
        assert time.monotonic() - began < 5
        await asyncio.sleep(0.1)


# ---------------------------------------------------------------- keys


async def test_a_secret_is_shown_once_and_the_key_is_listed_without_it(registry: Registry) -> None:
    project = await make_project(registry)
    given = {"expiresAt": "2999-01-01", "projectId": project, "mayAttest": True}
    caller, id_ = await with_new_key(registry, "svc@example.com", **given)
    assert (await caller.ask(VIEWER))["viewer"]["kind"] == "SERVICE"
    await asyncio.sleep(0)
    answer = await registry.ask(KEYS)
    key = next(key for key in answer["apiKeys"]["nodes"] if key["id"] == id_)
    assert key["lastUsedAt"] is not None
    assert key | {"lastUsedAt": None} == {
        "id": id_, "name": "test", "status": "VALID", "mayAttest": True, "expiresAt": "2999-01-01T00:00:00+00:00",
        "lastUsedAt": None, "revokedAt": None, "createdBy": "ana@example.com",
        "principal": {"email": "svc@example.com", "kind": "SERVICE"}, "project": {"id": project},
    }  # fmt: skip
    assert caller.key not in str(answer)
    log = await registry.ask(
        "query($id: ID!) { auditEvents(filter: {subjectId: $id}) { nodes { action details } } }", id=id_
    )
    assert [event["action"] for event in log["auditEvents"]["nodes"]] == ["key.created"]
    assert caller.key not in str(log)


async def test_a_key_is_rotated_and_the_old_one_works_for_its_grace(registry: Registry) -> None:
    old, id_ = await with_new_key(registry, "dan@example.com", kind="USER", expiresAt="2999-01-01")
    made = (await old.ask(ROTATE, input={"id": id_, "graceSeconds": 60}))["rotateApiKey"]
    new = old.with_key(made["secret"])
    assert (await new.ask(VIEWER))["viewer"]["email"] == "dan@example.com"
    assert (await old.send("{ __typename }")).status_code == 200
    asked = "query($id: ID!) { auditEvents(filter: {subjectId: $id}) { nodes { action details } } }"
    (event,) = (await registry.ask(asked, id=made["id"]))["auditEvents"]["nodes"]
    before, after = event["details"]["before"], event["details"]["after"]
    assert (event["action"], before) == ("key.rotated", {"rotated": id_, "expiresAt": "2999-01-01T00:00:00+00:00"})
    assert (after["expiresAt"], after["rotated"]["id"]) == ("2999-01-01T00:00:00+00:00", id_)
    assert after["rotated"]["expiresAt"] < "2999"
    again = (await new.ask(ROTATE, input={"id": made["id"]}))["rotateApiKey"]
    keys = (await new.with_key(again["secret"]).ask(KEYS))["apiKeys"]["nodes"]
    assert [(key["status"], key["expiresAt"][:4]) for key in keys][:2] == [("VALID", "2999"), ("EXPIRED", "2026")]
    refusal = await new.with_key(again["secret"]).refusal(ROTATE, input={"id": made["id"]})
    assert (refusal["code"], refusal["current"]) == ("CONFLICT", "EXPIRED")


async def test_a_key_that_ends_in_the_last_year_is_as_any_other(registry: Registry) -> None:
    given = {"name": "x", "email": "jo@example.com", "kind": "USER", "expiresAt": "9999-12-31T23:59:59.999999Z"}
    refusal = await registry.refusal(NEW_KEY, input=given)
    assert (refusal["code"], refusal["field"]) == ("BAD_USER_INPUT", "input.expiresAt")
    jo, id_ = await with_new_key(registry, "jo@example.com", kind="USER", expiresAt="9999-12-31T23:59:59Z")
    made = (await jo.ask(ROTATE, input={"id": id_}))["rotateApiKey"]
    keys = (await jo.with_key(made["secret"]).ask(KEYS))["apiKeys"]["nodes"]
    assert (keys[0]["id"], keys[0]["expiresAt"]) == (made["id"], "9999-12-31T23:59:59+00:00")


async def test_who_does_not_administer_sees_and_ends_only_its_own_keys(registry: Registry) -> None:
    eve, own = await with_new_key(registry, "eve@example.com", kind="USER")
    _, other = await with_new_key(registry, "fay@example.com", kind="USER")
    assert [key["id"] for key in (await eve.ask(KEYS))["apiKeys"]["nodes"]] == [own]
    for mutation in (REVOKE, ROTATE):
        refusal = await eve.refusal(mutation, input={"id": other})
        assert (refusal["code"], refusal["message"]) == ("NOT_FOUND", f"There is no key {other}.")
    assert (await eve.refusal(NEW_KEY, input={"name": "x", "email": "eve@example.com"}))["code"] == "FORBIDDEN"
    assert (await eve.ask(REVOKE, input={"id": own}))["revokeApiKey"]["id"] == own


async def test_a_key_makes_no_stronger_one_of_its_owner_its_own(registry: Registry) -> None:
    project = await make_project(registry)
    plain, plain_id = await with_new_key(registry, "gil@example.com", kind="USER")
    bound, bound_id = await with_new_key(registry, "gil@example.com", kind="USER", projectId=project)
    attesting, attesting_id = await with_new_key(registry, "gil@example.com", kind="USER", mayAttest=True)
    assert (await plain.refusal(ROTATE, input={"id": attesting_id}))["code"] == "FORBIDDEN"
    assert (await bound.refusal(ROTATE, input={"id": plain_id}))["code"] == "NOT_FOUND"
    assert [key["id"] for key in (await bound.ask(KEYS))["apiKeys"]["nodes"]] == [bound_id]
    assert (await attesting.ask(ROTATE, input={"id": plain_id}))["rotateApiKey"]["id"]


async def test_a_principal_keeps_its_kind(registry: Registry) -> None:
    await with_new_key(registry, "hal@example.com", kind="USER")
    refusal = await registry.refusal(NEW_KEY, input={"name": "x", "email": "hal@example.com", "kind": "SERVICE"})
    assert (refusal["code"], refusal["field"], refusal["current"]) == ("CONFLICT", "input.kind", "USER")
    again, _ = await with_new_key(registry, "hal@example.com")
    assert (await again.ask(VIEWER))["viewer"]["kind"] == "USER"
    refusal = await registry.refusal(NEW_KEY, input={"name": "x", "email": "i@example.com", "expiresAt": "2020-01-01"})
    assert (refusal["code"], refusal["field"]) == ("BAD_USER_INPUT", "input.expiresAt")


# ---------------------------------------------------------------- members at once

ADD = """mutation($input: CreateProjectInput!) { createProject(input: $input) { project { id
    members { email role kind createdBy } } } }"""
SET = 'query($id: ID!) { auditEvents(filter: {projectId: $id, action: ["member.set"]}) { nodes { details } } }'


async def test_a_project_is_created_with_its_members(registry: Registry) -> None:
    people = [{"email": " Lee@Example.com", "role": "REVIEWER"}, {"email": "ana@example.com", "role": "ADMIN"}]
    made = (await registry.ask(ADD, input={"name": "Test", "members": people}))["createProject"]["project"]
    ana = {"email": "ana@example.com", "role": "ADMIN", "kind": "USER", "createdBy": "ana@example.com"}
    assert made["members"] == [ana, ana | {"email": "lee@example.com", "role": "REVIEWER"}]
    events = (await registry.ask(SET, id=made["id"]))["auditEvents"]["nodes"]
    after = [event["details"]["after"] for event in events]
    assert sorted(each["email"] for each in after) == ["ana@example.com", "lee@example.com"]


@pytest.mark.parametrize(
    ("members", "message"),
    [
        (
            [{"email": "lee@example.com", "role": "VIEWER"}, {"email": "LEE@example.com", "role": "ADMIN"}],
            'input.members[1].email names "lee@example.com" again; name each person once.',
        ),
        (
            [{"email": "ana@example.com", "role": "VIEWER"}],
            "input.members[0].role is VIEWER; the creator of a project is an ADMIN. Omit it.",
        ),
        (
            [{"email": "lee", "role": "VIEWER"}],
            'input.members[0].email is "lee"; it must be an email address such as ana@example.com.',
        ),
    ],
    ids=["twice", "the creator", "no address"],
)
async def test_members_that_cannot_be_are_refused_and_nothing_is_kept(
    registry: Registry, members: list[dict[str, str]], message: str
) -> None:
    before = await registry.ask(VIEWER)
    refusal = await registry.refusal(ADD, input={"name": "Test", "members": members})
    assert (refusal["code"], refusal["message"]) == ("BAD_USER_INPUT", message)
    assert await registry.ask(VIEWER) == before


async def test_a_key_makes_its_owner_a_member_and_never_lowers_a_role(registry: Registry) -> None:
    one, other = await make_project(registry), await make_project(registry)
    await registry.ask(MEMBER, input={"projectId": other, "email": "max@example.com", "role": "ADMIN"})
    wanted = [{"projectId": project, "role": "CONTRIBUTOR"} for project in (other, one)]
    max_, _ = await with_new_key(registry, "max@example.com", memberships=wanted)
    held = (await max_.ask(VIEWER))["viewer"]["memberships"]
    assert sorted((each["project"]["id"], each["role"]) for each in held) == sorted(
        [(one, "CONTRIBUTOR"), (other, "ADMIN")]
    )
    events = (await registry.ask(SET, id=one))["auditEvents"]["nodes"]
    assert [
        event["details"]["after"] for event in events if event["details"]["after"]["email"] != "ana@example.com"
    ] == [{"email": "max@example.com", "role": "CONTRIBUTOR"}]


async def test_a_membership_that_cannot_be_is_refused_with_its_key(registry: Registry) -> None:
    project = await make_project(registry)
    wanted = {"name": "x", "email": "nia@example.com"}
    twice = [{"projectId": project, "role": "VIEWER"}, {"projectId": project, "role": "ADMIN"}]
    refusal = await registry.refusal(NEW_KEY, input=wanted | {"memberships": twice})
    assert refusal["message"] == f'input.memberships[1].projectId names "{project}" again; name each project once.'
    nowhere = [{"projectId": "proj_nowhere", "role": "VIEWER"}]
    refusal = await registry.refusal(NEW_KEY, input=wanted | {"memberships": nowhere})
    assert (refusal["code"], refusal["field"]) == ("NOT_FOUND", "input.memberships[0].projectId")
    assert "nia@example.com" not in str(await registry.ask(VIEWER)) + str(await registry.ask(KEYS))


# ---------------------------------------------------------------- the instance


async def test_administration_is_handed_on_but_never_lost(registry: Registry) -> None:
    kim, _ = await with_new_key(registry, "kim@example.com", kind="USER")
    assert (await kim.refusal(HAND_ON, input={"email": "kim@example.com", "administers": True}))["code"] == "FORBIDDEN"
    done = await registry.ask(HAND_ON, input={"email": "kim@example.com", "administers": True})
    assert done["setAdministrator"]["principal"]["administers"] is True
    fresh, _ = await with_new_key(registry, "kim@example.com", kind="USER")
    await fresh.ask(HAND_ON, input={"email": "kim@example.com", "administers": False})
    refusal = await registry.refusal(HAND_ON, input={"email": "ana@example.com", "administers": False})
    assert refusal["code"] == "CONFLICT"
    refusal = await registry.refusal(HAND_ON, input={"email": "nobody@example.com", "administers": True})
    assert refusal["code"] == "NOT_FOUND"


async def test_who_no_longer_administers_writes_no_more_at_once(registry: Registry) -> None:
    lea, _ = await with_new_key(registry, "lea@example.com", kind="USER")
    await registry.ask(HAND_ON, input={"email": "lea@example.com", "administers": True})
    lea, own = await with_new_key(registry, "lea@example.com", kind="USER")
    project, (_, other) = await make_project(registry), await with_new_key(registry, "svc@example.com")
    assert (await lea.ask("{ viewer { administers } }"))["viewer"]["administers"]
    await registry.ask(HAND_ON, input={"email": "lea@example.com", "administers": False})
    for mutation, asked, code in (
        (HAND_ON, {"email": "lea@example.com", "administers": True}, "FORBIDDEN"),
        (NEW_KEY, {"name": "x", "email": "ana@example.com", "kind": "USER"}, "FORBIDDEN"),
        (MEMBER, {"projectId": project, "email": "lea@example.com", "role": "ADMIN"}, "NOT_FOUND"),
        (REVOKE, {"id": other}, "NOT_FOUND"),
    ):
        assert (await lea.refusal(mutation, input=asked))["code"] == code
    assert (await lea.ask(REVOKE, input={"id": own}))["revokeApiKey"]["id"] == own


async def test_who_is_removed_while_it_waits_does_not_come_back(registry: Registry, own: Cluster) -> None:
    project = await make_project(registry)
    member = {"projectId": project, "email": "max@example.com", "role": "ADMIN"}
    await registry.ask(MEMBER, input=member)
    max_, _ = await with_new_key(registry, "max@example.com", kind="USER")
    connection = await connect(own.app_url)
    try:
        async with connection.transaction():
            await connection.execute("SELECT FROM project_policies WHERE project_id = $1 FOR NO KEY UPDATE", project)
            leaves = asyncio.create_task(registry.send(LEAVE, input={name: member[name] for name in list(member)[:2]}))
            await waiting(own, 1)
            comes_back = asyncio.create_task(max_.send(MEMBER, input=member))
            await waiting(own, 2)
    finally:
        await connection.close()
    assert "errors" not in (await leaves).json()
    assert (await comes_back).json()["errors"][0]["extensions"]["code"] == "NOT_FOUND"


async def waiting(cluster: Cluster, count: int) -> None:
    """Until so many of the database's sessions wait for a lock."""
    connection = await connect(cluster.app_url)
    asked = "SELECT count(*) FROM pg_stat_activity WHERE wait_event_type = 'Lock' AND datname = current_database()"
    try:
        async with asyncio.timeout(10):
            while await connection.fetchval(asked) < count:
                await asyncio.sleep(0.01)
    finally:
        await connection.close()


async def test_the_viewer_is_who_asks(registry: Registry) -> None:
    project = await make_project(registry)
    await registry.ask(MEMBER, input={"projectId": project, "email": "lea@example.com", "role": "REVIEWER"})
    lea, _ = await with_new_key(registry, "lea@example.com", kind="USER")
    seen = await lea.ask(VIEWER)
    assert seen["viewer"] | {"principal": ""} == {
        "principal": "", "email": "lea@example.com", "kind": "USER", "administers": False, "mayAttest": False,
        "memberships": [{"role": "REVIEWER", "project": {"id": project}}],
    }  # fmt: skip
    assert seen["principals"] == {"totalCount": 1, "nodes": [{"email": "lea@example.com"}]}
    assert (await registry.ask(VIEWER))["viewer"]["administers"] is True


async def test_the_log_of_principals_is_for_who_administers(registry: Registry) -> None:
    mia, _ = await with_new_key(registry, "mia@example.com", kind="USER")
    asked = "query($c: String!) { auditEvents(filter: {chain: $c}) { totalCount } }"
    assert (await registry.ask(asked, c="registry"))["auditEvents"]["totalCount"] > 0
    assert (await mia.ask(asked, c="registry"))["auditEvents"]["totalCount"] == 0


async def test_a_service_s_key_says_so(registry: Registry, database: Cluster) -> None:
    # Made by the command, as operators do.
    url = registry.client._transport.app.app.state.database.url  # type: ignore[attr-defined]
    project = await make_project(registry)
    key = await make_key(url, "bot@example.com", kind=PrincipalKind.SERVICE, project=project, role=Role.CONTRIBUTOR)
    viewer = (await registry.with_key(key).ask(VIEWER))["viewer"]
    assert (viewer["kind"], viewer["memberships"]) == ("SERVICE", [{"role": "CONTRIBUTOR", "project": {"id": project}}])
