"""What refusals hold for programs: stable keys and bare ids, never prose."""

from typing import Any

import pytest
import pytest_asyncio

from tests.conftest import Registry
from tests.support.documents import CREATE_MODEL, CREATE_VERSION

UPDATE = "mutation($input: UpdateVersionInput!) { updateVersion(input: $input) { version { id } } }"
MEMBER = "mutation($input: RemoveMemberInput!) { removeMember(input: $input) { project { id } } }"
DEPLOY = "mutation($input: CreateDeploymentInput!) { createDeployment(input: $input) { deployment { id } } }"
COMPARE = "query($id: ID!, $of: [SemVer!]!) { compareVersions(modelId: $id, versions: $of) { markdown } }"


@pytest_asyncio.fixture
async def model(registry: Registry, project: str) -> str:
    """A model with the version 1.0.0."""
    id_ = f"model_{project[5:]}"
    await registry.ask(CREATE_MODEL, input={"projectId": project, "id": id_, "name": "Churn"})
    await registry.ask(CREATE_VERSION, input={"projectId": project, "modelId": id_, "version": "1.0.0"})
    return id_


async def not_found(registry: Registry, query: str, **variables: Any) -> dict[str, Any]:
    refusal = await registry.refusal(query, **variables)
    assert refusal.pop("code") == "NOT_FOUND", refusal
    return refusal


@pytest.mark.parametrize(
    ("names", "noun"),
    [
        ({"experimentId": "exp_q4"}, "experiment"),
        ({"parentId": "ver_gone"}, "version"),
        ({"datasetVersionId": "dsv_gone"}, "data set version"),
    ],
)
async def test_the_id_of_a_reference_stands_alone(
    registry: Registry, project: str, model: str, names: dict[str, str], noun: str
) -> None:
    ((name, id_),) = names.items()
    refusal = await not_found(registry, CREATE_VERSION, input={"projectId": project, "modelId": model, **names})
    sentence = f"There is no {noun} {id_} in this project."
    assert refusal == {"field": f"input.{name}", "id": id_, "projectId": project, "message": sentence}


async def test_the_number_of_a_version_stands_alone(registry: Registry, project: str, model: str) -> None:
    version = {"projectId": project, "modelId": model, "version": "2.0.0"}
    sentence = f"There is no version 9.9.9 of {model}."
    expected = {"id": "9.9.9", "modelId": model, "message": sentence}
    parent = await not_found(registry, CREATE_VERSION, input=version | {"parentVersion": "9.9.9"})
    assert parent == expected | {"field": "input.parentVersion"}
    updated = await not_found(registry, UPDATE, input={"modelId": model, "version": "9.9.9", "description": "Old."})
    assert updated == expected | {"field": "input.version"}
    compared = await not_found(registry, COMPARE, id=model, of=["1.0.0", "9.9.9"])
    assert compared == expected | {"field": compared["field"]}
    deployed = {"modelId": model, "version": "9.9.9"}
    deployment = {"projectId": project, "name": "churn", "strategy": "BLUE_GREEN", "registryVersion": deployed}
    refusal = await not_found(registry, DEPLOY, input=deployment)
    assert refusal == expected | {"field": "input.registryVersion.version"}


async def test_the_model_of_another_project_stands_alone(registry: Registry, project: str, model: str) -> None:
    other = (await registry.ask('mutation { createProject(input: {name: "Other"}) { project { id } } }'))[
        "createProject"
    ]
    id_ = other["project"]["id"]
    refusal = await not_found(registry, CREATE_VERSION, input={"projectId": id_, "modelId": model, "version": "2.0.0"})
    sentence = f"There is no model {model} in project {id_}."
    assert refusal == {"field": "input.modelId", "id": model, "projectId": id_, "message": sentence}


async def test_the_address_of_a_member_stands_alone(registry: Registry, project: str) -> None:
    refusal = await not_found(registry, MEMBER, input={"projectId": project, "email": "nobody@example.com"})
    sentence = f"There is no member nobody@example.com of {project}."
    assert refusal == {"field": "input.email", "id": "nobody@example.com", "projectId": project, "message": sentence}
