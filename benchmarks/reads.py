"""Reading: Lineal beside the same answers by hand and by DataLoaders, in turns, so that the machine's moods hit all."""

from collections.abc import AsyncIterator, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, field
from statistics import median
from typing import Any, Literal

import asyncpg
import click
import orjson

from benchmarks.cases import CASES, Case
from benchmarks.cpu import Meter, Use
from benchmarks.generator import Slice, ask_once, load, post, quantile
from benchmarks.place import Place
from benchmarks.servers import DATALOADERS, FLOOR, LINEAL, Server, lineal, running

LEAST_OF_DATALOADERS = 15.0
COMPARED = 5  # requests whose answers must be alike
WARM_UP = 0.5  # seconds
MOST_OF_OTHERS = 0.1


@dataclass(frozen=True)
class Effort:
    """How much is measured: the registry's size, and how the load is sent."""

    models: int
    versions: int
    rounds: int
    seconds: float
    connections: int
    pool_size: int


@dataclass
class Measured:
    """One server's rounds of one case."""

    slices: list[Slice] = field(default_factory=list)
    used: list[Use] = field(default_factory=list)

    def rate(self) -> float:
        return median(each.rate for each in self.slices)

    def latency(self, share: float) -> float:
        return median(quantile(each.latencies, share) for each in self.slices)

    def against(self, other: "Measured") -> float:
        """How many times the other's throughput: the middle of the rounds, each against its neighbour in time."""
        return median(ours.rate / theirs.rate for ours, theirs in zip(self.slices, other.slices, strict=True))

    def thrift_against(self, other: "Measured") -> float:
        """The other's processor time a request by ours, servers and database together."""
        return (other.cost("server") + other.cost("database")) / (self.cost("server") + self.cost("database"))

    def cost(self, whose: Literal["server", "database"]) -> float:
        """Seconds of processor time a request."""
        pairs = zip(self.used, self.slices, strict=True)
        return median(float(getattr(use, whose)) / len(each.latencies) for use, each in pairs)


Results = dict[str, dict[str, Measured]]


async def measure_reads(place: Place, effort: Effort, cases: Sequence[Case]) -> bool:
    """Print the table and the verdicts; true when every target is reached."""
    async with _servers(place, effort.pool_size) as servers:
        answering = {
            case.name: [each for each in servers if case.by_loaders or each.name != DATALOADERS] for case in cases
        }
        for case in cases:
            await compare(case, answering[case.name], effort)
        click.echo(HEADER)
        database = await asyncpg.connect(place.app_url) if place.is_local else None
        results: Results = {}
        for case in cases:
            results[case.name] = await _measure(case, answering[case.name], effort, database)
            show(case, results[case.name])
        if database is not None:
            await database.close()
    warn_of_others(results)
    return verdict(results)


@asynccontextmanager
async def _servers(place: Place, pool_size: int) -> AsyncIterator[list[Server]]:
    environment = {"BENCH_URL": place.app_url, "BENCH_POOL_SIZE": str(pool_size)}
    async with AsyncExitStack() as stack:
        yield [
            await stack.enter_async_context(running(FLOOR, "benchmarks.floor:app", environment)),
            await stack.enter_async_context(lineal(place.app_url, pool_size)),
            await stack.enter_async_context(running(DATALOADERS, "benchmarks.dataloaders:app", environment)),
        ]


def request(case: Case, server: Server, variables: dict[str, Any]) -> bytes:
    return post(case.path if server.name == FLOOR else "/graphql", case.body(variables), server.key)


async def compare(case: Case, servers: Sequence[Server], effort: Effort) -> None:
    """Refuse to measure answers that are not the same."""
    for variables in case.pool(effort.models, effort.versions)[:COMPARED]:
        answers = {each.name: await ask_once(each.port, request(case, each, variables)) for each in servers}
        contents = {name: _content(answer) for name, answer in answers.items()}
        for name, content in contents.items():
            if content != contents[FLOOR]:
                shown = "\n".join(f"{n}: {answers[n][:1500].decode()}" for n in (FLOOR, name))
                raise click.ClickException(f"{case.name}: {name} answers differently.\n{shown}")


def _content(answer: bytes) -> Any:
    """The answer without its cursors, which are each server's own; that there is one counts."""
    content = orjson.loads(answer)
    content.pop("extensions", None)
    if info := content["data"].get("searchVersions", {}).get("pageInfo"):
        info["endCursor"] = info["endCursor"] is not None
    return content


async def _measure(
    case: Case, servers: Sequence[Server], effort: Effort, database: asyncpg.Connection | None
) -> dict[str, Measured]:
    variables = case.pool(effort.models, effort.versions)
    requests = {each.name: [request(case, each, each_of) for each_of in variables] for each in servers}
    measured = {each.name: Measured() for each in servers}
    for each in servers:
        await load(each.port, requests[each.name], effort.connections, WARM_UP)
    for _ in range(effort.rounds):
        for each in servers:
            meter = Meter(database, each.pid)
            before = await meter.read()
            got = await load(each.port, requests[each.name], effort.connections, effort.seconds)
            measured[each.name].used.append((await meter.read()).since(before))
            measured[each.name].slices.append(got)
    return measured


HEADER = (
    f"{'':54}{'of floor,':>12}{'CPU us a request':>20}{'of floor,':>11}\n"
    f"{'case':14}{'server':13}{'req/s':>9}{'p50 ms':>9}{'p99 ms':>9}"
    f"{'req/s':>12}{'server':>10}{'database':>10}{'CPU':>11}"
)


def show(case: Case, of_case: dict[str, Measured]) -> None:
    floor = of_case[FLOOR]
    for name, measured in of_case.items():
        server, database = measured.cost("server"), measured.cost("database")
        share = measured.thrift_against(floor)
        click.echo(
            f"{case.name:14}{name:13}{measured.rate():9.0f}{measured.latency(0.5) * 1e3:9.2f}"
            f"{measured.latency(0.99) * 1e3:9.2f}{measured.against(floor):12.2f}"
            f"{server * 1e6:10.0f}{database * 1e6:10.0f}{share:11.2f}"
        )
    if DATALOADERS in of_case:
        click.echo(f"{case.name:14}Lineal / DataLoaders {of_case[LINEAL].against(of_case[DATALOADERS]):.1f}")


def warn_of_others(results: Results) -> None:
    """Other work on the machine hits the fast more than the slow: then processor time says more than requests do."""
    used = [use for of_case in results.values() for measured in of_case.values() for use in measured.used]
    share = sum(use.others for use in used) / sum(use.machine for use in used)
    if share > MOST_OF_OTHERS:
        click.echo(f"Others used {share:.0%} of what the machine did meanwhile: rather trust the processor columns.")


def verdict(results: Results) -> bool:
    judged = []
    slow = False
    for case in CASES:
        if case.name not in results:
            continue
        ours, floor = results[case.name][LINEAL], results[case.name][FLOOR]
        if case.most_of_floor_p50 is not None:
            times = ours.latency(0.5) / floor.latency(0.5)
            slow |= times > case.most_of_floor_p50
            told = "FAIL" if times > case.most_of_floor_p50 else "PASS"
            click.echo(
                f"{told}  {times:.2f} times the floor's p50 for {case.name}; at most {case.most_of_floor_p50:g}."
            )
        if case.least_of_floor is not None:
            by_cpu = f"of the floor for {case.name} ({ours.thrift_against(floor):.2f} by processor time)"
            judged.append((ours.against(floor), case.least_of_floor, by_cpu))
    if of_fifty := results.get("50 versions"):
        times = of_fifty[LINEAL].against(of_fifty[DATALOADERS])
        judged.append((times, LEAST_OF_DATALOADERS, "times the DataLoader server for 50 versions"))
    for reached, least, what in judged:
        click.echo(f"{'PASS' if reached >= least else 'FAIL'}  {reached:.2f} {what}; the target is {least:g}.")
    return not slow and all(reached >= least for reached, least, _ in judged)
