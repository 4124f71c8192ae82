"""Sixty receivers that never answer and sixty that answer late delay nobody else's events, whatever is killed."""

import asyncio
import os
import random
import signal
import time
from collections import Counter, defaultdict
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field

import orjson
import pytest
import pytest_asyncio

from tests.support.live import OK, Live, at_full_length, eventually, lineal, spread

pytestmark = pytest.mark.long

RECEIVERS = 60
IN_TIME = 2.0
PROJECTS = ("proj_dead", "proj_slow", "proj_well")
CREATE_PROJECT = "mutation($input: CreateProjectInput!) { createProject(input: $input) { project { id } } }"
CREATE_WEBHOOK = "mutation($input: CreateWebhookInput!) { createWebhook(input: $input) { webhook { id } } }"
CREATE_DATASET = "mutation($input: CreateDatasetInput!) { createDataset(input: $input) { dataset { id } } }"
REPLAY = "mutation($input: ReplayDeliveryInput!) { replayDelivery(input: $input) { delivery { status } } }"


@dataclass
class Receivers:
    """One server of this machine: what is sent to /dead is never answered, to /slow late, to /well at once."""

    slowness: tuple[float, float]
    url: str = ""
    # When each subject was received, by path.
    got: dict[str, dict[str, list[float]]] = field(default_factory=lambda: defaultdict(lambda: defaultdict(list)))

    def sends(self, prefix: str) -> int:
        """How often anything was sent to the paths that begin so."""
        return sum(len(times) for path, got in self.got.items() if path.startswith(prefix) for times in got.values())

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            path = (await reader.readline()).split()[1].decode()
            head = await reader.readuntil(b"\r\n\r\n")
            length = int(head.lower().partition(b"content-length: ")[2].split(b"\r\n")[0])
            event = orjson.loads(await reader.readexactly(length))
            self.got[path][event["data"]["subjectId"]].append(time.monotonic())
            if path.startswith("/dead"):
                await reader.read()  # until the sender gives up
            elif path.startswith("/slow"):
                await asyncio.sleep(random.uniform(*self.slowness))
            writer.write(b"HTTP/1.1 204 No Content\r\nConnection: close\r\n\r\n")
            await writer.drain()
        except (ConnectionError, asyncio.IncompleteReadError):
            pass  # a sender that was killed
        finally:
            writer.close()


@asynccontextmanager
async def receiving(slowness: tuple[float, float]) -> AsyncIterator[Receivers]:
    receivers = Receivers(slowness)
    server = await asyncio.start_server(receivers.serve, "127.0.0.1", 0)
    receivers.url = f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}"
    yield receivers
    server.close()


@pytest.fixture
def full(pytestconfig: pytest.Config) -> bool:
    return at_full_length(pytestconfig)


@pytest_asyncio.fixture
async def live(monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[Live]:
    monkeypatch.setenv("LINEAL_WEBHOOK_PRIVATE", "true")
    monkeypatch.setenv("LINEAL_WEBHOOKS_PER_PROJECT", "100")
    async with lineal() as live:
        for project in PROJECTS:
            await live.ask(CREATE_PROJECT, input={"id": project, "name": project})
        yield live


async def listen(live: Live, project: str, url: str) -> str:
    made = await live.ask(CREATE_WEBHOOK, input={"projectId": project, "url": url, "actions": ["dataset.created"]})
    return str(made["createWebhook"]["webhook"]["id"])


async def happen(live: Live, project: str, number: int) -> tuple[str, float]:
    """An event, and when it was asked for; again until the server that was killed is back."""
    id_, began = f"ds_{project[5:]}_{number}", time.monotonic()
    while (await live.send(CREATE_DATASET, input={"projectId": project, "id": id_, "name": id_})).code != OK:
        made = await live.send("query($id: ID!) { dataset(id: $id) { id } }", id=id_)
        if made.data.get("dataset"):
            break
        await asyncio.sleep(0.1)
        began = time.monotonic()
    return id_, began


async def go_on(live: Live, project: str, every: float, seconds: float) -> dict[str, float]:
    """Events at a steady pace: when each was asked for."""
    end, asked, number = time.monotonic() + seconds, {}, 0
    while time.monotonic() < end:
        id_, began = await happen(live, project, number)
        asked[id_] = began
        number += 1
        await asyncio.sleep(every)
    return asked


async def test_dead_and_slow_receivers_of_other_projects_do_not_delay_a_healthy_one(live: Live, full: bool) -> None:
    async with receiving((5.0, 10.0)) as receivers:
        for number in range(RECEIVERS):
            await listen(live, "proj_dead", f"{receivers.url}/dead/{number}")
            await listen(live, "proj_slow", f"{receivers.url}/slow/{number}")
        await listen(live, "proj_well", f"{receivers.url}/well")
        seconds = 120.0 if full else 20.0
        _, _, asked = await asyncio.gather(
            go_on(live, "proj_dead", 1.0, seconds),
            go_on(live, "proj_slow", 1.0, seconds),
            go_on(live, "proj_well", 0.2, seconds),
        )
        got = receivers.got["/well"]
        await eventually(lambda: len(got) == len(asked), 200, lambda: f"{len(got)} of {len(asked)} came")
        took = sorted(got[id_][0] - began for id_, began in asked.items())
        p99 = took[int(len(took) * 0.99)]
        dead, slow = (receivers.sends(f"/{kind}/") for kind in ("dead", "slow"))
    print(f"\nhealthy: {len(took)} events, p99 {p99:.2f} s, {spread(took)}; dead and slow were sent {dead} and {slow}")
    assert p99 <= IN_TIME


async def test_every_event_arrives_and_delivered_stays_while_workers_are_killed_and_deliveries_replayed(
    live: Live, full: bool
) -> None:
    async with receiving((0.1, 0.5)) as receivers:
        slow = [await listen(live, "proj_slow", f"{receivers.url}/slow/{number}") for number in range(4)]
        await listen(live, "proj_well", f"{receivers.url}/well")
        watch = Watch(live)
        watching = asyncio.create_task(watch.run())
        seconds = 90.0 if full else 12.0
        disturbing = asyncio.create_task(disturb(live, watch, slow, seconds))
        asked = dict(
            zip(("/slow", "/well"), await asyncio.gather(*(
                go_on(live, project, 0.3, seconds) for project in ("proj_slow", "proj_well"))), strict=True)
        )  # fmt: skip
        kills = await disturbing
        await eventually(lambda: is_all_delivered(live), 200)
        await asyncio.sleep(1.0)
        watching.cancel()
        await asyncio.gather(watching, return_exceptions=True)
    paths = [*(f"/slow/{number}" for number in range(4)), "/well"]
    missing = [(path, id_) for path in paths for id_ in asked[path[:5]] if not receivers.got[path][id_]]
    print(f"\n{sum(map(len, asked.values()))} events, {kills} kills, {sum(watch.replays.values())} replays")
    assert not missing
    assert not [id_ for id_, times in watch.taken_back.items() if times > watch.replays[id_]]


@dataclass
class Watch:
    """What became of each delivery, looked at all the time: how often one that was DELIVERED no longer was."""

    live: Live
    replays: Counter[str] = field(default_factory=Counter)
    taken_back: Counter[str] = field(default_factory=Counter)
    status: dict[str, str] = field(default_factory=dict)

    async def run(self) -> None:
        async with self.live.connection() as connection:
            while True:
                for row in await connection.fetch("SELECT id, status FROM webhook_deliveries"):
                    if self.status.get(row["id"]) == "DELIVERED" != row["status"]:
                        self.taken_back[row["id"]] += 1
                    self.status[row["id"]] = row["status"]
                await asyncio.sleep(0.02)


async def disturb(live: Live, watch: Watch, webhooks: list[str], seconds: float) -> int:
    """Kill a worker now and then, and replay what is in flight: how many kills."""
    end, kills = time.monotonic() + seconds, 0
    while time.monotonic() < end:
        if live.is_whole and random.random() < 0.15:
            os.kill(random.choice(live.workers), signal.SIGKILL)
            kills += 1
        # In flight: attempted and not ended.
        found = await live.sql(
            "SELECT id FROM webhook_deliveries WHERE webhook_id = ANY ($1) AND status = 'PENDING' AND attempts > 0"
            " ORDER BY random() LIMIT 2", webhooks,
        )  # fmt: skip
        for row in found:
            watch.replays[row["id"]] += 1
            await live.send(REPLAY, input={"deliveryId": row["id"]})
        await asyncio.sleep(0.5)
    return kills


async def is_all_delivered(live: Live) -> bool:
    (row,) = await live.sql("SELECT count(*) AS left FROM webhook_deliveries WHERE status <> 'DELIVERED'")
    (behind,) = await live.sql(
        "SELECT count(*) AS n FROM webhooks w WHERE position < (SELECT max(f.position) FROM audit_feed f"
        " WHERE f.project_id = w.project_id)"
    )
    return not row["left"] and not behind["n"]
