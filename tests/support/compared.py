"""One registry, asked through the compiler and through the oracle, which must answer the same."""

import asyncio
import json
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cache
from typing import Any

from asyncpg.connection import LoggedQuery
from graphql import (
    GraphQLField,
    get_named_type,
    is_leaf_type,
    is_required_argument,
)

from resolvers.rules.search import tsquery
from schema import schema
from server.http.admission import Admission
from server.http.documents import Documents
from server.http.operations import Operations, Request
from server.http.rates import Buckets
from server.settings import Settings
from storage.engine import Database
from tests.conftest import Cluster, connect
from tests.support import oracle
from tests.support.generated_deployments import deploy, feed, hook
from tests.support.generated_governance import govern
from tests.support.generated_rows import Rows, insert
from tests.support.oracle import Oracle

# What arguments are given where every field is asked.
GIVEN = {
    "targetStage": "PRODUCTION",
    "chain": "proj_alpha",
    "first": 3,
    "name": "auc",
    "alias": "champion",
    "ordinal": 1,
    "version": "1.0.0",
    "versions": ["1.0.0", "0.9.0"],
    "at": "2026-02-01T00:00:00Z",
}


class TooMuch(Exception):
    """The operation is beyond the limits."""


@dataclass
class Compared:
    """One registry, asked through the compiler and through the oracle."""

    runner: asyncio.Runner
    database: Database
    oracle: Oracle
    documents: Documents
    # What the driver was asked, one after another.
    statements: list[str]

    @property
    def operations(self) -> Operations:
        return Operations(self.documents, self.database, Buckets(0, 0), Admission(Settings()))

    def compiled(
        self,
        query: str,
        variables: Mapping[str, Any] = {},
        visible: Sequence[str] | None = None,
        operation_name: str | None = None,
    ) -> dict[str, Any]:
        request = Request(query, operation_name, variables)
        answering = self.operations.answer(request, oracle.ASKING._replace(visible=visible))
        answer: dict[str, Any] = json.loads(self.runner.run(answering).body)
        answer.pop("extensions", None)
        return answer

    def check(
        self,
        query: str,
        variables: Mapping[str, Any] = {},
        visible: Sequence[str] | None = None,
        operation_name: str | None = None,
    ) -> dict[str, Any]:
        """The answer that both give."""
        found = self.compiled(query, variables, visible, operation_name)
        if any(error["extensions"]["code"] == "QUERY_TOO_COMPLEX" for error in found.get("errors", ())):
            raise TooMuch
        expected = self.oracle.answer(query, variables, visible, operation_name)
        if is_missing(found):
            assert any(error["message"].startswith("There is no version") for error in expected["errors"])
            return found
        assert in_order(found) == in_order(expected), difference(found, expected)
        return found

    def refusal(self, query: str, **variables: Any) -> dict[str, Any]:
        found = self.compiled(query, variables)
        assert "data" not in found, found
        assert len(found["errors"]) == 1
        error: dict[str, Any] = found["errors"][0]
        return {**error["extensions"], "message": error["message"]}


def is_missing(answer: Mapping[str, Any]) -> bool:
    """Whether something to compare is not there: then all is refused, where graphql-core answers what is left."""
    return any(error["extensions"]["code"] == "NOT_FOUND" for error in answer.get("errors", ()))


def in_order(value: Any) -> Any:
    """A JSON value whose objects are equal only with the same keys in the same order, and true is not 1."""
    if isinstance(value, dict):
        return [(key, in_order(each)) for key, each in value.items()]
    if isinstance(value, list):
        return [in_order(each) for each in value]
    return str(value) if isinstance(value, bool) else value


def difference(found: Any, expected: Any, path: str = "") -> str:
    """The first place where two answers differ."""
    if isinstance(found, dict) and isinstance(expected, dict) and list(found) == list(expected):
        pairs: Any = [(key, found[key], expected[key]) for key in found]
    elif isinstance(found, list) and isinstance(expected, list) and len(found) == len(expected):
        pairs = [(place, *pair) for place, pair in enumerate(zip(found, expected, strict=True))]
    else:
        return f"{path}: the compiler answers {found!r}, the oracle {expected!r}"
    return next(difference(a, b, f"{path}.{key}") for key, a, b in pairs if in_order(a) != in_order(b))


async def opened(database: Cluster, statements: list[str]) -> Database:
    made = Database(database.app_url, size=1)
    await made.open()
    assert await made.fetchval("SELECT 1") == 1
    (connection,) = made._reads._idle
    connection.add_query_logger(lambda query: _note(statements, query))
    return made


def _note(statements: list[str], query: LoggedQuery) -> None:
    statements.append(query.query)


def compare(database: Cluster) -> Iterator[Compared]:
    # Hypothesis calls synchronous functions only, so the comparison has an event loop of its own.
    with asyncio.Runner(loop_factory=asyncio.new_event_loop) as runner:
        statements: list[str] = []
        data = runner.run(oracle.load(database.app_url))
        made = runner.run(opened(database, statements))
        data = replace(data, ranks=cache(lambda query: runner.run(ranks(database, query))))
        yield Compared(runner, made, Oracle(data), Documents(schema._schema), statements)
        runner.run(made.close())


async def ranks(database: Cluster, query: str) -> dict[str, float]:
    asked = "SELECT version_id, ts_rank(words, to_tsquery('simple', $1))::float8 AS rank FROM version_texts"
    connection = await connect(database.app_url)
    try:
        return {row["version_id"]: row["rank"] for row in await connection.fetch(asked, tsquery(query, "query"))}
    finally:
        await connection.close()


async def filled(make_database: Callable[[], Any], rows: Rows) -> Cluster:
    made: Cluster = await make_database()
    await insert(made.owner_url, hook(feed(deploy(govern(rows)))))
    return made


def everything(of: str, depth: int) -> str:
    """Every field of a type, and so on as deep as that."""
    selected = ["__typename"]
    for name, field in getattr(schema._schema.type_map[of], "fields", {}).items():
        inner = get_named_type(field.type)
        if is_leaf_type(inner):
            selected.append(name + arguments(field, GIVEN))
        elif depth > 0:
            selected.append(f"{name}{arguments(field, GIVEN)} {everything(inner.name, depth - 1)}")
    return f"{{ {' '.join(selected)} }}"


def arguments(field: GraphQLField, given: Mapping[str, Any]) -> str:
    names = [name for name, argument in field.args.items() if is_required_argument(argument) or name == "first"]
    written = {name: given[name] if name == "targetStage" else json.dumps(given[name]) for name in names}
    return f"({', '.join(f'{name}: {value}' for name, value in written.items())})" if names else ""
