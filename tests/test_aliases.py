"""Aliases: pointers that move under a lock, protected ones that need what a promotion needs, and ordinals."""

import asyncio
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import asyncpg
import pytest
import pytest_asyncio

from server.audit.verify import report_on_database
from storage.vocabulary import PrincipalKind
from tests.conftest import POLICY, Cluster, Registry, connect, make_key
from tests.support.documents import creating_version
from tests.support.forged import APPEND, event

SET = """mutation($input: SetAliasInput!) { setAlias(input: $input) {
    alias { name version { version } setAt setBy } previous { version } model { aliases { name } } } }"""
REMOVE = "mutation($input: RemoveAliasInput!) { removeAlias(input: $input) { model { aliases { name } } } }"
LOOK = """query($id: ID!, $a: String = "champion") { model(id: $id) {
    aliases { name version { version } setBy } versionByAlias(alias: $a) { version aliases } } }"""
MOVE = "mutation($input: TransitionStageInput!) { transitionStage(input: $input) { version { stage } } }"
ASK = "mutation($input: RequestTransitionInput!) { requestTransition(input: $input) { request { id } } }"
REVIEW = "mutation($input: ReviewTransitionInput!) { reviewTransition(input: $input) { request { status } } }"
MEMBER = "mutation($input: SetMemberInput!) { setMember(input: $input) { project { id } } }"
EVENTS = """query($id: ID!) { auditEvents(filter: {subjectId: $id, action: ["alias.set", "alias.removed"]}) { nodes {
    action actor notes details } } }"""
CREATE = creating_version("version ordinal")

RITA, RAVI, CAROL, ROBOT = "rita@aliases.com", "ravi@aliases.com", "carol@aliases.com", "robot@aliases.com"


@dataclass
class Team:
    """A model with versions 1.0.0 to 4.0.0 by Carol, a contributor; two reviewers and a service in its project."""

    keys: dict[str, Registry]
    project: str
    model: str

    async def set(self, alias: str, version: str, by: str = CAROL, **more: Any) -> Any:
        asked = {"modelId": self.model, "alias": alias, "version": version, **more}
        return (await self.keys[by].ask(SET, input=asked))["setAlias"]

    async def refused(self, alias: str, version: str, by: str = CAROL, **more: Any) -> dict[str, Any]:
        before = await self.look(), await self.events()
        asked = {"modelId": self.model, "alias": alias, "version": version, **more}
        refusal = await self.keys[by].refusal(SET, input=asked)
        assert (await self.look(), await self.events()) == before, "something of it was kept"
        return refusal

    async def look(self, alias: str = "champion") -> Any:
        return (await self.keys[CAROL].ask(LOOK, id=self.model, a=alias))["model"]

    async def events(self) -> list[Any]:
        return list((await self.keys[CAROL].ask(EVENTS, id=self.model))["auditEvents"]["nodes"])

    async def stage(self, version: str, *stages: str, by: str = CAROL) -> None:
        for stage in stages:
            named = {"modelId": self.model, "version": version, "targetStage": stage}
            await self.keys[by].ask(MOVE, input=named)

    async def protect(self, *aliases: str, **more: Any) -> None:
        policy = {"projectId": self.project, "protectedAliases": aliases, **more}
        await self.keys["root"].ask(POLICY, input=policy)


@pytest_asyncio.fixture
async def team(registry: Registry, project: str, database: Cluster) -> Team:
    keys = {"root": registry}
    staff = {RITA: "REVIEWER", RAVI: "REVIEWER", CAROL: "CONTRIBUTOR", ROBOT: "REVIEWER"}
    for email, role in staff.items():
        kind = PrincipalKind.SERVICE if email == ROBOT else PrincipalKind.USER
        keys[email] = registry.with_key(await make_key(database.app_url, email, kind=kind, administers=False))
        await registry.ask(MEMBER, input={"projectId": project, "email": email, "role": role})
    team = Team(keys, project, f"model_{project[5:]}")
    for n in range(1, 5):
        new = {"projectId": project, "modelId": team.model, "createModel": True, "version": f"{n}.0.0"}
        await keys[CAROL].ask(CREATE, input=new)
    return team


async def test_an_alias_points_at_one_version_and_moves(team: Team) -> None:
    made = await team.set("Champion", "1.0.0")
    assert made["alias"] | {"setAt": ""} == {
        "name": "champion", "version": {"version": "1.0.0"}, "setBy": CAROL, "setAt": ""
    }  # fmt: skip
    assert made["previous"] is None
    await team.set("shadow", "1.0.0", by=RITA)
    moved = await team.set("champion", "2.0.0", by=RITA, expectedVersion="1.0.0", notes="Better.")
    assert moved["previous"] == {"version": "1.0.0"}
    assert moved["alias"]["setAt"] > made["alias"]["setAt"]
    seen = await team.look("CHAMPION ")
    assert seen["aliases"] == [
        {"name": "champion", "version": {"version": "2.0.0"}, "setBy": RITA},
        {"name": "shadow", "version": {"version": "1.0.0"}, "setBy": RITA},
    ]
    assert seen["versionByAlias"] == {"version": "2.0.0", "aliases": ["champion"]}
    assert (await team.look("nobody"))["versionByAlias"] is None
    assert (await team.look("latest"))["versionByAlias"] is None
    last = (await team.events())[0]
    assert (last["action"], last["actor"], last["notes"]) == ("alias.set", RITA, "Better.")
    for side, version in (("before", "1.0.0"), ("after", "2.0.0")):
        told = last["details"][side]
        assert (told["alias"], told["version"]) == ("champion", version) and told["versionId"].startswith("ver_")
    # Where it points already it stays, and nothing is recorded.
    count = len(await team.events())
    assert (await team.set("champion", "2.0.0"))["previous"] == {"version": "2.0.0"}
    assert len(await team.events()) == count


async def test_an_alias_is_removed_and_may_be_set_anew(team: Team) -> None:
    await team.set("champion", "1.0.0")
    removed = await team.keys[CAROL].ask(
        REMOVE, input={"modelId": team.model, "alias": "CHAMPION", "notes": "Not now."}
    )
    assert removed["removeAlias"]["model"]["aliases"] == []
    last = (await team.events())[0]
    assert (last["action"], last["details"]["before"]["version"]) == ("alias.removed", "1.0.0")
    assert last["details"]["after"] is None and last["notes"] == "Not now."
    absent = await team.keys[CAROL].refusal(REMOVE, input={"modelId": team.model, "alias": "champion"})
    assert (absent["code"], absent["field"]) == ("NOT_FOUND", "input.alias")
    assert (await team.set("champion", "2.0.0"))["previous"] is None


async def test_an_alias_that_has_moved_is_not_moved_by_who_expects_it_elsewhere(team: Team) -> None:
    absent = await team.refused("champion", "2.0.0", expectedVersion="1.0.0")
    assert (absent["code"], absent["field"], absent["current"]) == ("CONFLICT", "input.expectedVersion", None)
    await team.set("champion", "1.0.0")
    await team.set("champion", "2.0.0")
    stale = await team.refused("champion", "3.0.0", expectedVersion="1.0.0")
    assert (stale["code"], stale["current"]) == ("CONFLICT", "2.0.0")
    # Also where it already points to the new version: somebody else was faster.
    assert (await team.refused("champion", "2.0.0", expectedVersion="1.0.0"))["code"] == "CONFLICT"


@pytest.mark.parametrize("alias", ["latest", "production", "3", "v3", "2.1.0", "a b", "1e5"])
async def test_a_reserved_name_is_refused(team: Team, alias: str) -> None:
    refusal = await team.refused(alias, "1.0.0")
    assert (refusal["code"], refusal["field"]) == ("BAD_USER_INPUT", "input.alias")
    policy = {"projectId": team.project, "protectedAliases": ["champion", alias]}
    refusal = await team.keys["root"].refusal(POLICY, input=policy)
    assert (refusal["code"], refusal["field"]) == ("BAD_USER_INPUT", "input.protectedAliases[1]")


async def test_an_alias_points_at_a_version_of_its_own_model(team: Team, registry: Registry) -> None:
    refusal = await team.refused("champion", "9.9.9")
    assert (refusal["code"], refusal["field"]) == ("NOT_FOUND", "input.version")
    stranger = await registry.refusal(SET, input={"modelId": "model_nobodys", "alias": "a", "version": "1.0.0"})
    assert (stranger["code"], stranger["field"]) == ("NOT_FOUND", "input.modelId")


async def test_a_model_has_at_most_a_hundred_aliases(team: Team, database: Cluster) -> None:
    connection = await connect(database.owner_url)
    await connection.execute(
        "INSERT INTO model_aliases (project_id, model_id, name, version_id, set_by)"
        " SELECT project_id, model_id, 'a' || n, id, 'ana' FROM versions, generate_series(1, 100) n"
        " WHERE model_id = $1 AND ordinal = 1",
        team.model,
    )
    await connection.close()
    refusal = await team.refused("champion", "1.0.0")
    assert (refusal["code"], refusal["limit"]) == ("CONFLICT", 100)
    await team.set("a1", "2.0.0")


# ---------------------------------------------------------------- protected aliases


async def test_a_protected_alias_needs_an_approval(team: Team) -> None:
    await team.set("champion", "1.0.0")
    await team.protect("champion", requiredApprovals=2)
    await team.stage("2.0.0", "STAGING")
    for by, reason in ((CAROL, "NOT_A_REVIEWER"), (ROBOT, "SERVICE"), (RITA, "TOO_FEW")):
        refusal = await team.refused("champion", "2.0.0", by=by)
        assert (refusal["code"], refusal["reason"]) == ("APPROVAL_REQUIRED", reason)
        assert refusal["message"].startswith("The alias champion is protected and cannot point to 2.0.0 yet.")
    # Others are free, and so is a look.
    await team.set("shadow", "2.0.0")
    asked = {"modelId": team.model, "version": "2.0.0", "targetStage": "PRODUCTION"}
    request = (await team.keys[CAROL].ask(ASK, input=asked))["requestTransition"]["request"]["id"]
    await team.keys[RAVI].ask(REVIEW, input={"requestId": request, "decision": "APPROVE"})
    assert (await team.refused("champion", "2.0.0", by=CAROL))["code"] == "APPROVAL_REQUIRED"
    # Ravi has approved the promotion; Rita, who could make it now, sets the alias.
    await team.set("champion", "2.0.0", by=RITA)
    assert (await team.events())[0]["details"]["after"]["approvedBy"] == f"{RAVI}, {RITA}"
    assert (await team.look())["versionByAlias"]["version"] == "2.0.0"


async def test_a_version_in_production_takes_a_protected_alias_from_whoever_may_set_one(team: Team) -> None:
    await team.protect("champion")
    early = await team.refused("champion", "1.0.0", by=RITA)
    assert (early["code"], [gate["name"] for gate in early["gates"]]) == ("GATE_FAILED", ["transition"])
    await team.stage("1.0.0", "STAGING")
    await team.stage("1.0.0", "PRODUCTION", by=RITA)
    await team.set("champion", "1.0.0", by=CAROL)
    await team.stage("2.0.0", "STAGING")
    await team.stage("2.0.0", "PRODUCTION", by=RITA)
    await team.set("champion", "2.0.0", by=CAROL, expectedVersion="1.0.0")
    # The former one is archived: it has to come back to production before the alias does.
    assert (await team.refused("champion", "1.0.0", by=RITA))["code"] == "GATE_FAILED"


async def test_data_that_is_invalid_keeps_a_protected_alias_away_from_production_too(
    team: Team, registry: Registry
) -> None:
    data, version = f"dsv_{team.project[5:]}", {"modelId": team.model, "version": "5.0.0"}
    await registry.ask(
        """mutation($d: CreateDatasetInput!, $v: CreateDatasetVersionInput!) {
        createDataset(input: $d) { dataset { id } } createDatasetVersion(input: $v) { datasetVersion { id } } }""",
        d={"id": f"ds_{team.project[5:]}", "projectId": team.project, "name": "D"},
        v={"id": data, "datasetId": f"ds_{team.project[5:]}", "label": "1"},
    )
    await team.keys[CAROL].ask(CREATE, input=version | {"projectId": team.project, "datasetVersionId": data})
    await team.protect("champion")
    await team.stage("5.0.0", "STAGING")
    await team.stage("5.0.0", "PRODUCTION", by=RITA)
    await registry.ask(
        """mutation($input: SetDatasetVersionStatusInput!) { setDatasetVersionStatus(input: $input) {
        datasetVersion { status } } }""",
        input={"datasetVersionId": data, "status": "INVALID", "reason": "Leaked."},
    )
    refusal = await team.refused("champion", "5.0.0", by=RITA)
    assert (refusal["code"], [gate["name"] for gate in refusal["gates"]]) == ("GATE_FAILED", ["data"])


async def test_only_a_reviewer_removes_a_protected_alias(team: Team) -> None:
    await team.set("champion", "1.0.0")
    await team.protect("champion")
    asked = {"modelId": team.model, "alias": "champion"}
    refusal = await team.keys[CAROL].refusal(REMOVE, input=asked)
    assert (refusal["code"], refusal["needed"], refusal["role"]) == ("FORBIDDEN", "REVIEWER", "CONTRIBUTOR")
    assert (await team.look())["versionByAlias"]["version"] == "1.0.0"
    await team.keys[RITA].ask(REMOVE, input=asked)


async def test_an_alias_stays_protected_until_somebody_agrees_that_it_is_not(team: Team) -> None:
    await team.protect("champion", "shadow")
    await team.protect("champion", "canary")
    query = """query($id: ID!) { project(id: $id) { policy { protectedAliases pendingChanges { field from to } } } }"""
    policy = (await team.keys[CAROL].ask(query, id=team.project))["project"]["policy"]
    assert policy["protectedAliases"] == ["champion", "shadow"]
    change = {"field": "protectedAliases", "from": ["champion", "shadow"], "to": ["champion", "canary"]}
    assert policy["pendingChanges"] == [change]
    assert (await team.refused("shadow", "1.0.0"))["code"] == "APPROVAL_REQUIRED"


async def test_a_move_and_a_protection_at_once_are_one_after_the_other(team: Team) -> None:
    await team.set("champion", "1.0.0")
    asked = {"modelId": team.model, "alias": "champion", "version": "2.0.0"}
    reply, _ = await asyncio.gather(team.keys[CAROL].send(SET, input=asked), team.protect("champion"))
    errors = reply.json().get("errors", [])
    assert [error["extensions"]["code"] for error in errors] in ([], ["APPROVAL_REQUIRED"])
    assert (await team.refused("champion", "3.0.0"))["code"] == "APPROVAL_REQUIRED"


# ---------------------------------------------------------------- at rest


ALIAS = {"alias": "champion", "version": "2.0.0"}


async def test_no_alias_changes_without_an_event_that_says_so(team: Team, database: Cluster) -> None:
    await team.set("champion", "1.0.0")
    thief = await connect(database.app_url)
    ids = {r[0]: r[1] for r in await thief.fetch("SELECT number[1], id FROM versions WHERE model_id = $1", team.model)}
    about = team.model, team.project
    changes = {
        "move": f"UPDATE model_aliases SET version_id = '{ids[2]}', set_by = 'ana@example.com'",
        "remove": "DELETE FROM model_aliases",
    }
    told = {
        "none": [],
        "another version": [event("alias.set", *about, ALIAS | {"versionId": ids[3]})],
        "another alias": [event("alias.set", *about, ALIAS | {"alias": "shadow", "versionId": ids[2]})],
        "another model": [event("alias.set", "model_a", team.project, ALIAS | {"versionId": ids[2]})],
        "another action": [event("model.updated", *about, ALIAS | {"versionId": ids[2]})],
        "somebody else": [event("alias.set", *about, ALIAS | {"versionId": ids[2]}, actor="bo@example.com")],
    }
    for change in changes.values():
        for events in told.values():
            with pytest.raises(asyncpg.IntegrityConstraintViolationError, match="no event of the same transaction"):
                async with thief.transaction():
                    for each in events:
                        await thief.execute(APPEND, team.model, each)
                    await thief.execute(f"{change} WHERE model_id = $1", team.model)
    with pytest.raises(asyncpg.IntegrityConstraintViolationError):
        await thief.execute(
            "INSERT INTO model_aliases (project_id, model_id, name, version_id, set_by)"
            f" VALUES ('{team.project}', '{team.model}', 'forged', '{ids[1]}', 'ana@example.com')"
        )
    await thief.close()
    assert (await team.look())["versionByAlias"]["version"] == "1.0.0"
    assert len(await team.events()) == 1


async def test_an_alias_never_points_out_of_its_model(team: Team, database: Cluster, registry: Registry) -> None:
    other = {"projectId": team.project, "modelId": f"{team.model}_b", "createModel": True}
    await registry.ask(CREATE, input=other)
    owner = await connect(database.owner_url)
    with pytest.raises(asyncpg.ForeignKeyViolationError):
        await owner.execute(
            "INSERT INTO model_aliases (project_id, model_id, name, version_id, set_by)"
            " SELECT project_id, $1, 'a', id, 'ana' FROM versions WHERE model_id = $2",
            team.model,
            other["modelId"],
        )
    await owner.close()


# ---------------------------------------------------------------- ordinals


async def test_versions_are_counted_in_the_order_of_their_registration(team: Team, registry: Registry) -> None:
    new = {"projectId": team.project, "modelId": team.model}
    made = (await team.keys[CAROL].ask(CREATE, input=new | {"version": "0.5.0", "parentVersion": None}))[
        "createVersion"
    ]
    assert made["version"] == {"version": "0.5.0", "ordinal": 5}
    query = """query($id: ID!, $n: Int!) { model(id: $id) { versionByOrdinal(ordinal: $n) { version }
        versions { nodes { version ordinal } } } }"""
    seen = (await registry.ask(query, id=team.model, n=5))["model"]
    assert seen["versionByOrdinal"] == {"version": "0.5.0"}
    assert {node["version"]: node["ordinal"] for node in seen["versions"]["nodes"]} == {
        "1.0.0": 1, "2.0.0": 2, "3.0.0": 3, "4.0.0": 4, "0.5.0": 5
    }  # fmt: skip
    for none in (0, 6, -1):
        assert (await registry.ask(query, id=team.model, n=none))["model"]["versionByOrdinal"] is None


async def test_a_refused_registration_uses_no_ordinal_and_many_at_once_leave_no_gap(
    team: Team, registry: Registry
) -> None:
    new = {"projectId": team.project, "modelId": team.model}
    sent = [registry.send(CREATE, input=new | {"bump": "MINOR"}) for _ in range(6)]
    sent += [registry.send(CREATE, input=new | {"version": "1.0.0", "parentVersion": None}) for _ in range(6)]
    answers = [reply.json() for reply in await asyncio.gather(*sent)]
    made = [a["data"]["createVersion"]["version"]["ordinal"] for a in answers if "errors" not in a]
    assert sorted(made) == [5, 6, 7, 8, 9, 10]


async def test_the_log_of_aliases_and_moves_verifies(
    make_database: Callable[[], Any], make_registry: Callable[..., Any]
) -> None:
    database = await make_database()
    registry: Registry = await make_registry(database)
    made = await registry.ask('mutation { createProject(input: {name: "A"}) { project { id } } }')
    project = made["createProject"]["project"]["id"]
    new = {"projectId": project, "modelId": "model_a", "createModel": True}
    await registry.ask(CREATE, input=new | {"artifact": {"uri": "s3://a", "digest": "sha256:1"}})
    named = {"modelId": "model_a", "version": "1.0.0"}
    await registry.ask(SET, input=named | {"alias": "champion"})
    move = "mutation($input: MoveArtifactInput!) { moveArtifact(input: $input) { version { id } } }"
    await registry.ask(move, input=named | {"uri": "s3://b", "reason": "Moved."})
    await registry.ask(REMOVE, input={"modelId": "model_a", "alias": "champion"})
    assert (await report_on_database(database.app_url, None)).code == 0
