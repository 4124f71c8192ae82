"""What comes in is bounded and cleaned before anything is done with it: texts, lists, JSON, names, headers."""

import base64
import json
from typing import Any
from urllib.parse import quote

import pytest

from server.http.query_limits import check_variables
from tests.conftest import Registry
from tests.support.asgi import READ, asked, call, cost_of, first_time
from tests.support.documents import CREATE_VERSION

__all__ = ["first_time"]
MARKS = "\u0301\u0316"  # in the wrong order
TOO_MANY = "has more than 30 combining marks in a row; remove some."

# Each with where `#` stands for the text, and how the text's path is called.
ARGUMENTS = [
    ("node(id: #) { id }", "ID!", "id"),
    ("nodes(ids: [#]) { id }", "ID!", "ids[0]"),
    ("model(id: #) { id }", "ID!", "id"),
    ("models(query: #) { totalCount }", "String!", "query"),
    ("models(projectId: #) { totalCount }", "ID!", "projectId"),
    ("projects(after: #) { nodes { id } }", "String!", "after"),
    ('version(modelId: #, version: "1.0.0") { id }', "ID!", "modelId"),
    ("auditIntegrity(chain: #) { events }", "String!", "chain"),
    ("auditEvents(filter: {actor: #}) { totalCount }", "String!", "filter.actor"),
    ("auditEvents(filter: {action: [#]}) { totalCount }", "String!", "filter.action[0]"),
    ("deployments(filter: {environment: #}) { totalCount }", "String!", "filter.environment"),
    ('searchVersions(filter: {tags: ["a", #]}) { totalCount }', "String!", "filter.tags[1]"),
    ("searchVersions(filter: {anyTag: [#]}) { totalCount }", "String!", "filter.anyTag[0]"),
    ("searchVersions(filter: {query: #}) { totalCount }", "String!", "filter.query"),
    ("searchVersions(filter: {algorithm: #}) { totalCount }", "String!", "filter.algorithm"),
    ("searchVersions(filter: {metrics: [{name: #, min: 0}]}) { totalCount }", "String!", "filter.metrics[0].name"),
    ("searchVersions(orderBy: {by: METRIC, metric: #}) { nodes { id } }", "String!", "orderBy.metric"),
    ('node(id: "model_none") { ... on Model { metricUrl(name: #) } }', "String!", "name"),
    ('node(id: "model_none") { ... on Model { serving(environment: #) { share } } }', "String!", "environment"),
    ('node(id: "ver_none") { ... on ModelVersion { metric(name: #) } }', "String!", "name"),
]
REFUSED = {
    "too long": ("x" * 6_000, " characters; at most "),
    "marks": ("a" + MARKS * 40, TOO_MANY),
    "a NUL": ("a\0b", "contains the control character U+0000; remove it."),
    "a control character": ("a\x1bb", "contains the control character U+001B; remove it."),
}


@pytest.mark.parametrize(("text", "sentence"), REFUSED.values(), ids=REFUSED.keys())
@pytest.mark.parametrize(("field", "kind", "path"), ARGUMENTS, ids=[path for _, _, path in ARGUMENTS])
async def test_a_text_that_cannot_be_is_refused_by_its_path(
    registry: Registry, field: str, kind: str, path: str, text: str, sentence: str
) -> None:
    by_variable = f"query($text: {kind}) {{ {field.replace('#', '$text')} }}"
    # The plan is known from here on: later values are cleaned as the first ones are.
    await registry.send(by_variable, text="a")
    for refusal in (
        await registry.refusal(by_variable, text=text),
        await registry.refusal(f"{{ {field.replace('#', json.dumps(text))} }}"),
    ):
        assert (refusal["code"], refusal["field"]) == ("BAD_USER_INPUT", path)
        assert sentence in refusal["message"]
        assert len(refusal["message"]) < 200


@pytest.mark.parametrize("of", ["VersionFilter", "AuditFilter", "DeploymentFilter"])
async def test_the_texts_of_a_whole_filter_as_a_variable_are_cleaned(registry: Registry, of: str) -> None:
    fields = {"VersionFilter": "searchVersions", "AuditFilter": "auditEvents", "DeploymentFilter": "deployments"}
    query = f"query($filter: {of}) {{ {fields[of]}(filter: $filter) {{ totalCount }} }}"
    await registry.ask(query, filter={"projectId": "proj_none"})
    refusal = await registry.refusal(query, filter={"projectId": "a" + MARKS * 20})
    assert (refusal["field"], refusal["message"]) == ("filter.projectId", f"filter.projectId {TOO_MANY}")


async def test_an_id_of_a_wrong_form_and_an_empty_text_find_nothing(registry: Registry) -> None:
    for id_ in ("", " ", "nowhere", "Ünknown_1", "model_", "model_" + "x" * 400):
        assert await registry.ask("query($id: ID!) { node(id: $id) { id } }", id=id_) == {"node": None}
        found = await registry.ask(
            "query($f: VersionFilter) { searchVersions(filter: $f) { totalCount } }", f={"tags": [id_]}
        )
        assert found == {"searchVersions": {"totalCount": 0}}


async def test_what_is_looked_for_is_brought_to_the_form_of_what_is_kept(registry: Registry) -> None:
    new: dict[str, Any] = {
        "projectId": "proj_form",
        "modelId": "model_form",
        "createModel": True,
        "tags": ["caf\u00e9"],
        "metrics": {"pr\u00e9cision": 0.9},
        # As it is stated, the algorithm is decomposed; it is kept to be found.
        "parameters": {"algorithm": " fore\u0302t "},
    }
    await registry.ask('mutation { createProject(input: {id: "proj_form", name: "Form"}) { project { id } } }')
    made = await registry.ask(CREATE_VERSION, input=new)
    assert made["createVersion"]["version"]
    search = "query($f: VersionFilter) { searchVersions(filter: $f) { totalCount } }"
    for asked_for in (
        {"tags": ["cafe\u0301 "]},
        {"anyTag": ["\tcafe\u0301"]},
        {"query": "\n cafe\u0301"},
        {"metrics": [{"name": " pre\u0301cision", "min": 0.9}]},
        {"algorithm": "fore\u0302t"},
        {"algorithm": "for\u00eat"},
        {"modelId": " model_form "},
    ):
        found = await registry.ask(search, f={"projectId": "proj_form"} | asked_for)
        assert found == {"searchVersions": {"totalCount": 1}}, asked_for
    metric = 'query($name: String!) { version(modelId: "model_form", version: "1.0.0") { metric(name: $name) } }'
    assert await registry.ask(metric, name="pre\u0301cision") == {"version": {"metric": 0.9}}


async def test_an_algorithm_that_no_index_could_hold_is_refused(registry: Registry) -> None:
    await registry.ask('mutation { createProject(input: {id: "proj_alg", name: "Algorithms"}) { project { id } } }')
    name = "".join(chr(0x4E00 + place * 7919 % 20_000) for place in range(5_000))
    new = {"projectId": "proj_alg", "modelId": "model_alg", "createModel": True, "parameters": {"algorithm": name}}
    refusal = await registry.refusal(CREATE_VERSION, input=new)
    assert (refusal["code"], refusal["field"]) == ("BAD_USER_INPUT", "input.parameters.algorithm")
    assert await registry.ask('{ model(id: "model_alg") { id } }') == {"model": None}


STREAM: dict[str, str | None] = {"accept": "text/event-stream"}


@pytest.mark.parametrize(
    ("query", "path"),
    [
        ("subscription($t: ID!) { auditEvents(projectId: $t) { id } }", "projectId"),
        ("subscription($t: ID!) { deployment(id: $t) { id } }", "id"),
        ('subscription($t: String!) { auditEvents(projectId: "proj_x", actions: [$t]) { id } }', "actions[0]"),
    ],
)
async def test_the_arguments_of_subscriptions_are_cleaned(registry: Registry, query: str, path: str) -> None:
    reply = await call(registry, asked(query, variables={"t": "a\0"}), headers=STREAM)
    assert (reply.status, reply.error()["code"], reply.error()["field"]) == (400, "BAD_USER_INPUT", path)


async def test_a_cursor_of_characters_that_no_key_can_hold_is_no_cursor(registry: Registry) -> None:
    for key, id_ in (("\0", "proj_a"), ("a", "proj_\0")):
        cursor = base64.urlsafe_b64encode(json.dumps(["NAME+", key, id_]).encode()).decode()
        refusal = await registry.refusal("query($c: String) { projects(after: $c) { nodes { id } } }", c=cursor)
        assert (refusal["code"], refusal["field"]) == ("BAD_USER_INPUT", "after")


@pytest.mark.parametrize(
    "moment", ["0001-01-01T00:00:00+14:00", "9999-12-31T23:00:00-14:00", "2" * 90_000, 9 * 10**300]
)
@pytest.mark.parametrize("way", ["variable", "literal"])
async def test_a_time_that_cannot_be_is_refused_and_not_quoted_at_length(
    registry: Registry, moment: Any, way: str
) -> None:
    of = "{ id }"
    query = f'query($at: DateTime!) {{ model(id: "x") {{ productionAt(at: $at) {of} }} }}'
    if way == "literal":
        query = query.replace("query($at: DateTime!)", "").replace("$at", json.dumps(moment))
    refusal = await registry.refusal(query, **({"at": moment} if way == "variable" else {}))
    assert refusal["code"] == "BAD_USER_INPUT"
    assert "use RFC 3339" in refusal["message"]
    assert len(refusal["message"]) < 1_100


# ---------------------------------------------------------------- what it costs

INPUT = 'mutation($text: String!) { createProject(input: {name: "A", description: $text}) { project { id } } }'
FIND = "query($text: String!) { searchVersions(filter: {query: $text}) { totalCount } }"
NODE = "query($text: ID!) { node(id: $text) { id } }"


@pytest.mark.usefixtures("first_time")
@pytest.mark.parametrize("query", [INPUT, FIND, NODE], ids=["input", "filter", "id"])
@pytest.mark.parametrize("length", [10_000, 64_000])
async def test_marks_cost_at_most_ten_times_as_much_as_plain_text_of_that_length(
    registry: Registry, query: str, length: int
) -> None:
    plain, _ = await cost_of(registry, asked(query, variables={"text": "x" * length}), 5)
    cost, reply = await cost_of(registry, asked(query, variables={"text": MARKS * (length // 2)}), 5)
    assert json.loads(reply.body)["errors"][0]["extensions"]["code"] == "BAD_USER_INPUT"
    assert cost < 10 * plain


PARAMETERS = (
    'mutation($p: JSON) { createVersion(input: {projectId: "proj_x", modelId: "model_x", %s: $p}) { warnings } }'
)
LARGE = {
    "a long name over numbers": {"k" * 99_000: [list(range(5_000))] * 8},
    "a name that is too long": {"k" * 450_000: list(range(6_000))},
    "many names": {f"{place:014}": place for place in range(45_000)},
    "deep": {"a": [json.loads("[" * 600 + "]" * 600)] * 40},
}


@pytest.mark.usefixtures("first_time")
@pytest.mark.parametrize("field", ["parameters", "metrics"])
@pytest.mark.parametrize("value", LARGE.values(), ids=LARGE.keys())
async def test_large_json_costs_about_as_much_as_plain_json_of_that_size(
    registry: Registry, field: str, value: Any
) -> None:
    body = asked(PARAMETERS % field, variables={"p": value})
    plain, _ = await cost_of(registry, asked("{ __typename }", extensions={"a": ["x" * 10] * (len(body) // 15)}), 5)
    cost, reply = await cost_of(registry, body, 5)
    assert json.loads(reply.body)["errors"][0]["extensions"]["code"] in ("BAD_USER_INPUT", "QUERY_TOO_COMPLEX")
    assert cost < 10 * plain + 10  # yardsticks
    assert len(reply.body) < 1_000


# ---------------------------------------------------------------- names, query strings, headers


@pytest.mark.parametrize("value", ["x" * 100_001, ["x" * 100_001], {"x" * 100_001: 1}, {"a": {"b": ["x" * 100_001]}}])
async def test_the_texts_and_names_in_variables_have_a_length(registry: Registry, value: Any) -> None:
    what = "variableCharacters"
    refusal = await registry.refusal("{ __typename }", a=value)
    assert (refusal["code"], refusal["what"], refusal["limit"]) == ("QUERY_TOO_COMPLEX", what, 100_000)
    check_variables({"a": json.loads(json.dumps(value).replace("x" * 100_001, "x" * 100_000))})


async def test_an_operation_name_has_a_length_and_is_not_kept(registry: Registry) -> None:
    reply = await call(registry, asked("query a { __typename }", operationName="b" * 1_001))
    assert (reply.status, reply.error()["code"]) == (400, "BAD_USER_INPUT")
    assert reply.error()["message"] == "operationName has 1001 characters; at most 1000 are allowed."


@pytest.mark.usefixtures("first_time")
@pytest.mark.parametrize("path", ["/graphql", "/lineage/ver_x.svg", "/routes/production"])
async def test_a_long_query_string_is_refused_before_it_is_read(registry: Registry, path: str) -> None:
    fields = b"query=" + quote(READ).encode() + b"&a" * 400_000
    plain, _ = await cost_of(registry, b"", 5, method="GET", path=path, query_string=b"query=a")
    cost, reply = await cost_of(registry, b"", 5, method="GET", path=path, query_string=fields)
    assert (reply.status, reply.error()["code"]) == (414, "BAD_USER_INPUT")
    assert cost < 10 * plain


@pytest.mark.usefixtures("first_time")
@pytest.mark.parametrize("name", ["accept", "content-type"])
async def test_headers_of_many_parts_cost_little(registry: Registry, name: str) -> None:
    usual = {"accept": "application/json", "content-type": "application/json"}
    plain, _ = await cost_of(registry, asked(READ), 10)
    long = {"accept": ",a" * 30_000, "content-type": ";a" * 30_000}
    cost, reply = await cost_of(registry, asked(READ), 10, headers=usual | {name: usual[name] + long[name]})
    assert reply.status == 200
    assert cost < 3 * plain
