"""What mutations answer, whatever they write."""

from tests.conftest import Cluster, Registry, make_key

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
