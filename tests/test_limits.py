"""What an operation may cost: at each limit it is allowed, one above it is refused by name."""

import re
import time
from collections.abc import Callable
from typing import Any

import pytest
from graphql import FragmentDefinitionNode, OperationDefinitionNode, get_introspection_query, parse, validate
from graphql.execution.values import VariableValues, get_variable_values

from resolvers.errors import QueryTooComplex
from schema import schema
from server.http.costs import cost_of
from server.http.query_limits import COUNTED, check_document, check_text, check_variables
from tests.conftest import Registry
from tests.support.asgi import PROMISE, yardstick

SCHEMA = schema._schema
LEVELS = "depth"
SELECTIONS = "selections"
POINTS = "points"
# How the sentence of a refusal says what its key counts, where that is not the key itself.
SAID = {
    "depth": "levels of fields and fragments",
    "selections": "selections including those of fragments",
    "aliasCharacters": "characters in one alias",
    "rootFields": "root fields",
    "listEntries": "entries in one list",
    "variableValues": "values in its variables",
}


def times(count: int, template: str) -> str:
    return " ".join(template.replace("#", str(place)) for place in range(count))


def in_node(selections: str) -> str:
    return f"{{ node(id: 1) {{ {selections} }} }}"


def chain(levels: int) -> str:
    """Each fragment is one level, and so are the field and the first spread."""
    last = levels - 2
    links = times(last, "fragment f# on Query { ...g# }")
    for place in range(last):
        links = links.replace(f"...g{place} ", f"...f{place + 1} ")
    return f"{{ ...f0 }} {links} fragment f{last} on Query {{ __typename }}"


def doubled(levels: int) -> str:
    links = "".join(f"fragment f{i} on Node {{ ...f{i + 1} ...f{i + 1} }} " for i in range(levels))
    return f"{in_node('...f0')} {links} fragment f{levels} on Node {{ id }}"


Sized = Callable[[int], str]
LIMITS: dict[str, tuple[str, int, Sized]] = {
    "fields": (LEVELS, 30, lambda n: "{ node" * n + "}" * n),
    "inline fragments": (LEVELS, 30, lambda n: "{ ..." * (n - 1) + "{ id" + "}" * n),
    "fragments": (LEVELS, 30, chain),
    "selections": (SELECTIONS, 2_000, lambda n: in_node("... { id }" * ((n - 1) // 2) + "id" * ((n - 1) % 2))),
    "aliases": ("aliases", 100, lambda n: in_node(times(n, "a#: id"))),
    "aliases spread": (
        "aliases",
        100,
        lambda n: (
            in_node("...f " * (n // 10) + times(n % 10, "b#: id")) + f"fragment f on Node {{{times(10, 'a#: id')}}}"
        ),
    ),
    "a long alias": ("aliasCharacters", 500, lambda n: in_node("a" * n + ": id")),
    "a long alias in a fragment": (
        "aliasCharacters",
        500,
        lambda n: in_node("...f") + f"fragment f on Node {{ {'a' * n}: id }}",
    ),
    "root fields": ("rootFields", 50, lambda n: "{" + times(n, "a#: __typename") + "}"),
    "root fields spread": (
        "rootFields",
        50,
        lambda n: f"{{ ...f ... {{ ...f }} {times(n - 48, 'b#')} }} fragment f on Query {{ {times(24, 'a#')} }}",
    ),
    "directives": ("directives", 50, lambda n: in_node(times(n, "... @skip(if: false) { id }"))),
    "directives on the operation": ("directives", 50, lambda n: f"query {'@a ' * n} {{ id }}"),
    "directives on a variable": ("directives", 50, lambda n: f"query($a: Int {'@a ' * n}) {{ id }}"),
    "directives on a fragment": ("directives", 50, lambda n: f"{{ ...f }} fragment f on Query {'@a ' * n} {{ id }}"),
    "repetitions": ("repetitions", 20, lambda n: in_node("id " * n)),
    "repetitions of an alias": ("repetitions", 20, lambda n: in_node("a: id " * n)),
    "operations": ("operations", 10, lambda n: times(n, "query q# { id }")),
    "definitions": ("definitions", 100, lambda n: "{ id }" + times(n - 1, "fragment f# on Query { id }")),
}


def check(document: str) -> None:
    check_document(parse(document))


def assert_refused(refused: QueryTooComplex, what: str, limit: int) -> None:
    told = {name: value for name, value in refused.extensions.items() if name != "costliest"}
    assert told == {"code": "QUERY_TOO_COMPLEX", "what": what, "found": limit + 1, "limit": limit}
    said = "repetitions of the field (id|a)" if what == "repetitions" else SAID.get(what, what)
    assert re.match(f"The operation has {limit + 1} {said}; the limit is {limit}. ", str(refused))


@pytest.mark.parametrize(("what", "limit", "document"), LIMITS.values(), ids=LIMITS.keys())
def test_at_its_limit_a_document_is_allowed_and_one_above_refused(what: str, limit: int, document: Sized) -> None:
    check(document(limit))
    with pytest.raises(QueryTooComplex) as refused:
        check(document(limit + 1))
    assert_refused(refused.value, what, limit)


def test_a_text_has_a_length() -> None:
    check_text("x" * 100_000)
    with pytest.raises(QueryTooComplex) as refused:
        check_text("x" * 100_001)
    assert_refused(refused.value, "characters", 100_000)


async def test_a_document_has_its_tokens(registry: Registry) -> None:
    def document(tokens: int) -> str:
        return "{ searchVersions(filter: {anyTag: [" + '"x" ' * (tokens - 16) + "]}) { totalCount } }"

    refusal = await registry.refusal(document(3_000))
    assert (refusal["code"], refusal["field"]) == ("BAD_USER_INPUT", "filter.anyTag")
    refusal = await registry.refusal(document(3_001))
    assert (refusal["code"], refusal["what"], refusal["limit"]) == ("QUERY_TOO_COMPLEX", "tokens", 3_000)
    assert "more than 3000 tokens" in refusal["message"]


def test_what_a_limit_counts_is_a_key_and_never_prose() -> None:
    assert all(re.fullmatch("[a-z]+([A-Z][a-z]+)*", key) for key in COUNTED)


@pytest.mark.parametrize(
    ("what", "limit", "values"),
    [
        ("listEntries", 6_000, lambda n: {"a": [1] * n}),
        ("variableValues", 50_000, lambda n: {"a": {str(i): i for i in range(n - 1)}}),
        ("variableValues", 50_000, lambda n: {"a": [{"b": [1] * 990}] * 50, "b": [1] * (n - 49_602)}),
    ],
)
def test_variables_hold_as_many_values(what: str, limit: int, values: Callable[[int], dict[str, Any]]) -> None:
    check_variables(values(limit))
    with pytest.raises(QueryTooComplex) as refused:
        check_variables(values(limit + 1))
    assert_refused(refused.value, what, limit)


# ---------------------------------------------------------------- one pass


# Refused at the first fragment that is too large; 20 to the power of 27 has no place in JSON.
@pytest.mark.parametrize(("order", "found"), [(1, 10**15), (-1, 16_420)], ids=["forwards", "backwards"])
def test_fragments_are_measured_once_in_whichever_order_they_stand(order: int, found: int) -> None:
    fragments = [f"fragment f{i} on Node {{ {f'...f{i + 1} ' * 20} }}" for i in range(27)]
    document = parse(" ".join([in_node("...f0"), "fragment f27 on Node { id }", *fragments[::order]]))
    began = time.process_time()
    with pytest.raises(QueryTooComplex) as refused:
        check_document(document)
    assert time.process_time() - began < PROMISE * yardstick()
    assert refused.value.facts["found"] == found


def test_fragments_that_double_are_counted_as_often_as_they_are_spread() -> None:
    with pytest.raises(QueryTooComplex) as refused:
        check(doubled(10))
    # 2 + 4 + ... + 1024 spreads and 1024 fields.
    assert refused.value.facts["found"] == 2_046 + 1_024


@pytest.mark.parametrize(
    "document",
    [
        "{ ...a } fragment a on Query { ...a }",
        "{ ...a } fragment a on Query { ...b } fragment b on Query { ...c } fragment c on Query { ...a }",
        "{ ...a } fragment a on Query { project(id: 1) { ...b } } fragment b on Project { ...b ...b }",
    ],
)
def test_circles_are_left_to_validation(document: str) -> None:
    check(document)
    assert any("within itself" in error.message for error in validate(SCHEMA, parse(document)))


def test_missing_fragments_are_left_to_validation() -> None:
    check("{ ...nowhere }")


def test_what_graphiql_asks_first_is_allowed() -> None:
    every = ("descriptions", "specified_by_url", "directive_is_repeatable", "schema_description")
    query = get_introspection_query(**dict.fromkeys(every, True), input_value_deprecation=True)
    check_text(query)
    check(query)
    assert estimate(query) == 0


async def test_what_graphiql_asks_first_is_answered(registry: Registry) -> None:
    answer = await registry.ask(get_introspection_query(input_value_deprecation=True))
    assert answer["__schema"]["queryType"]["name"] == "Query"


# ---------------------------------------------------------------- through the API


@pytest.mark.parametrize("name", ["fields", "aliases", "root fields", "directives", "repetitions"])
async def test_the_api_tells_which_limit_it_was(registry: Registry, name: str) -> None:
    what, limit, document = LIMITS[name]
    refusal = await registry.refusal(document(limit + 1))
    assert (refusal["code"], refusal["what"], refusal["found"]) == ("QUERY_TOO_COMPLEX", what, limit + 1)


@pytest.mark.parametrize(
    "within", ["parent { # }", "children(first: 1) { nodes { # } }", "versionChain(first: 1) { # }", "... { # }"]
)
async def test_the_deepest_operation_is_answered(registry: Registry, within: str) -> None:
    levels = within.count("{")
    inner = "id"
    for _ in range(28 // levels):
        inner = within.replace("#", inner)
    query = f'{{ version(modelId: "model_x", version: "1.0.0") {{ {inner} }} }}'
    assert await registry.ask(query) == {"version": None}


async def test_as_many_aliases_as_allowed_are_answered(registry: Registry) -> None:
    answer = await registry.ask("{" + times(50, 'a#: project(id: "x") { b#: id }') + "}")
    assert len(answer) == 50


# ---------------------------------------------------------------- objects


def estimate(query: str, **variables: Any) -> int:
    """What a valid operation is estimated to answer."""
    document = parse(query)
    assert validate(SCHEMA, document) == []
    operations = [d for d in document.definitions if isinstance(d, OperationDefinitionNode)]
    fragments = {d.name.value: d for d in document.definitions if isinstance(d, FragmentDefinitionNode)}
    values = get_variable_values(SCHEMA, operations[0].variable_definitions or (), variables)
    assert isinstance(values, VariableValues)
    return cost_of(SCHEMA, operations[0], fragments).total(values.coerced)


PAGED = "($n: Int, $m: Int) { projects(first: $n, last: $m) { nodes { id } } }"


@pytest.mark.parametrize(
    ("query", "objects"),
    [
        ("{ __typename }", 0),
        ("{ project(id: 1) { id } }", 1),
        ("{ projects { totalCount } }", 20),
        ("{ projects(first: 3) { nodes { id } } }", 3 * (1 + 1)),
        ("{ projects(first: 3) { nodes { id } edges { node { id } } } }", 3 * (1 + 1 + 2)),
        ("{ projects(last: 3) { pageInfo { hasNextPage } } }", 3 * (1 + 1)),
        ("{ projects(first: 2) { nodes { models(first: 3) { nodes { id } } } } }", 2 * (1 + 1 + 3 * (1 + 1))),
        # Neither aliases nor fragments hide that it is a page.
        ("{ a: projects { b: nodes { id } } }", 20 * (1 + 1)),
        ("{ projects { ...p } } fragment p on ProjectConnection { nodes { id } }", 20 * (1 + 1)),
        ("{ ... { projects { ... on ProjectConnection { nodes { id } } } } }", 20 * (1 + 1)),
        ("{ ...q ...q } fragment q on Query { project(id: 1) { id } }", 2),
        # Nor does a page that is none make others cheaper.
        ("{ projects(first: 0) { totalCount } }", 1),
        ("{ projects(first: -1000) { totalCount } }", 1),
        ("{ projects(first: 2000000000) { totalCount } }", 1_000),
        # The larger of two sizes, and the default only without either.
        ("{ projects(first: null, last: 100) { totalCount } }", 100),
        ("{ projects(first: null) { totalCount } }", 20),
        ("{ nodes(ids: [1, 2, 3]) { id } }", 3),
        ("{ nodes(ids: 1) { id } }", 1),
        ('{ version(modelId: 1, version: "1.0.0") { versionChain { id } } }', 1 + 100),
        ('{ version(modelId: 1, version: "1.0.0") { versionChain(first: 2) { id } } }', 1 + 2),
        ('{ version(modelId: 1, version: "1.0.0") { metrics { name } stageHistory { at } } }', 1 + 5 + 5),
        (
            '{ version(modelId: 1, version: "1.0.0") { lineage { nodes { __typename } edges { kind } } } }',
            1 + 1 + 1_000,
        ),
        ("{ node(id: 1) { ... on Model { project { id } } ... on Project { models { totalCount } } } }", 1 + 1 + 20),
    ],
)
def test_objects_are_estimated_by_full_pages(query: str, objects: int) -> None:
    assert estimate(query) == objects


@pytest.mark.parametrize(
    ("variables", "size"),
    [
        ({}, 20),
        ({"n": None, "m": None}, 20),
        ({"n": 7}, 7),
        ({"n": None, "m": 100}, 100),
        ({"n": 1, "m": 100}, 100),
        ({"n": -5}, 1),
        ({"n": 2_000_000_000}, 1_000),
    ],
)
def test_variables_decide_the_size_of_a_page(variables: dict[str, int | None], size: int) -> None:
    assert estimate("query" + PAGED, **variables) == size * (1 + 1)


def test_the_default_of_a_variable_is_the_size_where_it_is_not_given() -> None:
    query = "query($n: Int = 50) { projects(first: $n) { totalCount } }"
    assert (estimate(query), estimate(query, n=2)) == (50, 2)


def test_a_variable_list_of_ids_counts_its_entries() -> None:
    assert estimate("query($ids: [ID!]!) { nodes(ids: $ids) { id } }", ids=["a"] * 33) == 33
    assert estimate("query($id: ID!) { nodes(ids: [$id, $id]) { id } }", id="a") == 2


async def test_at_its_limit_of_objects_an_operation_is_answered_and_one_above_refused(registry: Registry) -> None:
    query = """query($n: Int) {
        projects(first: 100) { nodes { models(first: 98) { nodes { id } } } }
        more: projects(first: 99) { nodes { id } }
        one: projects(first: $n) { totalCount }
    }"""
    assert estimate(query, n=2) == 100 * (1 + 1 + 98 * 2) + 99 * 2 + 2 == 20_000
    await registry.ask(query, n=2)
    refusal = await registry.refusal(query, n=3)
    assert (refusal["code"], refusal["what"]) == ("QUERY_TOO_COMPLEX", POINTS)
    assert (refusal["found"], refusal["limit"]) == (20_001, 20_000)


async def test_the_sizes_that_variables_give_are_judged_in_each_request(registry: Registry) -> None:
    query = "query($ids: [ID!]!) { nodes(ids: $ids) { ... on Model { versions(first: 100) { nodes { id } } } } }"
    await registry.ask(query, ids=["model_x"])
    assert (await registry.refusal(query, ids=["model_x"] * 100))["what"] == POINTS
    await registry.ask(query, ids=["model_y"])


async def test_a_payload_of_too_many_objects_is_refused_before_anything_is_written(registry: Registry) -> None:
    write = """mutation($n: Int) { createProject(input: {name: "Test"}) { project {
        models(first: $n) { nodes { versions(first: $n) { nodes { children(first: $n) { totalCount } } } } }
    } } }"""
    before = await registry.ask("{ projects { totalCount } }")
    assert (await registry.refusal(write, n=100))["what"] == POINTS
    assert await registry.ask("{ projects { totalCount } }") == before
    await registry.ask(write, n=1)


def test_the_estimate_of_the_largest_document_is_quick() -> None:
    selections = times(60, "a#: projects(first: $n) { nodes { models(last: $n) { ...m } } }")
    fragment = "fragment m on ModelConnection { nodes { versions(first: $n) { nodes { id } } } edges { cursor } }"
    document = parse(f"query($n: Int) {{ {selections} }} {fragment}")
    operation, spread = document.definitions
    assert isinstance(operation, OperationDefinitionNode)
    assert isinstance(spread, FragmentDefinitionNode)
    began = time.process_time()
    cost_of(SCHEMA, operation, {"m": spread}).total({"n": 100})
    assert time.process_time() - began < PROMISE * yardstick()


# ---------------------------------------------------------------- what costs most


@pytest.mark.parametrize(
    ("query", "points"),
    [
        ('{ version(modelId: 1, version: "1.0.0") { modelCard { markdown } } }', 1 + 1 + 100),
        ('{ version(modelId: 1, version: "1.0.0") { features parameters description } }', 1 + 8 + 2 + 1),
        # Aliases hide nothing, and light values count by the twenty.
        ('{ version(modelId: 1, version: "1.0.0") {' + times(10, "a#: features") + "} }", 1 + 10 * 8),
        ('{ version(modelId: 1, version: "1.0.0") {' + times(19, "a#: id") + "} }", 1),
        ('{ version(modelId: 1, version: "1.0.0") {' + times(60, "a#: id") + "} }", 1 + 3),
        ("{ models(first: 10) { nodes { versions(first: 10) { nodes { features } } } } }", 10 * (2 + 10 * (2 + 8))),
    ],
)
def test_values_that_may_be_long_weigh_something(query: str, points: int) -> None:
    assert estimate(query) == points


async def test_what_costs_too_much_names_the_field_that_costs_most(registry: Registry) -> None:
    models = "models(first: 100) { nodes { id versions(first: 100) { nodes { features } } } }"
    refusal = await registry.refusal(f"{{ project(id: 1) {{ id }} mine: {models} }}")
    assert refusal["costliest"] == {"path": "mine.nodes.versions.nodes.features", "cost": 80_000}
    assert refusal["message"] == (
        "The operation costs 100201 points; the limit is 20000. The largest part is mine.nodes.versions.nodes.features"
        " (80000 points). Request fewer entries or fields there, or split the operation."
    )


async def test_a_document_above_a_limit_names_the_field_that_holds_most(registry: Registry) -> None:
    aliases = f"{{ viewer {{ email }} {in_node('inner: project {' + times(101, 'a#: id') + '}')[1:]}"
    refusal = await registry.refusal(aliases)
    assert refusal["costliest"] == {"path": "node.inner", "cost": 102}
    assert "Most are in node.inner; request less there" in refusal["message"]


def test_a_fragment_that_contains_itself_has_no_path_without_end() -> None:
    with pytest.raises(QueryTooComplex):
        check(f"{{ ...f }} fragment f on Query {{ {times(101, 'a#: id')} ...f }}")
