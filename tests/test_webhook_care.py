"""What an ADMIN does about a receiver that failed: find what was not delivered, replay it, rotate its secret."""

import socket
from collections.abc import AsyncIterator, Callable
from typing import Any

import pytest
import pytest_asyncio
from sqlalchemy import text
from standardwebhooks import Webhook as Verifier
from standardwebhooks.webhooks import WebhookVerificationError

from resolvers import webhooks as write_webhooks
from server.events.receivers import new_client
from server.events.webhooks import Sender
from storage import webhook_deliveries
from tests.conftest import SEALING, Cluster, Registry, connect, make_key, run_sql
from tests.support.receivers import (
    MAKE,
    REPLAY,
    Receiver,
    deliveries,
    fine,
    happen,
    listen,
    now_due,
    receiving,
    send_due,
    sending,
)

NOBODY = "http://127.0.0.1:9/nobody"
UPDATE = """mutation($input: UpdateWebhookInput!) { updateWebhook(input: $input) {
    webhook { active disabledAt disabledReason failingSince } } }"""
REPLAY_ALL = """mutation($input: ReplayDeliveriesInput!) { replayDeliveries(input: $input) { replayed left
    webhook { id } } }"""
ROTATE = """mutation($input: RotateWebhookSecretInput!) { rotateWebhookSecret(input: $input) { secret
    webhook { previousSecretUntil } } }"""
PAGE = """query($id: ID!, $status: [DeliveryStatus!], $since: DateTime, $until: DateTime, $first: Int, $after: String) {
    project(id: $id) { webhooks { active disabledAt disabledReason failingSince
        deliveries(status: $status, since: $since, until: $until, first: $first, after: $after) {
            totalCount nodes { id status createdAt event { id } } pageInfo { hasNextPage endCursor } } } } }"""
EVENTS = """query($id: ID!, $action: [String!]) { auditEvents(filter: {projectId: $id, action: $action}) {
    nodes { actor details } } }"""


@pytest_asyncio.fixture
async def sender(database: Cluster) -> AsyncIterator[Sender]:
    async with sending(database) as sender:
        yield sender


async def page(registry: Registry, project: str, **asked: Any) -> dict[str, Any]:
    (webhook,) = (await registry.ask(PAGE, id=project, **asked))["project"]["webhooks"]
    return dict(webhook["deliveries"])


async def fail(database: Cluster, project: str) -> None:
    """As if all attempts so far had been the last ones."""
    await run_sql(
        database.owner_url,
        "UPDATE webhook_deliveries SET status = 'FAILED', next_at = NULL, attempts = 9, attempted_at = now()"
        f" WHERE status = 'PENDING' AND project_id = '{project}'",
    )


async def test_deliveries_are_paged_and_found_by_status_and_time(
    registry: Registry, database: Cluster, project: str, sender: Sender
) -> None:
    async with receiving(fine) as receiver:
        made = await listen(registry, project, receiver.url, actions=["version.created"])
        for number in range(1, 5):
            await happen(registry, project, number)
        await send_due(sender)
    await registry.ask(UPDATE, input={"webhookId": made["webhook"]["id"], "url": NOBODY})
    for number in range(5, 8):
        await happen(registry, project, number)
    await sender.start_due()
    await send_due(sender)
    await fail(database, project)
    first = await page(registry, project, first=5)
    rest = await page(registry, project, first=5, after=first["pageInfo"]["endCursor"])
    assert (first["totalCount"], first["pageInfo"]["hasNextPage"], rest["pageInfo"]["hasNextPage"]) == (7, True, False)
    listed = [*first["nodes"], *rest["nodes"]]
    assert [each["status"] for each in listed] == ["FAILED"] * 3 + ["DELIVERED"] * 4
    failed = await page(registry, project, status=["FAILED"])
    assert failed["nodes"] == listed[:3] and failed["totalCount"] == 3
    assert (await page(registry, project, status=["FAILED", "DELIVERED"]))["totalCount"] == 7
    at = listed[2]["createdAt"]
    assert (await page(registry, project, since=at))["nodes"] == listed[:3]
    assert (await page(registry, project, until=at, status=["DELIVERED"]))["nodes"] == listed[3:]


async def test_failed_deliveries_are_sent_again_in_the_order_of_their_events(
    registry: Registry, database: Cluster, project: str, sender: Sender, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(write_webhooks, "MOST_REPLAYED", 3)
    async with receiving(fine) as receiver:
        made = await listen(registry, project, receiver.url, actions=["version.created"])
        for number in range(1, 6):
            await happen(registry, project, number)
        await send_due(sender)
        expected = [headers["webhook-id"] for headers, _ in receiver.got]
        await run_sql(
            database.owner_url,
            f"UPDATE webhook_deliveries SET status = 'FAILED' WHERE project_id = '{project}'",
        )
        receiver.got.clear()
        asked = {"webhookId": made["webhook"]["id"]}
        answers = [(await registry.ask(REPLAY_ALL, input=asked))["replayDeliveries"] for _ in range(3)]
        assert [(each["replayed"], each["left"]) for each in answers] == [(3, 2), (2, 0), (0, 0)]
        await send_due(sender)
        assert [headers["webhook-id"] for headers, _ in receiver.got] == expected
        since = (await page(registry, project, status=["DELIVERED"], first=2))["nodes"][1]["createdAt"]
        again = asked | {"since": since, "status": ["DELIVERED"]}
        assert (await registry.ask(REPLAY_ALL, input=again))["replayDeliveries"]["replayed"] == 2
        await send_due(sender)
        assert [headers["webhook-id"] for headers, _ in receiver.got][5:] == expected[3:]
    told = (await registry.ask(EVENTS, id=project, action=["webhook.replayed"]))["auditEvents"]["nodes"]
    assert [each["details"]["after"]["deliveries"] for each in told] == [2, 2, 3]


async def test_the_order_of_a_replay_does_not_depend_on_the_order_in_which_rows_are_written(
    registry: Registry, database: Cluster, project: str, sender: Sender
) -> None:
    async with receiving(fine) as receiver:
        made = await listen(registry, project, receiver.url, actions=["version.created"])
        for number in range(1, 41):
            await happen(registry, project, number)
        await send_due(sender)
    fail_backwards = f"""
    DO $$ DECLARE failed text; BEGIN
        FOR failed IN SELECT d.id FROM webhook_deliveries d JOIN audit_events e ON e.id = d.event_id
            WHERE d.project_id = '{project}' ORDER BY e.seq DESC
        LOOP UPDATE webhook_deliveries SET status = 'FAILED' WHERE id = failed; END LOOP;
    END $$"""
    await run_sql(database.owner_url, fail_backwards)
    async with sender.database.transaction() as session:
        for join in ("nestloop", "mergejoin"):  # a hash join reads the rows as they stand in the table
            await session.execute(text(f"SET LOCAL enable_{join} = off"))
        await webhook_deliveries.replay_oldest(session, made["webhook"]["id"], ["FAILED"], None, 40)
    due = f"""SELECT d.next_at FROM webhook_deliveries d JOIN audit_events e ON e.id = d.event_id
        WHERE d.project_id = '{project}' ORDER BY e.seq"""
    connection = await connect(database.owner_url)
    times = [row["next_at"] for row in await connection.fetch(due)]
    await connection.close()
    assert len(times) == 40 and times == sorted(set(times))


async def test_a_receiver_that_is_dead_for_too_long_is_switched_off_and_says_so(
    registry: Registry, database: Cluster, project: str
) -> None:
    made = await listen(registry, project, NOBODY, actions=["version.created"])
    async with sending(database, dead_seconds=3600.0) as sender:
        await happen(registry, project)
        await send_due(sender)
        (webhook,) = (await registry.ask(PAGE, id=project))["project"]["webhooks"]
        assert (webhook["active"], webhook["disabledAt"]) == (True, None)
        assert webhook["failingSince"] is not None
        await run_sql(
            database.owner_url,
            f"UPDATE webhooks SET failing_since = now() - interval '61 minutes' WHERE project_id = '{project}'",
        )
        await now_due(database, project)
        await send_due(sender)
        (webhook,) = (await registry.ask(PAGE, id=project))["project"]["webhooks"]
        assert webhook["active"] is False and webhook["disabledAt"] is not None
        assert "has failed" in webhook["disabledReason"] and "updateWebhook" in webhook["disabledReason"]
        (event,) = (await registry.ask(EVENTS, id=project, action=["webhook.disabled"]))["auditEvents"]["nodes"]
        assert (event["actor"], event["details"]["after"]["active"]) == ("lineal webhooks", False)
        await now_due(database, project)
        assert await sender.start_due() == 0
        async with receiving(fine) as receiver:
            asked = {"webhookId": made["webhook"]["id"], "active": True, "url": receiver.url}
            again = (await registry.ask(UPDATE, input=asked))["updateWebhook"]["webhook"]
            assert again == {"active": True, "disabledAt": None, "disabledReason": None, "failingSince": None}
            await send_due(sender)
            assert len(receiver.got) == 1


async def test_one_success_ends_the_time_of_failures(
    registry: Registry, database: Cluster, project: str, sender: Sender
) -> None:
    async with receiving(fine) as receiver:
        await listen(registry, project, receiver.url, actions=["version.created"])
        await run_sql(
            database.owner_url,
            f"UPDATE webhooks SET failing_since = now() - interval '9 days' WHERE project_id = '{project}'",
        )
        await happen(registry, project)
        await send_due(sender)
    (webhook,) = (await registry.ask(PAGE, id=project))["project"]["webhooks"]
    assert (webhook["active"], webhook["failingSince"]) == (True, None)


async def test_deliveries_of_an_inactive_webhook_are_not_replayed(
    registry: Registry, database: Cluster, project: str, sender: Sender
) -> None:
    made = await listen(registry, project, NOBODY, actions=["version.created"])
    await happen(registry, project)
    await send_due(sender)
    await fail(database, project)
    (delivery,) = await deliveries(registry, project)
    await registry.ask(UPDATE, input={"webhookId": made["webhook"]["id"], "active": False})
    refusals = [
        await registry.refusal(REPLAY, input={"deliveryId": delivery["id"]}),
        await registry.refusal(REPLAY_ALL, input={"webhookId": made["webhook"]["id"]}),
    ]
    assert {refusal["code"] for refusal in refusals} == {"CONFLICT"}
    assert all("is not active" in refusal["message"] for refusal in refusals)
    assert await deliveries(registry, project) == [delivery]


async def signatures_of(receiver: Receiver, *secrets: str) -> list[bool]:
    """Whether the last request verifies with each secret."""
    headers, body = receiver.got[-1]
    verified = []
    for secret in secrets:
        try:
            Verifier(secret).verify(body, headers)
            verified.append(True)
        except WebhookVerificationError:
            verified.append(False)
    return verified


async def test_while_a_secret_rotates_events_are_signed_with_both(
    registry: Registry, database: Cluster, project: str, sender: Sender
) -> None:
    async with receiving(fine) as receiver:
        made = await listen(registry, project, receiver.url, actions=["version.created"])
        asked = {"webhookId": made["webhook"]["id"]}
        rotated = (await registry.ask(ROTATE, input=asked))["rotateWebhookSecret"]
        assert rotated["webhook"]["previousSecretUntil"] is not None
        await happen(registry, project, 1)
        await send_due(sender)
        assert await signatures_of(receiver, made["secret"], rotated["secret"]) == [True, True]
        assert len(receiver.got[-1][0]["webhook-signature"].split(" ")) == 2
        await run_sql(database.owner_url, f"UPDATE webhooks SET previous_until = now() WHERE project_id = '{project}'")
        await happen(registry, project, 2)
        await send_due(sender)
        assert await signatures_of(receiver, made["secret"], rotated["secret"]) == [False, True]
        last = (await registry.ask(ROTATE, input=asked | {"overlapHours": 0.0}))["rotateWebhookSecret"]
        assert last["webhook"]["previousSecretUntil"] is None
        await happen(registry, project, 3)
        await send_due(sender)
        assert await signatures_of(receiver, rotated["secret"], last["secret"]) == [False, True]
    refusal = await registry.refusal(ROTATE, input=asked | {"overlapHours": -1.0})
    assert (refusal["code"], refusal["field"]) == ("BAD_USER_INPUT", "input.overlapHours")


async def test_no_secret_is_told_to_the_audit_log(registry: Registry, database: Cluster, project: str) -> None:
    made = await listen(registry, project, NOBODY)
    rotated = await registry.ask(ROTATE, input={"webhookId": made["webhook"]["id"]})
    connection = await connect(database.owner_url)
    entries = await connection.fetch("SELECT entry FROM audit_events WHERE project_id = $1", project)
    sealed: Any = await connection.fetchrow(
        "SELECT secret, previous_secret FROM webhooks WHERE project_id = $1", project
    )
    await connection.close()
    hidden = [made["secret"], rotated["rotateWebhookSecret"]["secret"], *sealed]
    assert not [entry for (entry,) in entries if any(each in entry for each in hidden)]


@pytest.mark.parametrize("host", ["127.0.0.1", "2130706433", "[::ffff:127.0.0.1]", "localhost", "[64:ff9b:1::7f00:1]"])
async def test_an_address_that_is_not_public_is_refused_when_a_webhook_is_made_or_changed(
    registry: Registry, database: Cluster, project: str, make_registry: Callable[..., Any], host: str
) -> None:
    strict: Registry = (await make_registry(database, webhook_private=False)).with_key(await make_key(database.app_url))
    url = f"http://{host}:9/events"
    refusal = await strict.refusal(MAKE, input={"projectId": project, "url": url})
    assert (refusal["code"], refusal["field"]) == ("BAD_USER_INPUT", "input.url")
    assert f'is "{url}"' in refusal["message"] and "public address" in refusal["message"]
    made = await listen(registry, project, NOBODY)
    refusal = await strict.refusal(UPDATE, input={"webhookId": made["webhook"]["id"], "url": url})
    assert (refusal["code"], refusal["field"]) == ("BAD_USER_INPUT", "input.url")


RESOLVED = {
    "unknown.example": [],
    "private.example": ["127.0.0.1"],
    "mixed.example": ["93.184.216.34", "127.0.0.1"],
    "azure.example": ["168.63.129.16"],
}


@pytest.mark.parametrize("host", ["127.0.0.1", "[::1]", "2130706433", *RESOLVED])
async def test_what_is_sent_nowhere_does_not_say_what_its_name_resolves_to(
    registry: Registry, database: Cluster, project: str, host: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    def offline(host: str, port: int, **_: Any) -> list[Any]:
        """As a resolver that asks nobody."""
        if host in RESOLVED and not RESOLVED[host]:
            raise socket.gaierror("Name or service not known")
        found = RESOLVED.get(host) or ["::1" if ":" in host else "127.0.0.1"]
        return [(0, 0, 0, "", (address, port)) for address in found]

    monkeypatch.setattr(socket, "getaddrinfo", offline)
    async with receiving(fine) as receiver, sending(database) as sender, new_client(allow_private=False) as client:
        port = receiver.url.split(":")[2].split("/")[0]
        await listen(registry, project, f"http://{host}:{port}/events", actions=["model.created"])
        await happen(registry, project)
        strict = Sender(sender.database, client, SEALING)
        await send_due(strict)
        assert receiver.got == []
    (delivery,) = await deliveries(registry, project)
    assert (delivery["status"], delivery["error"]) == ("PENDING", "The receiver has no public address.")


async def test_actions_that_no_event_has_are_refused(registry: Registry, project: str) -> None:
    asked = {"projectId": project, "url": NOBODY, "actions": ["version.created", "version.transition"]}
    refusal = await registry.refusal(MAKE, input=asked)
    assert (refusal["code"], refusal["field"]) == ("BAD_USER_INPUT", "input.actions[1]")
    assert "version.transitioned" in refusal["message"]
    made = await listen(registry, project, NOBODY)
    refusal = await registry.refusal(UPDATE, input={"webhookId": made["webhook"]["id"], "actions": ["nothing"]})
    assert (refusal["code"], refusal["field"]) == ("BAD_USER_INPUT", "input.actions[0]")
