"""What an answer costs while it is made: it is capped, made once however often it is asked for, and beside the loop."""

import asyncio
import json
import threading
import time
from collections.abc import Callable
from typing import Any

import pytest
from graphql import get_introspection_query, strip_ignored_characters

from resolvers.reads.compilation import Compilation, binding_of
from resolvers.reads.finishing import Finishing, Repeat
from resolvers.renderings import comparison_markdown
from schema import schema
from server.http import introspection
from server.http.documents import Documents, Prepared
from server.http.introspection import POINTS_PER_FIELD, is_usual
from tests.conftest import Cluster, Registry, make_project
from tests.support.asgi import app_of, times
from tests.support.documents import CREATE_VERSION

FEATURES = [f"feature_{n}_{'x' * 150}" for n in range(5_000)]
WIDE = 12


@pytest.fixture(scope="module")
async def wide(make_database: Callable[[], Any], make_registry: Callable[..., Any]) -> Registry:
    """A registry with a model of a dozen versions that state 5,000 features each, 840 kB as JSON."""
    made: Registry = await make_registry(await make_database(), max_answer_bytes=5_000_000, max_body_bytes=2_000_000)
    project = await make_project(made)
    for _ in range(WIDE):
        given = {"projectId": project, "modelId": "model_wide", "createModel": True, "features": FEATURES}
        await made.ask(CREATE_VERSION, input=given)
    return made


def versions(selection: str, first: int = WIDE) -> str:
    return f'{{ model(id: "model_wide") {{ versions(first: {first}) {{ nodes {{ {selection} }} }} }} }}'


# ---------------------------------------------------------------- the largest answer


async def test_up_to_the_limit_an_answer_is_given_and_beyond_it_refused_by_the_field(wide: Registry) -> None:
    answer = await wide.ask(versions("features", first=5))
    assert [len(node["features"]) for node in answer["model"]["versions"]["nodes"]] == [5_000] * 5
    refusal = await wide.refusal(versions("id features"))
    assert (refusal["code"], refusal["what"], refusal["limit"]) == ("QUERY_TOO_COMPLEX", "bytes", 5_000_000)
    assert refusal["costliest"]["path"] == "model.versions.nodes.features"
    assert refusal["message"].startswith("The answer exceeds the limit of 5000000 bytes. ")


@pytest.mark.parametrize(
    "selection",
    [
        "modelCard { generated }",
        "modelCard { markdown }",
        "modelCard { completeness }",
        "change { sufficient }",
        "datasetVersion { id } modelCard { cycloneDx huggingFace }",
        'compareTo(version: "1.0.0") { featureDiff { added } }',
    ],
)
async def test_what_python_needs_counts_too(wide: Registry, selection: str) -> None:
    refusal = await wide.refusal(versions(selection))
    assert (refusal["code"], refusal["what"]) == ("QUERY_TOO_COMPLEX", "bytes")


@pytest.mark.parametrize(
    "query",
    [
        "{" + times(10, 'a#: model(id: "model_wide") { latestVersion { features } }') + "}",
        versions(times(10, "a#: features"), first=1),
        versions("modelCard {" + times(10, "a#: generated") + "}", first=1),
        versions(times(10, "a#: modelCard { generated }"), first=1),
        '{ model(id: "model_wide") {' + times(10, "a#: versions(first: 1) { nodes { features } }") + "} }",
        '{ model(id: "model_wide") { versions(first: 1) {' + times(10, "a#: nodes { features }") + "} } }",
    ],
    ids=["root fields", "values", "computed values", "objects", "pages", "parts of a page"],
)
async def test_an_answer_made_large_by_aliases_is_refused(wide: Registry, query: str) -> None:
    refusal = await wide.refusal(query)
    assert (refusal["code"], refusal["what"]) == ("QUERY_TOO_COMPLEX", "bytes")


async def test_a_mutation_whose_answer_would_be_too_large_keeps_nothing(wide: Registry) -> None:
    before = await wide.ask(versions("tags"))
    mutation = f"""mutation {{
        addTags(input: {{modelId: "model_wide", version: "1.0.0", tags: ["large"]}}) {{
            version {{ model {{ versions(first: {WIDE}) {{ nodes {{ features }} }} }} }}
        }}
    }}"""
    refusal = await wide.refusal(mutation)
    assert (refusal["code"], refusal["what"]) == ("QUERY_TOO_COMPLEX", "bytes")
    assert await wide.ask(versions("tags")) == before


async def test_what_was_refused_leaves_nothing_behind_for_the_next(wide: Registry) -> None:
    for _ in range(3):
        await wide.refusal(versions("features"))
        await wide.ask(versions("features", first=5))


# ---------------------------------------------------------------- once


async def test_what_is_asked_for_under_several_keys_is_asked_of_the_database_once(registry: Registry) -> None:
    documents = app_of(registry).endpoint.operations.documents

    def statement(query: str) -> str:
        operation = documents.prepare(query, None).operation
        values = operation.variables.read({})
        made: str = operation.read_plan(values, caller()).statement
        return made

    once = statement('{ version(modelId: "m", version: "1.0.0") { a: features c: tags } }')
    often = statement('{ version(modelId: "m", version: "1.0.0") { a: features b: features c: tags d: features } }')
    assert (once.count(".features"), often.count(".features")) == (1, 1)
    others = statement('{ version(modelId: "m", version: "1.0.0") { a: metric(name: "x") b: metric(name: "y") } }')
    assert others.count("FROM metrics") == 2


def caller() -> Any:
    from resolvers.callers import Caller

    return Caller("test", None, "test")


async def test_a_card_asked_for_under_several_keys_is_written_once(
    wide: Registry, monkeypatch: pytest.MonkeyPatch
) -> None:
    written = counting(monkeypatch, wide, "markdown")
    query = '{ version(modelId: "model_wide", version: "1.0.0") { modelCard { a: markdown b: markdown c: revision } } }'
    card = (await wide.ask(query))["version"]["modelCard"]
    assert list(card) == ["a", "b", "c"]
    assert card["a"] == card["b"]
    assert card["a"].startswith("# ")
    assert len(written) == 1


def counting(monkeypatch: pytest.MonkeyPatch, registry: Registry, field: str) -> list[str]:
    """The threads in which a card's field is computed."""
    binding: Any = binding_of(app_of(registry).endpoint.operations.documents.types["ModelCard"], field)
    threads: list[str] = []

    def compute(**needed: Any) -> Any:
        threads.append(threading.current_thread().name)
        return original(**needed)

    original = binding.compute
    monkeypatch.setitem(binding.__dict__, "compute", compute)
    return threads


def test_repeats_within_repeats_are_written_under_all_their_keys() -> None:
    inner = Repeat(("#1",), "#2", ["x", "y"])
    finishing = Finishing((), (), (inner, Repeat((), "#1", ["a", "b"])))
    answer = finishing(b'{"a":null,"b":null,"#1":{"x":null,"y":null,"#2":[1,2]}}', 1_000)
    assert json.loads(answer) == {key: {"x": [1, 2], "y": [1, 2]} for key in "ab"}


# ---------------------------------------------------------------- beside the event loop


@pytest.mark.parametrize(
    "field", ["markdown", "huggingFace", "cycloneDx", "generated", "completeness", "worstSegments", "missing"]
)
async def test_cards_are_written_beside_the_event_loop(
    wide: Registry, monkeypatch: pytest.MonkeyPatch, field: str
) -> None:
    threads = counting(monkeypatch, wide, field)
    selection = "{ metric }" if field == "worstSegments" else ""
    await wide.ask(f'{{ version(modelId: "model_wide", version: "1.0.0") {{ modelCard {{ {field} {selection} }} }} }}')
    assert threads
    assert all(name.startswith("workshop") for name in threads)


async def test_the_loop_goes_on_while_a_comparison_is_written(wide: Registry, monkeypatch: pytest.MonkeyPatch) -> None:
    begun, may_end = threading.Event(), threading.Event()
    binding: Any = binding_of(app_of(wide).endpoint.operations.documents.types["VersionComparison"], "markdown")

    def slow(**needed: Any) -> str:
        begun.set()
        assert may_end.wait(10)
        return comparison_markdown.markdown(**needed)

    monkeypatch.setitem(binding.__dict__, "compute", slow)
    query = '{ compareVersions(modelId: "model_wide", versions: ["1.0.0", "1.0.1"]) { markdown } }'
    comparing = asyncio.create_task(wide.ask(query))
    while not begun.is_set():
        await asyncio.sleep(0.01)
    assert (await wide.ask("{ viewer { kind } }"))["viewer"]["kind"] == "USER"
    assert not comparing.done()
    may_end.set()
    assert "1.0.0" in (await comparing)["compareVersions"]["markdown"]


async def test_one_principal_renders_one_answer_at_a_time(wide: Registry, monkeypatch: pytest.MonkeyPatch) -> None:
    binding: Any = binding_of(app_of(wide).endpoint.operations.documents.types["ModelCard"], "markdown")
    now, most, lock, original = 0, 0, threading.Lock(), binding.compute

    def slow(**needed: Any) -> str:
        nonlocal now, most
        with lock:
            now += 1
            most = max(most, now)
        time.sleep(0.05)
        with lock:
            now -= 1
        return str(original(**needed))

    monkeypatch.setitem(binding.__dict__, "compute", slow)
    card = 'version(modelId: "model_wide", version: "1.0.0") { modelCard { markdown } }'
    mutation = """mutation { addTags(input: {modelId: "model_wide", version: "1.0.0", tags: ["seen"]}) {
        version { modelCard { markdown } } } }"""
    await asyncio.gather(*(wide.ask(f"{{ {card} }}") for _ in range(4)), wide.ask(mutation), wide.ask(mutation))
    assert most == 1


def test_a_long_document_keeps_few_plans() -> None:
    documents = Documents(schema._schema)
    short = "query($n: Int) { projects(first: $n) { totalCount } }"
    long = (
        f"query($n: Int) {{ projects(first: $n) {{ {'totalCount ' * 20} nodes {{ {times(90, 'a#: id')} }} }} }}".ljust(
            10_000
        )
    )
    kept = {}
    for text in (short, long):
        operation = documents.prepare(text, None).operation
        for n in range(1, 60):
            values = operation.variables.read({"n": n})
            assert not isinstance(values, list)
            operation.read_plan(values, caller())
        kept[text] = len(operation._plans)
    assert (kept[short], kept[long]) == (20, 4)
    for number in range(80):
        documents.prepare(f"{long} # {number}", None)
    assert sum(prepared.length for prepared in documents._known.values() if isinstance(prepared, Prepared)) <= 500_000


# ---------------------------------------------------------------- introspection


@pytest.mark.parametrize(
    "options",
    [
        {},
        {"descriptions": False},
        {"input_value_deprecation": True, "specified_by_url": True, "directive_is_repeatable": True},
        {"schema_description": True, "one_of": True, "type_depth": 7},
    ],
)
def test_the_documents_of_the_usual_tools_are_known_whatever_their_layout(options: dict[str, Any]) -> None:
    text = get_introspection_query(**options)
    assert is_usual(strip_ignored_characters(f"# a comment\n{text}"))
    assert not is_usual(strip_ignored_characters(text.replace("queryType { name kind }", "queryType { name }")))


async def test_usual_introspection_is_answered_from_bytes_kept_for_a_point(
    database: Cluster, make_registry: Callable[..., Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    registry = await make_registry(database)
    asked = counting_introspection(monkeypatch)
    first = (await registry.send(get_introspection_query())).json()
    again = (await registry.send(get_introspection_query())).json()
    laid_out = (await registry.send(get_introspection_query() + "# in another layout")).json()
    assert first["data"] == again["data"] == laid_out["data"]
    assert first["data"]["__schema"]["queryType"]["name"] == "Query"
    assert again["extensions"]["cost"]["requested"] == 1
    assert len(asked) == 1


async def test_a_kept_answer_is_for_its_operation_and_without_variables_alone(registry: Registry) -> None:
    two = 'query a { __schema { queryType { name } } } query b { __type(name: "Model") { name } }'
    for name, data in (("a", {"__schema": {"queryType": {"name": "Query"}}}), ("b", {"__type": {"name": "Model"}})) * 2:
        response = await registry.client.post(
            "/graphql",
            json={"query": two, "operationName": name},
            headers={"Authorization": f"Bearer {registry.key}"},
        )
        assert response.json()["data"] == data
    by_variable = 'query($of: String! = "Model") { __type(name: $of) { name } }'
    for _ in range(2):
        assert (await registry.ask(by_variable))["__type"] == {"name": "Model"}
        assert (await registry.ask(by_variable, of="Project"))["__type"] == {"name": "Project"}


async def test_data_beside_introspection_is_planned_once_and_tells_its_cost(
    registry: Registry, monkeypatch: pytest.MonkeyPatch
) -> None:
    planned = []
    compiled = Compilation.root

    def root(self: Compilation) -> Any:
        planned.append(self)
        return compiled(self)

    monkeypatch.setattr(Compilation, "root", root)
    query = '{ a: projects(first: 1) { totalCount } b: __type(name: "Model") { name } c: __typename }'
    for _ in range(2):
        answer = (await registry.send(query)).json()
        assert list(answer["data"]) == ["a", "b", "c"]
        assert answer["data"]["b"] == {"name": "Model"}
        assert answer["extensions"]["cost"]["requested"] == 1 + 2 * POINTS_PER_FIELD
    assert len(planned) == 1


async def test_other_introspection_costs_what_it_takes(
    database: Cluster, make_registry: Callable[..., Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    registry = await make_registry(database, rate_per_second=0.001, rate_burst=100_000)
    asked = counting_introspection(monkeypatch)
    left = [100_000]
    for number in range(2):
        answer = (await registry.send(f"{{ a{number}: __schema {{ types {{ name fields {{ name }} }} }} }}")).json()
        cost = answer["extensions"]["cost"]
        assert cost["requested"] == 1 + POINTS_PER_FIELD * asked[number] > 9_000
        assert left[-1] - cost["left"] == cost["requested"]
        left.append(cost["left"])
    # What is more than is left is a debt, and whoever is in debt waits.
    other = get_introspection_query().replace("queryType { name kind }", "queryType { name }")
    assert (await registry.send(other)).status_code == 200
    assert len(asked) == 3
    assert (await registry.refusal("{ viewer { kind } }"))["code"] == "RATE_LIMITED"


def counting_introspection(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """How many fields each introspection by graphql-core took."""
    asked: list[int] = []

    def introspect(*arguments: Any) -> Any:
        result, taken = original(*arguments)
        asked.append(taken)
        return result, taken

    original = introspection.introspect
    monkeypatch.setattr("server.http.operations.introspect", introspect)
    return asked


def test_every_type_says_what_its_heavy_fields_weigh() -> None:
    from resolvers.reads.declarations import weight_of

    fields = [
        f"{of}.{name}"
        for of, each in schema._schema.type_map.items()
        if hasattr(each, "fields") and not of.startswith("__")
        for name, field in each.fields.items()
        if hasattr(field, "args") and not weight_of(field) and str(field.type).strip("!") in ("JSON", "[JSON]")
    ]
    # Short by nature, or a part of something that has a weight.
    assert set(fields) <= {"TrainingDataSummary.extra", "ParameterDiff.values"}, fields
