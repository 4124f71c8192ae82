"""A database that is slow, locked, frozen, gone or behind a dead link: every path answers in time, and works again."""

import asyncio
import json
import os
import signal
import socket
import time
from collections import defaultdict
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AbstractAsyncContextManager, AsyncExitStack, asynccontextmanager, suppress
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, NamedTuple

import asyncpg
import httpx
import pytest
import pytest_asyncio
import uvicorn
from sqlalchemy import text
from sqlalchemy.exc import DBAPIError
from websockets import ConnectionClosed
from websockets.asyncio.client import connect as open_socket

from resolvers.errors import Unavailable
from resolvers.refusals import DRIVER_ERRORS, meaning
from server.app import make_app
from server.events import websockets
from server.events.receivers import new_client
from server.events.webhooks import Sender
from server.ops.background import LAST_SECONDS, every, running_jobs
from server.settings import Settings
from storage.data_folder import urls_of_running
from storage.engine import Database
from storage.outages import DatabaseAway
from tests.conftest import SEALING, Cluster, Registry, connect, make_key, make_project
from tests.support.documents import CREATE_VERSION
from tests.support.live import Live, at_full_length, children, eventually, has_ended, lineal
from tests.support.relay import Relay
from tests.support.streams import EVENTS, Stream, subscribed, tell

LIMIT = 1.0  # seconds for the database's part of a request
# The promise is the limit and what the rest takes; a busy machine may take its time.
IN_TIME = LIMIT + 1.5
SOON = 2.0
READ = "{ projects(first: 1) { totalCount } }"
LOCKED = "{ searchVersions(filter: {}, first: 1) { totalCount } }"
WRITE = 'mutation { createProject(input: {name: "Outage"}) { project { id } } }'
ROUTES = "/routes/production"


class Told(NamedTuple):
    """What a path answered: its status and code, and how many seconds that took."""

    status: int
    code: str
    seconds: float
    message: str = ""


@dataclass
class Asker:
    """Asks a server on every path that it has."""

    registry: Registry
    direct: Cluster
    project: str
    unknown: list[str] = field(default_factory=list)  # keys that the server has not met yet

    async def prepare(self, times: int = 12) -> None:
        """Make keys for the time in which none can be made."""
        self.unknown = [await make_key(self.direct.app_url, f"{n}@example.com") for n in range(times)]

    @property
    def model(self) -> str:
        return f"model_{self.project[5:]}"

    async def by_new_key(self) -> Told:
        """By a key that this process has not seen work yet: one whose look-up was refused stays unknown."""
        key = self.unknown.pop()
        told = await self.post(READ, key=key)
        if told.status != 200:
            self.unknown.append(key)
        return told

    @property
    def paths(self) -> dict[str, Callable[[], Awaitable[Told]]]:
        return {
            "a read": lambda: self.post(READ),
            "a write": lambda: self.post(WRITE),
            "a key that is new to the process": self.by_new_key,
            "routes": lambda: self.get(ROUTES),
            "a picture": lambda: self.get(f"/models/{self.model}/metrics/auc.svg"),
            "readyz": lambda: self.get("/readyz"),
            "a stream": self.stream,
            "a WebSocket": self.socket,
        }

    async def every_path(self) -> dict[str, Told]:
        asked: dict[str, asyncio.Future[Told]] = {
            name: asyncio.ensure_future(ask()) for name, ask in self.paths.items()
        }
        return {name: await task for name, task in asked.items()}

    async def post(self, query: str, key: str = "") -> Told:
        began = time.monotonic()
        response = await (self.registry.with_key(key) if key else self.registry).send(query)
        return told(response, time.monotonic() - began)

    async def get(self, path: str) -> Told:
        began = time.monotonic()
        headers = {"Authorization": f"Bearer {self.registry.key}"}
        response = await self.registry.client.get(path, headers=headers)
        return told(response, time.monotonic() - began)

    async def stream(self) -> Told:
        began = time.monotonic()
        async with subscribed(self.registry, project=self.project) as stream:
            if stream.response.status_code != 200:
                await stream.response.aread()
            return told(stream.response, time.monotonic() - began)

    async def socket(self) -> Told:
        """The status is the one that a POST would have answered; 1013 means try again later."""
        began = time.monotonic()
        try:
            return await self._socket(began)
        except ConnectionClosed as closed:
            assert closed.rcvd and closed.rcvd.code == 1013
            return Told(503, "UNAVAILABLE", time.monotonic() - began, closed.rcvd.reason)

    async def _socket(self, began: float) -> Told:
        url = str(self.registry.client.base_url).replace("http", "ws") + "/graphql"
        async with open_socket(url, subprotocols=["graphql-transport-ws"], proxy=None) as connection:  # type: ignore[list-item]
            await tell(connection, "connection_init", payload={"Authorization": f"Bearer {self.registry.key}"})
            assert json.loads(await connection.recv()) == {"type": "connection_ack"}
            payload = {"query": EVENTS, "variables": {"project": self.project, "after": 0}}
            await tell(connection, "subscribe", id="1", payload=payload)
            answer = json.loads(await connection.recv())
        taken = time.monotonic() - began
        if answer["type"] == "error":
            error = answer["payload"][0]
            return Told(503, error["extensions"]["code"], taken, error["message"])
        return Told(200, "OK", taken)


def told(response: httpx.Response, seconds: float) -> Told:
    if response.status_code == 200:
        return Told(200, "OK", seconds)
    assert "json" in response.headers["content-type"], response.text
    body = json.loads(response.content)
    if "reason" in body:  # of /readyz
        return Told(response.status_code, "UNAVAILABLE", seconds, body["reason"])
    error = body["errors"][0]
    if response.status_code == 503 and "retryAfter" in error["extensions"]:
        assert response.headers["retry-after"] == str(error["extensions"]["retryAfter"])
    return Told(response.status_code, error["extensions"]["code"], seconds, error["message"])


@asynccontextmanager
async def serving(way: Cluster, database: Cluster, **settings: Any) -> AsyncIterator[Asker]:
    """A server that reaches its database by this way, on a port of its own, with a model to ask for."""
    app = make_app(Settings(database_url=way.app_url, **{"statement_timeout": LIMIT, "pool_size": 3} | settings))
    config = uvicorn.Config(app, port=0, log_level="warning", lifespan="on", ws="websockets-sansio")
    server = uvicorn.Server(config)
    running = asyncio.create_task(server.serve())
    await eventually(lambda: server.started)
    port = server.servers[0].sockets[0].getsockname()[1]
    async with httpx.AsyncClient(base_url=f"http://127.0.0.1:{port}", timeout=30, trust_env=False) as client:
        registry = Registry(client, await make_key(database.app_url))
        project = await make_project(registry)
        asker = Asker(registry, database, project)
        await registry.ask(CREATE_VERSION, input={"projectId": project, "modelId": asker.model, "createModel": True})
        await asker.prepare()
        yield asker
    server.should_exit = True
    await running


@pytest_asyncio.fixture
async def relay(database: Cluster) -> AsyncIterator[Relay]:
    relay = Relay(database)
    await relay.mend()
    yield relay
    await relay.cut()


@pytest_asyncio.fixture
async def asker(database: Cluster, relay: Relay) -> AsyncIterator[Asker]:
    async with serving(relay.cluster(), database) as asker:
        yield asker


def assert_refused_in_time(answers: dict[str, Told], within: float = IN_TIME) -> None:
    for path, answer in answers.items():
        assert (answer.status, answer.code) == (503, "UNAVAILABLE"), (path, answer)
        assert answer.seconds < within, (path, answer)


async def assert_works_again(asker: Asker) -> None:
    """Each path, by itself: a path that still fails must not hide behind another that works."""

    async def works(name: str) -> bool:
        answer = await asker.paths[name]()
        return answer.status == 200

    await asyncio.gather(*(eventually(lambda name=name: works(name), SOON) for name in asker.paths))


async def test_every_path_answers_in_time_behind_a_link_that_swallows_every_byte(asker: Asker, relay: Relay) -> None:
    assert {answer.status for answer in (await asker.every_path()).values()} == {200}
    relay.fall_silent()
    # More reads than there are connections, some of which are idle, and some are yet to be made.
    reads = [asyncio.create_task(asker.post(READ)) for _ in range(12)]
    assert_refused_in_time(await asker.every_path())
    assert_refused_in_time({str(place): await read for place, read in enumerate(reads)})
    relay.speak()
    await assert_works_again(asker)


async def test_once_the_database_is_known_to_be_away_everybody_is_refused_at_once(asker: Asker, relay: Relay) -> None:
    relay.fall_silent()
    await asker.every_path()
    await asyncio.sleep(1.5)
    again = await asker.every_path()
    assert_refused_in_time(again, LIMIT / 2)
    assert relay.lost
    relay.speak()
    await assert_works_again(asker)


async def test_an_open_stream_goes_on_after_an_outage_or_says_that_it_cannot(asker: Asker, relay: Relay) -> None:
    new = {"projectId": asker.project, "modelId": asker.model}
    async with subscribed(asker.registry, project=asker.project) as stream:
        await asker.registry.ask(CREATE_VERSION, input=new)
        assert (await stream.answer())["action"] == "version.created"
        relay.fall_silent()
        event = await last_event(stream, within=15)
        assert event["data"]["errors"][0]["extensions"]["code"] == "UNAVAILABLE"
    relay.speak()
    await assert_works_again(asker)
    async with subscribed(asker.registry, project=asker.project) as stream:
        await asker.registry.ask(CREATE_VERSION, input=new)
        assert (await stream.answer())["action"] == "version.created"


async def last_event(stream: Stream, within: float) -> dict[str, Any]:
    event: dict[str, Any] = {}
    while (coming := await stream.next(within))["event"] != "complete":
        event = coming
    return event


async def test_a_change_whose_commit_met_with_silence_may_have_been_kept(asker: Asker, relay: Relay) -> None:
    relay.until = b"COMMIT"
    answer = await asker.post(WRITE)
    assert (answer.status, answer.code) == (503, "UNAVAILABLE") and answer.seconds < IN_TIME
    assert "Check whether it was saved before you try again" in answer.message


async def test_a_change_that_met_with_silence_before_its_commit_was_not_kept(asker: Asker, relay: Relay) -> None:
    # A statement that no connection has prepared yet: its text is sent.
    relay.until = b"INSERT INTO experiments"
    begin = 'mutation { createExperiment(input: {projectId: "%s", name: "Cut"}) { experiment { id } } }'
    answer = await asker.post(begin % asker.project)
    assert (answer.status, answer.code) == (503, "UNAVAILABLE") and answer.seconds < IN_TIME
    assert "Nothing was saved" in answer.message


# ---------------------------------------------------------------- slow, but not away


@asynccontextmanager
async def locked(database: Cluster, table: str) -> AsyncIterator[None]:
    """Nobody reads the table until the block ends."""
    connection = await connect(database.owner_url)
    try:
        async with connection.transaction():
            await connection.execute(f"LOCK TABLE {table} IN ACCESS EXCLUSIVE MODE")
            yield
    finally:
        await connection.close()


async def test_routes_answer_when_reads_have_waited_for_a_lock_on_all_connections(database: Cluster) -> None:
    async with serving(database, database, statement_timeout=10) as asker, AsyncExitStack() as until_unlocked:
        await until_unlocked.enter_async_context(locked(database, "versions"))
        asked = [asyncio.create_task(asker.post(LOCKED)) for _ in range(12)]
        await asyncio.sleep(0.5)
        asked.append(asyncio.create_task(asker.get(ROUTES)))
        await asyncio.sleep(1)
        await until_unlocked.aclose()
        async with asyncio.timeout(5):
            answers = await asyncio.gather(*asked)
        assert {answer.status for answer in answers} == {200}


async def test_whoever_finds_no_connection_in_time_is_refused_and_the_database_is_not_away(database: Cluster) -> None:
    async with serving(database, database) as asker:
        async with locked(database, "versions"):
            answers = await asyncio.gather(*(asker.post(LOCKED) for _ in range(12)), asker.get(ROUTES))
            assert_refused_in_time(dict(enumerate(answers)))  # type: ignore[arg-type]
            assert "took longer than its time limit" in {answer.message[14:45] for answer in answers}
            assert (await asker.post(READ)).status == 200
        assert (await asker.post(LOCKED)).status == 200


@pytest_asyncio.fixture
async def opened(database: Cluster) -> AsyncIterator[Database]:
    made = Database(database.app_url, size=2, statement_timeout=LIMIT)
    await made.open()
    yield made
    await made.close()


async def test_a_transaction_ends_within_the_limit_however_many_statements_it_has(opened: Database) -> None:
    began = time.monotonic()
    with pytest.raises(DBAPIError) as ended:
        async with opened.transaction() as session:
            for _ in range(9):
                await session.execute(text("SELECT pg_sleep(0.3)"))
    assert time.monotonic() - began < IN_TIME
    refusal = meaning(ended.value)
    assert isinstance(refusal, Unavailable) and "Nothing was saved" in str(refusal)
    # The server greets us, so it is not away: others are not refused, now or after a while.
    for _ in range(2):
        assert await opened.fetchval("SELECT 7") == 7
        await asyncio.sleep(1.5)


async def test_a_slow_statement_is_ended_by_the_server_itself_and_keeps_its_connection(opened: Database) -> None:
    pid = await opened.fetchval("SELECT pg_backend_pid()")
    with pytest.raises(asyncpg.QueryCanceledError) as ended:
        await opened.fetchval("SELECT count(*) FROM (SELECT pg_sleep(5)) wait")
    assert "took longer than its time limit" in str(meaning(ended.value))
    assert await opened.fetchval("SELECT pg_backend_pid()") == pid


async def test_whoever_is_cancelled_does_not_wait_for_the_server(database: Cluster, relay: Relay) -> None:
    opened = Database(relay.cluster().app_url, size=1, statement_timeout=10)
    await opened.open()

    async def write() -> None:
        async with opened.transaction() as session:
            await session.execute(text("SELECT pg_sleep(0)"))
            relay.fall_silent()
            await session.execute(text("SELECT pg_sleep(0)"))

    async def read() -> None:
        await opened.fetchval("SELECT 1")
        relay.fall_silent()
        await opened.fetchval("SELECT 1")

    for work in (write, read):
        relay.speak()
        working = asyncio.create_task(work())
        await eventually(lambda: relay.silent)
        await asyncio.sleep(0.1)
        working.cancel()
        began = time.monotonic()
        await asyncio.wait([working])
        assert working.cancelled() and time.monotonic() - began < 0.5
    await opened.close()


# ---------------------------------------------------------------- what goes on beside requests


async def test_a_socket_whose_key_cannot_be_looked_up_is_told_so(
    asker: Asker, relay: Relay, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(websockets, "INIT_SECONDS", 0.3)
    relay.fall_silent()
    answer = await replace(asker, registry=asker.registry.with_key(asker.unknown.pop())).socket()
    assert answer.seconds < IN_TIME and "cannot be reached" in answer.message


async def test_webhooks_are_sent_again_soon_after_an_outage(database: Cluster, relay: Relay) -> None:
    opened = Database(relay.cluster().app_url, size=2, statement_timeout=LIMIT)
    await opened.open()
    async with new_client(allow_private=True) as client:
        sender = Sender(opened, client, SEALING)
        await sender.start_due()
        relay.fall_silent()
        began = time.monotonic()
        with pytest.raises(DRIVER_ERRORS):
            await sender.start_due()
        assert time.monotonic() - began < IN_TIME
        await asyncio.sleep(1.5)
        with pytest.raises(DatabaseAway):
            await sender.start_due()
        relay.speak()

        async def sends() -> bool:
            with suppress(*DRIVER_ERRORS):
                await sender.start_due()
                return True
            return False

        await eventually(sends, SOON)
    await opened.close()


async def test_background_work_that_hangs_is_given_up_and_tried_again(caplog: pytest.LogCaptureFixture) -> None:
    begun = []

    async def hang() -> None:
        begun.append(True)
        await asyncio.Event().wait()

    working = asyncio.create_task(every(0.01, hang, within=0.05))
    await eventually(lambda: len(begun) >= 3, 5)
    working.cancel()
    await asyncio.wait([working])


async def test_a_process_that_ends_does_not_wait_for_a_database_that_is_silent(
    database: Cluster, relay: Relay, tmp_path: Path
) -> None:
    settings = Settings(database_url=relay.cluster().app_url, data_dir=tmp_path, statement_timeout=60)
    opened = Database(settings.database_url, size=2, statement_timeout=60)
    await opened.open()
    async with running_jobs(settings, opened):
        await opened.fetchval("SELECT 1")
        relay.fall_silent()
        reading = asyncio.create_task(opened.fetchval("SELECT 1"))
        await asyncio.sleep(0.2)
        began = time.monotonic()
    await opened.close()
    assert time.monotonic() - began < LAST_SECONDS + 1
    with pytest.raises(DRIVER_ERRORS):
        await asyncio.wait_for(reading, 1)


async def test_the_kernel_watches_connections_over_tcp(relay: Relay) -> None:
    way = relay.cluster()
    opened = Database(way.app_url, size=1)
    await opened.open()
    heard = asyncio.Event()
    hearing = asyncio.create_task(opened.listen(("lineal_events",), heard.set))
    await heard.wait()
    assert await opened.fetchval("SELECT 1") == 1
    async with opened.session() as session:
        await session.execute(text("SELECT 1"))
        assert len(opened._watch._connections) == 3
        for connection in opened._watch._connections:
            transport: Any = connection._transport  # type: ignore[attr-defined]
            end = transport.get_extra_info("socket")
            assert end.getsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE)
            assert end.getsockopt(socket.IPPROTO_TCP, socket.TCP_USER_TIMEOUT) == 10_000
    await opened.close()
    await hearing


@pytest.mark.parametrize("path", [ROUTES, "/readyz"])
async def test_a_defect_of_any_route_is_masked_in_json(
    database: Cluster, path: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def fail(*_: Any, **__: Any) -> None:
        raise RuntimeError("its details")

    async with serving(database, database) as asker:
        monkeypatch.setattr(Database, "fetch", fail)
        monkeypatch.setattr(Database, "fetchval", fail)
        answer = await asker.get(path)
    assert (answer.status, answer.code) == (500, "INTERNAL") and "its details" not in answer.message


# ---------------------------------------------------------------- frozen, under a real server


GRACE = 25.0  # seconds in which a server that is asked to end has ended


@pytest.fixture
def full(pytestconfig: pytest.Config) -> bool:
    return at_full_length(pytestconfig)


@asynccontextmanager
async def serving_live(monkeypatch: pytest.MonkeyPatch, limit: float, **given: Any) -> AsyncIterator[Live]:
    monkeypatch.setenv("LINEAL_STATEMENT_TIMEOUT", str(limit))
    async with lineal(**given) as live:
        try:
            yield live
        finally:
            if live.process and live.process.poll() is None:
                thaw(frozen_of(live))


def frozen_of(live: Live) -> list[int]:
    """All of PostgreSQL's processes."""
    return [each for postmaster in live.postmasters for each in (postmaster, *children(postmaster))]


def freeze(pids: list[int]) -> None:
    for pid in pids:
        with suppress(ProcessLookupError):
            os.kill(pid, signal.SIGSTOP)


def thaw(pids: list[int]) -> None:
    for pid in pids:
        with suppress(ProcessLookupError):
            os.kill(pid, signal.SIGCONT)


@dataclass
class Record:
    """What each path was told while it was asked all the while."""

    answers: dict[str, list[tuple[float, Told]]] = field(default_factory=lambda: defaultdict(list))

    def slowest(self, path: str, since: float = 0.0) -> float:
        """The longest wait for an answer, of those asked since a moment."""
        return max(answer.seconds for at, answer in self.answers[path] if at - answer.seconds >= since)

    def refused(self, path: str) -> int:
        return sum(answer.status == 503 for _, answer in self.answers[path])

    def recovered(self, path: str, since: float) -> float:
        """How many seconds after a moment the path's last refusal was answered."""
        late = [at - since for at, answer in self.answers[path] if answer.status != 200]
        return max(0.0, *late, 0.0)


@asynccontextmanager
async def asked_all_the_while(asker: Asker, callers: int) -> AsyncIterator[Record]:
    """Every path is asked by one caller, reads and writes by many."""
    record, done = Record(), asyncio.Event()

    async def ask(path: str) -> None:
        while not done.is_set() and (asker.unknown or "new" not in path):
            answer = await asker.paths[path]()
            record.answers[path].append((time.monotonic(), answer))
            await asyncio.sleep(0.05 if answer.status == 200 else 0.1)

    paths = [*asker.paths, *(["a read", "a read", "a write"] * callers)[:callers]]
    asking = [asyncio.create_task(ask(path)) for path in paths]
    try:
        yield record
    finally:
        done.set()
        async with asyncio.timeout(60):
            await asyncio.gather(*asking)


@asynccontextmanager
async def frozen(live: Live) -> AsyncIterator[None]:
    stopped = frozen_of(live)
    freeze(stopped)
    try:
        yield
    finally:
        thaw(stopped)


@asynccontextmanager
async def killed(live: Live) -> AsyncIterator[None]:
    """Ends when the database takes logins again."""
    (postmaster,) = live.postmasters
    os.kill(postmaster, signal.SIGKILL)
    yield

    async def answers() -> bool:
        with suppress(OSError, asyncpg.PostgresError):
            return bool(await live.sql("SELECT 1"))
        return False

    await eventually(answers)


def all_locked(live: Live) -> AbstractAsyncContextManager[None]:
    return locked(Cluster("", urls_of_running(live.data_dir)[0], ""), "versions, deployments, projects")


@asynccontextmanager
async def asked_live(live: Live) -> AsyncIterator[Asker]:
    limits = httpx.Limits(max_connections=200)
    async with httpx.AsyncClient(base_url=live.url, limits=limits, timeout=60, trust_env=False) as client:
        registry = Registry(client, live.key)
        urls = (live.database.owner_url, live.database.app_url) if live.database else urls_of_running(live.data_dir)
        project = await make_project(registry)
        asker = Asker(registry, Cluster("", *urls), project)
        await registry.ask(CREATE_VERSION, input={"projectId": project, "modelId": asker.model, "createModel": True})
        yield asker


async def met(asker: Asker, outage: AbstractAsyncContextManager[None], name: str, limit: float, full: bool) -> None:
    """An outage under load: each path answers in time with what is true, and works soon after the return."""
    await asker.prepare(60 if full else 15)
    async with asked_all_the_while(asker, 40 if full else 8) as record:
        await asyncio.sleep(1)
        async with outage:
            away = time.monotonic()
            await asyncio.sleep(1.6 * limit + 2)
        back = time.monotonic()
        await asyncio.sleep(limit + 2)
    print(f"\n{name}, limit {limit:g} s" + "".join(
        f"\n  {path}: {len(told)} answers, {record.refused(path)} refused; slowest {record.slowest(path):.2f} s;"
        f" last refusal {record.recovered(path, back):.2f} s after the return" for path, told in record.answers.items()
    ))  # fmt: skip
    for path, answers in record.answers.items():
        assert all(answer.status in (200, 503) for _, answer in answers), path
        # A subscription that was accepted before the outage has its first event after it.
        assert record.slowest(path, away if path == "a WebSocket" else 0.0) < limit + 1.5, path
        assert record.recovered(path, back) < SOON, path
    assert record.refused("a read")


@pytest.mark.long
async def test_every_path_under_load_is_answered_in_time_and_works_again_when_the_database_returns(
    monkeypatch: pytest.MonkeyPatch, database: Cluster, relay: Relay, full: bool
) -> None:
    limit = 10.0 if full else LIMIT
    async with serving_live(monkeypatch, limit) as live, asked_live(live) as asker:
        await met(asker, frozen(live), "PostgreSQL stopped (SIGSTOP)", limit, full)
        if full:
            await met(asker, all_locked(live), "Tables locked, and so all connections taken", limit, full)
            await met(asker, killed(live), "PostgreSQL killed", limit, full)
    if full:
        by_relay = replace(database, app_url=relay.cluster().app_url)
        async with serving_live(monkeypatch, limit, database=by_relay) as live, asked_live(live) as asker:
            await met(asker, silent(relay), "The link swallows every byte", limit, full)


@asynccontextmanager
async def silent(relay: Relay) -> AsyncIterator[None]:
    relay.fall_silent()
    try:
        yield
    finally:
        relay.speak()


@pytest.mark.long
async def test_a_server_ends_within_its_grace_while_its_database_is_frozen(
    monkeypatch: pytest.MonkeyPatch, full: bool
) -> None:
    async with serving_live(monkeypatch, 10.0 if full else LIMIT) as live:
        everything = live.processes
        reads = [asyncio.create_task(live.send(READ)) for _ in range(20)]
        # At full length one of the workers hangs too, and is killed for it.
        freeze([*frozen_of(live), *live.workers[: int(full)]])
        reads += [asyncio.create_task(live.send(WRITE)) for _ in range(20)]
        await asyncio.sleep(0.5)
        began = time.monotonic()
        os.kill(live.parent, signal.SIGTERM)
        assert await live.ended(GRACE) == 0
        print(f"\nended {time.monotonic() - began:.1f} s after SIGTERM with a frozen database")
        await asyncio.gather(*reads)
        await eventually(lambda: all(map(has_ended, everything)), 5)
