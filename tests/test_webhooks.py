"""Webhooks: signed, tried again as documented, never sent where nobody outside should send anything."""

import asyncio
import base64
import hmac
import json
from collections.abc import AsyncIterator

import pytest
import pytest_asyncio
from hypothesis import given
from hypothesis import strategies as st
from standardwebhooks import Webhook as Verifier

from resolvers.rules.webhooks import WAITS, result_of
from server.events import webhooks
from server.events.webhooks import Sender
from tests.conftest import Cluster, Registry, connect, make_project
from tests.support.receivers import (
    MAKE,
    REPLAY,
    deliveries,
    fine,
    happen,
    listen,
    now_due,
    receiving,
    send_due,
    sending,
)


@pytest_asyncio.fixture
async def sender(database: Cluster) -> AsyncIterator[Sender]:
    async with sending(database) as sender:
        yield sender


async def test_events_are_sent_signed_and_each_under_its_own_id(
    registry: Registry, project: str, sender: Sender
) -> None:
    async with receiving(fine) as receiver:
        made = await listen(registry, project, receiver.url, actions=["version.created"])
        await happen(registry, project, 1)
        await happen(registry, project, 2)
        await send_due(sender)
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


def test_an_event_is_signed_as_the_specification_says() -> None:
    # The example that the reference libraries are tested with.
    secret, id_, at = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw", "msg_p5jXN8AQM9LWM0D4loKWxJek", 1_614_265_330
    headers = webhooks.signed([secret], id_, at, b'{"test": 2432232314}')
    assert headers["webhook-signature"] == "v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE="


@given(st.binary(min_size=24, max_size=64), st.text(), st.integers(0, 2**32), st.text())
def test_a_signature_is_the_hmac_of_id_time_and_body(key: bytes, name: str, at: int, text: str) -> None:
    secret, id_, body = f"whsec_{base64.b64encode(key).decode()}", f"evt_{name}", json.dumps(text).encode()
    signature = base64.b64encode(hmac.digest(key, b"%b.%d.%b" % (id_.encode(), at, body), "sha256")).decode()
    headers = webhooks.signed([secret, secret], id_, at, body)
    assert headers["webhook-signature"] == f"v1,{signature} v1,{signature}"
    assert (headers["webhook-id"], headers["webhook-timestamp"]) == (id_, str(at))


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
            await send_due(sender)
            (delivery,) = await deliveries(registry, project)
            told.append((delivery["status"], delivery["attempts"], delivery["error"]))
            await now_due(database, project)
        await send_due(sender)
    assert told == [
        ("PENDING", 1, "Answered 503."),
        ("PENDING", 2, "No response within 0.3 seconds."),
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
        await send_due(sender)
        await now_due(database, project)
    (delivery,) = await deliveries(registry, project)
    assert (delivery["status"], delivery["attempts"], delivery["nextAt"]) == ("FAILED", len(WAITS) + 1, None)
    assert delivery["error"] == "No connection to the receiver."
    replayed = await registry.ask(REPLAY, input={"deliveryId": delivery["id"]})
    assert replayed["replayDelivery"]["delivery"] == {"status": "PENDING", "attempts": 0}


def test_attempts_are_as_far_apart_as_documented() -> None:
    waits = [result_of(500, None, attempt) for attempt in range(1, len(WAITS) + 2)]
    assert [each.wait for each in waits[:-1]] == list(WAITS)
    assert waits[-1].status == "FAILED"
    assert result_of(410, None, 1).status == "FAILED"
    assert result_of(204, None, 9).status == "DELIVERED"
    assert 20 * 3600 < sum(WAITS) < 24 * 3600


async def test_two_senders_share_the_work_and_one_that_is_gone_is_replaced(
    registry: Registry, project: str, sender: Sender, database: Cluster
) -> None:
    async with receiving(fine) as receiver:
        await listen(registry, project, receiver.url)
        for number in range(1, 16):
            await happen(registry, project, number)
        async with sending(database) as other:
            await asyncio.gather(send_due(sender), send_due(other))
            await send_due(sender)
        ids = [headers["webhook-id"] for headers, _ in receiver.got]
        assert len(ids) == len(set(ids)) == 17  # fifteen versions, one model, and the webhook itself
        connection = await connect(database.owner_url)
        # Taken by one who was killed: its lease runs out.
        lost = (
            "UPDATE webhook_deliveries SET status = 'PENDING', lease = gen_random_uuid(), next_at = now() {}"
            " WHERE event_id = $1"
        )
        await connection.execute(lost.format("+ interval '1 minute'"), ids[0])
        await send_due(sender)
        assert len(receiver.got) == 17
        await connection.execute(lost.format(""), ids[0])
        await send_due(sender)
        await connection.close()
    assert [headers["webhook-id"] for headers, _ in receiver.got].count(ids[0]) == 2


async def test_what_happens_while_a_webhook_rests_is_sent_later(registry: Registry, sender: Sender) -> None:
    project = await make_project(registry)
    update = "mutation($input: UpdateWebhookInput!) { updateWebhook(input: $input) { webhook { active } } }"
    async with receiving(fine) as receiver:
        made = await listen(registry, project, receiver.url, actions=["version.created"])
        await registry.ask(update, input={"webhookId": made["webhook"]["id"], "active": False})
        await happen(registry, project)
        await send_due(sender)
        assert receiver.got == []
        await registry.ask(update, input={"webhookId": made["webhook"]["id"], "active": True})
        await send_due(sender)
    assert [json.loads(body)["type"] for _, body in receiver.got] == ["version.created"]


@pytest.mark.parametrize(
    "url", ["ftp://example.com", "example.com", "http://", "https://a b.com", "http://me@example.com"]
)
async def test_what_is_no_address_is_refused(registry: Registry, project: str, url: str) -> None:
    refusal = await registry.refusal(MAKE, input={"projectId": project, "url": url})
    assert (refusal["code"], refusal["field"]) == ("BAD_USER_INPUT", "input.url")
