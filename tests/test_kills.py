"""Processes that are killed while clients write, and servers that are asked to end: what is kept, and what is left.

Always on the embedded database: the proofs kill it.
"""

import asyncio
import itertools
import os
import random
import signal
import subprocess
import time
from collections import Counter
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any

import asyncpg
import pytest
import pytest_asyncio

from server.ops.processes import PortTaken, listen
from server.settings import Settings
from storage.data_folder import SUPERUSER, database_passwords, database_url
from tests.conftest import POLICY
from tests.support.documents import CREATE_MODEL, CREATE_PROJECT, CREATE_VERSION
from tests.support.kills import (
    Kill,
    assert_chains_intact,
    kill,
    kill_backend,
    kill_postgres,
    kill_server,
    kill_server_and_postgres,
    kill_worker,
    restarted,
)
from tests.support.live import (
    LINEAL,
    OK,
    UNREACHABLE,
    Live,
    Reply,
    at_full_length,
    eventually,
    has_ended,
    lineal,
    spread,
)

pytestmark = pytest.mark.long

WRITERS = 6
MODELS = 3
# What a client may be told while something is down: try again. Anything else would be a wrong answer.
TRY_AGAIN = {"UNAVAILABLE", UNREACHABLE}

TRANSITION = """
mutation($input: TransitionStageInput!) { transitionStage(input: $input) { transition { id } } }
"""
ADD_TAGS = "mutation($input: TagsInput!) { addTags(input: $input) { version { id tags } } }"
READ = """
query($ids: [ID!]!) { nodes(ids: $ids) { id ... on ModelVersion {
  description metrics { name value } tags stageHistory { toStage }
} } }
"""


@pytest.fixture
def full(pytestconfig: pytest.Config) -> bool:
    return at_full_length(pytestconfig)


@pytest_asyncio.fixture(scope="module")
async def live() -> AsyncIterator[Live]:
    """For the proofs that kill no process of it."""
    async with lineal() as live:
        await make_models(live)
        yield live


# ------------------------------------------------------------------------------------------ what clients know


def metrics_of(number: int) -> dict[str, float]:
    return {"auc": number / 1_000_000, "loss": 1 / number, "number": float(number)}


async def make_models(live: Live) -> None:
    await live.ask(CREATE_PROJECT, input={"id": "proj_kills", "name": "Kills"})
    # The metrics count the versions, so any may be far worse than the one in production.
    asked = {"projectId": "proj_kills", "allowSelfApproval": True, "maxRegression": None}
    await live.ask(POLICY, input=asked)
    for place in range(MODELS):
        model = f"model_{place}"
        await live.ask(CREATE_MODEL, input={"id": model, "projectId": "proj_kills", "name": model})


@dataclass
class Ledger:
    """What the server acknowledged, and how it answered what it did not."""

    versions: dict[str, int] = field(default_factory=dict)
    transitions: set[str] = field(default_factory=set)
    tags: set[tuple[str, str]] = field(default_factory=set)
    denied: set[int] = field(default_factory=set)  # versions of which it said that nothing was kept
    answers: Counter[str] = field(default_factory=Counter)
    wrong: list[Any] = field(default_factory=list)
    numbers: Iterator[int] = field(default_factory=lambda: itertools.count(1))
    last_write: float = 0.0

    def took(self, reply: Reply) -> bool:
        """Note an answer; whether it acknowledged the request."""
        self.answers[f"{reply.code} {reply.status}" if reply.status else reply.code] += 1
        if reply.code not in (OK, *TRY_AGAIN) or (reply.code == "UNAVAILABLE" and reply.status != 503):
            self.wrong.append(reply)
        return reply.code == OK


async def write(live: Live, ledger: Ledger, model: str) -> None:
    """Register a version, and bring it on; give up what is not acknowledged."""
    number, began = next(ledger.numbers), time.monotonic()
    new = {"projectId": "proj_kills", "modelId": model, "description": str(number)}
    reply = await live.send(CREATE_VERSION, input=new | {"metrics": metrics_of(number), "tags": ["new", "kills"]})
    if not ledger.took(reply):
        if "Nothing was saved" in reply.message:
            ledger.denied.add(number)
        await asyncio.sleep(0.05)
        return
    ledger.last_write = max(ledger.last_write, began)
    version = reply.data["createVersion"]["version"]
    ledger.versions[version["id"]] = number
    of_version = {"modelId": model, "version": version["version"]}
    for stage in ("STAGING", "PRODUCTION") if number % 3 == 0 else ("STAGING",):
        reply = await live.send(TRANSITION, input=of_version | {"targetStage": stage})
        if not ledger.took(reply):
            return
        ledger.transitions.add(reply.data["transitionStage"]["transition"]["id"])
    tag = f"n{number}"
    if ledger.took(await live.send(ADD_TAGS, input=of_version | {"tags": [tag]})):
        ledger.tags.add((version["id"], tag))


async def read(live: Live, ledger: Ledger) -> None:
    """Ask for some acknowledged versions: a true answer or none."""
    ids = random.sample(sorted(ledger.versions), min(5, len(ledger.versions)))
    reply = await live.send(READ, ids=ids)
    if not ledger.took(reply):
        await asyncio.sleep(0.05)
        return
    ledger.wrong += [node for id_, node in zip(ids, reply.data["nodes"], strict=True) if not is_true(ledger, id_, node)]


def is_true(ledger: Ledger, id_: str, node: dict[str, Any] | None) -> bool:
    """Whether a version is answered as it was acknowledged, whole and with its history."""
    if node is None:
        return False
    number = ledger.versions[id_]
    return (
        node["id"] == id_
        and node["description"] == str(number)
        and {metric["name"]: metric["value"] for metric in node["metrics"]} == metrics_of(number)
        and {"new", "kills"} <= set(node["tags"])
        and node["stageHistory"][0]["toStage"] == "DEVELOPMENT"
    )


@asynccontextmanager
async def clients(live: Live, ledger: Ledger, writers: int = WRITERS, readers: int = 2) -> AsyncIterator[None]:
    """Clients that write and read all the while."""
    done = asyncio.Event()

    async def repeat(ask: Callable[[], Any]) -> None:
        while not done.is_set():
            await ask()

    asks = [partial(write, live, ledger, f"model_{place % MODELS}") for place in range(writers)]
    tasks = [asyncio.create_task(repeat(ask)) for ask in (*asks, *[partial(read, live, ledger)] * readers)]
    try:
        yield
    finally:
        done.set()
        await asyncio.gather(*tasks)


# -------------------------------------------------------------------------------------------- what must be so

UNBROKEN = {
    "a version without its first step": """
        SELECT v.id FROM versions v WHERE NOT EXISTS (SELECT FROM stage_transitions s
            WHERE s.version_id = v.id AND s.from_stage IS NULL AND s.to_stage = 'DEVELOPMENT')""",
    "a version without all its metrics": """
        SELECT v.id FROM versions v LEFT JOIN metrics m ON m.version_id = v.id GROUP BY v.id HAVING count(m) <> 3""",
    "a version without the tags it was registered with": """
        SELECT v.id FROM versions v LEFT JOIN tags t ON t.version_id = v.id AND t.tag IN ('new', 'kills')
        GROUP BY v.id HAVING count(t) <> 2""",
    "a history with a gap": """
        SELECT model_id FROM stage_transitions GROUP BY model_id
        HAVING count(*) <> max(position) OR min(position) <> 1""",
    "a stage that is not the last of the history": """
        SELECT v.id FROM versions v JOIN LATERAL (SELECT to_stage FROM stage_transitions s
            WHERE s.version_id = v.id ORDER BY position DESC LIMIT 1) last ON true WHERE last.to_stage <> v.stage""",
    "a model with two versions in production": """
        SELECT model_id FROM versions WHERE stage = 'PRODUCTION' GROUP BY model_id HAVING count(*) > 1""",
    "a version without its event, or the event without the version": """
        SELECT coalesce(v.id, e.subject_id) FROM versions v
        FULL JOIN (SELECT subject_id FROM audit_events WHERE action = 'version.created') e ON e.subject_id = v.id
        WHERE v.id IS NULL OR e.subject_id IS NULL""",
    "a step without its event, or the event without the step": """
        SELECT coalesce(s.id, e.id) FROM stage_transitions s
        FULL JOIN (SELECT entry::json -> 'step' ->> 'id' AS id FROM audit_events
            WHERE action IN ('version.created', 'version.transitioned')) e ON e.id = s.id
        WHERE s.id IS NULL OR e.id IS NULL""",
    "a tag without its event, or the event without the tag": """
        SELECT coalesce(t.tag, e.tag) FROM (SELECT version_id, tag FROM tags WHERE tag NOT IN ('new', 'kills')) t
        FULL JOIN (SELECT subject_id, a.tag FROM audit_events, LATERAL (
                SELECT jsonb_array_elements_text(entry::jsonb -> 'details' -> 'after' -> 'tags')
                EXCEPT SELECT jsonb_array_elements_text(entry::jsonb -> 'details' -> 'before' -> 'tags')) a (tag)
            WHERE action = 'version.tagged') e ON e.subject_id = t.version_id AND e.tag = t.tag
        WHERE t.tag IS NULL OR e.tag IS NULL""",
}


async def assert_all_kept(live: Live, ledger: Ledger) -> int:
    """Everything acknowledged is there, everything that is there is whole; how many versions there are."""
    assert ledger.wrong == [] and "internal error" not in live.log.read_text(), live.said()
    async with live.connection() as connection:
        for problem, statement in UNBROKEN.items():
            assert await connection.fetch(statement) == [], problem
        kept = {row["id"]: int(row["description"]) for row in await connection.fetch("SELECT * FROM versions")}
        assert ledger.versions.items() <= kept.items()
        assert not ledger.denied & set(kept.values()), "kept, though the caller was told that nothing was"
        assert ledger.transitions <= {row["id"] for row in await connection.fetch("SELECT id FROM stage_transitions")}
        assert ledger.tags <= {tuple(row) for row in await connection.fetch("SELECT version_id, tag FROM tags")}
        await assert_chains_intact(connection)
    return len(kept)


async def assert_answered(live: Live, ledger: Ledger) -> None:
    """The API answers every acknowledged version as it was acknowledged."""
    ids = sorted(ledger.versions)
    for start in range(0, len(ids), 100):
        page = ids[start : start + 100]
        nodes = (await live.ask(READ, ids=page))["nodes"]
        assert all(is_true(ledger, id_, node) for id_, node in zip(page, nodes, strict=True))


# ------------------------------------------------------------------------------------------------------ kills


async def kill_postgres_and_workers_for_a_while(live: Live) -> Kill:
    """So that workers must start while there is no database."""
    ends = time.monotonic() + 4
    while time.monotonic() < ends:
        killed = kill(live, *live.postmasters, *live.workers[:1])
        await asyncio.sleep(0.3)
    return killed


KINDS = (
    kill_server,
    kill_postgres,
    kill_worker,
    kill_backend,
    kill_server_and_postgres,
    kill_postgres_and_workers_for_a_while,
)


async def healed(live: Live, ledger: Ledger, killed: Kill) -> float:
    """Wait until the server is whole again and has acknowledged a write begun since; the seconds that took."""
    assert live.process
    await eventually(lambda: all(map(has_ended, killed.victims)))
    await eventually(lambda: live.is_whole, told=live.said)
    whole = time.monotonic()
    await eventually(lambda: ledger.last_write > whole, told=live.said)
    assert live.process.poll() is None
    return time.monotonic() - killed.at


async def test_what_was_acknowledged_survives_every_kill_and_the_server_comes_back_by_itself(full: bool) -> None:
    ledger, seconds = Ledger(), {kind: list[float]() for kind in KINDS}
    rounds = itertools.islice(itertools.cycle(KINDS), 30 if full else 3)
    async with lineal() as live:
        await make_models(live)
        for kind in rounds:
            async with clients(live, ledger):
                await asyncio.sleep(random.uniform(0.4, 1.2))
                killed = await kind(live)
                if live.parent not in killed.victims:
                    seconds[kind].append(await healed(live, ledger, killed))
            if live.parent in killed.victims:
                seconds[kind].append(await restarted(live, killed))
            kept = await assert_all_kept(live, ledger)
            await assert_answered(live, ledger)
    print(f"\n{WRITERS} clients wrote: {len(ledger.versions)} versions, {len(ledger.transitions)} steps and ", end="")
    print(f"{len(ledger.tags)} tags were acknowledged, all were kept; {kept - len(ledger.versions)} versions more,")
    print(f"whose answer was cut off, were kept whole; answers: {dict(ledger.answers)}")
    for kind, took in seconds.items():
        print(f"  {len(took)} times {kind.__name__.replace('_', ' ')}: whole again in {spread(took)}")


async def test_a_change_whose_commit_was_cut_off_is_not_called_undone(live: Live) -> None:
    ledger = Ledger()
    async with commits_that_hang(live) as superuser:
        writing = asyncio.create_task(write(live, ledger, "model_1"))
        await eventually(partial(superuser.fetchval, "SELECT true FROM pg_stat_activity WHERE wait_event = 'SyncRep'"))
        cut = "SELECT pg_terminate_backend(pid, 5000) FROM pg_stat_activity WHERE wait_event = 'SyncRep'"
        assert await superuser.fetchval(cut)
        await writing
    assert ledger.answers == {"UNAVAILABLE 503": 1}
    assert await assert_all_kept(live, ledger) > 0


@asynccontextmanager
async def commits_that_hang(live: Live) -> AsyncIterator[asyncpg.Connection]:
    """Commits are kept but not acknowledged: they wait for a replica that there is not. Gives a superuser."""
    passwords = database_passwords(live.data_dir / "database-passwords")
    sockets = (live.data_dir / "socket-folder").read_text()
    connection = await asyncpg.connect(database_url(SUPERUSER, passwords[SUPERUSER], sockets))
    try:
        await connection.execute("ALTER SYSTEM SET synchronous_standby_names = 'nobody'")
        await connection.execute("SELECT pg_reload_conf()")
        yield connection
        await connection.execute("ALTER SYSTEM RESET synchronous_standby_names")
        await connection.execute("SELECT pg_reload_conf()")
    finally:
        await connection.close()


async def test_a_first_start_that_is_killed_at_any_moment_is_made_good_by_the_next(full: bool) -> None:
    moments = [0.4 + 0.2 * step for step in range(15)] if full else [1.5]
    took = []
    for moment in moments:
        async with lineal(started=False) as live:
            live.process = live.launch()
            await asyncio.sleep(moment)
            took.append(await restarted(live, kill(live, live.parent)))
            await make_models(live)  # the key that lies in the folder is the right one
    print(
        f"\n{len(moments)} first starts killed after {moments[0]:.1f} to {moments[-1]:.1f} s; next start {spread(took)}"
    )


async def test_a_worker_that_loads_slowly_is_left_its_time_and_one_that_hangs_is_replaced() -> None:
    async with lineal() as live:
        kept, killed = live.workers
        os.kill(killed, signal.SIGKILL)

        def added() -> list[int]:
            return [worker for worker in live.workers if worker not in (kept, killed)]

        [slow] = await eventually(added)
        os.kill(slow, signal.SIGSTOP)
        # uvicorn's health check gives a worker five seconds.
        await asyncio.sleep(8)
        assert added() == [slow]
        os.kill(slow, signal.SIGCONT)
        await live.warm_up(16)
        assert set(live.workers) == {kept, slow}
        os.kill(slow, signal.SIGSTOP)
        await eventually(lambda: slow not in live.workers)
        await eventually(lambda: live.is_whole)


# ------------------------------------------------------------------------------------------------------- ends


def end_by_term(live: Live) -> None:
    os.kill(live.parent, signal.SIGTERM)


def end_by_interrupt(live: Live) -> None:
    """As Ctrl-C in a terminal does: the workers hear it too."""
    os.killpg(live.parent, signal.SIGINT)


ENDS = (end_by_term, end_by_interrupt)


async def test_an_end_leaves_no_process_and_no_socket_folder_and_finishes_what_is_in_flight() -> None:
    ledger = Ledger()
    async with lineal(started=False) as live:
        for place, end in enumerate(ENDS):
            await live.start()
            await (assert_all_kept(live, ledger) if place else make_models(live))
            everything, sockets = live.processes, socket_folder_of(live)
            assert live.is_whole and sockets
            async with held(live, "model_0"):
                in_flight = [asyncio.create_task(write(live, ledger, "model_0")) for _ in range(4)]
                await eventually(lambda: waiting_for_locks(live, 4))
                end(live)
                await asyncio.sleep(0.5)
            await asyncio.gather(*in_flight)
            assert len(ledger.versions) == 4 * (place + 1), (ledger.answers, live.said())
            assert await live.ended() == 0
            await assert_nothing_left(live, everything, sockets)


@asynccontextmanager
async def held(live: Live, model: str) -> AsyncIterator[None]:
    """Whoever writes to the model waits until the block ends."""
    async with live.connection() as connection, connection.transaction():
        await connection.execute("SELECT FROM models WHERE id = $1 FOR UPDATE", model)
        yield


async def waiting_for_locks(live: Live, count: int) -> bool:
    (row,) = await live.sql("SELECT count(*) AS waiting FROM pg_locks WHERE NOT granted")
    return bool(row["waiting"] >= count)


def socket_folder_of(live: Live) -> Path | None:
    memo = live.data_dir / "socket-folder"
    folder = Path(memo.read_text()) if memo.exists() else None
    return folder if folder and folder.is_dir() else None


async def assert_nothing_left(live: Live, everything: list[int], sockets: Path | None) -> None:
    await eventually(lambda: all(map(has_ended, everything)), 5)
    assert not socket_folder_of(live) and not (sockets and os.path.lexists(sockets))


async def test_a_start_that_is_ended_at_any_moment_leaves_nothing(full: bool) -> None:
    moments = [0.5 + 0.2 * step for step in range(13)] if full else [1.5]
    told: Counter[int] = Counter()
    for end, moment in itertools.product(ENDS if full else ENDS[:1], moments):
        async with lineal(started=False) as live:
            live.process = live.launch()
            await asyncio.sleep(moment)
            everything, sockets = live.processes, socket_folder_of(live)
            end(live)
            code = await live.ended()
            told[code] += 1
            await assert_nothing_left(live, everything, sockets)
            # While Python still loads modules, the signal ends it as it ends any program.
            assert code in (-signal.SIGTERM, -signal.SIGINT) or (code == 0 and "Traceback" not in live.said())
    print(f"\n{told.total()} starts ended midway, nothing left; exit codes {dict(told)}")


# -------------------------------------------------------------------------------------------------- two servers


async def refused_start(*options: str | Path) -> str:
    """What a server says that must not start: at once, and nothing else."""
    command = [LINEAL, "serve", *options]
    second = await asyncio.to_thread(subprocess.run, command, capture_output=True, text=True, timeout=60)
    assert second.returncode == 1 and second.stdout == ""
    return str(second.stderr).strip()


async def test_a_second_server_on_the_folder_or_the_port_is_refused_and_the_first_is_not_disturbed(live: Live) -> None:
    # Not PostgreSQL's own children: it starts and ends some by itself.
    before = {live.parent, *live.postmasters, *live.workers}
    ledger, port, other = Ledger(), live.url.rpartition(":")[2], live.home / "other"
    async with clients(live, ledger, writers=1, readers=1):
        same_folder, same_port = await asyncio.gather(
            refused_start("--port", "0", "--data-dir", live.data_dir),
            refused_start("--port", port, "--data-dir", other),
        )
    in_use = f"Another Lineal already uses {live.data_dir}: stop it, or choose another folder with --data-dir."
    assert same_folder == f"Error: {in_use}"
    taken = f"Cannot listen on 127.0.0.1:{port} (Address already in use). Choose another --port or --host."
    assert same_port == f"Error: {taken}"
    assert other not in live.home.iterdir()
    assert ledger.answers.keys() == {f"{OK} 200"} and before <= set(live.processes)
    await assert_all_kept(live, ledger)


def test_a_port_is_taken_from_the_moment_that_the_first_server_has_it() -> None:
    with listen(Settings(port=0)) as first:
        port = first.getsockname()[1]
        with pytest.raises(PortTaken, match=f"Cannot listen on 127.0.0.1:{port}"):
            listen(Settings(port=port)).close()
