"""Nothing of project A appears in anything that project B reads, whatever it asks.

No answer holds a canary of A that the request itself did not hold.
"""

import asyncio
import json
import re
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import httpx
import pytest
import pytest_asyncio
from hypothesis import HealthCheck, given, reject, settings

from resolvers.rules.actions import ACTIONS
from schema import schema
from server.app import make_app
from server.settings import Settings
from tests.conftest import connect
from tests.support import oracle
from tests.support.canaries import Neighbours, leaked, two_projects
from tests.support.generated import Generated, operations
from tests.support.live import at_full_length

IN_THE_SUITE, AT_FULL_LENGTH = 300, 5_000
SCHEMA = schema._schema


@pytest_asyncio.fixture(scope="module", loop_scope="session")
async def neighbours(make_database: Callable[[], Any], make_registry: Callable[..., Any]) -> Neighbours:
    database = await make_database()
    return await two_projects(database, await make_registry(database, rate_per_second=0))


# ---------------------------------------------------------------- the canaries are everywhere

# The registry's own words, what it draws by lot, and what only who administers the instance makes.
SILENT = {
    ("webhooks", "secret"),
    ("webhooks", "previous_secret"),
    ("webhooks", "actions"),
    ("audit_events", "action"),
    ("policy_changes", "field"),
    ("model_card_revisions", "changed"),
    ("projects", "created_by"),
    ("api_keys", "created_by"),
}


def test_every_event_of_a_filled_registry_has_a_listed_action(neighbours: Neighbours) -> None:
    assert {row["action"] for row in neighbours.data.tables["audit_events"]} <= set(ACTIONS)


def test_every_column_of_a_holds_a_canary_and_none_is_empty(neighbours: Neighbours) -> None:
    empty, silent = set(), set()
    for table in oracle.TABLES:
        rows = neighbours.of_a(table) if table != "principals" else neighbours.data.tables[table]
        assert rows, table
        for column in rows[0]:
            values = [row[column] for row in rows if row[column] is not None]
            if not values:
                empty.add((table, column))
            texts = [value for value in values if _is_text(value)]
            if texts and not any(canary in str(texts).lower() for canary in neighbours.canaries):
                silent.add((table, column))
    assert not empty
    assert silent == SILENT


def _is_text(value: Any) -> bool:
    """Whether there are words in it, and not just one of a vocabulary."""
    return isinstance(value, dict | list | str) and re.search("[a-z]", str(value)) is not None


# ---------------------------------------------------------------- whatever is asked


@dataclass(frozen=True)
class Asking:
    """The app in an event loop of its own: Hypothesis calls synchronous functions only."""

    runner: asyncio.Runner
    client: httpx.AsyncClient

    def ask(self, key: str, query: str, variables: Mapping[str, Any], name: str | None) -> tuple[str, str]:
        """What was sent, and the answer."""
        body = {"query": query, "variables": variables, "operationName": name}
        headers = {"Authorization": f"Bearer {key}"}
        response = self.runner.run(self.client.post("/graphql", json=body, headers=headers))
        return json.dumps(body, ensure_ascii=False), response.text


@pytest.fixture(scope="module")
def asking(neighbours: Neighbours) -> Iterator[Asking]:
    with asyncio.Runner(loop_factory=asyncio.new_event_loop) as runner:
        app = make_app(Settings(database_url=neighbours.database.app_url, rate_per_second=0))
        lifespan = app.app.router.lifespan_context(app.app)  # type: ignore[attr-defined]
        runner.run(lifespan.__aenter__())
        client = httpx.AsyncClient(transport=httpx.ASGITransport(app=app), base_url="http://localhost")
        yield Asking(runner, client)
        runner.run(client.aclose())
        runner.run(lifespan.__aexit__(None, None, None))


@pytest.mark.long
def test_no_generated_operation_tells_b_anything_of_a(
    neighbours: Neighbours, asking: Asking, pytestconfig: pytest.Config
) -> None:
    at_length = at_full_length(pytestconfig)
    done, telling = set(), set()

    @settings(
        max_examples=AT_FULL_LENGTH if at_length else IN_THE_SUITE,
        derandomize=not at_length,
        deadline=None,
        database=None,
        suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large, HealthCheck.large_base_example],
    )
    @given(operations(SCHEMA, neighbours.data))
    def check(generated: Generated) -> None:
        query, name = generated.query, generated.operation_name
        for variables in (generated.variables, generated.others):
            for who, registry in neighbours.askers.items():
                asked, answered = asking.ask(registry.key, query, variables, name)
                if "QUERY_TOO_COMPLEX" in answered:
                    reject()
                assert not leaked(neighbours.canaries, asked, answered), (who, asked, answered)
        done.add(query)
        # The same operation tells of A who may see it: it does reach there.
        if leaked(neighbours.canaries, *asking.ask(neighbours.a.root.key, query, generated.variables, name)):
            telling.add(query)

    check()
    assert len(done) >= IN_THE_SUITE * 0.9
    assert len(telling) > len(done) / 4
    print(f"{len(done)} generated operations; {len(telling)} of them tell of A who may see it")


async def test_lists_and_counts_hold_b_alone(neighbours: Neighbours) -> None:
    listed = "(SELECT * FROM models WHERE NOT archived) m"
    tables = {"models": listed, "searchVersions": "versions", "auditEvents": "audit_events"}
    query = " ".join(f"{field} {{ totalCount }}" for field in ("projects", *tables))
    connection = await connect(neighbours.database.app_url)
    for registry in neighbours.askers.values():
        answer = await registry.ask(f"{{ {query} }}")
        assert answer.pop("projects") == {"totalCount": 1}
        for field, counted in answer.items():
            statement = f"SELECT count(*) FROM {tables[field]} WHERE project_id = $1"
            assert counted["totalCount"] == await connection.fetchval(statement, neighbours.b.project), field
    await connection.close()


# ---------------------------------------------------------------- what is searched for

# What does not name a thing.
UNNAMED = {"stage", "createdAfter", "createdBefore", "action", "after", "before"}


def conditions(neighbours: Neighbours, nowhere: bool) -> Iterator[str]:
    """Every way to search for something by its name, with names of A, or with names that there are not."""
    version, event = neighbours.of_a("versions")[-1], neighbours.of_a("audit_events")[-1]
    use, metric = neighbours.of_a("dataset_uses")[-1], neighbours.of_a("metrics")[-1]
    tag = next(row for row in neighbours.of_a("tags") if neighbours.a.name in row["tag"])
    experiment = next(row["experiment_id"] for row in neighbours.of_a("versions") if row["experiment_id"])
    algorithm = next(row["algorithm"] for row in neighbours.of_a("versions") if row["algorithm"])
    names: dict[str, Any] = {
        "query": tag["tag"],
        "projectId": neighbours.a.project,
        "modelId": version["model_id"],
        "tags": [tag["tag"]],
        "anyTag": [tag["tag"]],
        "metrics": [{"name": metric["name"]}],
        "algorithm": algorithm,
        "experimentId": experiment,
        "datasetVersionId": use["dataset_version_id"],
        "chain": event["chain"],
        "subjectId": event["subject_id"],
        "actor": neighbours.a.admin,
    }
    for field, of in (("searchVersions", "VersionFilter"), ("auditEvents", "AuditFilter")):
        for name in set(SCHEMA.type_map[of].fields) - UNNAMED:  # type: ignore[attr-defined]
            value = json.dumps(names[name])
            value = re.sub(r'(?<=")[^"]*\d[^"]*(?=")', "none", value) if nowhere else value
            value = value.replace('{"name"', "{name")
            yield f"{field}(filter: {{{name}: {value}}})"
    for text in ("none",) if nowhere else (neighbours.a.model, neighbours.a.model[-8:]):
        yield f"models(query: {json.dumps(text)})"


async def test_what_is_of_a_is_searched_for_in_vain(neighbours: Neighbours) -> None:
    page = "{ totalCount nodes { id } edges { cursor } pageInfo { hasNextPage hasPreviousPage startCursor } }"
    for registry in neighbours.askers.values():
        for nowhere in (True, False):
            for field in conditions(neighbours, nowhere):
                answer = await registry.ask(f"{{ found: {field} {page} }}")
                assert answer["found"]["totalCount"] == 0, field
                assert answer["found"]["nodes"] == answer["found"]["edges"] == []
    for field in conditions(neighbours, nowhere=False):
        answer = await neighbours.a.root.ask(f"{{ found: {field} {{ totalCount }} }}")
        assert answer["found"]["totalCount"] > 0, field


async def test_ordering_by_a_metric_of_a_says_nothing(neighbours: Neighbours) -> None:
    query = """query($m: String!) { searchVersions(orderBy: {by: METRIC, metric: $m}) {
        nodes { id metric(name: $m) } } }"""
    for registry in neighbours.askers.values():
        assert await registry.ask(query, m=neighbours.a.metric) == await registry.ask(query, m="nowhere")
