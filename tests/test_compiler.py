"""The read compiler against graphql-core: whatever is asked, both answer the same, and the compiler asks once."""

import base64
import json
from collections.abc import Callable, Iterator, Sequence
from datetime import datetime, timedelta
from itertools import cycle
from typing import Any

import pytest
import pytest_asyncio
from graphql import (
    get_named_type,
    is_abstract_type,
    is_composite_type,
)
from hypothesis import HealthCheck, Phase, given, reject, settings

from schema import schema
from tests.conftest import Cluster
from tests.support import oracle
from tests.support.compared import GIVEN, Compared, TooMuch, arguments, compare, everything, filled, is_missing
from tests.support.generated import Generated, operations
from tests.support.generated_rows import registry_rows, wide_rows
from tests.support.live import at_full_length
from tests.support.oracle import Row

IN_THE_SUITE, AT_FULL_LENGTH = 500, 10_000
ALPHA = ["proj_alpha"]
QUERY: Any = schema._schema.query_type


@pytest_asyncio.fixture(scope="module", loop_scope="session")
async def registry_database(make_database: Callable[[], Any]) -> Cluster:
    return await filled(make_database, registry_rows())


@pytest_asyncio.fixture(scope="module", loop_scope="session")
async def wide_database(make_database: Callable[[], Any]) -> Cluster:
    return await filled(make_database, wide_rows())


@pytest.fixture(scope="module")
def compared(registry_database: Cluster) -> Iterator[Compared]:
    yield from compare(registry_database)


@pytest.fixture(scope="module")
def wide(wide_database: Cluster) -> Iterator[Compared]:
    yield from compare(wide_database)


@pytest.mark.long
def test_generated_operations_answer_as_graphql_core_does(compared: Compared, pytestconfig: pytest.Config) -> None:
    at_length = at_full_length(pytestconfig)
    done: set[str] = set()

    @settings(
        max_examples=AT_FULL_LENGTH if at_length else IN_THE_SUITE,
        derandomize=not at_length,
        deadline=None,
        database=None,
        # Operations are large by nature, and each is asked three times of both.
        phases=[Phase.generate],  # what fails is told at once: shrinking it takes minutes
        suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large, HealthCheck.large_base_example],
    )
    @given(operations(schema._schema, compared.oracle.data))
    def check(generated: Generated) -> None:
        for variables, visible in ((generated.variables, None), (generated.variables, ALPHA), (generated.others, None)):
            try:
                answer = compared.check(generated.query, variables, visible, generated.operation_name)
            except TooMuch:
                reject()
            assert "data" in answer or is_missing(answer), answer
        done.add(generated.query)

    check()
    assert len(done) >= IN_THE_SUITE
    print(f"{len(done)} generated operations, for two callers and with two sets of variables")


@pytest.mark.parametrize("visible", [None, ALPHA])
def test_every_field_answers(compared: Compared, visible: Sequence[str] | None) -> None:
    tables = compared.oracle.data.tables
    for table, name in oracle.NODES.values():
        # Deeper, what has a lineage, or leads to much that has, would have too many fields.
        fields = everything(name, depth=2 if name in DEEP else 3)
        query = f"query($ids: [ID!]!) {{ nodes(ids: $ids) {{ ... on {name} {fields} }} }}"
        answer = compared.check(query, {"ids": [row["id"] for row in tables[table]][:2]}, visible)
        assert any(answer["data"]["nodes"])
    version, of_type = tables["versions"][0], {of: tables[table][0]["id"] for table, of in oracle.NODES.values()}
    given = GIVEN | {"modelId": version["model_id"], "version": oracle.number_text(version)}
    given["ids"] = list(of_type.values())
    for name, field in QUERY.fields.items():
        of = get_named_type(field.type).name
        selected = everything(of, depth=2 if "after" in field.args else int(name == "viewer"))
        compared.check(f"{{ {name}{arguments(field, given | {'id': of_type.get(of, 'x')})} {selected} }}", {}, visible)
    deep = """modelCard { performanceBySegment { segment samples metrics { name value higherIsBetter } }
        worstSegments { metric segment value whole gap } }"""
    compared.check(f"{{ searchVersions(first: 50) {{ nodes {{ {deep} }} }} }}", {}, visible)
    hooks = "webhooks { deliveries { edges { cursor node { id status event { id } } } pageInfo { endCursor } } }"
    compared.check(f"{{ projects {{ nodes {{ {hooks} }} }} }}", {}, visible)
    sides = "segmentDiffs { segment metricDiffs { name values delta relativeDelta higherIsBetter improved } }"
    other = f'compareTo(version: "{given["version"]}", modelId: "{given["modelId"]}") {{ {sides} }}'
    compared.check(f"{{ searchVersions(first: 50) {{ nodes {{ {other} }} }} }}", {}, visible)
    assert readable_fields() <= compared.oracle.asked


DEEP = {"Model", "ModelVersion", "DatasetVersion", "Experiment"}


def readable_fields() -> set[str]:
    """Every field that a query can reach, such as Model.name."""
    found: set[str] = set()
    border: list[Any] = [QUERY]
    while border:
        of = border.pop()
        for name, field in of.fields.items():
            inner: Any = get_named_type(field.type)
            if f"{of.name}.{name}" not in found and is_composite_type(inner):
                border += schema._schema.get_possible_types(inner) if is_abstract_type(inner) else [inner]
            found.add(f"{of.name}.{name}")
    return found


@pytest.mark.parametrize(
    "query",
    [
        "{ projects { pageInfo { __typename } } }",
        "{ projects { pageInfo { hasPreviousPage } } }",
        "{ projects(last: 1) { pageInfo { hasNextPage } } }",
        "{ projects { nodes { models { pageInfo { hasPreviousPage hasNextPage startCursor endCursor } } } } }",
        "{ projects { nodes @skip(if: true) { id } } }",
        "{ projects @skip(if: true) { nodes { id } } }",
        "{ models(first: 1) { __typename } }",
        "{ models(projectId: null, query: null) { pageInfo { __typename } totalCount } }",
        '{ searchVersions(orderBy: {by: METRIC, metric: "auc"}) { totalCount } }',
        '{ searchVersions(orderBy: {by: METRIC, metric: "auc"}, last: 3) { pageInfo { hasNextPage } } }',
        '{ models(query: "churn model model_") { nodes { name id } } }',
        "{ __typename }",
        "{ a: __typename b: __schema { queryType { name } } c: __typename }",
        'query($name: String = "Model") { __type(name: $name) { name } projects { totalCount } }',
        f"{{ projects {{ nodes {{ {' '.join(f'a{n}: name b{n}: id' for n in range(50))} }} }} }}",
    ],
)
def test_what_is_rarely_asked_answers_too(compared: Compared, query: str) -> None:
    assert "data" in compared.check(query)


@pytest.mark.parametrize(("count", "border"), [("first", "before"), ("last", "after")])
@pytest.mark.parametrize("name", ["", "D", "churn", "z", "Ω"])
def test_a_page_tells_that_more_lies_beyond_its_far_border(
    compared: Compared, count: str, border: str, name: str
) -> None:
    selected = "nodes { id } pageInfo { hasNextPage hasPreviousPage }"
    query = f"query($c: String) {{ models({count}: 9, {border}: $c) {{ {selected} }} }}"
    compared.check(query, {"c": oracle.cursor(oracle.BY_NAME, name, "")})


@pytest.mark.parametrize(
    ("declared", "selected"),
    [
        ('$x: ID = "a"', "node(id: $x) { id }"),
        ('$x: ID = "a"', "nodes(ids: [$x]) { id }"),
        ("$x: Boolean = true", "projects { totalCount @include(if: $x) nodes { id } }"),
        ('$x: String = "a"', "searchVersions { nodes { metric(name: $x) } }"),
        ('$x: String = "a"', "searchVersions(filter: {tags: [$x]}) { totalCount }"),
        ('$x: String = "a"', "__type(name: $x) { name }"),
    ],
)
def test_null_in_a_place_that_takes_none_is_refused(compared: Compared, declared: str, selected: str) -> None:
    assert "errors" in compared.oracle.answer(f"query({declared}) {{ {selected} }}", {"x": None})
    assert compared.refusal(f"query({declared}) {{ {selected} }}", x=None)["code"] == "BAD_USER_INPUT"


BY_METRIC = 'searchVersions(orderBy: {by: METRIC, metric: "auc"}, after: $c)'


@pytest.mark.parametrize(
    ("field", "parts"),
    [
        ("searchVersions(orderBy: {by: VERSION}, after: $c)", ["VERSION-", "{9999999999,0,0}", "x"]),
        ("searchVersions(orderBy: {by: VERSION}, after: $c)", ["VERSION-", "{1,0}", "x"]),
        ("searchVersions(orderBy: {by: VERSION}, after: $c)", ["VERSION+", "{1,0,0}", "x"]),
        ("searchVersions(after: $c)", ["CREATED_AT-", "0001-01-01T00:00:00+14:00", "x"]),
        ("searchVersions(after: $c)", ["CREATED_AT-", "yesterday", "x"]),
        ("searchVersions(after: $c)", ["CREATED_AT-", "2026-01-31 09:30:00+00", None]),
        ("searchVersions(after: $c)", ["CREATED_AT-", "2026-01-31 09:30:00+00"]),
        (BY_METRIC, ["METRIC-", "nan", "x"]),
        (BY_METRIC, ["METRIC-", 10**400, "x"]),
        ("projects(after: $c)", ["NAME+", None, "x"]),
        ("projects(after: $c)", ["NAME+", "\0", "x"]),
        ("projects(after: $c)", ["NAME+", "x", "\0"]),
        ("projects(after: $c)", {"NAME+": 1}),
    ],
)
def test_a_forged_cursor_is_refused(compared: Compared, field: str, parts: Any) -> None:
    cursor = base64.urlsafe_b64encode(json.dumps(parts).encode()).decode().rstrip("=")
    assert (
        compared.refusal(f"query($c: String) {{ {field} {{ nodes {{ id }} }} }}", c=cursor)["code"] == "BAD_USER_INPUT"
    )


def test_a_cursor_of_one_metrics_order_is_refused_in_anothers(compared: Compared) -> None:
    query = """query($metric: String, $after: String) {
        searchVersions(orderBy: {by: METRIC, metric: $metric}, first: 1, after: $after) { pageInfo { endCursor } }
    }"""
    cursor = compared.check(query, {"metric": "auc"})["data"]["searchVersions"]["pageInfo"]["endCursor"]
    assert "data" in compared.check(query, {"metric": "auc", "after": cursor})
    assert compared.refusal(query, metric="f1", after=cursor)["code"] == "BAD_USER_INPUT"


PLANNED = """
query($model: ID!, $number: SemVer!, $metric: String!, $first: Int, $filter: VersionFilter, $order: VersionOrder) {
  model(id: $model) {
    version(version: $number) { stage metric(name: $metric) change { reasons } }
    versions(first: $first, filter: $filter, orderBy: $order) {
      totalCount nodes { version tags } pageInfo { endCursor }
    }
  }
}
"""


def test_other_values_of_the_same_shape_are_answered_by_the_same_plan(compared: Compared) -> None:
    def ask(model: Row, stage: str, tag: str, metric: str) -> None:
        order = {"by": "METRIC", "metric": metric}
        condition = {"stage": [stage], "anyTag": [tag, "none"], "metrics": [{"name": metric, "min": -1e300}]}
        compared.check(
            PLANNED,
            {"model": model["id"], "number": "1.0.0", "metric": metric, "first": 2}
            | {"filter": condition, "order": order},
        )

    operation = compared.documents.prepare(PLANNED, None).operation
    models = compared.oracle.data.tables["models"]
    for model in models:
        for stage, tag, metric in (("ARCHIVED", "a", "auc"), ("DEVELOPMENT", "ä", "f1")):
            ask(model, stage, tag, metric)
    assert len(operation._plans) == 1
    compared.check(PLANNED, {"model": models[0]["id"], "number": "1.0.0", "metric": "auc", "filter": {"tags": ["a"]}})
    assert len(operation._plans) == 2


def test_production_is_known_at_every_step_and_just_before_and_after_it(compared: Compared) -> None:
    tables = compared.oracle.data.tables
    for model in tables["models"]:
        steps = [step["at"] for step in tables["stage_transitions"] if step["model_id"] == model["id"]]
        moments = {at + timedelta(microseconds=by) for at in steps for by in (-1, 0, 1)}
        for some in batched(sorted(moments), 50):
            asked = " ".join(f'a{n}: productionAt(at: "{at.isoformat()}") {{ version }}' for n, at in enumerate(some))
            compared.check(f"query($id: ID!) {{ model(id: $id) {{ {asked} }} }}", {"id": model["id"]})


def batched(moments: Sequence[datetime], size: int) -> list[Sequence[datetime]]:
    return [moments[start : start + size] for start in range(0, len(moments), size)]


COUNTED = [
    "nodes { id } totalCount pageInfo { hasNextPage endCursor }",
    "edges { cursor node { version tags metrics { name value higherIsBetter } change { reasons } } }",
    "nodes { model { name project { name } } experiment { name datasetVersion { dataset { name } } } }",
    "nodes { datasets { role datasetVersion { name parents { label } } } stageHistory { toStage at } }",
    "nodes { parent { version } children(first: 2) { nodes { version } } versionChain(first: 5) { version } }",
    "nodes { lineage(depth: 2) { mermaid truncated } }",
    "nodes { modelCard { missing worstSegments { segment } } promotion(targetStage: STAGING) { allowed } }",
    "nodes { impact { paths(first: 2) { via } } } facets { tags { tag count } }",
]
INTROSPECTION = ["", "__schema { queryType { name } }", '__type(name: "Model") { name }']


@pytest.mark.parametrize(("selected", "beside"), list(zip(COUNTED, cycle(INTROSPECTION), strict=False)))
def test_a_read_is_one_statement_for_one_version_and_for_a_hundred(wide: Compared, selected: str, beside: str) -> None:
    for name, size in (("one", 1), ("hundred", 100)):
        model = next(model for model in wide.oracle.data.tables["models"] if model["name"] == name)
        query = f"query($id: ID!) {{ {beside} model(id: $id) {{ versions(first: 100) {{ {selected} }} }} }}"
        wide.statements.clear()
        answer = wide.check(query, {"id": model["id"]})
        assert len(wide.statements) == 1
        found = answer["data"]["model"]["versions"]
        assert len(found.get("nodes") or found["edges"]) == size


def test_introspection_alone_asks_the_database_nothing(wide: Compared) -> None:
    wide.statements.clear()
    wide.check("{ __schema { queryType { fields { name } } } }")
    assert wide.statements == []


def test_lineage_ends_at_five_hundred_nodes(wide: Compared) -> None:
    ancestor = wide.oracle.data.tables["versions"][0]
    query = """query($id: ID!, $depth: Int) { node(id: $id) { ... on ModelVersion {
        lineage(direction: DOWNSTREAM, depth: $depth) { truncated mermaid edges { from } nodes { ... on Node { id } } }
    } } }"""
    for depth in (1, 5):
        graph = wide.check(query, {"id": ancestor["id"], "depth": depth})["data"]["node"]["lineage"]
        assert len(graph["nodes"]) == 500
        assert graph["truncated"] is True
