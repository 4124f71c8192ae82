"""What PostgreSQL does for each case: Lineal's statement and the one by hand, alone on one connection."""

import random
import time
from collections.abc import Sequence
from statistics import median
from typing import Any

import click
from graphql.execution.values import VariableValues, get_variable_values

from benchmarks.cases import Case
from benchmarks.data import ACTOR, PRINCIPAL, PROJECTS, project_of
from benchmarks.families import PROJECT
from benchmarks.place import Place
from benchmarks.reads import Effort
from resolvers.callers import Caller
from schema import schema
from server.http.documents import Documents
from storage.connections import Connection, connect
from storage.reads import read_options

TIMED = 300
PLANS = "SELECT generic_plans, custom_plans FROM pg_prepared_statements WHERE statement = $1"

Call = tuple[str, list[Any]]


async def explain_reads(place: Place, effort: Effort, cases: Sequence[Case]) -> bool:
    connection = await connect(**read_options(place.app_url, statement_timeout=0))
    documents = Documents(schema._schema)
    for case in cases:
        variables = [case.as_sent(each) for each in case.pool(effort.models, effort.versions)]
        by_hand = [(case.statement, case.arguments(each)) for each in variables]
        compiled = [compiled_by_lineal(documents, case, each) for each in variables]
        await show_plan(connection, case.name, compiled[0])
        await show_times(connection, case.name, by_hand, compiled)
    await connection.close()
    return True


def compiled_by_lineal(documents: Documents, case: Case, variables: dict[str, Any]) -> Call:
    prepared = documents.prepare(case.document, None)
    definitions = prepared.operation.definition.variable_definitions or ()
    values = get_variable_values(documents.schema, definitions, variables)
    assert isinstance(values, VariableValues), values
    caller = Caller(ACTOR, [PROJECT, *(project_of(i) for i in range(PROJECTS))], "explain", PRINCIPAL)
    plan = prepared.operation.read_plan(values, caller)
    return plan.statement, plan.arguments(values, caller)


async def show_plan(connection: Connection, name: str, call: Call) -> None:
    statement, arguments = call
    lines = await connection.fetch(f"EXPLAIN (ANALYZE, BUFFERS) {statement}", *arguments)
    click.echo(f"== {name}\n{statement}\n")
    click.echo("\n".join(line[0] for line in lines) + "\n")


async def show_times(connection: Connection, name: str, by_hand: list[Call], compiled: list[Call]) -> None:
    """Both in turns, and whether PostgreSQL planned once (generic) or at every execution (custom)."""
    times: dict[str, list[float]] = {"by hand": [], "Lineal": []}
    chance = random.Random(name)
    for _ in range(TIMED):
        for who, calls in (("by hand", by_hand), ("Lineal", compiled)):
            statement, arguments = chance.choice(calls)
            begin = time.perf_counter()
            await connection.fetchval(statement, *arguments)
            times[who].append(time.perf_counter() - begin)
    for who, (statement, _) in (("by hand", by_hand[0]), ("Lineal", compiled[0])):
        plans = await connection.fetchrow(PLANS, statement)
        planned = f"{plans['generic_plans']} generic and {plans['custom_plans']} custom plans" if plans else "not kept"
        click.echo(f"{name:14}{who:8} {median(times[who]) * 1e6:6.0f} us a statement; {planned}.")
    click.echo()
