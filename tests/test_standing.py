"""A caller's rights are looked at again: after a slow body, before a late answer, and while a reader does not read."""

import asyncio
import json
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from typing import Any

import pytest

from server.events import subscriptions, websockets
from server.identity import callers, keyring
from server.ops.key_commands import all_keys, end_key
from tests.conftest import Cluster, Registry, connect, make_key, make_project
from tests.support.asgi import app_of
from tests.support.documents import CREATE_VERSION
from tests.support.streams import EVENTS, new

Scope = dict[str, Any]
REMOVE = "mutation($input: RemoveMemberInput!) { removeMember(input: $input) { project { id } } }"
PROJECT = "query($id: ID!) { project(id: $id) { id name } }"


@pytest.fixture(autouse=True)
def impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    """Everything is looked at again at once: what is to be seen is whether it is."""
    monkeypatch.setattr(keyring, "TRUSTED_SECONDS", 0.0)
    for module in (callers, websockets, subscriptions):
        monkeypatch.setattr(module, "CHECK_SECONDS", 0.05)


class Member:
    """A member of a project, asking the application itself, so that bodies and answers can be as slow as wanted."""

    def __init__(self, root: Registry, database: Cluster, project: str, key: str, email: str):
        self.root, self.database, self.project, self.key, self.email = root, database, project, key, email
        self.sent: list[dict[str, Any]] = []

    async def remove(self) -> None:
        await self.root.ask(REMOVE, input={"projectId": self.project, "email": self.email})

    async def revoke(self) -> None:
        for row in await all_keys(self.database.app_url):
            if row.email == self.email:
                await end_key(self.database.app_url, row.id)

    def scope(self, path: str = "/graphql", method: str = "POST", accept: str = "application/json") -> Scope:
        headers = {
            "host": "localhost",
            "authorization": f"Bearer {self.key}",
            "content-type": "application/json",
            "accept": accept,
        }
        names = [(name.encode(), value.encode()) for name, value in headers.items()]
        return {"type": "http", "method": method, "path": path, "query_string": b"", "root_path": "", "headers": names}

    async def call(
        self,
        scope: Scope,
        body: bytes = b"",
        before_body: Callable[[], Awaitable[None]] | None = None,
        sending: Callable[[dict[str, Any]], Awaitable[None]] | None = None,
    ) -> list[dict[str, Any]]:
        messages = [{"type": "http.request", "body": body, "more_body": False}]

        async def receive() -> dict[str, Any]:
            if messages:
                if before_body:
                    await before_body()
                return messages.pop()
            return await asyncio.Future()

        async def send(message: dict[str, Any]) -> None:
            if sending:
                await sending(message)
            self.sent.append(message)

        await app_of(self.root)(scope, receive, send)
        return self.sent

    @property
    def answer(self) -> tuple[int, str]:
        return self.sent[0]["status"], self.sent[1]["body"].decode()


@pytest.fixture
async def member(registry: Registry, database: Cluster) -> Member:
    project = await make_project(registry)
    email = f"{project[5:]}@example.com"
    key = await make_key(database.app_url, email, project=None, administers=False)
    set_member = "mutation($input: SetMemberInput!) { setMember(input: $input) { project { id } } }"
    await registry.ask(set_member, input={"projectId": project, "email": email, "role": "CONTRIBUTOR"})
    return Member(registry, database, project, key, email)


@asynccontextmanager
async def locked(database: Cluster, table: str) -> AsyncIterator[None]:
    """While the block runs, whoever reads the table waits."""
    connection = await connect(database.owner_url)
    try:
        async with connection.transaction():
            await connection.execute(f"LOCK TABLE {table}")
            yield
    finally:
        await connection.close()


def asked(query: str, **variables: Any) -> bytes:
    return json.dumps({"query": query, "variables": variables}).encode()


async def test_a_key_that_is_revoked_while_a_body_comes_makes_nothing(member: Member) -> None:
    async def revoke() -> None:
        await member.revoke()
        await asyncio.sleep(0.1)

    await member.call(member.scope(), asked(CREATE_VERSION, input=new(member.project)), revoke)
    status, body = member.answer
    assert (status, json.loads(body)["errors"][0]["extensions"]["code"]) == (401, "UNAUTHENTICATED")
    models = "query($id: ID!) { project(id: $id) { models { totalCount } } }"
    assert (await member.root.ask(models, id=member.project))["project"]["models"]["totalCount"] == 0


async def test_a_role_that_is_lost_while_a_body_comes_is_not_used(member: Member) -> None:
    async def remove() -> None:
        await member.remove()
        await asyncio.sleep(0.1)

    await member.call(member.scope(), asked(PROJECT, id=member.project), remove)
    status, body = member.answer
    assert (status, json.loads(body)["data"]) == (200, {"project": None})


READS = {
    "POST": ("/graphql", "POST", "projects"),
    "a picture": ("/lineage/ver_{0}.svg", "GET", "versions"),
    "routes": ("/routes/production", "GET", "deployments"),
}


@pytest.mark.parametrize(("path", "method", "table"), READS.values(), ids=READS.keys())
@pytest.mark.parametrize("how", ["role", "key"])
async def test_an_answer_that_waited_while_a_right_ended_is_not_sent(
    member: Member, path: str, method: str, table: str, how: str
) -> None:
    made = await member.root.ask(CREATE_VERSION, input=new(member.project))
    path = path.format(made["createVersion"]["version"]["id"][4:])
    async with locked(member.database, table):
        asking = asyncio.create_task(member.call(member.scope(path, method), asked(PROJECT, id=member.project)))
        await asyncio.sleep(0.2)
        connection = await connect(member.database.owner_url)
        # Around the API, which may wait for the same lock.
        principal = "(SELECT id FROM principals WHERE email = $1)"
        if how == "role":
            await connection.execute(f"DELETE FROM members WHERE principal_id = {principal}", member.email)
        else:
            ended = f"UPDATE api_keys SET revoked_at = clock_timestamp() WHERE principal_id = {principal}"
            await connection.execute(ended, member.email)
        await connection.close()
        assert not asking.done()
    await asking
    status, body = member.answer
    assert (status, member.project in body) == (403 if how == "role" else 401, False)
    assert "ended during this request" in body


async def test_an_answer_that_waited_is_sent_to_a_caller_who_still_has_its_rights(member: Member) -> None:
    async with locked(member.database, "projects"):
        asking = asyncio.create_task(member.call(member.scope(), asked(PROJECT, id=member.project)))
        await asyncio.sleep(0.2)
    await asking
    status, body = member.answer
    assert (status, json.loads(body)["data"]["project"]["id"]) == (200, member.project)


async def test_what_waits_for_a_reader_that_does_not_read_is_not_sent_once_its_right_has_ended(member: Member) -> None:
    blocked, released = asyncio.Event(), asyncio.Event()

    async def sending(message: dict[str, Any]) -> None:
        if b"event: next" in message.get("body", b"") and not blocked.is_set():
            blocked.set()
            await released.wait()

    scope = member.scope(accept="text/event-stream")
    streaming = asyncio.create_task(member.call(scope, asked(EVENTS, project=member.project, after=0), sending=sending))
    await asyncio.wait_for(blocked.wait(), 5)
    await member.remove()
    await asyncio.wait_for(streaming, 5)
    released.set()
    bodies = [message["body"] for message in member.sent[1:]]
    assert b"auditEvents" not in b"".join(bodies)
    assert b'"code":"FORBIDDEN"' in bodies[-2] and bodies[-1].startswith(b"event: complete")


async def test_while_a_message_is_sent_the_next_one_is_not_made_yet(member: Member) -> None:
    # It would be sent later with the rights of now.
    async def sending(message: dict[str, Any]) -> None:
        if b"event: next" in message.get("body", b""):
            await asyncio.sleep(0.3)

    made: list[str] = []
    answers = app_of(member.root).streams.subscriptions
    answer = answers._answer

    async def counted(subscribed: Any, caller: Any, event: Any) -> Any:
        made.append(event.id)
        return await answer(subscribed, caller, event)

    scope = member.scope(accept="text/event-stream")
    answers._answer = counted
    try:
        body = asked(EVENTS, project=member.project, after=0)
        streaming = asyncio.create_task(member.call(scope, body, sending=sending))
        while not made:
            await asyncio.sleep(0.01)
        await asyncio.sleep(0.1)
        assert len(made) == 1
    finally:
        del answers._answer
        streaming.cancel()
        await asyncio.gather(streaming, return_exceptions=True)


@asynccontextmanager
async def held(database: Cluster, row: str) -> AsyncIterator[Any]:
    """A connection that holds a row's lock while the block runs."""
    connection = await connect(database.owner_url)
    try:
        async with connection.transaction():
            await connection.execute(f"SELECT FROM {row} FOR NO KEY UPDATE")
            yield connection
    finally:
        await connection.close()


WAITING = {
    "a model": ("models WHERE id = '{model}'", "addTags", "TagsInput"),
    "an experiment": ("experiments WHERE id = '{experiment}'", "completeExperiment", "CompleteExperimentInput"),
}


@pytest.mark.parametrize(("row", "mutation", "of"), WAITING.values(), ids=WAITING.keys())
async def test_a_write_that_waited_for_a_lock_while_its_role_was_lost_is_refused(
    member: Member, monkeypatch: pytest.MonkeyPatch, row: str, mutation: str, of: str
) -> None:
    # The write itself refuses, not only what would tell of it.
    monkeypatch.setattr(callers, "CHECK_SECONDS", 60.0)
    await member.root.ask(CREATE_VERSION, input=new(member.project))
    begin = 'mutation($p: ID!) { createExperiment(input: {projectId: $p, name: "Long"}) { experiment { id } } }'
    experiment = (await member.root.ask(begin, p=member.project))["createExperiment"]["experiment"]["id"]
    model = new(member.project)["modelId"]
    given: dict[str, Any] = {
        "addTags": {"modelId": model, "version": "1.0.0", "tags": ["late"]},
        "completeExperiment": {"experimentId": experiment, "status": "COMPLETED"},
    }[mutation]
    query = f"mutation($input: {of}!) {{ {mutation}(input: $input) {{ __typename }} }}"
    async with held(member.database, row.format(model=model, experiment=experiment)):
        caller = member.root.with_key(member.key)
        asking = asyncio.create_task(caller.refusal(query, input=given))
        await asyncio.sleep(0.3)
        await member.remove()
        assert not asking.done()
    assert (await asking)["code"] == "NOT_FOUND"
    events = "query($p: ID!) { auditEvents(filter: {projectId: $p}, first: 1) { nodes { action } } }"
    assert (await member.root.ask(events, p=member.project))["auditEvents"]["nodes"] == [{"action": "member.removed"}]
