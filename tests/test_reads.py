"""What reads promise beside agreeing with graphql-core: form, bounds and what the caller may see."""

from collections.abc import Callable
from typing import Any

import pytest

from storage.vocabulary import Role
from tests.conftest import Cluster, Registry, make_key
from tests.support.documents import CREATE_VERSION


async def versions(registry: Registry, project: str, count: int) -> str:
    model = f"model_{project[5:]}"
    for place in range(count):
        new = {"projectId": project, "modelId": model, "createModel": True, "bump": "MINOR", "metrics": {"auc": place}}
        await registry.ask(CREATE_VERSION, input=new)
    return model


async def test_keys_may_be_longer_than_the_database_s_names(registry: Registry, project: str) -> None:
    long = "a" * 200
    asked = f"query($id: ID!) {{ project(id: $id) {{ {long}: id {long}b: name {long}c: __typename }} }}"
    found = (await registry.ask(asked, id=project))["project"]
    assert found == {long: project, f"{long}b": "Test", f"{long}c": "Project"}


async def test_keys_may_be_whatever_graphql_allows(registry: Registry, project: str) -> None:
    asked = "query($id: ID!) { o: project(id: $id) { o: id r: name object: models { o: nodes { o: id } } } }"
    assert (await registry.ask(asked, id=project))["o"] == {"o": project, "r": "Test", "object": {"o": []}}


async def test_an_object_may_have_more_fields_than_a_function_takes_arguments(registry: Registry, project: str) -> None:
    names = [f"{'x' * 60}_{place:03}" for place in range(90)]
    asked = f"query($id: ID!) {{ project(id: $id) {{ {' '.join(f'{name}: id' for name in names)} }} }}"
    found = (await registry.ask(asked, id=project))["project"]
    assert found == dict.fromkeys(names, project)
    assert list(found) == names


@pytest.mark.parametrize("way", ["first", "last"])
async def test_pages_neither_repeat_nor_skip_while_versions_are_registered(
    registry: Registry, project: str, way: str
) -> None:
    model = await versions(registry, project, 7)
    border, flag, end = (
        ("after", "hasNextPage", "endCursor") if way == "first" else ("before", "hasPreviousPage", "startCursor")
    )
    asked = f"""query($id: ID!, $cursor: String) {{ model(id: $id) {{
        versions({way}: 2, {border}: $cursor, orderBy: {{by: VERSION, direction: ASC}}) {{
            nodes {{ version }} pageInfo {{ {flag} {end} }} }} }} }}"""
    seen: list[str] = []
    cursor, more = None, True
    while more:
        page = (await registry.ask(asked, id=model, cursor=cursor))["model"]["versions"]
        numbers = [node["version"] for node in page["nodes"]]
        seen = seen + numbers if way == "first" else numbers + seen
        cursor, more = page["pageInfo"][end], page["pageInfo"][flag]
        if len(seen) == 2:
            # A registration on the far side of the border, which no later page may show twice or lose.
            await registry.ask(CREATE_VERSION, input={"projectId": project, "modelId": model, "bump": "MINOR"})
    late = ["1.7.0"] if way == "first" else []
    assert seen == [f"1.{minor}.0" for minor in range(7)] + late


@pytest.mark.parametrize(("arguments", "field"), [
    ("first: 0", "first"), ("first: 101", "first"), ("last: -1", "last"), ("first: 1, last: 1", "last"),
    ('after: "nonsense"', "after"), ('before: "WyJOQU1FKyIsIm4iLCJpIl0"', "before"),
    ("orderBy: {by: METRIC}", "orderBy.metric"),
])  # fmt: skip
async def test_a_page_that_cannot_be_is_refused_by_the_argument_s_name(
    registry: Registry, arguments: str, field: str
) -> None:
    refusal = await registry.refusal(f"{{ searchVersions({arguments}) {{ nodes {{ id }} }} }}")
    assert (refusal["code"], refusal["field"]) == ("BAD_USER_INPUT", field)


async def test_a_key_of_one_project_sees_and_writes_nothing_of_another(
    registry: Registry, database: Cluster, make_registry: Callable[..., Any]
) -> None:
    mine, theirs = [
        (await registry.ask('mutation { createProject(input: {name: "P"}) { project { id } } }'))["createProject"]
        for _ in range(2)
    ]
    mine, theirs = mine["project"]["id"], theirs["project"]["id"]
    hidden = await versions(registry, theirs, 2)
    await versions(registry, mine, 1)
    tenant = registry.with_key(
        await make_key(database.app_url, "tenant@example.com", project=mine, role=Role.CONTRIBUTOR)
    )

    asked = """query($project: ID!, $model: ID!) {
        project(id: $project) { id } model(id: $model) { id } node(id: $model) { id } nodes(ids: [$model]) { id }
        version(modelId: $model, version: "1.0.0") { id } models(projectId: $project) { totalCount nodes { id } }
        searchVersions { totalCount nodes { model { id } } } projects { totalCount nodes { id } } }"""
    seen = await tenant.ask(asked, project=theirs, model=hidden)
    assert {key: seen[key] for key in ("project", "model", "node", "version")} == dict.fromkeys(
        ("project", "model", "node", "version")
    )
    assert seen["nodes"] == [None]
    assert seen["models"] == {"totalCount": 0, "nodes": []}
    assert seen["projects"] == {"totalCount": 1, "nodes": [{"id": mine}]}
    assert seen["searchVersions"]["totalCount"] == 1

    new = {"projectId": theirs, "modelId": hidden, "bump": "MINOR"}
    refusal = await tenant.refusal(CREATE_VERSION, input=new)
    unknown = await tenant.refusal(CREATE_VERSION, input=new | {"modelId": "model_unknown"})
    assert refusal["code"] == unknown["code"] == "NOT_FOUND"
    assert refusal["message"].replace(hidden, "X") == unknown["message"].replace("model_unknown", "X")
    elsewhere = {"projectId": mine, "modelId": f"model_{mine[5:]}", "parentId": "ver_unknown", "bump": "MINOR"}
    assert (await tenant.refusal(CREATE_VERSION, input=elsewhere))["code"] == "NOT_FOUND"


async def test_lineage_is_cut_at_its_depth_and_says_so(registry: Registry, project: str) -> None:
    model = await versions(registry, project, 4)
    asked = """query($id: ID!, $depth: Int) { model(id: $id) { latestVersion {
        lineage(depth: $depth) { truncated nodes { ... on ModelVersion { version } } edges { kind } } } } }"""
    near = (await registry.ask(asked, id=model, depth=2))["model"]["latestVersion"]["lineage"]
    assert near["truncated"]
    assert [node["version"] for node in near["nodes"]] == ["1.3.0", "1.2.0", "1.1.0"]
    assert len(near["edges"]) == 2
    far = (await registry.ask(asked, id=model, depth=3))["model"]["latestVersion"]["lineage"]
    assert not far["truncated"]
    assert len(far["nodes"]) == 4
