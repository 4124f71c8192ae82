"""Mutations under an Idempotency-Key: sent again, they are made once and answered as the first time."""

import asyncio
import hashlib
import itertools
import json
import random
import secrets
import time
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any

import httpx
import pytest
import pytest_asyncio

from resolvers.settings import MutationSettings
from storage.engine import short_engine
from storage.idempotency import forget
from tests.conftest import Cluster, Registry, connect, make_key, make_project
from tests.support.documents import creating_version
from tests.support.kills import (
    Kill,
    assert_chains_intact,
    kill_backend,
    kill_postgres,
    kill_server,
    kill_server_and_postgres,
    kill_worker,
    restarted,
)
from tests.support.live import Live, at_full_length, eventually, has_ended, lineal

CREATE_VERSION = creating_version("id version createdAt")
SET_MEMBER = "mutation($input: SetMemberInput!) { setMember(input: $input) { project { id } } }"

KEPT_HOURS = MutationSettings().keep_answer_hours


def new_key() -> str:
    return secrets.token_hex(16)


async def send(caller: Registry, key: str, query: str, **variables: Any) -> httpx.Response:
    """A request under a key, to the byte the same whenever it is the same."""
    headers = {
        "Authorization": f"Bearer {caller.key}",
        "Accept": "application/graphql-response+json",
        "Content-Type": "application/json",
        "Idempotency-Key": key,
    }
    body = json.dumps({"query": query, "variables": variables}).encode()
    return await caller.client.post("/graphql", content=body, headers=headers)


def refusals(response: httpx.Response) -> list[str]:
    return [error["extensions"]["code"] for error in response.json().get("errors", [])]


@dataclass(frozen=True)
class Model:
    registry: Registry
    database: Cluster
    project: str

    @property
    def input(self) -> dict[str, Any]:
        return {"projectId": self.project, "modelId": f"model_{self.project[5:]}", "createModel": True, "bump": "PATCH"}

    async def create(self, key: str, caller: Registry | None = None, **more: Any) -> httpx.Response:
        return await send(caller or self.registry, key, CREATE_VERSION, input=self.input | more)

    async def numbers(self) -> list[str]:
        statement = "SELECT array_to_string(number, '.') FROM versions WHERE project_id = $1 ORDER BY number"
        return [row[0] for row in await self.sql(statement, self.project)]

    async def sql(self, statement: str, *values: Any) -> list[Any]:
        connection = await connect(self.database.owner_url)
        try:
            return list(await connection.fetch(statement, *values))
        finally:
            await connection.close()

    async def age(self, key: str, hours: float) -> None:
        aged = "UPDATE idempotent_answers SET at = at - make_interval(secs => 3600 * $2::float8) WHERE key = $1"
        await self.sql(aged, key, hours)


@pytest_asyncio.fixture
async def model(registry: Registry, database: Cluster, project: str) -> Model:
    return Model(registry, database, project)


# ------------------------------------------------------------------------------------- the same again


async def test_the_same_request_again_is_answered_byte_for_byte_and_makes_nothing(model: Model) -> None:
    key = new_key()
    first = await model.create(key)
    await model.create(new_key())
    again = [await model.create(key) for _ in range(3)]
    assert {(each.status_code, each.content) for each in again} == {(200, first.content)}
    assert first.headers["x-request-id"] != again[0].headers["x-request-id"]
    assert await model.numbers() == ["1.0.0", "1.0.1"]


async def test_what_is_said_of_the_cost_is_what_was_said_first_and_asking_again_costs(
    make_registry: Callable[..., Any], database: Cluster
) -> None:
    registry = await make_registry(database, rate_per_second=0.001, rate_burst=50_000)
    model, key = Model(registry, database, await make_project(registry)), new_key()
    first = await model.create(key)
    assert (await model.create(key)).content == first.content
    other = await model.create(new_key())
    left = [answer.json()["extensions"]["cost"]["left"] for answer in (first, other)]
    assert left[1] == left[0] - 2 * other.json()["extensions"]["cost"]["requested"]


async def test_what_was_answered_stays_so_whatever_became_of_it_since(model: Model) -> None:
    key, tag = new_key(), "mutation($input: TagsInput!) { addTags(input: $input) { version { tags } } }"
    await model.create(new_key())
    asked = {"modelId": model.input["modelId"], "version": "1.0.0", "tags": ["first"]}
    first = await send(model.registry, key, tag, input=asked)
    await model.registry.ask(tag, input=asked | {"tags": ["second"]})
    again = await send(model.registry, key, tag, input=asked)
    assert again.content == first.content
    assert first.json()["data"]["addTags"]["version"]["tags"] == ["first"]


async def test_two_at_once_make_one_change_and_are_answered_alike(model: Model) -> None:
    for _ in range(5):
        key = new_key()
        answers = await asyncio.gather(*(model.create(key) for _ in range(4)))
        assert len({answer.content for answer in answers}) == 1 and refusals(answers[0]) == []
    assert await model.numbers() == [f"1.0.{n}" for n in range(5)]


async def test_a_request_without_a_key_is_made_each_time(model: Model) -> None:
    for _ in range(2):
        await model.registry.ask(CREATE_VERSION, input=model.input)
    assert await model.numbers() == ["1.0.0", "1.0.1"]
    assert await model.sql("SELECT FROM idempotent_answers WHERE key = ''") == []


# --------------------------------------------------------------------------------- what is not the same


@pytest.mark.parametrize("more", [{"bump": "MINOR"}, {"description": "Another"}])
async def test_another_request_under_the_key_is_refused(model: Model, more: dict[str, Any]) -> None:
    key = new_key()
    first = await model.create(key)
    refused = await model.create(key, **more)
    assert refusals(refused) == ["CONFLICT"] and refused.json()["data"] == {"createVersion": None}
    assert refused.json()["errors"][0]["extensions"]["field"] == "Idempotency-Key"
    assert (await model.create(key)).content == first.content
    assert await model.numbers() == ["1.0.0"]


async def test_the_same_key_of_another_principal_is_another_key(model: Model) -> None:
    key = new_key()
    bo = model.registry.with_key(await make_key(model.database.app_url, "bo@example.com"))
    first, other = await model.create(key), await model.create(key, bo)
    assert refusals(other) == [] and other.content != first.content
    assert await model.numbers() == ["1.0.0", "1.0.1"]


async def test_another_key_of_the_same_principal_may_send_it_again(model: Model) -> None:
    key = new_key()
    rotated = model.registry.with_key(await make_key(model.database.app_url))
    first, again = await model.create(key), await model.create(key, rotated)
    assert again.content == first.content


async def test_a_key_that_is_bound_to_a_project_does_not_answer_for_one_that_reaches_more(model: Model) -> None:
    key = new_key()
    bound = await make_key(model.database.app_url, project=model.project, administers=True)
    first, other = await model.create(key), await model.create(key, model.registry.with_key(bound))
    assert refusals(other) == [] and other.content != first.content


# ------------------------------------------------------------------------------------------- refusals


async def test_a_refused_request_may_be_sent_again_and_is_decided_anew(model: Model) -> None:
    key = new_key()
    asked: Any = {"createModel": False}
    for _ in range(2):
        assert refusals(await model.create(key, **asked)) == ["NOT_FOUND"]
    of_project = {"projectId": model.project, "id": model.input["modelId"], "name": "Made since"}
    made = "mutation($input: CreateModelInput!) { createModel(input: $input) { model { id } } }"
    await model.registry.ask(made, input=of_project)
    first = await model.create(key, **asked)
    assert refusals(first) == []
    assert (await model.create(key, **asked)).content == first.content
    assert await model.numbers() == ["1.0.0"]


async def test_a_refused_request_leaves_its_key_to_another(model: Model) -> None:
    key = new_key()
    assert refusals(await model.create(key, createModel=False)) == ["NOT_FOUND"]
    assert refusals(await model.create(key)) == []


@pytest.mark.parametrize("key", ["", " ", "two words", "x" * 256, "ä", "tab\tbed"])
async def test_a_key_that_is_none_is_refused(model: Model, key: str) -> None:
    body = json.dumps({"query": CREATE_VERSION, "variables": {"input": model.input}}).encode()
    headers = [
        (b"authorization", f"Bearer {model.registry.key}".encode()),
        (b"content-type", b"application/json"),
        (b"idempotency-key", key.encode("latin-1")),
    ]
    refused = await model.registry.client.post("/graphql", content=body, headers=headers)
    assert (refused.status_code, refusals(refused)) == (400, ["BAD_USER_INPUT"])
    assert "Idempotency-Key must be 1 to 255 visible ASCII characters" in refused.json()["errors"][0]["message"]
    assert await model.numbers() == []


async def test_the_longest_key_is_taken(model: Model) -> None:
    key = secrets.token_hex(128)[:255]
    first = await model.create(key)
    assert refusals(first) == [] and (await model.create(key)).content == first.content


async def test_a_secret_is_not_kept_to_be_answered_again(model: Model) -> None:
    making = 'mutation { createApiKey(input: {name: "n", email: "s@example.com"}) { id secret } }'
    refused = await send(model.registry, new_key(), making)
    assert refusals(refused) == ["BAD_USER_INPUT"]
    assert "which returns a secret that is not stored" in refused.json()["errors"][0]["message"]
    id_ = (await model.registry.ask(making))["createApiKey"]["id"]
    rotating = "mutation($id: ID!) { rotateApiKey(input: {id: $id}) { id secret } }"
    assert refusals(await send(model.registry, new_key(), rotating, id=id_)) == ["BAD_USER_INPUT"]


# -------------------------------------------------------------------------------- several at once, and reads


async def test_each_root_field_is_made_once_and_the_refused_ones_are_tried_again(model: Model) -> None:
    key = new_key()
    two = """mutation($first: CreateVersionInput!, $second: CreateVersionInput!) {
        first: createVersion(input: $first) { version { id version } }
        __typename
        second: createVersion(input: $second) { version { id version } }
    }"""
    other = model.input | {"modelId": f"{model.input['modelId']}_2"}
    asked = {"first": model.input, "second": other | {"createModel": False}}
    partly = await send(model.registry, key, two, **asked)
    assert refusals(partly) == ["NOT_FOUND"] and partly.json()["data"]["second"] is None
    await model.registry.ask(CREATE_VERSION, input=other)
    whole = await send(model.registry, key, two, **asked)
    assert refusals(whole) == []
    assert whole.json()["data"]["first"] == partly.json()["data"]["first"]
    assert whole.json()["extensions"] == partly.json()["extensions"]
    assert (await send(model.registry, key, two, **asked)).content == whole.content
    assert await model.numbers() == ["1.0.0", "1.0.0", "1.0.1"]


async def test_the_same_field_twice_in_a_request_is_made_twice(model: Model) -> None:
    two = """mutation($input: CreateVersionInput!) {
        first: createVersion(input: $input) { version { version } }
        second: createVersion(input: $input) { version { version } }
    }"""
    key = new_key()
    first = await send(model.registry, key, two, input=model.input)
    assert (await send(model.registry, key, two, input=model.input)).content == first.content
    assert await model.numbers() == ["1.0.0", "1.0.1"]


async def test_reads_do_not_look_at_the_key(model: Model) -> None:
    key, asked = new_key(), "query($id: ID!) { project(id: $id) { models { totalCount } } }"
    before = await send(model.registry, key, asked, id=model.project)
    first = await model.create(key)
    after = await send(model.registry, key, asked, id=model.project)
    totals = [answer.json()["data"]["project"]["models"]["totalCount"] for answer in (before, after)]
    assert (totals, refusals(first)) == ([0, 1], [])


# ------------------------------------------------------------------------------------- how long it is kept


async def test_an_answer_is_kept_for_a_day_and_then_the_request_is_a_new_one(model: Model) -> None:
    key = new_key()
    first = await model.create(key)
    await model.age(key, KEPT_HOURS - 0.1)
    assert (await model.create(key)).content == first.content
    await model.age(key, 0.2)
    later = await model.create(key, description="Another request")
    assert refusals(later) == []
    assert (await model.create(key, description="Another request")).content == later.content
    assert await model.numbers() == ["1.0.0", "1.0.1"]


async def test_answers_older_than_a_day_are_forgotten_and_no_others(model: Model) -> None:
    keys = [new_key() for _ in range(3)]
    for key in keys:
        await model.create(key)
    await model.age(keys[0], KEPT_HOURS + 0.1)
    await model.age(keys[1], KEPT_HOURS - 0.1)
    async with short_engine(model.database.app_url) as engine, engine.begin() as connection:
        await forget(connection, KEPT_HOURS, 1000)
    kept = await model.sql("SELECT key FROM idempotent_answers WHERE key = ANY ($1)", keys)
    assert {row["key"] for row in kept} == set(keys[1:])


# ------------------------------------------------------------------------------------- rights that ended since

REMOVE_MEMBER = "mutation($input: RemoveMemberInput!) { removeMember(input: $input) { project { id } } }"
SET_ADMINISTRATOR = """
mutation($input: SetAdministratorInput!) { setAdministrator(input: $input) { principal { email } } }
"""


@dataclass(frozen=True)
class Person:
    """Somebody with a role in a project of their own."""

    model: Model
    email: str
    caller: Registry

    async def role(self, role: str | None) -> None:
        of = {"projectId": self.model.project, "email": self.email}
        if role is None:
            await self.model.registry.ask(REMOVE_MEMBER, input=of)
        else:
            await self.model.registry.ask(SET_MEMBER, input=of | {"role": role})

    async def administers(self, administers: bool) -> None:
        given = {"email": self.email, "administers": administers}
        await self.model.registry.ask(SET_ADMINISTRATOR, input=given)


async def person(model: Model, role: str | None = "CONTRIBUTOR", administers: bool = False) -> Person:
    email = f"{secrets.token_hex(6)}@example.com"
    key = await make_key(model.database.app_url, email, administers=administers)
    made = Person(model, email, model.registry.with_key(key))
    if role:
        await made.role(role)
    return made


@pytest.mark.parametrize(("left", "code"), [("VIEWER", "FORBIDDEN"), (None, "NOT_FOUND")])
async def test_who_lost_the_role_is_not_answered_again_and_makes_nothing(
    model: Model, left: str | None, code: str
) -> None:
    cy, key = await person(model), new_key()
    first = await model.create(key, cy.caller)
    await cy.role(left)
    refused = await model.create(key, cy.caller)
    made = first.json()["data"]["createVersion"]["version"]["id"]
    assert refusals(refused) == [code] and made not in refused.text
    assert await model.numbers() == ["1.0.0"]
    await cy.role("REVIEWER")
    assert (await model.create(key, cy.caller)).content == first.content
    assert await model.numbers() == ["1.0.0"]


async def test_who_administered_the_instance_is_not_answered_again_in_a_project_of_others(model: Model) -> None:
    former, key = await person(model, None, administers=True), new_key()
    first = await model.create(key, former.caller)
    assert (await model.create(key, former.caller)).content == first.content
    await former.administers(False)
    assert refusals(await model.create(key, former.caller)) == ["NOT_FOUND"]
    await former.role("CONTRIBUTOR")
    assert (await model.create(key, former.caller)).content == first.content
    assert await model.numbers() == ["1.0.0"]


async def test_what_only_administrators_may_do_is_answered_again_to_administrators_only(model: Model) -> None:
    former, key = await person(model, None, administers=True), new_key()
    making = 'mutation { createProject(input: {name: "Once"}) { project { id members { email } } } }'
    first = await send(former.caller, key, making)
    assert (await send(former.caller, key, making)).content == first.content
    await former.administers(False)
    # Although the maker of a project is its ADMIN.
    assert refusals(await send(former.caller, key, making)) == ["FORBIDDEN"]


REVOKE = "mutation($id: ID!) { revokeApiKey(input: {id: $id}) { id } }"


async def test_a_key_of_others_that_an_administrator_revoked_is_answered_again_to_administrators_only(
    model: Model,
) -> None:
    former, other, key = await person(model, None, administers=True), await person(model), new_key()
    (row,) = await model.sql(
        "SELECT k.id FROM api_keys k JOIN principals p ON p.id = principal_id WHERE email = $1", other.email
    )
    first = await send(former.caller, key, REVOKE, id=row["id"])
    assert refusals(first) == []
    assert (await send(former.caller, key, REVOKE, id=row["id"])).content == first.content
    await former.administers(False)
    assert refusals(await send(former.caller, key, REVOKE, id=row["id"])) == ["FORBIDDEN"]


async def test_an_owner_is_answered_again_about_its_own_key_whatever_role_it_lost(model: Model) -> None:
    owner, key = await person(model), new_key()
    second = await make_key(model.database.app_url, owner.email, administers=False)
    digest = hashlib.sha256(second.encode()).digest()
    (row,) = await model.sql("SELECT id FROM api_keys WHERE secret_hash = $1", digest)
    first = await send(owner.caller, key, REVOKE, id=row["id"])
    await owner.role(None)
    assert (await send(owner.caller, key, REVOKE, id=row["id"])).content == first.content
    assert refusals(first) == []


async def test_an_answer_that_is_kept_shows_nothing_of_projects_whose_rights_are_not_asked_for_again(
    model: Model,
) -> None:
    other = Model(model.registry, model.database, await make_project(model.registry))
    await other.create(new_key())
    creating = """mutation($input: CreateVersionInput!, $other: ID!) { createVersion(input: $input) { version {
        compareTo(modelId: $other, version: "1.0.0") { versions { id } } } } }"""
    asked = {"input": model.input, "other": other.input["modelId"]}
    assert refusals(await send(model.registry, new_key(), creating, **asked)) == ["NOT_FOUND"]
    assert await model.numbers() == []
    assert "errors" not in (await model.registry.send(creating, **asked)).json()


async def test_an_answer_of_an_earlier_version_is_returned_to_administrators_only_and_not_made_again(
    model: Model,
) -> None:
    cy, key = await person(model), new_key()
    first = await model.create(key, cy.caller)
    await model.sql("UPDATE idempotent_answers SET projects = NULL WHERE key = $1", key)
    refused = await model.create(key, cy.caller)
    assert refusals(refused) == ["FORBIDDEN"] and "not made again" in refused.json()["errors"][0]["message"]
    assert await model.numbers() == ["1.0.0"]
    await cy.administers(True)
    assert (await model.create(key, cy.caller)).content == first.content


# --------------------------------------------------------------------------------------------- the proof

TRIES = 5
MODELS = 3


@dataclass
class Retried:
    """One createVersion: its key, how often it was sent, and all that was answered to it."""

    key: str
    model: str
    sent: int = 0
    tries: int = 0  # of these, until the first answer
    answers: list[bytes] = field(default_factory=list)
    told: Counter[str] = field(default_factory=Counter)

    @property
    def body(self) -> bytes:
        asked = {"projectId": "proj_retries", "modelId": self.model, "bump": "PATCH", "description": self.key}
        return json.dumps({"query": CREATE_VERSION, "variables": {"input": asked}}).encode()

    async def send(self, live: Live, client: httpx.AsyncClient, patience: float) -> None:
        """One try; the client goes away when its patience is over, whatever the server does then."""
        headers = {"Authorization": f"Bearer {live.key}", "Content-Type": "application/json"}
        timeout = httpx.Timeout(60, read=patience)
        try:
            answer = await client.post(
                f"{live.url}/graphql",
                content=self.body,
                headers=headers | {"Idempotency-Key": self.key},
                timeout=timeout,
            )
        except httpx.ConnectError:
            self.told["not connected"] += 1
            return
        except httpx.TransportError as error:
            self.sent += 1
            self.told["given up" if isinstance(error, httpx.ReadTimeout) else "cut off"] += 1
            return
        self.sent += 1
        told = answer.json()
        code = told["errors"][0]["extensions"]["code"] if "errors" in told else "answered"
        self.told[code] += 1
        if code == "answered":
            self.answers.append(answer.content)

    async def until_answered(self, live: Live, client: httpx.AsyncClient) -> None:
        """As a pipeline does: again, as long as there is no answer, at most so many times."""
        while not self.answers and self.sent < TRIES:
            impatient = self.sent < TRIES - 1 and random.random() < 0.5
            await self.send(live, client, random.uniform(0.001, 0.04) if impatient else 60)
            if not self.answers and not impatient:
                await asyncio.sleep(random.uniform(0.05, 0.2))
                await eventually(live.is_ready, told=live.said)
        self.tries = self.sent


KINDS: tuple[Callable[[Live], Any], ...] = (
    kill_worker, kill_postgres, kill_server, kill_backend, kill_server_and_postgres,
)  # fmt: skip


async def kill_and_heal(live: Live, kind: Callable[[Live], Any]) -> None:
    await asyncio.sleep(random.uniform(0.0, 0.25))
    killed: Kill = await kind(live)
    if live.parent in killed.victims:
        await restarted(live, killed)
    else:
        await eventually(lambda: all(map(has_ended, killed.victims)))
        await eventually(lambda: live.is_whole, told=live.said)


async def one_round(live: Live, kind: Callable[[Live], Any], count: int) -> list[Retried]:
    """So many registrations at once, from clients that begin one after another while something is killed."""
    retried = [Retried(new_key(), f"model_{place % MODELS}") for place in range(count)]
    limits = httpx.Limits(max_connections=count, max_keepalive_connections=count)

    async def begin(each: Retried) -> None:
        await asyncio.sleep(random.uniform(0.0, 0.3))
        await each.until_answered(live, client)

    async with httpx.AsyncClient(limits=limits, trust_env=False) as client:
        await asyncio.gather(kill_and_heal(live, kind), *map(begin, retried))
        # Who is not sure asks once more, and others do so although they are.
        await asyncio.gather(*(each.send(live, client, 60) for each in retried if random.random() < 0.3))
    return retried


@pytest.mark.long
async def test_a_registration_that_is_sent_again_while_everything_is_killed_is_made_once_and_answered_alike(
    pytestconfig: pytest.Config,
) -> None:
    kills, each_time = (50, 16) if at_full_length(pytestconfig) else (3, 12)
    retried: list[Retried] = []
    began = time.monotonic()
    async with lineal() as live:
        await set_up(live)
        for kind in itertools.islice(itertools.cycle(KINDS), kills):
            retried += await one_round(live, kind, each_time)
        await ask_all_again(live, retried)
        assert "internal error" not in live.log.read_text(), live.said()
        await assert_made_once(live, retried)
    told = sum((each.told for each in retried), Counter[str]())
    tries, answers = Counter(each.tries for each in retried), sum(len(each.answers) for each in retried)
    print(
        f"\n{len(retried)} registrations under a key each, {kills} kills in {time.monotonic() - began:.0f} s: each made"
        f" once, {answers} answers alike; all that clients were told: {dict(told)}; by tries until the first answer:"
        f" {dict(sorted(tries.items()))}"
    )


async def set_up(live: Live) -> None:
    project = 'mutation { createProject(input: {id: "proj_retries", name: "Retries"}) { project { id } } }'
    await live.ask(project)
    for place in range(MODELS):
        asked = {"id": f"model_{place}", "projectId": "proj_retries", "name": f"Model {place}"}
        await live.ask(
            "mutation($input: CreateModelInput!) { createModel(input: $input) { model { id } } }", input=asked
        )


async def ask_all_again(live: Live, retried: Sequence[Retried]) -> None:
    async with httpx.AsyncClient(trust_env=False) as client:
        for start in range(0, len(retried), 50):
            await asyncio.gather(*(each.send(live, client, 60) for each in retried[start : start + 50]))


async def assert_made_once(live: Live, retried: Sequence[Retried]) -> None:
    allowed = {"answered", "UNAVAILABLE", "not connected", "cut off", "given up"}
    assert {code for each in retried for code in each.told} <= allowed
    async with live.connection() as connection:
        rows = await connection.fetch("SELECT id, model_id, number, description FROM versions")
        events = await connection.fetch("SELECT subject_id FROM audit_events WHERE action = 'version.created'")
        kept = await connection.fetch("SELECT key, answer FROM idempotent_answers")
        await assert_chains_intact(connection)
    made = {row["description"]: row for row in rows}
    assert len(rows) == len(made) == len(retried) == len(events) == len(kept)
    assert made.keys() == {each.key for each in retried} == {row["key"] for row in kept}
    for each in retried:
        assert each.tries <= TRIES and len(set(each.answers)) == 1, each
        answered = json.loads(each.answers[0])["data"]["createVersion"]["version"]
        row = made[each.key]
        assert (answered["id"], answered["version"]) == (row["id"], ".".join(map(str, row["number"])))
    for place in range(MODELS):
        numbers = sorted(row["number"] for row in rows if row["model_id"] == f"model_{place}")
        assert numbers == [[1, 0, n] for n in range(len(numbers))]
