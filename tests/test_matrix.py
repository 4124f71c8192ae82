"""Every mutation, query field and route against no key, each role and another project's ADMIN: as the table says."""

import asyncio
import json
import re
import time
from collections.abc import AsyncIterator, Callable, Iterator, Mapping
from dataclasses import dataclass, replace
from typing import Any, NamedTuple

import asyncpg
import httpx
import pytest
import pytest_asyncio
from graphql import get_named_type, get_nullable_type, is_input_object_type, is_list_type, is_required_argument

from resolvers.reads.scopes import SCOPES
from resolvers.rules.access import Need
from schema import schema
from server.http.kinds import PATHS
from server.identity.keyring import Keyring
from server.identity.rejections import Rejected
from storage.engine import Database
from tests.conftest import Registry, connect
from tests.support import oracle
from tests.support.compared import everything
from tests.support.filled import INPUTS, LEFT_OUT, Filled, Input, assert_well_formed, mutation_of, write
from tests.support.needs import MUTATIONS

QUERY: Any = schema._schema.query_type
MUTATION: Any = schema._schema.mutation_type

# ---------------------------------------------------------------- who asks


class Caller(NamedTuple):
    """A row of the matrix: the role in project A, where the key sees it, and what else bears on the answer."""

    role: str | None = None
    administers: bool = False
    known: bool = True


CALLERS = {
    "nobody": Caller(known=False),
    "a stranger": Caller(),
    "a VIEWER": Caller("VIEWER"),
    "a CONTRIBUTOR": Caller("CONTRIBUTOR"),
    "a REVIEWER": Caller("REVIEWER"),
    "an ADMIN": Caller("ADMIN"),
    "an ADMIN of another project": Caller(),
    "who administers the instance": Caller("ADMIN", administers=True),
    "a service as CONTRIBUTOR": Caller("CONTRIBUTOR"),
    "a REVIEWER by a key of another project": Caller(),
}
SEES = [name for name, caller in CALLERS.items() if caller.role]
SEES_NOT = [name for name, caller in CALLERS.items() if caller.known and not caller.role]
ROLES = ["VIEWER", "CONTRIBUTOR", "REVIEWER", "ADMIN"]


@dataclass
class Matrix:
    """One registry with project A and another, and everybody who asks."""

    filled: Filled
    callers: Mapping[str, Registry]
    connection: asyncpg.Connection
    tables: list[str]

    async def send(self, caller: str, query: str, **variables: Any) -> httpx.Response:
        registry = self.callers[caller]
        if CALLERS[caller].known:
            return await registry.send(query, **variables)
        return await registry.client.post("/graphql", json={"query": query, "variables": variables})

    async def kept(self) -> list[Any]:
        """What changes whenever anything is kept: how many rows each table has, and the last to write there."""
        return [tuple(row) for row in await self.connection.fetch(self.statement)]

    @property
    def statement(self) -> str:
        # When a key was last used is no change.
        written = {"api_keys": "sum(hashtext((to_jsonb(t) - 'last_used_at')::text))"}
        last = "max(t.xmin::text::bigint)"
        return " UNION ALL ".join(
            f"SELECT '{name}', count(*), {written.get(name, last)} FROM {name} t" for name in self.tables
        )


@pytest_asyncio.fixture(scope="module", loop_scope="session")
async def matrix(make_database: Callable[[], Any], make_registry: Callable[..., Any]) -> AsyncIterator[Matrix]:
    database = await make_database()
    root = await make_registry(database, rate_per_second=0)
    ours, other = await Filled.opened(database, root, "ours"), await Filled.opened(database, root, "other")
    email = ours.email()
    await other.person("CONTRIBUTOR", email=email)
    await ours.person("REVIEWER", email=email)
    callers = {
        "nobody": root,
        "a stranger": await ours.person(None),
        **{name: await ours.person(CALLERS[name].role) for name in ("a VIEWER", "a CONTRIBUTOR", "a REVIEWER")},
        "an ADMIN": await ours.person("ADMIN"),
        "an ADMIN of another project": other.own,
        # Not the one who made the project and so is a member.
        "who administers the instance": await administrator(ours, ours.email()),
        "a service as CONTRIBUTOR": await ours.person("CONTRIBUTOR", kind="SERVICE"),
        "a REVIEWER by a key of another project": await ours.person(None, email=email, only=other.project),
    }
    connection = await connect(database.owner_url)
    found = await connection.fetch("SELECT tablename FROM pg_tables WHERE schemaname = 'public' ORDER BY 1")
    # Events get their places in the feed by and by, whoever asks for what.
    tables = [row["tablename"] for row in found if row["tablename"] not in ("audit_feed", "audit_unfed")]
    yield Matrix(ours, callers, connection, tables)
    await connection.close()


async def administrator(of: Filled, email: str) -> Registry:
    made = await of.person(None, email=email)
    await write(of.root, "setAdministrator", {"email": email, "administers": True})
    return made


# ---------------------------------------------------------------- every mutation


class Told(NamedTuple):
    """What a caller is told: a code, and the facts that say why."""

    code: str
    needed: str | None = None
    role: str | None = None
    reason: str | None = None
    status: int = 200


def told(response: httpx.Response) -> Told:
    answer = response.json()
    if "errors" not in answer:
        return Told("OK", status=response.status_code)
    assert len(answer["errors"]) == 1, answer
    facts = answer["errors"][0]["extensions"]
    return Told(facts["code"], facts.get("needed"), facts.get("role"), facts.get("reason"), response.status_code)


# Whom the table lets through, and a rule of the mutation's own does not.
BY_OTHER_RULES = {
    ("confirmPolicyChange", "who administers the instance"): Told("FORBIDDEN", reason="NOT_A_REVIEWER"),
    ("reviewTransition", "who administers the instance"): Told("FORBIDDEN", reason="NOT_A_REVIEWER"),
    ("transitionStage", "who administers the instance"): Told("APPROVAL_REQUIRED", reason="NOT_A_REVIEWER"),
    ("transitionStage", "a CONTRIBUTOR"): Told("APPROVAL_REQUIRED", reason="NOT_A_REVIEWER"),
    ("transitionStage", "a service as CONTRIBUTOR"): Told("APPROVAL_REQUIRED", reason="SERVICE"),
    # The request is somebody else's.
    ("cancelTransition", "a CONTRIBUTOR"): Told("FORBIDDEN"),
    ("cancelTransition", "a service as CONTRIBUTOR"): Told("FORBIDDEN"),
}


def expected(mutation: str, name: str) -> Told:
    """The cell of the matrix, from the table."""
    need, caller = MUTATIONS[mutation], CALLERS[name]
    if not caller.known:
        return Told("UNAUTHENTICATED", reason="CREDENTIALS_MISSING", status=401)
    if need is Need.INSTANCE:
        return Told("OK") if caller.administers else Told("FORBIDDEN", needed="INSTANCE")
    if need is Need.OWNER:
        return Told("OK") if caller.administers else Told("NOT_FOUND")
    if caller.role is None:
        return Told("NOT_FOUND")
    if ROLES.index(caller.role) < ROLES.index(need.value):
        return Told("FORBIDDEN", needed=need.value, role=caller.role)
    return BY_OTHER_RULES.get((mutation, name), Told("OK"))


ID = re.compile(r"\b(proj|model|ver|exp|ds|dsv|req|evt|key|pch)_[A-Za-z0-9._-]*[A-Za-z0-9]")


def nowhere(text: str) -> str:
    """The same with ids that there are not; without the cost, which is higher for a document that is sent first."""
    return ID.sub(lambda found: f"{found[1]}_nobodys", re.sub(r'"cost":\{[^}]*\}', "", text))


@pytest.mark.parametrize("caller", CALLERS)
@pytest.mark.parametrize("mutation", INPUTS)
async def test_a_mutation_is_answered_as_the_table_says(matrix: Matrix, mutation: str, caller: str) -> None:
    query, given = mutation_of(mutation), await INPUTS[mutation](matrix.filled)
    before = await matrix.kept()
    response = await matrix.send(caller, query, input=given)
    answer = told(response)
    assert answer == expected(mutation, caller), response.text
    assert (await matrix.kept() != before) is (answer.code == "OK")
    if answer.code == "OK":
        assert_well_formed(query, response, input=given)
    if answer.code == "NOT_FOUND":
        absent = await matrix.send(caller, query, input=json.loads(nowhere(json.dumps(given))))
        assert nowhere(absent.text) == nowhere(response.text)


async def test_every_input_field_is_given(matrix: Matrix) -> None:
    for mutation, given in INPUTS.items():
        of: Any = get_named_type(MUTATION.fields[mutation].args["input"].type)
        assert set(_missing(of, await given(matrix.filled))) <= LEFT_OUT, mutation


def _missing(of: Any, given: Input) -> Iterator[str]:
    for name, field in of.fields.items():
        if name not in given:
            yield f"{of.name}.{name}"
            continue
        inner: Any = get_named_type(field.type)
        if is_input_object_type(inner):
            is_list = is_list_type(get_nullable_type(field.type))
            for each in given[name] if is_list else [given[name]]:
                yield from _missing(inner, each)


@pytest.mark.parametrize("mutation", [name for name, need in MUTATIONS.items() if need is Need.OWNER])
async def test_a_key_is_ended_by_its_owner_and_not_from_another_project(matrix: Matrix, mutation: str) -> None:
    email = matrix.filled.email()
    owner = await matrix.filled.person("VIEWER", email=email)
    given = {"name": "bound", "email": email, "kind": "USER", "projectId": matrix.filled.project}
    bound = await write(matrix.filled.root, "createApiKey", given)
    mine = (await write(matrix.filled.root, "createApiKey", given | {"projectId": None}))["id"]
    # A key for one project knows of no key that reaches more.
    narrow = replace(owner, key=bound["secret"])
    assert (await narrow.refusal(mutation_of(mutation), input={"id": mine}))["code"] == "NOT_FOUND"
    await write(owner, mutation, {"id": mine})
    await write(narrow, mutation, {"id": bound["id"]})


# ---------------------------------------------------------------- every query field


@pytest_asyncio.fixture(scope="module", loop_scope="session")
async def ids(matrix: Matrix) -> dict[str, str]:
    """An id of each type, in project A."""
    of = matrix.filled
    events = "query($f: AuditFilter) { auditEvents(first: 1, filter: $f) { nodes { id } } }"
    found = await of.root.ask(events, f={"projectId": of.project, "action": ["version.created"]})
    return {
        "Project": of.project,
        "Model": of.model,
        "ModelVersion": of.version_id,
        "Experiment": of.experiment,
        "Dataset": of.dataset,
        "DatasetVersion": of.dataset_version,
        "TransitionRequest": await of.new_request(),
        "Deployment": await of.new_deployment(),
        "AuditEvent": found["auditEvents"]["nodes"][0]["id"],
        "PolicyChange": (await INPUTS["confirmPolicyChange"](of))["changeId"],
    }


# What is about the caller itself.
OF_ONESELF = {"viewer", "apiKeys", "principals"}
# What answers without any id of what it is about.
WITHOUT_IDS = {"auditIntegrity"}
# What is about the instance, which only its administrators see.
OF_THE_INSTANCE = {"auditStatus"}
# What has no answer at all about what is not seen.
REFUSED_UNSEEN = {"compareVersions"}


def asking(name: str, ids: Mapping[str, str]) -> str:
    """A query of one root field with all that it answers, about what is in project A where it can be told so."""
    field = QUERY.fields[name]
    of = get_named_type(field.type).name
    project, model = json.dumps(ids["Project"]), json.dumps(ids["Model"])
    values = {
        "id": json.dumps(ids.get(of, ids["Model"])),
        "ids": json.dumps(list(ids.values())),
        "modelId": model,
        "chain": model,
        "version": '"1.0.0"',
        "versions": '["1.0.0", "0.0.1"]',
        "projectId": project,
        "filter": f"{{projectId: {project}{f', modelId: {model}' if of == 'ModelVersionConnection' else ''}}}",
    }
    arguments = [name for name, each in field.args.items() if name in values or is_required_argument(each)]
    given = ", ".join(f"{argument}: {values[argument]}" for argument in arguments)
    selected = "{ __typename id }" if of == "Node" else everything(of, depth=2 if "after" in field.args else 1)
    return f"query {{ {name}{f'({given})' if given else ''} {selected} }}"


async def about_a_version(matrix: Matrix, field: str, ids: dict[str, str]) -> str:
    """What is asked of a root field, about versions that are in project A."""
    earlier, version = await matrix.filled.new_version(), await matrix.filled.new_version()
    numbers = {'"1.0.0"': json.dumps(version["version"]), '"0.0.1"': json.dumps(earlier["version"])}
    return re.sub(
        "|".join(numbers), lambda found: numbers[found[0]], asking(field, ids | {"Model": version["modelId"]})
    )


@pytest.mark.parametrize("field", sorted(QUERY.fields.keys() - REFUSED_UNSEEN - OF_THE_INSTANCE))
async def test_members_see_what_others_see_only_as_nothing(matrix: Matrix, ids: dict[str, str], field: str) -> None:
    there = await about_a_version(matrix, field, ids)
    assert (await matrix.send("nobody", there)).status_code == 401
    absent = (await matrix.send("a stranger", nowhere(there))).json()
    for caller in [*SEES, *SEES_NOT]:
        response = await matrix.send(caller, there)
        assert told(response) == Told("OK"), response.text
        assert_well_formed(there, response)
        if caller in SEES:
            assert response.json()["data"] != absent["data"]
        else:
            assert not [id_ for id_ in ids.values() if id_ in response.text]
            assert response.json()["data"] == (await matrix.send(caller, nowhere(there))).json()["data"]
        if field not in OF_ONESELF | WITHOUT_IDS:
            assert any(id_ in response.text for id_ in ids.values()) is (caller in SEES)


@pytest.mark.parametrize("field", sorted(REFUSED_UNSEEN))
async def test_others_are_told_that_what_members_see_is_not_there(
    matrix: Matrix, ids: dict[str, str], field: str
) -> None:
    there = await about_a_version(matrix, field, ids)
    for caller in SEES:
        response = await matrix.send(caller, there)
        assert told(response) == Told("OK"), response.text
        assert_well_formed(there, response)
    for caller in SEES_NOT:
        response, elsewhere = await matrix.send(caller, there), await matrix.send(caller, nowhere(there))
        assert told(response) == Told("NOT_FOUND", status=400)
        assert nowhere(response.text) == elsewhere.text


@pytest.mark.parametrize("of", ["Project", *(name for table, name in oracle.NODES.values() if table not in SCOPES)])
async def test_every_field_of_a_node_answers_members_alone(matrix: Matrix, ids: dict[str, str], of: str) -> None:
    query = f"query($id: ID!) {{ node(id: $id) {{ ... on {of} {everything(of, depth=1)} }} }}"
    fields = set(schema._schema.type_map[of].fields)  # type: ignore[attr-defined]
    for caller in SEES:
        response = await matrix.send(caller, query, id=ids[of])
        found = response.json()["data"]["node"]
        assert found["id"] == ids[of]
        assert found.keys() == {*fields, "__typename"}
        assert_well_formed(query, response, id=ids[of])
    for caller in SEES_NOT:
        assert (await matrix.send(caller, query, id=ids[of])).json()["data"] == {"node": None}


async def test_a_principal_and_its_keys_are_seen_by_itself_and_by_who_administers_the_instance(matrix: Matrix) -> None:
    listed = "{ viewer { email principal } principals { nodes { id email } } apiKeys { nodes { id } } }"
    viewer = (await matrix.send("a VIEWER", listed)).json()["data"]
    ids = [viewer["viewer"]["principal"], viewer["apiKeys"]["nodes"][0]["id"]]
    assert viewer["principals"]["nodes"] == [{"id": ids[0], "email": viewer["viewer"]["email"]}]
    assert len(viewer["apiKeys"]["nodes"]) == 1
    for caller, sees in ((name, name in ("a VIEWER", "who administers the instance")) for name in [*SEES, *SEES_NOT]):
        answer = await matrix.send(caller, "query($ids: [ID!]!) { nodes(ids: $ids) { id } }", ids=ids)
        assert answer.json()["data"]["nodes"] == [{"id": id_} if sees else None for id_ in ids], caller


# ---------------------------------------------------------------- every route


@pytest.mark.parametrize("path", [*PATHS, "/nothing", "/graphql/"])
async def test_a_route_answers_as_the_table_says(matrix: Matrix, path: str) -> None:
    address = re.sub(r"{.*?}", "none", path)
    need = PATHS.get(path, Need.ANYONE)
    assert need in (Need.OPEN, Need.ANYONE)
    client = matrix.filled.root.client
    for method in ("GET", "POST", "HEAD", "DELETE"):
        response = await client.request(method, address, headers={"Accept": "application/json"})
        assert (response.status_code == 401) is (need is Need.ANYONE), (method, response.status_code)


# ---------------------------------------------------------------- roles change

WITHIN = 5.0  # seconds, on a process that has just served the key


async def seen(registry: Registry, project: str) -> bool:
    return bool((await registry.ask("query($id: ID!) { project(id: $id) { id } }", id=project))["project"])


async def test_who_is_no_member_any_more_stops_writing_at_once(matrix: Matrix) -> None:
    of, email = matrix.filled, matrix.filled.email()
    member = await of.person("ADMIN", email=email)
    await write(member, "createModel", {"projectId": of.project, "name": of.text()})
    await write(of.own, "removeMember", {"projectId": of.project, "email": email})
    for mutation, need in MUTATIONS.items():
        if need.role:
            given = await INPUTS[mutation](of)
            before = await matrix.kept()
            assert (await member.refusal(mutation_of(mutation), input=given))["code"] == "NOT_FOUND"
            assert await matrix.kept() == before


async def test_who_is_no_member_or_administrator_any_more_stops_seeing_soon(matrix: Matrix) -> None:
    of, emails = matrix.filled, [matrix.filled.email(), matrix.filled.email()]
    former = [await of.person("VIEWER", email=emails[0]), await administrator(of, emails[1])]
    assert all([await seen(each, of.project) for each in former])
    await write(of.own, "removeMember", {"projectId": of.project, "email": emails[0]})
    await write(of.root, "setAdministrator", {"email": emails[1], "administers": False})
    changed = time.monotonic()
    while any([await seen(each, of.project) for each in former]):
        assert time.monotonic() - changed < WITHIN
        await asyncio.sleep(0.1)
    given = await INPUTS["createProject"](of)
    assert (await former[1].refusal(mutation_of("createProject"), input=given))["code"] == "FORBIDDEN"


async def test_who_gets_a_smaller_role_may_do_less_at_once(matrix: Matrix) -> None:
    of, email = matrix.filled, matrix.filled.email()
    member = await of.person("ADMIN", email=email)
    await write(member, "setMember", await INPUTS["setMember"](of))
    await write(of.own, "setMember", {"projectId": of.project, "email": email, "role": "VIEWER"})
    refusal = await member.refusal(mutation_of("setMember"), input=await INPUTS["setMember"](of))
    assert (refusal["code"], refusal["needed"], refusal["role"]) == ("FORBIDDEN", "ADMIN", "VIEWER")
    assert await seen(member, of.project)


async def test_who_becomes_a_member_writes_at_once_and_is_answered_in_full(matrix: Matrix) -> None:
    of, email = matrix.filled, matrix.filled.email()
    member = await of.person(None, email=email)
    # The process knows the key, and that it sees nothing.
    assert not await seen(member, of.project)
    await write(of.own, "setMember", {"projectId": of.project, "email": email, "role": "CONTRIBUTOR"})
    for mutation in ("createModel", "updateModelCard", "createDatasetVersion"):
        query, given = mutation_of(mutation), await INPUTS[mutation](of)
        response = await member.send(query, input=given)
        assert told(response) == Told("OK"), response.text
        assert_well_formed(query, response, input=given)


async def test_an_address_that_an_issuer_vouched_for_is_no_key(matrix: Matrix) -> None:
    database = Database(matrix.filled.database.app_url)
    await database.open()
    keyring = Keyring(database)
    email = "lnl_ana@example.com"
    assert (await keyring.by_email(email)).actor == email
    with pytest.raises(Rejected):
        await keyring.by_key(email)
    await database.close()
