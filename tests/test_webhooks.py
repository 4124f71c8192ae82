"""Webhooks: signed, tried again as documented, never sent where nobody outside should send anything."""

import asyncio
import json
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any

import pytest
import pytest_asyncio
from standardwebhooks import Webhook as Verifier

from resolvers.rules.webhooks import WAITS, outcome
from server import webhooks
from server.webhooks import Sender, is_public, new_client
from storage.engine import Database
from tests.conftest import Cluster, Registry, connect, make_project, run_sql
from tests.test_versions import CREATE

MAKE = """mutation($input: CreateWebhookInput!) { createWebhook(input: $input) { secret
    webhook { id url actions active } } }"""
LOG = """query($id: ID!) { project(id: $id) { webhooks { id active deliveries {
    id status attempts responseStatus error nextAt event { id action } } } } }"""
REPLAY = "mutation($input: ReplayDeliveryInput!) { replayDelivery(input: $input) { delivery { status attempts } } }"

Answer = Callable[[int], Awaitable[tuple[int, dict[str, str]]]]


@dataclass
class Receiver:
    """A server that notes what it is sent, and answers as it is told to: by the number of the request."""

    answer: Answer
    got: list[tuple[dict[str, str], bytes]] = field(default_factory=list)
    url: str = ""

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            await reader.readline()
            headers = {}
            while line := (await reader.readline()).decode().strip():
                name, _, value = line.partition(": ")
                headers[name.lower()] = value
            body = await reader.readexactly(int(headers["content-length"]))
            self.got.append((headers, body))
            status, more = await self.answer(len(self.got))
            head = "".join(f"{name}: {value}\r\n" for name, value in more.items())
            writer.write(f"HTTP/1.1 {status} X\r\nContent-Length: 0\r\nConnection: close\r\n{head}\r\n".encode())
            await writer.drain()
        finally:
            writer.close()


@asynccontextmanager
async def receiving(answer: Answer) -> AsyncIterator[Receiver]:
    receiver = Receiver(answer)
    async with await asyncio.start_server(receiver.serve, "127.0.0.1", 0) as server:
        receiver.url = f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}/events"
        yield receiver


async def fine(number: int) -> tuple[int, dict[str, str]]:
    return 204, {}


@pytest_asyncio.fixture
async def opened(database: Cluster) -> AsyncIterator[Database]:
    made = Database(database.app_url, size=2)
    await made.open()
    yield made
    await made.close()


@pytest_asyncio.fixture
async def sender(opened: Database) -> AsyncIterator[Sender]:
    async with new_client(allow_private=True) as client:
        yield Sender(opened, client)


async def listen(registry: Registry, project: str, url: str, **more: Any) -> dict[str, Any]:
    made = await registry.ask(MAKE, input={"projectId": project, "url": url} | more)
    return dict(made["createWebhook"])


async def happen(registry: Registry, project: str, number: int = 1) -> None:
    new = {"projectId": project, "modelId": f"model_{project[5:]}", "createModel": True, "version": f"{number}.0.0"}
    await registry.ask(CREATE, input=new)


async def deliveries(registry: Registry, project: str) -> list[dict[str, Any]]:
    (webhook,) = (await registry.ask(LOG, id=project))["project"]["webhooks"]
    return list(webhook["deliveries"])


async def now_due(database: Cluster, project: str) -> None:
    later = f"UPDATE webhook_deliveries SET next_at = now() WHERE status = 'PENDING' AND project_id = '{project}'"
    await run_sql(database.owner_url, later)


async def test_events_are_sent_signed_and_each_under_its_own_id(
    registry: Registry, project: str, sender: Sender
) -> None:
    async with receiving(fine) as receiver:
        made = await listen(registry, project, receiver.url, actions=["version.created"])
        await happen(registry, project, 1)
        await happen(registry, project, 2)
        await sender.send_due()
    assert made["webhook"]["actions"] == ["version.created"]
    sent = await deliveries(registry, project)
    assert [(each["status"], each["attempts"], each["responseStatus"]) for each in sent] == [("DELIVERED", 1, 204)] * 2
    ids = set()
    for headers, body in receiver.got:
        told = Verifier(made["secret"]).verify(body, headers)
        assert told["type"] == "version.created"
        assert (told["data"]["id"], told["data"]["projectId"]) == (headers["webhook-id"], project)
        ids.add(headers["webhook-id"])
    assert ids == {each["event"]["id"] for each in sent}
    with pytest.raises(Exception, match="signature"):
        Verifier(made["secret"]).verify(receiver.got[0][1] + b" ", receiver.got[0][0])


async def test_what_fails_is_tried_again_under_the_same_id_until_it_is_taken(
    registry: Registry, project: str, sender: Sender, database: Cluster, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def troubled(number: int) -> tuple[int, dict[str, str]]:
        if number == 2:
            await asyncio.sleep(1)  # longer than is waited for
        return {1: (503, {}), 3: (302, {"Location": "http://127.0.0.1:1/elsewhere"}), 4: (200, {})}.get(
            number, (500, {})
        )

    monkeypatch.setattr(webhooks, "TIMEOUT_SECONDS", 0.3)
    told = []
    async with receiving(troubled) as receiver:
        await listen(registry, project, receiver.url, actions=["model.created"])
        await happen(registry, project)
        for _ in range(4):
            await sender.send_due()
            (delivery,) = await deliveries(registry, project)
            told.append((delivery["status"], delivery["attempts"], delivery["error"]))
            await now_due(database, project)
        await sender.send_due()
    assert told == [
        ("PENDING", 1, "Answered 503."),
        ("PENDING", 2, "No answer within 0.3 seconds."),
        ("PENDING", 3, "Answered 302; redirects are not followed."),
        ("DELIVERED", 4, None),
    ]
    assert len({headers["webhook-id"] for headers, _ in receiver.got}) == 1
    assert len(receiver.got) == 4


async def test_what_nobody_takes_fails_in_the_end_and_may_be_replayed(
    registry: Registry, project: str, sender: Sender, database: Cluster
) -> None:
    await listen(registry, project, "http://127.0.0.1:9/nobody", actions=["model.created"])
    await happen(registry, project)
    for _ in range(len(WAITS) + 2):
        await sender.send_due()
        await now_due(database, project)
    (delivery,) = await deliveries(registry, project)
    assert (delivery["status"], delivery["attempts"], delivery["nextAt"]) == ("FAILED", len(WAITS) + 1, None)
    assert "onnect" in delivery["error"]
    replayed = await registry.ask(REPLAY, input={"deliveryId": delivery["id"]})
    assert replayed["replayDelivery"]["delivery"] == {"status": "PENDING", "attempts": 0}


def test_attempts_are_as_far_apart_as_documented() -> None:
    waits = [outcome(500, None, attempt) for attempt in range(1, len(WAITS) + 2)]
    assert [each.wait for each in waits[:-1]] == list(WAITS)
    assert waits[-1].status == "FAILED"
    assert outcome(410, None, 1).status == "FAILED"
    assert outcome(204, None, 9).status == "DELIVERED"
    assert 20 * 3600 < sum(WAITS) < 24 * 3600


@pytest.mark.parametrize(
    "host", ["127.0.0.1", "169.254.169.254", "10.1.2.3", "192.168.0.1", "[::1]", "[fe80::1]", "localhost",
             "[::ffff:127.0.0.1]", "2130706433", "[2002:7f00:1::]", "[64:ff9b::7f00:1]", "224.0.0.1"]
)  # fmt: skip
async def test_private_targets_are_refused_after_their_names_are_resolved(
    registry: Registry, project: str, opened: Database, host: str
) -> None:
    async with receiving(fine) as receiver:
        port = receiver.url.split(":")[2].split("/")[0]
        await listen(registry, project, f"http://{host}:{port}/events", actions=["model.created"])
        await happen(registry, project)
        async with new_client(allow_private=False) as client:
            await Sender(opened, client).send_due()
    (delivery,) = await deliveries(registry, project)
    assert (delivery["status"], receiver.got) == ("PENDING", [])
    assert "no public address" in delivery["error"]


def test_public_addresses_are_told_from_others() -> None:
    assert is_public("93.184.216.34")
    assert is_public("2606:2800:220:1:248:1893:25c8:1946")


async def test_two_senders_share_the_work_and_one_that_is_gone_is_replaced(
    registry: Registry, project: str, sender: Sender, opened: Database, database: Cluster
) -> None:
    async with receiving(fine) as receiver:
        await listen(registry, project, receiver.url)
        for number in range(1, 16):
            await happen(registry, project, number)
        async with new_client(allow_private=True) as client:
            await asyncio.gather(sender.send_due(), Sender(opened, client).send_due())
            await sender.send_due()
        ids = [headers["webhook-id"] for headers, _ in receiver.got]
        assert len(ids) == len(set(ids)) == 17  # fifteen versions, one model, and the webhook itself
        connection = await connect(database.owner_url)
        # Taken by one who was killed: its lease runs out.
        lost = "UPDATE webhook_deliveries SET status = 'PENDING', next_at = now() {} WHERE event_id = $1"
        await connection.execute(lost.format("+ interval '1 minute'"), ids[0])
        await sender.send_due()
        assert len(receiver.got) == 17
        await connection.execute(lost.format(""), ids[0])
        await sender.send_due()
        await connection.close()
    assert [headers["webhook-id"] for headers, _ in receiver.got].count(ids[0]) == 2


async def test_what_happens_while_a_webhook_rests_is_sent_later(registry: Registry, sender: Sender) -> None:
    project = await make_project(registry)
    update = "mutation($input: UpdateWebhookInput!) { updateWebhook(input: $input) { webhook { active } } }"
    async with receiving(fine) as receiver:
        made = await listen(registry, project, receiver.url, actions=["version.created"])
        await registry.ask(update, input={"webhookId": made["webhook"]["id"], "active": False})
        await happen(registry, project)
        await sender.send_due()
        assert receiver.got == []
        await registry.ask(update, input={"webhookId": made["webhook"]["id"], "active": True})
        await sender.send_due()
    assert [json.loads(body)["type"] for _, body in receiver.got] == ["version.created"]


@pytest.mark.parametrize(
    "url", ["ftp://example.com", "example.com", "http://", "https://a b.com", "http://me@example.com"]
)
async def test_what_is_no_address_is_refused(registry: Registry, project: str, url: str) -> None:
    refusal = await registry.refusal(MAKE, input={"projectId": project, "url": url})
    assert (refusal["code"], refusal["field"]) == ("BAD_USER_INPUT", "input.url")
