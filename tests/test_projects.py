from tests.conftest import Registry

CREATE = "mutation($input: CreateProjectInput!) { createProject(input: $input) { project { id name description } } }"


async def test_a_project_is_made_with_the_id_that_the_client_chose(registry: Registry) -> None:
    made = await registry.ask(CREATE, input={"id": "proj_chosen", "name": " Churn ", "description": "Two\nlines"})
    assert made["createProject"]["project"] == {"id": "proj_chosen", "name": "Churn", "description": "Two\nlines"}


async def test_a_taken_project_id_is_refused_by_name(registry: Registry) -> None:
    await registry.ask(CREATE, input={"id": "proj_taken", "name": "First"})
    refusal = await registry.refusal(CREATE, input={"id": "proj_taken", "name": "Second"})
    assert refusal["code"] == "ALREADY_EXISTS"
    assert refusal["field"] == "input.id"
    kept = await registry.ask('{ project(id: "proj_taken") { name } }')
    assert kept["project"]["name"] == "First"
