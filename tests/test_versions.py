"""Registering, tagging, describing and moving versions, through the API."""

import asyncio
from typing import Any

import pytest
import pytest_asyncio

from tests.conftest import Registry
from tests.support.documents import creating_version

CREATE = creating_version("""
    id version stage parent { id version } tags features target createdBy metrics { name value } parameters
    artifact { uri digest sizeBytes format } datasets { role datasetVersion { id } } datasetVersion { id }
    change { requiredBump declaredBump sufficient reasons } stageHistory { fromStage toStage actor automatic }
""")
MOVE = """
mutation($input: TransitionStageInput!) {
  transitionStage(input: $input) { version { stage allowedTransitions } transition { toStage at } archived { version } }
}
"""
COUNT = "query($id: ID!) { project(id: $id) { models { totalCount nodes { versions { totalCount } } } } }"


class Model:
    """A model of a new project, and how to register versions of it."""

    def __init__(self, registry: Registry, project: str):
        self.registry, self.project, self.id = registry, project, f"model_{project[5:]}"

    def input(self, **facts: Any) -> dict[str, Any]:
        return {"projectId": self.project, "modelId": self.id, "createModel": True} | facts

    async def register(self, **facts: Any) -> dict[str, Any]:
        made = await self.registry.ask(CREATE, input=self.input(**facts))
        version: dict[str, Any] = made["createVersion"]["version"]
        return version | {"warnings": made["createVersion"]["warnings"]}

    async def refusal(self, **facts: Any) -> dict[str, Any]:
        before = await self.count()
        refusal = await self.registry.refusal(CREATE, input=self.input(**facts))
        assert await self.count() == before, "something of a refused version was kept"
        return refusal

    async def count(self) -> Any:
        return await self.registry.ask(COUNT, id=self.project)

    async def move(self, number: str, target: str, **more: Any) -> Any:
        asked = {"modelId": self.id, "version": number, "targetStage": target} | more
        return (await self.registry.ask(MOVE, input=asked))["transitionStage"]


@pytest_asyncio.fixture
async def model(registry: Registry, project: str) -> Model:
    return Model(registry, project)


async def test_all_that_is_stated_of_a_version_is_answered_back(model: Model) -> None:
    artifact = {"uri": "s3://m/1", "digest": "sha256:1", "sizeBytes": 2**40, "format": "onnx"}
    stated = {
        "version": "1.2.3",
        "metrics": {"auc": 0.912, "n": 3, "tiny": 5e-324, "huge": 1.7976931348623157e308},
        "parameters": {"algorithm": "xgboost", "nested": {"a": [1, 2.5, None, True, "x"]}, "é": "ü"},
        "features": ["b", "a"],
        "target": "churned",
        "artifact": artifact,
        "tags": ["z", "a", "z"],
    }
    made = await model.register(**stated)
    assert {metric["name"]: metric["value"] for metric in made["metrics"]} == stated["metrics"]
    assert made["parameters"] == stated["parameters"]
    assert made["artifact"] == artifact
    assert (made["features"], made["tags"]) == (["b", "a"], ["a", "z"])
    assert (made["version"], made["stage"], made["parent"], made["change"]) == ("1.2.3", "DEVELOPMENT", None, None)
    first = {"fromStage": None, "toStage": "DEVELOPMENT", "actor": "ana@example.com", "automatic": False}
    assert made["stageHistory"] == [first]


async def test_the_parent_is_the_highest_version_below_unless_stated(model: Model) -> None:
    await model.register(version="1.0.0")
    await model.register(version="2.0.0")
    assert (await model.register(version="1.0.1"))["parent"]["version"] == "1.0.0"
    assert (await model.register(version="2.0.1", parentVersion="1.0.0"))["parent"]["version"] == "1.0.0"
    assert (await model.register(version="3.0.0", parentVersion=None))["parent"] is None


async def test_the_parent_may_be_a_version_of_another_model_of_the_project(model: Model) -> None:
    parent = await model.register(version="4.0.0", parameters={"algorithm": "xgboost"})
    other = await model.registry.ask(
        CREATE,
        input=model.input(
            modelId=f"{model.id}_b", version="1.0.0", parentId=parent["id"], parameters={"algorithm": "mlp"}
        ),
    )
    made = other["createVersion"]["version"]
    assert made["parent"] == {"id": parent["id"], "version": "4.0.0"}
    assert made["change"]["declaredBump"] == "MAJOR"
    assert made["change"]["sufficient"] is True


@pytest.mark.parametrize(
    ("facts", "field"),
    [
        ({"version": "1.0.0", "parentVersion": "9.9.9"}, "input.parentVersion"),
        ({"version": "1.0.0", "parentId": "ver_unknown"}, "input.parentId"),
        ({"version": "1.0.0", "experimentId": "exp_unknown"}, "input.experimentId"),
        ({"version": "1.0.0", "datasetVersionId": "dsv_unknown"}, "input.datasetVersionId"),
        ({"projectId": "proj_unknown"}, "input.projectId"),
        ({"createModel": False}, "input.modelId"),
    ],
)
async def test_what_a_version_refers_to_must_exist(model: Model, facts: dict[str, Any], field: str) -> None:
    refusal = await model.refusal(**facts)
    assert (refusal["code"], refusal["field"]) == ("NOT_FOUND", field)


@pytest.mark.parametrize(
    ("facts", "field"),
    [
        ({"version": "1.0.0", "bump": "MINOR"}, "input.bump"),
        ({"version": "1.0.0", "tags": [""]}, "input.tags[0]"),
        ({"version": "1.0.0", "tags": ["a\tb"]}, "input.tags[0]"),
        ({"version": "1.0.0", "tags": [str(n) for n in range(51)]}, "input.tags"),
        ({"version": "1.0.0", "metrics": {"auc": "high"}}, "input.metrics.auc"),
        ({"version": "1.0.0", "metrics": [1]}, "input.metrics"),
        ({"version": "1.0.0", "parameters": []}, "input.parameters"),
        ({"version": "1.0.0", "parameters": {"a": "x\0"}}, "input.parameters.a"),
        ({"version": "1.0.0", "description": " "}, "input.description"),
        ({"version": "1.0.0", "artifact": {"uri": "s3://x", "sizeBytes": -1}}, "input.artifact.sizeBytes"),
        ({"version": "1.0.0", "modelId": "churn"}, "input.modelId"),
        ({"version": "1.0.0", "features": ["a" * 201]}, "input.features[0]"),
    ],
)
async def test_bad_input_is_refused_by_the_field_s_name(model: Model, facts: dict[str, Any], field: str) -> None:
    refusal = await model.refusal(**facts)
    assert (refusal["code"], refusal["field"]) == ("BAD_USER_INPUT", field)
    assert refusal["message"].startswith(field)


@pytest.mark.parametrize("number", ["1.0", "01.0.0", "v1.0.0", "1.0.0-rc1", ""])
async def test_a_number_of_another_form_is_refused_naming_the_rule(model: Model, number: str) -> None:
    refusal = await model.refusal(version=number)
    assert refusal["code"] == "BAD_USER_INPUT"
    assert "MAJOR.MINOR.PATCH" in refusal["message"]


async def test_a_number_is_never_taken_twice(model: Model) -> None:
    await model.register(version="1.0.0")
    refusal = await model.refusal(version="1.0.0")
    assert (refusal["code"], refusal["field"]) == ("ALREADY_EXISTS", "input.version")


async def test_a_number_not_above_its_parent_s_is_refused(model: Model) -> None:
    await model.register(version="2.0.0")
    refusal = await model.refusal(version="1.0.0", parentVersion="2.0.0")
    assert (refusal["code"], refusal["field"]) == ("BAD_USER_INPUT", "input.version")


async def test_the_server_chooses_the_number_from_the_bump_or_from_the_change(model: Model) -> None:
    assert (await model.register(parameters={"algorithm": "xgboost", "d": 1}))["version"] == "1.0.0"
    assert (await model.register(bump="MINOR"))["version"] == "1.1.0"
    assert (await model.register(bump="PATCH", parentVersion="1.0.0"))["version"] == "1.0.1"
    assert (await model.register(bump="MINOR", parentVersion="1.0.0"))["version"] == "1.2.0"
    assert (await model.register(parentVersion="1.0.0", parameters={"algorithm": "xgboost", "d": 2}))[
        "version"
    ] == "1.3.0"
    assert (await model.register(parentVersion="1.0.0", parameters={"algorithm": "mlp"}))["version"] == "2.0.0"
    assert (await model.register(parentVersion="1.0.0"))["version"] == "1.0.2"


async def test_a_bump_that_is_too_small_is_a_warning_with_its_reasons(model: Model) -> None:
    await model.register(version="1.0.0", target="churned")
    made = await model.register(version="1.0.1", target="spend")
    assert made["warnings"] == [
        "1.0.1 declares a PATCH change from 1.0.0, but a MAJOR change is required. The target changed from churned to"
        " spend."
    ]
    assert (made["change"]["requiredBump"], made["change"]["sufficient"]) == ("MAJOR", False)


async def test_thirty_two_registrations_with_a_bump_get_thirty_two_numbers(model: Model) -> None:
    made = await asyncio.gather(*(model.register(bump="MINOR") for _ in range(32)))
    assert len({version["version"] for version in made}) == 32


async def test_a_version_goes_to_production_and_replaces_the_one_before(model: Model) -> None:
    for number in ("1.0.0", "1.1.0"):
        await model.register(version=number)
        await model.move(number, "STAGING")
    assert (await model.move("1.0.0", "PRODUCTION"))["archived"] is None
    moved = await model.move("1.1.0", "PRODUCTION")
    assert moved["version"] == {"stage": "PRODUCTION", "allowedTransitions": ["ARCHIVED"]}
    assert moved["archived"] == {"version": "1.0.0"}


async def test_a_stale_caller_is_refused(model: Model) -> None:
    await model.register(version="1.0.0")
    asked = {"modelId": model.id, "version": "1.0.0", "targetStage": "STAGING", "expectedStage": "ARCHIVED"}
    refusal = await model.registry.refusal(MOVE, input=asked)
    assert (refusal["code"], refusal["current"], refusal["expected"]) == ("CONFLICT", "DEVELOPMENT", "ARCHIVED")
    assert (await model.move("1.0.0", "STAGING", expectedStage="DEVELOPMENT"))["version"]["stage"] == "STAGING"


async def test_which_version_was_in_production_at_any_instant(model: Model) -> None:
    moments: list[tuple[str | None, Any]] = []
    for number in ("1.0.0", "1.1.0"):
        await model.register(version=number)
        await model.move(number, "STAGING")
        moments.append((number, (await model.move(number, "PRODUCTION"))["transition"]["at"]))
    moments.append((None, (await model.move("1.1.0", "ARCHIVED"))["transition"]["at"]))
    for expected, at in [(None, "2000-01-01"), *moments, (None, "2100-01-01T00:00:00Z")]:
        asked = "query($id: ID!, $at: DateTime!) { model(id: $id) { productionAt(at: $at) { version } } }"
        found = (await model.registry.ask(asked, id=model.id, at=at))["model"]["productionAt"]
        assert (found and found["version"]) == expected


async def test_tags_are_added_and_removed_once(model: Model) -> None:
    await model.register(version="1.0.0", tags=["a"])
    tags = "mutation($input: TagsInput!) { %s(input: $input) { version { tags } warnings } }"
    which = {"modelId": model.id, "version": "1.0.0"}
    added = await model.registry.ask(tags % "addTags", input=which | {"tags": ["b", "a", " b "]})
    assert added["addTags"]["version"]["tags"] == ["a", "b"]
    removed = await model.registry.ask(tags % "removeTags", input=which | {"tags": ["a", "unknown"]})
    assert removed["removeTags"]["version"]["tags"] == ["b"]
    many = [f"t{n}" for n in range(50)]
    refusal = await model.registry.refusal(tags % "addTags", input=which | {"tags": many})
    assert (refusal["code"], refusal["field"]) == ("BAD_USER_INPUT", "input.tags")


async def test_only_the_description_of_a_version_changes(model: Model) -> None:
    await model.register(version="1.0.0", description="before")
    update = "mutation($input: UpdateVersionInput!) { updateVersion(input: $input) { version { description stage } } }"
    asked = {"modelId": model.id, "version": "1.0.0", "description": "after"}
    changed = (await model.registry.ask(update, input=asked))["updateVersion"]["version"]
    assert changed == {"description": "after", "stage": "DEVELOPMENT"}
    refusal = await model.registry.refusal(update, input=asked | {"version": "7.0.0"})
    assert refusal["code"] == "NOT_FOUND"
