"""How many sends are in flight, who gets the places, and whose outcome counts."""

import asyncio
from collections.abc import AsyncIterator, Callable
from typing import Any

import pytest
import pytest_asyncio

from server.events import webhooks
from server.events.webhooks import PER_FAILING, PER_PROJECT, Sender
from tests.conftest import Cluster, Registry, connect, make_project, run_sql
from tests.support.live import eventually
from tests.support.receivers import (
    MAKE,
    REPLAY,
    Receiver,
    deliveries,
    fine,
    happen,
    listen,
    receiving,
    send_due,
    sending,
)

NOBODY = "http://127.0.0.1:9/nobody"


@pytest_asyncio.fixture(autouse=True)
async def no_other_webhooks(database: Cluster) -> None:
    """Those of other tests, which share the database, take no places here."""
    await run_sql(database.owner_url, "UPDATE webhooks SET active = false")


@pytest_asyncio.fixture
async def sender(database: Cluster) -> AsyncIterator[Sender]:
    async with sending(database) as sender:
        yield sender


class Held:
    """Answers nothing until it is told to."""

    def __init__(self) -> None:
        self.released = asyncio.Event()

    async def __call__(self, number: int) -> tuple[int, dict[str, str]]:
        await self.released.wait()
        return 204, {}


async def in_flight(receiver: Receiver, number: int) -> None:
    await eventually(lambda: len(receiver.got) >= number, 10, lambda: f"{len(receiver.got)} came")


async def test_a_webhook_has_one_attempt_in_flight_and_a_project_a_few_over_all_processes(
    registry: Registry, database: Cluster, project: str, sender: Sender
) -> None:
    other_project, held = await make_project(registry), Held()
    async with receiving(held) as receiver, receiving(fine) as well, sending(database) as other:
        for _ in range(PER_PROJECT + 3):
            await listen(registry, project, receiver.url, actions=["version.created"])
        await listen(registry, other_project, well.url, actions=["version.created"])
        for number in range(1, 4):
            await happen(registry, project, number)
            await happen(registry, other_project, number)
        started = [await each.start_due() for each in (sender, other, sender, other)]
        assert started[0] == PER_PROJECT + 1
        await in_flight(receiver, PER_PROJECT)
        # The receiver of the other project has all its events while those of the first answer nothing.
        while len(well.got) < 3:
            await asyncio.sleep(0.05)
            await other.start_due()
        assert len(receiver.got) == PER_PROJECT
        held.released.set()
        await send_due(sender)
        assert len(receiver.got) == 3 * (PER_PROJECT + 3)


async def test_receivers_that_failed_last_time_leave_places_to_the_others_of_their_project(
    registry: Registry, database: Cluster, project: str, sender: Sender
) -> None:
    held = Held()
    async with receiving(held) as dead, receiving(fine) as well:
        for _ in range(PER_PROJECT + 3):
            await listen(registry, project, dead.url, actions=["version.created"])
        await run_sql(database.owner_url, f"UPDATE webhooks SET failing_since = now() WHERE project_id = '{project}'")
        await listen(registry, project, well.url, actions=["version.created"])
        await happen(registry, project)
        await sender.start_due()
        await in_flight(well, 1)
        assert len(dead.got) <= PER_FAILING
        held.released.set()
        await send_due(sender)


async def test_the_events_of_a_webhook_are_sent_in_their_order(
    registry: Registry, project: str, sender: Sender
) -> None:
    async with receiving(fine) as receiver:
        await listen(registry, project, receiver.url, actions=["version.created"])
        for number in range(1, 31):
            await happen(registry, project, number)
        await send_due(sender)
        listed = [each["event"]["id"] for each in reversed(await deliveries(registry, project))]
    assert [headers["webhook-id"] for headers, _ in receiver.got] == listed


async def test_an_attempt_in_flight_does_not_overwrite_what_became_of_a_replay(
    registry: Registry, database: Cluster, project: str, sender: Sender
) -> None:
    first_may_fail = asyncio.Event()

    async def troubled(number: int) -> tuple[int, dict[str, str]]:
        if number == 1:
            await first_may_fail.wait()
            return 500, {}
        return 204, {}

    async with receiving(troubled) as receiver, sending(database) as other:
        await listen(registry, project, receiver.url, actions=["version.created"])
        await happen(registry, project)
        await sender.start_due()
        await in_flight(receiver, 1)
        (delivery,) = await deliveries(registry, project)
        await registry.ask(REPLAY, input={"deliveryId": delivery["id"]})
        # Not here: one attempt of a webhook is in flight in a process, whichever counts.
        assert await sender.start_due() == 0
        await send_due(other)
        (delivery,) = await deliveries(registry, project)
        assert (delivery["status"], delivery["attempts"]) == ("DELIVERED", 1)
        first_may_fail.set()
        await send_due(sender)
        (delivery,) = await deliveries(registry, project)
        assert (delivery["status"], delivery["attempts"]) == ("DELIVERED", 1)
        assert len(receiver.got) == 2


async def test_an_attempt_whose_lease_ran_out_does_not_overwrite_what_became_of_the_next(
    registry: Registry, database: Cluster, project: str, sender: Sender
) -> None:
    held = Held()
    async with receiving(held) as receiver, sending(database) as other:
        await listen(registry, project, receiver.url, actions=["version.created"])
        await happen(registry, project)
        await sender.start_due()
        await in_flight(receiver, 1)
        leases = []
        connection = await connect(database.owner_url)
        for number in (2, 3):
            query = f"SELECT lease FROM webhook_deliveries WHERE project_id = '{project}'"
            leases.append(await connection.fetchval(query))
            # The row is as it was at the first attempt but for the lease.
            await connection.execute(
                f"UPDATE webhook_deliveries SET next_at = now(), attempts = 0 WHERE project_id = '{project}'"
            )
            async with sending(database) as another:
                await another.start_due()
                await in_flight(receiver, number)
        leases.append(await connection.fetchval(query))
        await connection.close()
        assert len(set(leases)) == 3 and None not in leases
        held.released.set()
        await send_due(sender)
        await send_due(other)
        (delivery,) = await deliveries(registry, project)
        # Neither attempt whose lease is another's says what became of it; the third was given up with its process.
        assert delivery["status"] == "PENDING"


async def test_a_project_has_no_more_webhooks_than_the_setting_says(
    registry: Registry, database: Cluster, project: str, make_registry: Callable[..., Any]
) -> None:
    few: Registry = (await make_registry(database, webhooks_per_project=2, webhook_private=True)).with_key(registry.key)
    made = await asyncio.gather(
        *(few.send(MAKE, input={"projectId": project, "url": f"{NOBODY}{number}"}) for number in range(5))
    )
    errors = [answer.json()["errors"][0] for answer in made if "errors" in answer.json()]
    assert len(errors) == 3
    assert {error["extensions"]["code"] for error in errors} == {"CONFLICT"}
    assert "has 2 webhooks, which is the maximum" in errors[0]["message"]
    kept = await registry.ask("query($id: ID!) { project(id: $id) { webhooks { id } } }", id=project)
    assert len(kept["project"]["webhooks"]) == 2


async def test_what_a_process_was_sending_is_given_up_when_it_ends(
    registry: Registry, database: Cluster, project: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(webhooks, "TIMEOUT_SECONDS", 60)
    held = Held()
    async with receiving(held) as receiver:
        await listen(registry, project, receiver.url, actions=["version.created"])
        await happen(registry, project)
        async with asyncio.timeout(5), sending(database) as sender:
            await sender.start_due()
            await in_flight(receiver, 1)
        held.released.set()
