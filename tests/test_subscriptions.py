"""Subscriptions: each event of a project once and in order, resumption, rights that end, readers that do not read."""

import asyncio
import json
import secrets
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from typing import Any
from unittest.mock import Mock

import pytest
from websockets import ConnectionClosed, InvalidStatus, NegotiationError, Subprotocol
from websockets.asyncio.client import ClientConnection, connect

from resolvers.errors import RateLimited
from server.events import subscriptions, websockets
from server.events.feed import QUEUE, Listener
from server.http.rates import Buckets
from server.identity import attempts, keyring
from storage.feed import BATCH, Event
from storage.secrets import hash_of
from tests.conftest import Cluster, Registry, make_key, make_project
from tests.conftest import connect as sql
from tests.support.documents import CREATE_VERSION
from tests.support.streams import EVENTS, Served, new, subscribed, tell
from tests.support.streams import served as served  # noqa: PLC0414 - a fixture

FEED = (
    """query($project: ID!) { auditEvents(filter: {projectId: $project}, last: 100) { nodes { position action } } }"""
)


async def test_each_event_of_a_project_comes_once_and_in_order(served: Registry) -> None:
    project, other = await make_project(served), await make_project(served)
    async with subscribed(served, project=project) as stream:
        assert stream.response.headers["content-type"] == "text/event-stream; charset=utf-8"
        for number in range(1, 6):
            await served.ask(CREATE_VERSION, input=new(other, number))
            await served.ask(CREATE_VERSION, input=new(project, number))
        answers = [await stream.answer() for _ in range(6)]
    assert [answer["action"] for answer in answers] == ["model.created", *["version.created"] * 5]
    first = answers[0]["position"]
    assert [answer["position"] for answer in answers] == list(range(first, first + 6))


async def test_many_writers_at_once_are_told_in_one_order(served: Registry) -> None:
    project = await make_project(served)
    async with subscribed(served, project=project) as one, subscribed(served, project=project) as two:
        models = [{**new(project, number), "modelId": f"model_{project[5:]}_{number % 7}"} for number in range(1, 41)]
        await asyncio.gather(*(served.ask(CREATE_VERSION, input=each) for each in models))
        told = [[await stream.answer() for _ in range(47)] for stream in (one, two)]
    assert told[0] == told[1]
    positions = [answer["position"] for answer in told[0]]
    assert positions == list(range(positions[0], positions[0] + 47))


async def test_only_the_actions_that_are_asked_for(served: Registry) -> None:
    project = await make_project(served)
    async with subscribed(served, project=project, actions=["version.tagged"]) as stream:
        await served.ask(CREATE_VERSION, input=new(project))
        await served.ask(
            "mutation($input: TagsInput!) { addTags(input: $input) { version { id } } }",
            input={"modelId": new(project)["modelId"], "version": "1.0.0", "tags": ["a"]},
        )
        assert (await stream.answer())["action"] == "version.tagged"


@pytest.mark.parametrize("by_header", [True, False])
async def test_a_reader_resumes_after_what_it_has_seen(served: Registry, by_header: bool) -> None:
    project = await make_project(served)
    async with subscribed(served, project=project) as stream:
        await served.ask(CREATE_VERSION, input=new(project, 1))
        event = await stream.next()
    await served.ask(CREATE_VERSION, input=new(project, 2))
    how: dict[str, Any] = {"headers": {"Last-Event-ID": event["id"]}} if by_header else {"after": int(event["id"])}
    async with subscribed(served, project=project, **how) as stream:
        answers = [await stream.answer() for _ in range(2)]
        assert [answer["action"] for answer in answers] == ["version.created", "version.created"]
        assert answers[0]["position"] == int(event["id"]) + 1
    everything = (await served.ask(FEED, project=project))["auditEvents"]["nodes"]
    async with subscribed(served, project=project, after=0) as stream:
        assert [(await stream.answer())["position"] for _ in everything] == [
            each["position"] for each in reversed(everything)
        ]


async def test_a_deployment_is_told_each_time_it_changes(served: Registry) -> None:
    project = await make_project(served)
    await served.ask(CREATE_VERSION, input=new(project))
    version = {"modelId": new(project)["modelId"], "version": "1.0.0"}
    wanted = {"projectId": project, "registryVersion": version, "name": "x", "environment": "qa"}
    make = "mutation($input: CreateDeploymentInput!) { createDeployment(input: $input) { deployment { id } } }"
    made = await served.ask(make, input=wanted | {"strategy": "BLUE_GREEN"})
    id_ = made["createDeployment"]["deployment"]["id"]
    query = "subscription($id: ID!) { deployment(id: $id) { id status trafficPercentage } }"
    act = "mutation($input: DeploymentActionInput!) { %s(input: $input) { deployment { id } } }"
    async with subscribed(served, query, id=id_) as stream:
        for action in ("pauseDeployment", "resumeDeployment", "advanceDeployment"):
            await served.ask(act % action, input={"deploymentId": id_})
            last = (await stream.next())["data"]["data"]["deployment"]
    assert last == {"id": id_, "status": "ACTIVE", "trafficPercentage": 100}


async def test_who_does_not_see_the_project_is_told_that_it_is_not_there(served: Registry, database: Cluster) -> None:
    project = await make_project(served)
    stranger = served.with_key(await make_key(database.app_url, "stranger@example.com", administers=False))
    async with subscribed(stranger, project=project) as stream:
        assert stream.response.status_code == 400
        answer = json.loads(await stream.response.aread())
    assert answer["errors"][0]["extensions"] == {"code": "NOT_FOUND", "field": "projectId", "id": project}


@pytest.mark.parametrize(
    ("query", "status", "code"),
    [
        ("{ viewer { email } }", 400, "BAD_USER_INPUT"),
        ("subscription { nothing }", 400, "GRAPHQL_VALIDATION_FAILED"),
        ('subscription { auditEvents(projectId: "x") { id } deployment(id: "x") { id } }', 400, None),
        ('subscription { deployment(id: "dep_none") { id } }', 400, "NOT_FOUND"),
    ],
)
async def test_what_is_no_subscription_is_refused(served: Registry, query: str, status: int, code: str | None) -> None:
    async with subscribed(served, query) as stream:
        assert stream.response.status_code == status
        answer = json.loads(await stream.response.aread())
    assert answer["errors"][0]["extensions"]["code"] == (code or "GRAPHQL_VALIDATION_FAILED")


async def test_a_subscription_that_is_not_sent_for_a_stream_is_told_how(served: Registry) -> None:
    refusal = await served.refusal('subscription { deployment(id: "dep_x") { id } }')
    assert "text/event-stream" in refusal["message"]
    response = await served.client.post("/graphql", json={"query": EVENTS}, headers={"Accept": "text/event-stream"})
    assert response.status_code == 401


async def test_a_stream_ends_when_the_right_to_see_does(served: Registry, database: Cluster) -> None:
    project = await make_project(served)
    email = f"{project[5:]}@example.com"
    member = served.with_key(await make_key(database.app_url, email, project=project, role="VIEWER"))
    async with subscribed(member, project=project) as stream:
        await served.ask(CREATE_VERSION, input=new(project, 1))
        assert (await stream.answer())["action"] == "model.created"
        assert (await stream.answer())["action"] == "version.created"
        remove = "mutation($input: RemoveMemberInput!) { removeMember(input: $input) { project { id } } }"
        await served.ask(remove, input={"projectId": project, "email": email})
        while "errors" not in (event := await stream.next(10.0))["data"]:
            assert event["data"]["data"]["auditEvents"]["action"] == "member.removed"
        assert event["data"]["errors"][0]["extensions"]["code"] == "FORBIDDEN"
        assert (await stream.next())["event"] == "complete"


async def test_a_reader_catches_up_with_whatever_it_has_missed(served: Registry) -> None:
    project = await make_project(served)
    begin = """mutation($p: ID!) { createExperiment(input: {projectId: $p, name: "Many"}) { experiment { id } } }"""
    end = "mutation($input: CompleteExperimentInput!) { completeExperiment(input: $input) { experiment { id } } }"
    for first in range(1, 1_200, 100):
        id_ = (await served.ask(begin, p=project))["createExperiment"]["experiment"]["id"]
        versions = [new(project, number) for number in range(first, first + 100)]
        await served.ask(end, input={"experimentId": id_, "status": "COMPLETED", "versions": versions})
    async with subscribed(served, project=project, after=0, actions=["version.created"]) as stream:
        positions = [(await stream.answer())["position"] for _ in range(1_200)]
    assert positions == sorted(set(positions))


def test_what_a_reader_has_no_room_for_does_not_pile_up() -> None:
    events = [Event(place, f"evt_{place}", "version.created", "ver_x") for place in range(1, BATCH + 11)]
    listener = Listener("proj_x", 0)
    listener.take(events)
    assert (listener.queue.qsize(), listener.position, listener.is_behind) == (QUEUE, QUEUE, True)
    listener.take(events[QUEUE:])
    assert (listener.queue.qsize(), listener.position) == (QUEUE, QUEUE)


async def test_a_reader_that_does_not_read_is_disconnected_and_the_others_are_not(
    served: Registry, monkeypatch: pytest.MonkeyPatch
) -> None:
    project = await make_project(served)
    await served.ask(CREATE_VERSION, input=new(project))
    monkeypatch.setattr(subscriptions, "PATIENCE_SECONDS", 0.5)
    update = "mutation($input: UpdateVersionInput!) { updateVersion(input: $input) { version { id } } }"
    which = {"modelId": new(project)["modelId"], "version": "1.0.0"}
    # Larger than what the connection itself holds, and nothing that compression makes small.
    aliases = " ".join(f"a{n}: details" for n in range(15))
    query = EVENTS.replace("seq", aliases)
    async with subscribed(served, project=project) as other, greeted(served) as connection:
        await tell(connection, "subscribe", id="1", payload={"query": query, "variables": {"project": project}})
        await asyncio.sleep(0.2)
        connection.transport.pause_reading()
        for _ in range(100):
            await served.ask(update, input=which | {"description": secrets.token_hex(4_900)})
            assert (await other.answer())["action"] == "version.updated"
        await asyncio.sleep(2.0)
        connection.transport.resume_reading()
        with pytest.raises(ConnectionClosed):
            while True:
                await asyncio.wait_for(connection.recv(), 10)
        assert connection.close_code in (1013, 1006)


# ---------------------------------------------------------------- over WebSockets


@asynccontextmanager
async def socket(registry: Registry, protocol: str | None = "graphql-transport-ws") -> AsyncIterator[ClientConnection]:
    url = str(registry.client.base_url).replace("http", "ws") + "/graphql"
    protocols = [Subprotocol(protocol)] if protocol else None
    async with connect(url, subprotocols=protocols, proxy=None, open_timeout=5) as connection:
        yield connection


async def hear(connection: ClientConnection) -> dict[str, Any]:
    return dict(json.loads(await asyncio.wait_for(connection.recv(), 5)))


@asynccontextmanager
async def greeted(registry: Registry) -> AsyncIterator[ClientConnection]:
    async with socket(registry) as connection:
        await tell(connection, "connection_init", payload={"Authorization": f"Bearer {registry.key}"})
        assert await hear(connection) == {"type": "connection_ack"}
        yield connection


async def test_several_operations_share_a_connection(served: Registry) -> None:
    project = await make_project(served)
    async with greeted(served) as connection:
        for id_, actions in (("all", None), ("some", ["version.created"])):
            variables = {"project": project, "actions": actions}
            await tell(connection, "subscribe", id=id_, payload={"query": EVENTS, "variables": variables})
        await asyncio.sleep(0.2)
        await served.ask(CREATE_VERSION, input=new(project))
        told = [await hear(connection) for _ in range(3)]
        heard = sorted((a["id"], a["payload"]["data"]["auditEvents"]["action"]) for a in told)
        assert heard == [("all", "model.created"), ("all", "version.created"), ("some", "version.created")]
        await tell(connection, "complete", id="all")
        await tell(connection, "ping")
        assert await hear(connection) == {"type": "pong"}
        await served.ask(CREATE_VERSION, input=new(project, 2))
        assert (await hear(connection))["id"] == "some"


async def test_each_answer_of_a_subscription_costs_and_whoever_has_nothing_left_gets_it_later(
    served: Registry, monkeypatch: pytest.MonkeyPatch
) -> None:
    project, taken = await make_project(served), []

    def take(self: Buckets, who: str, cost: int) -> int:
        taken.append(cost)
        if len(taken) in (2, 3):
            raise RateLimited("None is left.", 1)
        return 1

    monkeypatch.setattr(subscriptions, "CHECK_SECONDS", 0.1)
    dear = EVENTS.replace(
        "seq }", "seq details subject { ... on Model { versions(first: 100) { nodes { features } } } } }"
    )
    async with subscribed(served, dear, project=project) as stream:
        assert await anext(stream.lines) == ":"
        monkeypatch.setattr(Buckets, "take", take)
        await served.ask(CREATE_VERSION, input=new(project))
        assert (await stream.answer())["action"] == "model.created"
    # The mutation's, then the first event's: refused twice, then taken.
    assert taken[1] == taken[2] == taken[3] > 900


async def test_what_a_socket_sends_is_small_and_not_compressed(served: Registry) -> None:
    async with socket(served) as connection:
        assert not connection.protocol.extensions
        await connection.send('{"type": "pong", "x": "' + "x" * 20_000 + '"}')
        with pytest.raises(ConnectionClosed) as ended:
            await hear(connection)
        assert ended.value.rcvd is not None
        assert (ended.value.rcvd.code, "at most 16384 bytes" in ended.value.rcvd.reason) == (4400, True)
    async with greeted(served) as connection:
        await connection.send('{"type": "pong", "x": "' + "x" * 140_000 + '"}')
        with pytest.raises(ConnectionClosed) as ended:
            await hear(connection)
        assert ended.value.rcvd is not None
        assert ended.value.rcvd.code == 1009


async def test_large_answers_are_not_kept_once_those_who_wait_have_them(served: Served) -> None:
    project = await make_project(served)
    long = {**new(project), "parameters": {"text": "x" * 20_000}}
    query = EVENTS.replace("seq }", "seq subject { ... on ModelVersion { parameters } } }")
    kept = served.app.sockets.subscriptions._shared  # type: ignore[attr-defined]
    async with subscribed(served, query, project=project, actions=["version.created"]) as stream:
        await asyncio.sleep(0.1)
        before = len(kept)
        await served.ask(CREATE_VERSION, input=long)
        assert (await stream.answer())["subject"]["parameters"]["text"] == "x" * 20_000
        await served.ask(CREATE_VERSION, input=new(project, 2))
        await stream.answer()
    assert len(kept) == before + 1


async def test_subscriptions_are_limited_for_each_principal_also_on_one_connection(served: Served) -> None:
    project = await make_project(served)
    places = served.app.admission.streams
    before, places.each = places.each, 1
    try:
        async with greeted(served) as connection:
            for id_ in ("a", "b"):
                variables = {"project": project}
                await tell(connection, "subscribe", id=id_, payload={"query": EVENTS, "variables": variables})
                await asyncio.sleep(0.1)
            told = await hear(connection)
            assert (told["type"], told["id"]) == ("error", "b")
            assert told["payload"][0]["extensions"]["code"] == "RATE_LIMITED"
            async with subscribed(served, project=project) as stream:
                assert stream.response.status_code == 429
            await tell(connection, "complete", id="a")
            await asyncio.sleep(0.1)
            async with subscribed(served, project=project) as stream:
                assert stream.response.status_code == 200
    finally:
        places.each = before


async def test_a_position_to_resume_after_that_is_none_is_refused(served: Registry) -> None:
    project = await make_project(served)
    async with subscribed(served, headers={"Last-Event-ID": "abc"}, project=project) as stream:
        assert stream.response.status_code == 400
        error = json.loads(await stream.response.aread())["errors"][0]
    assert error["message"] == 'Last-Event-ID is "abc"; it must be the id of an event, which is a whole number.'


async def test_a_refused_operation_leaves_the_others(served: Registry) -> None:
    refused = {
        "{ nothing }": "GRAPHQL_VALIDATION_FAILED",
        'subscription { deployment(id: "dep_none") { id } }': "NOT_FOUND",
        "{ viewer { email } }": "BAD_USER_INPUT",
        'subscription($p: ID = "x") { auditEvents(projectId: $p) { id } }': "BAD_USER_INPUT",
        "": "BAD_USER_INPUT",
    }
    async with greeted(served) as connection:
        for query, code in refused.items():
            await tell(connection, "subscribe", id="a", payload={"query": query, "variables": {"p": None}})
            told = await hear(connection)
            assert (told["type"], told["id"], told["payload"][0]["extensions"]["code"]) == ("error", "a", code)
        await tell(connection, "ping")
        assert await hear(connection) == {"type": "pong"}


@pytest.mark.parametrize(
    ("messages", "code"),
    [
        (["nonsense"], 4400),
        ([{"type": "subscribe", "id": "1", "payload": {"query": "{ __typename }"}}], 4401),
        ([{"type": "connection_init", "payload": {"authorization": "Bearer lnl_wrong"}}], 4403),
        ([{"type": "connection_init"}], 4403),
        ([], 4408),
        (["init", {"type": "subscribe", "id": "1", "payload": {"query": EVENTS}}] * 2, 4429),
        (["init", {"type": "subscribe", "id": 1, "payload": {}}], 4400),
        (["init", {"type": "subscribe", "id": "1" * 1_001, "payload": {"query": EVENTS}}], 4400),
        (["init", {"type": "unheard-of"}], 4400),
    ],
)
async def test_who_does_not_keep_to_the_protocol_is_closed_with_its_code(
    served: Registry, messages: list[Any], code: int
) -> None:
    async with socket(served) as connection:
        init = {"type": "connection_init", "payload": {"authorization": f"Bearer {served.key}"}}
        for each in messages:
            message = init if each == "init" else each
            await connection.send(message if isinstance(message, str) else json.dumps(message))
        with pytest.raises(ConnectionClosed):
            while True:
                await asyncio.wait_for(connection.recv(), 5)
        assert connection.close_code == code


async def test_another_protocol_is_not_spoken(served: Registry) -> None:
    for protocol in ("graphql-ws", None):
        with suppress(NegotiationError):
            async with socket(served, protocol) as connection:
                with pytest.raises(ConnectionClosed):
                    await asyncio.wait_for(connection.recv(), 5)
                assert connection.close_code == 4406


async def test_pages_of_other_sites_are_not_let_in(served: Registry) -> None:
    url = str(served.client.base_url).replace("http", "ws")
    for path, headers in (("/graphql", {"Origin": "https://evil.example.com"}), ("/elsewhere", {})):
        with pytest.raises(InvalidStatus):
            async with connect(url + path, subprotocols=[Subprotocol("graphql-transport-ws")], proxy=None,
                               additional_headers=headers):  # fmt: skip
                pass


async def closed(connection: ClientConnection, within: float = 10.0) -> tuple[int | None, list[dict[str, Any]]]:
    """The code that a connection is closed with, and all that came before."""
    told = []
    with suppress(ConnectionClosed):
        async with asyncio.timeout(within):
            while True:
                told.append(json.loads(await connection.recv()))
    return connection.close_code, told


async def revoke(database: Cluster, secret: str) -> None:
    connection = await sql(database.owner_url)
    ended = "UPDATE api_keys SET revoked_at = clock_timestamp() WHERE secret_hash = $1"
    await connection.execute(ended, hash_of(secret))
    await connection.close()


async def test_a_socket_is_told_and_closed_when_the_right_to_see_ends(served: Registry, database: Cluster) -> None:
    project = await make_project(served)
    email = f"{project[5:]}@example.com"
    member = served.with_key(await make_key(database.app_url, email, project=project, role="VIEWER"))
    async with greeted(member) as connection:
        await tell(connection, "subscribe", id="1", payload={"query": EVENTS, "variables": {"project": project}})
        await asyncio.sleep(0.2)
        remove = "mutation($input: RemoveMemberInput!) { removeMember(input: $input) { project { id } } }"
        await served.ask(remove, input={"projectId": project, "email": email})
        code, told = await closed(connection)
    assert (told[-1]["type"], told[-1]["payload"][0]["extensions"]["code"]) == ("error", "FORBIDDEN")
    assert (code, connection.close_reason) == (4403, "Your key or your access to this project has ended.")


async def test_a_socket_on_which_nothing_is_subscribed_to_is_closed_when_its_key_ends(
    served: Registry, database: Cluster
) -> None:
    secret = await make_key(database.app_url, "idle@example.com")
    async with greeted(served.with_key(secret)) as connection, greeted(served) as other:
        await revoke(database, secret)
        assert await closed(connection) == (4403, [])
        assert connection.close_reason == "Your API key or token was revoked or has expired."
        await tell(other, "ping")
        assert await hear(other) == {"type": "pong"}


async def test_a_caller_is_identified_anew_at_each_subscription(
    served: Registry, database: Cluster, monkeypatch: pytest.MonkeyPatch
) -> None:
    # Nothing but subscribing looks.
    monkeypatch.setattr(websockets, "CHECK_SECONDS", 60.0)
    monkeypatch.setattr(keyring, "TRUSTED_SECONDS", 0.0)
    project, email = await make_project(served), f"{secrets.token_hex(6)}@example.com"
    member = await make_key(database.app_url, email, project=project, role="VIEWER")
    payload = {"query": EVENTS, "variables": {"project": project, "after": 0}}
    async with greeted(served.with_key(member)) as connection:
        await revoke(database, member)
        await tell(connection, "subscribe", id="1", payload=payload)
        assert await closed(connection) == (4403, [])
        again = await make_key(database.app_url, email)
        async with greeted(served.with_key(again)) as third:
            await served.ask(
                "mutation($input: SetAdministratorInput!) { setAdministrator(input: $input) { principal { id } } }",
                input={"email": email, "administers": False},
            )
            remove = "mutation($input: RemoveMemberInput!) { removeMember(input: $input) { project { id } } }"
            await served.ask(remove, input={"projectId": project, "email": email})
            await tell(third, "subscribe", id="1", payload=payload)
            told = await hear(third)
            assert (told["type"], told["payload"][0]["extensions"]["code"]) == ("error", "NOT_FOUND")


async def test_an_id_that_is_completed_and_used_again_is_one_subscription(served: Registry) -> None:
    project = await make_project(served)
    payload = {"query": EVENTS, "variables": {"project": project}}
    async with greeted(served) as connection:
        await tell(connection, "subscribe", id="1", payload=payload)
        await asyncio.sleep(0.2)
        # In one write, so that the first is still ending when the second begins.
        for message in ({"type": "complete", "id": "1"}, {"type": "subscribe", "id": "1", "payload": payload}):
            connection.protocol.send_text(json.dumps(message).encode())
        connection.send_data()
        await asyncio.sleep(0.3)
        await tell(connection, "complete", id="1")
        await tell(connection, "ping")
        assert await hear(connection) == {"type": "pong"}
        await served.ask(CREATE_VERSION, input=new(project))
        with pytest.raises(TimeoutError):
            await asyncio.wait_for(connection.recv(), 1.0)


async def test_wrong_keys_over_websockets_are_attempts_too(served: Registry, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(attempts.Attempts, "failed", Mock(side_effect=RateLimited("Too many wrong keys.", 2)))
    async with socket(served) as connection:
        await tell(connection, "connection_init", payload={"authorization": "Bearer lnl_wrong"})
        assert (await closed(connection))[0] == 1013
        assert connection.close_reason == "Too many wrong keys."
