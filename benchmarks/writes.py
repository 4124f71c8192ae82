"""Writing: registering and promoting versions through Lineal, beside the same rows by a transaction written by hand."""

import asyncio
import time
from collections import defaultdict
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from itertools import zip_longest
from statistics import median
from typing import Any

import asyncpg
import click
import orjson

from benchmarks.data import FEATURES, METRICS, project_of
from benchmarks.generator import Connection, connect, post, quantile
from benchmarks.place import Place, copied
from benchmarks.reads import Effort
from benchmarks.servers import FLOOR, LINEAL, Server, lineal, running
from benchmarks.written import create_version

MOST_OF_FLOOR = 6.0
WARM_UP = 1.0  # seconds
# How many versions each client registers in the warm-up at least, so that there are whole histories to compare.
COMPARED = 3
# What the log holds of a version: its registration, two steps, an approval, and the step that archives it.
EVENTS_PER_VERSION = 5

CREATE = """mutation Create($input: CreateVersionInput!) {
  createVersion(input: $input) { version { id version stage } warnings }
}"""
TRANSITION = """mutation Transition($input: TransitionStageInput!) {
  transitionStage(input: $input) { version { id version stage } archived { id } }
}"""
REGISTER, STAGE, PROMOTE = "createVersion", "to STAGING", "to PRODUCTION"


@dataclass
class Written:
    """The latencies of one server's turn, by what was written; in seconds."""

    latencies: dict[str, list[float]] = field(default_factory=lambda: defaultdict(list))
    elapsed: float = 0.0

    @property
    def rate(self) -> float:
        return sum(map(len, self.latencies.values())) / self.elapsed


@dataclass
class Client:
    """Registers versions of its own model and brings each to production, where it replaces the one before."""

    server: Server
    model_id: str
    input: dict[str, Any]
    connection: Connection = field(init=False)

    async def write(self, until: float, written: Written, fewest: int = 1) -> None:
        # Opened for each turn: servers close what is idle for long.
        self.connection = await connect(self.server.port)
        try:
            while fewest > 0 or time.perf_counter() < until:
                await self.cycle(written)
                fewest -= 1
        finally:
            self.connection.transport.close()

    async def cycle(self, written: Written) -> None:
        created = await self._timed(
            written, REGISTER, CREATE, {**self.input, "modelId": self.model_id, "bump": "MINOR"}
        )
        step = {"modelId": self.model_id, "version": created["createVersion"]["version"]["version"], "notes": "Ready."}
        await self._timed(written, STAGE, TRANSITION, {**step, "targetStage": "STAGING"})
        await self._timed(written, PROMOTE, TRANSITION, {**step, "targetStage": "PRODUCTION"})

    async def _timed(self, written: Written, kind: str, document: str, given: dict[str, Any]) -> Any:
        path = "/create" if document == CREATE else "/transition"
        body = orjson.dumps({"query": document, "variables": {"input": given}})
        request = post(path if self.server.name == FLOOR else "/graphql", body, self.server.key)
        begin = time.perf_counter()
        answer = await self.connection.ask(request)
        written.latencies[kind].append(time.perf_counter() - begin)
        return orjson.loads(answer)["data"]


async def measure_writes(place: Place, effort: Effort) -> bool:
    """Print the tables and the verdicts; true when every target is reached."""
    async with copied(place) as copy, _servers(copy, effort.pool_size) as servers:
        teams = [await _clients(copy, server, effort.connections) for server in servers]
        for team in teams:
            await _turn(team, WARM_UP, COMPARED)
        await compare(copy, [team[0] for team in teams])
        alone = await _rounds([team[:1] for team in teams], effort)
        together = await _rounds(teams, effort)
    click.echo(HEADER)
    show("1 client", alone)
    show(f"{effort.connections} clients", together)
    return verdict(alone)


@asynccontextmanager
async def _servers(place: Place, pool_size: int) -> AsyncIterator[list[Server]]:
    environment = {"BENCH_URL": place.app_url, "BENCH_POOL_SIZE": str(pool_size)}
    async with running(FLOOR, "benchmarks.written:app", environment) as floor, lineal(place.app_url, pool_size) as ours:
        yield [floor, ours]


async def _clients(place: Place, server: Server, count: int) -> list[Client]:
    database = await asyncpg.connect(place.app_url)
    try:
        return [await _client(database, server, i) for i in range(count)]
    finally:
        await database.close()


async def _client(database: asyncpg.Connection, server: Server, i: int) -> Client:
    """A client with a model that has one version, made on an experiment and data that are there."""
    model_id, project_id = f"model_bench_{server.name}_{i}", project_of(i)
    experiment = await database.fetchrow(
        "SELECT id, dataset_version_id FROM experiments WHERE project_id = $1 ORDER BY id LIMIT 1", project_id
    )
    assert experiment is not None
    given = {
        "projectId": project_id,
        "description": "Trained by the benchmark",
        "experimentId": experiment["id"],
        "datasetVersionId": experiment["dataset_version_id"],
        "metrics": {name: 0.9 + place / 100 for place, name in enumerate(METRICS)},
        "parameters": {"algorithm": "XGBoost", "max_depth": 7, "learning_rate": 0.05, "trees": 400},
        "features": FEATURES[:18],
        "target": "churned",
        "tags": ["baseline", "candidate", "weekly"],
    }
    async with database.transaction():
        await database.execute(
            "INSERT INTO models (id, project_id, name, created_by) VALUES ($1, $2, $1, 'benchmark')",
            model_id,
            project_id,
        )
        await create_version(database, {**given, "modelId": model_id})
    return Client(server, model_id, given)


async def _turn(team: Sequence[Client], seconds: float, fewest: int = 1) -> Written:
    written, begin = Written(), time.perf_counter()
    await asyncio.gather(*(client.write(begin + seconds, written, fewest) for client in team))
    written.elapsed = time.perf_counter() - begin
    return written


Turns = dict[str, list[Written]]


async def _rounds(teams: Sequence[Sequence[Client]], effort: Effort) -> Turns:
    turns: Turns = defaultdict(list)
    for _ in range(effort.rounds):
        for team in teams:
            turns[team[0].server.name].append(await _turn(team, effort.seconds))
    return turns


Row = tuple[Any, ...]

# A model's rows without what must differ: ids and times.
ROWS = """
SELECT 'version', to_jsonb(v) - '{id,model_id,parent_id,created_at,touched_at}'::text[], p.number, v.number
FROM versions v LEFT JOIN versions p ON p.id = v.parent_id WHERE v.model_id = $1
UNION ALL
SELECT 'metric', to_jsonb(m) - 'version_id', NULL, v.number
FROM versions v JOIN metrics m ON m.version_id = v.id WHERE v.model_id = $1
UNION ALL
SELECT 'tag', to_jsonb(t) - 'version_id', NULL, v.number
FROM versions v JOIN tags t ON t.version_id = v.id WHERE v.model_id = $1
UNION ALL
SELECT 'use', to_jsonb(u) - 'version_id', NULL, v.number
FROM versions v JOIN dataset_uses u ON u.version_id = v.id WHERE v.model_id = $1
UNION ALL
SELECT 'step', to_jsonb(s) - '{id,model_id,version_id,at}'::text[], NULL, v.number
FROM versions v JOIN stage_transitions s ON s.version_id = v.id WHERE v.model_id = $1
UNION ALL
SELECT 'approval', to_jsonb(a) - '{id,version_id,at,meaning}'::text[], NULL, v.number
FROM versions v JOIN approvals a ON a.version_id = v.id WHERE v.model_id = $1
UNION ALL
SELECT 'event', entry::jsonb - '{id,requestId,subjectId}'::text[] #- '{details,after,modelId}'
    #- '{details,after,parentId}' #- '{details,after,id}' #- '{details,after,meaning}' #- '{step,id}'
    #- '{step,versionId}' #- '{approval,id}' #- '{approval,meaning}', NULL, ARRAY[seq::int]
FROM audit_events WHERE chain = $1
ORDER BY 1, 4, 2
"""


async def compare(place: Place, twins: Sequence[Client]) -> None:
    """Refuse to measure writers that do not write the same rows."""
    database = await asyncpg.connect(place.app_url)
    one, other = [list(map(tuple, await database.fetch(ROWS, twin.model_id))) for twin in twins]
    await database.close()
    if difference := first_difference(one, other):
        raise click.ClickException("The rows are not the same.\n{}\n{}".format(*difference))


def first_difference(ours: Sequence[Row], others: Sequence[Row]) -> tuple[Row | None, Row | None] | None:
    """The first rows that differ, as far as both have got: a slow turn leaves one of them far behind."""
    shortest = min(_versions(ours), _versions(others))
    pairs = zip_longest(_cut(ours, shortest), _cut(others, shortest))
    return next(((one, other) for one, other in pairs if one != other), None)


def _versions(rows: Sequence[Row]) -> int:
    return sum(row[0] == "version" for row in rows)


def _cut(rows: Sequence[Row], versions: int) -> list[Row]:
    """The rows of the first versions only, without the last one, whose history is not over."""
    numbers = sorted(row[3] for row in rows if row[0] == "version")[: max(0, versions - 1)]
    # The first version was made without events, and the last two have not had all of theirs.
    events = [row for row in rows if row[0] == "event"][: EVENTS_PER_VERSION * max(0, versions - 3)]
    return [row for row in rows if row[0] != "event" and row[3] in numbers] + events


HEADER = f"{'':12}{'':15}{'server':10}{'p50 ms':>9}{'p99 ms':>9}{'of floor':>10}{'writes/s':>10}"


def show(clients: str, turns: Turns) -> None:
    for kind in (REGISTER, STAGE, PROMOTE):
        for name in turns:
            p50, p99 = (latency(turns[name], kind, share) * 1e3 for share in (0.5, 0.99))
            rate = median(len(turn.latencies[kind]) / turn.elapsed for turn in turns[name])
            times = against_floor(turns, kind, name)
            click.echo(f"{clients:12}{kind:15}{name:10}{p50:9.2f}{p99:9.2f}{times:10.2f}{rate:10.0f}")
    for name in turns:
        click.echo(f"{clients:12}all            {name:10}{median(turn.rate for turn in turns[name]):38.0f}")


def latency(turns: Sequence[Written], kind: str, share: float) -> float:
    return median(quantile(turn.latencies[kind], share) for turn in turns)


def against_floor(turns: Turns, kind: str, name: str = LINEAL) -> float:
    """How many times the floor's median latency: the middle of the rounds, each against its neighbour in time."""
    pairs = zip(turns[name], turns[FLOOR], strict=True)
    return median(quantile(a.latencies[kind], 0.5) / quantile(b.latencies[kind], 0.5) for a, b in pairs)


def verdict(alone: Turns) -> bool:
    reached = {kind: against_floor(alone, kind) for kind in (REGISTER, STAGE, PROMOTE)}
    for kind, times in reached.items():
        passed = "PASS" if times <= MOST_OF_FLOOR else "FAIL"
        click.echo(f"{passed}  {times:.2f} times the floor for {kind}; at most {MOST_OF_FLOOR:g} is the target.")
    return all(times <= MOST_OF_FLOOR for times in reached.values())
