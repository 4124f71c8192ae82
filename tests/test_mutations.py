"""What mutations answer, whatever they write."""

from tests.conftest import Cluster, Registry, make_key
from tests.support.documents import creating_version

SET_MEMBER = "mutation($input: SetMemberInput!) { setMember(input: $input) { project { members { email role } } } }"
REMOVE_MEMBER = "mutation($input: RemoveMemberInput!) { removeMember(input: $input) { project { id } } }"
CREATE_MODEL = "mutation($input: CreateModelInput!) { createModel(input: $input) { model { id project { id } } } }"
WHO = "{ viewer { email } projects { totalCount } }"


async def test_who_was_made_a_member_a_moment_ago_is_answered_what_it_wrote(
    registry: Registry, database: Cluster, project: str
) -> None:
    asked = {"projectId": project, "email": "new@example.com"}
    secret = await make_key(database.app_url, "new@example.com", project=None, role=None)
    caller = registry.with_key(secret)
    # Its key is known from now on for some seconds, as one that reaches nothing.
    assert (await caller.ask(WHO))["projects"]["totalCount"] == 0
    await registry.ask(SET_MEMBER, input=asked | {"role": "ADMIN"})
    made = await caller.ask(CREATE_MODEL, input={"projectId": project, "id": f"model_{project[5:]}", "name": "New"})
    assert made["createModel"]["model"] == {"id": f"model_{project[5:]}", "project": {"id": project}}
    # And who has just removed itself is still answered that.
    left = await caller.ask(REMOVE_MEMBER, input=asked)
    assert left["removeMember"]["project"] == {"id": project}
    refusal = await caller.refusal(CREATE_MODEL, input={"projectId": project, "name": "Newer"})
    assert refusal["code"] == "NOT_FOUND"


CREATE_VERSION = creating_version("id parameters")
CREATE_DATASET = "mutation($input: CreateDatasetInput!) { createDataset(input: $input) { dataset { id } } }"
CREATE_DATA = """
mutation($input: CreateDatasetVersionInput!) { createDatasetVersion(input: $input) { datasetVersion { id rowCount } } }
"""
DETAILS = "query($id: ID!) { auditEvents(filter: {subjectId: $id}) { nodes { details } } }"
LARGE = [2**53 - 1, 2**53, 2**63 - 1]


async def test_whole_numbers_that_a_float_cannot_hold_are_kept_exactly_and_told_as_text(
    registry: Registry, project: str
) -> None:
    numbers = {"seeds": [*LARGE, -(2**63)], "nested": {"true": True, "seed": 2**60}}
    asked = {"projectId": project, "modelId": f"model_{project[5:]}", "createModel": True, "parameters": numbers}
    version = (await registry.ask(CREATE_VERSION, input=asked))["createVersion"]["version"]
    assert version["parameters"] == numbers
    (event,) = (await registry.ask(DETAILS, id=version["id"]))["auditEvents"]["nodes"]
    told = {"seeds": [LARGE[0], *map(str, LARGE[1:]), str(-(2**63))], "nested": {"true": True, "seed": str(2**60)}}
    assert event["details"]["after"]["parameters"] == told
    dataset = (await registry.ask(CREATE_DATASET, input={"projectId": project, "name": "Large"}))["createDataset"]
    for place, rows in enumerate(LARGE):
        facts = {"datasetId": dataset["dataset"]["id"], "label": str(place), "rowCount": rows}
        made = (await registry.ask(CREATE_DATA, input=facts))["createDatasetVersion"]["datasetVersion"]
        assert int(made["rowCount"]) == rows
