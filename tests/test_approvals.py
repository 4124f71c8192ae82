"""Nobody reaches production alone: whose approval counts, how long, and what is told to who has none."""

from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass, field
from itertools import count
from typing import Any

import pytest
import pytest_asyncio

from storage.vocabulary import PrincipalKind, Role
from tests.conftest import CONFIRM, PENDING, POLICY, Cluster, Registry, make_key, run_sql
from tests.support.documents import CREATE_VERSION

ADMIN, MARIA, JAMES, CAROL = "ana@example.com", "maria.chen@company.com", "james.wu@company.com", "carol@company.com"
PIPELINE, ROBOT, ATTESTER = "pipeline@company.com", "robot@company.com", "release@company.com"
ROLES = {
    MARIA: Role.REVIEWER,
    JAMES: Role.REVIEWER,
    CAROL: Role.CONTRIBUTOR,
    PIPELINE: Role.CONTRIBUTOR,
    ROBOT: Role.REVIEWER,
    ATTESTER: Role.CONTRIBUTOR,
}
SERVICES = {PIPELINE, ROBOT, ATTESTER}
PROJECT = "proj_reviews"

MOVE = """mutation($input: TransitionStageInput!) { transitionStage(input: $input) {
    version { stage } transition { actor approvedBy approvals { reviewer decision attestedBy meaning notes valid } }
    archived { version } } }"""
ASK = """mutation($input: RequestTransitionInput!) { requestTransition(input: $input) {
    request { id status requiredApprovals expiresAt } } }"""
REVIEW = """mutation($input: ReviewTransitionInput!) { reviewTransition(input: $input) {
    request { status approvals { reviewer decision valid invalidReason } version { stage } } } }"""
CANCEL = "mutation($input: CancelTransitionInput!) { cancelTransition(input: $input) { request { status } } }"
CARD = "mutation($input: UpdateModelCardInput!) { updateModelCard(input: $input) { modelCard { revision } } }"
STATUS = """mutation($input: SetDatasetVersionStatusInput!) { setDatasetVersionStatus(input: $input) {
    datasetVersion { status statusReason } } }"""
MEMBER = "mutation($input: SetMemberInput!) { setMember(input: $input) { project { id } } }"
LEAVE = "mutation($input: RemoveMemberInput!) { removeMember(input: $input) { project { id } } }"
BACK = """mutation($input: RollbackProductionInput!) { rollbackProduction(input: $input) {
    version { version stage stageHistory { fromStage toStage automatic notes approvedBy } }
    archived { version stage } } }"""
CHECK = """query($model: ID!, $version: SemVer!, $stage: Stage!) { version(modelId: $model, version: $version) {
    promotion(targetStage: $stage) {
    allowed approvalsRecorded approvalsRequired yourApprovalWouldCount gates { name passed reason }
    wouldArchive { version } }
    approvals { reviewer valid invalidReason } } }"""
EVENTS = "query($id: ID!) { auditEvents(filter: {projectId: $id}) { totalCount } }"


@dataclass
class Team:
    """The members of a project, each with a key."""

    database: Cluster
    keys: dict[str, Registry]
    numbers: Any = field(default_factory=lambda: count(1))

    @property
    def admin(self) -> Registry:
        return self.keys[ADMIN]

    async def registered(self, by: str = PIPELINE, **facts: Any) -> dict[str, Any]:
        """A version of a model of its own, 1.0.0."""
        model = f"model_m{next(self.numbers)}"
        new = {"projectId": PROJECT, "modelId": model, "createModel": True, "version": "1.0.0"}
        await self.keys[by].ask(CREATE_VERSION, input=new | facts)
        return {"modelId": model, "version": "1.0.0"}

    async def at_the_door_of(self, target: str, by: str = PIPELINE, **facts: Any) -> dict[str, Any]:
        """A version that may go to this stage next, as an input that asks for it."""
        version = await self.registered(by, **facts)
        if target == "PRODUCTION":
            await self.keys[by].ask(MOVE, input=version | {"targetStage": "STAGING"})
        return version | {"targetStage": target}

    async def approved(self, asked: dict[str, Any], by: str = JAMES) -> str:
        """Record one of two needed approvals; the request."""
        request = (await self.keys[PIPELINE].ask(ASK, input=asked))["requestTransition"]["request"]["id"]
        await self.keys[by].ask(REVIEW, input={"requestId": request, "decision": "APPROVE", "notes": "Fine."})
        return str(request)

    async def refused(self, who: str, asked: dict[str, Any]) -> dict[str, Any]:
        """The refusal of a transition, of which nothing is kept."""
        before = await self.admin.ask(EVENTS, id=PROJECT)
        refusal = await self.keys[who].refusal(MOVE, input=asked)
        assert await self.admin.ask(EVENTS, id=PROJECT) == before
        return refusal

    async def policy(self, **changes: Any) -> None:
        """Change the policy; what loosens it is confirmed by a second person."""
        await self.admin.ask(POLICY, input={"projectId": PROJECT} | changes)
        for change in (await self.admin.ask(PENDING, id=PROJECT))["project"]["policy"]["pendingChanges"]:
            await self.keys[MARIA].ask(CONFIRM, input={"changeId": change["id"]})


@pytest_asyncio.fixture(scope="module")
async def everybody(make_database: Callable[[], Any], make_registry: Callable[..., Any]) -> Team:
    database = await make_database()
    registry = await make_registry(database)
    await registry.ask(f'mutation {{ createProject(input: {{id: "{PROJECT}", name: "R"}}) {{ project {{ id }} }} }}')
    keys = {ADMIN: registry}
    for email, role in ROLES.items():
        kind = PrincipalKind.SERVICE if email in SERVICES else PrincipalKind.USER
        wanted = {"kind": kind, "project": PROJECT, "role": role, "may_attest": email == ATTESTER}
        keys[email] = registry.with_key(await make_key(database.app_url, email, **wanted))
    return Team(database, keys)


@pytest_asyncio.fixture
async def team(everybody: Team) -> AsyncIterator[Team]:
    yield everybody
    for email, role in ROLES.items():
        await everybody.admin.ask(MEMBER, input={"projectId": PROJECT, "email": email, "role": role})
    await everybody.policy(
        requiredApprovals=1, allowSelfApproval=False, requireCompleteCard=False, semver="WARN", minMetrics=[],
        maxRegression=0.1, blockInvalidData=True, approvalValidDays=30,
    )  # fmt: skip


TARGETS = pytest.mark.parametrize("target", ["STAGING", "PRODUCTION"])


# ---------------------------------------------------------------- whose word counts


@TARGETS
async def test_a_reviewer_brings_a_version_on_with_an_approval_of_its_own(team: Team, target: str) -> None:
    asked = await team.at_the_door_of(target)
    done = (await team.keys[MARIA].ask(MOVE, input=asked | {"approvedBy": MARIA, "notes": "Seen."}))["transitionStage"]
    assert (done["transition"]["actor"], done["transition"]["approvedBy"]) == (MARIA, MARIA)
    meaning = f"{MARIA} approves that {asked['modelId']} 1.0.0 goes to {target}."
    assert done["transition"]["approvals"] == [
        {
            "reviewer": MARIA,
            "decision": "APPROVE",
            "attestedBy": None,
            "meaning": meaning,
            "notes": "Seen.",
            "valid": True,
        }
    ]


@TARGETS
async def test_the_author_is_refused(team: Team, target: str) -> None:
    asked = await team.at_the_door_of(target, by=MARIA)
    refusal = await team.refused(MARIA, asked | {"approvedBy": MARIA})
    assert (refusal["code"], refusal["reason"]) == ("APPROVAL_REQUIRED", "AUTHOR")
    assert refusal["message"].startswith(f"1.0.0 cannot go to {target} yet. {MARIA} registered the version, and the")
    assert [gate["name"] for gate in refusal["gates"]] == ["approvals"]


@TARGETS
async def test_who_is_no_reviewer_is_refused(team: Team, target: str) -> None:
    refusal = await team.refused(CAROL, await team.at_the_door_of(target) | {"approvedBy": CAROL})
    assert (refusal["code"], refusal["reason"]) == ("APPROVAL_REQUIRED", "NOT_A_REVIEWER")
    assert f"{CAROL} is not a reviewer of the project." in refusal["message"]


@TARGETS
async def test_a_made_up_name_is_refused(team: Team, target: str) -> None:
    for name in ("nobody@company.com", "NOBODY@company.com", ADMIN.replace("ana", "anna")):
        refusal = await team.refused(PIPELINE, await team.at_the_door_of(target) | {"approvedBy": name})
        assert (refusal["code"], refusal["reason"]) == ("APPROVAL_REQUIRED", "UNKNOWN_REVIEWER")
        assert f"{name.lower()} is not a reviewer of the project." in refusal["message"]


@TARGETS
async def test_a_reviewer_who_has_not_approved_is_refused(team: Team, target: str) -> None:
    refusal = await team.refused(PIPELINE, await team.at_the_door_of(target) | {"approvedBy": JAMES})
    assert (refusal["code"], refusal["reason"]) == ("APPROVAL_REQUIRED", "NOT_APPROVED")
    assert f"{JAMES} has not approved this transition" in refusal["message"]


@TARGETS
async def test_a_recorded_approval_is_enough_for_whoever_names_it(team: Team, target: str) -> None:
    await team.policy(requiredApprovals=2)
    asked = await team.at_the_door_of(target)
    await team.approved(asked)
    await team.policy(requiredApprovals=1)
    done = (await team.keys[PIPELINE].ask(MOVE, input=asked | {"approvedBy": "James.Wu@Company.com"}))[
        "transitionStage"
    ]
    assert (done["transition"]["actor"], done["transition"]["approvedBy"]) == (PIPELINE, JAMES)


async def test_an_approval_of_a_step_that_was_made_stays_valid_when_its_reviewer_leaves(team: Team) -> None:
    asked = await team.at_the_door_of("PRODUCTION")
    await team.keys[JAMES].ask(MOVE, input=asked)
    await team.admin.ask(LEAVE, input={"projectId": PROJECT, "email": JAMES})
    query = """query($id: ID!, $of: SemVer!) { version(modelId: $id, version: $of) { stageHistory {
        toStage approvals { reviewer valid } } } }"""
    read = await team.admin.ask(query, id=asked["modelId"], of=asked["version"])
    last = read["version"]["stageHistory"][-1]
    assert last == {"toStage": "PRODUCTION", "approvals": [{"reviewer": JAMES, "valid": True}]}


@TARGETS
async def test_an_approval_by_a_removed_reviewer_no_longer_counts(team: Team, target: str) -> None:
    await team.policy(requiredApprovals=2)
    asked = await team.at_the_door_of(target)
    await team.approved(asked)
    await team.admin.ask(LEAVE, input={"projectId": PROJECT, "email": JAMES})
    await team.policy(requiredApprovals=1)
    refusal = await team.refused(PIPELINE, asked | {"approvedBy": JAMES})
    assert (refusal["code"], refusal["reason"]) == ("APPROVAL_REQUIRED", "REVIEWER_REMOVED")
    assert f"no longer counts: {JAMES} is no longer a reviewer of the project." in refusal["message"]
    own = await team.keys[JAMES].refusal(MOVE, input=asked | {"approvedBy": JAMES})
    assert own["code"] == "NOT_FOUND"
    assert own["message"].startswith(f"There is no model {asked['modelId']}, or your key has no role in its project.")


@TARGETS
async def test_an_approval_of_an_older_card_no_longer_counts(team: Team, target: str) -> None:
    await team.policy(requiredApprovals=2)
    asked = await team.at_the_door_of(target)
    await team.approved(asked)
    await team.policy(requiredApprovals=1)
    which = {"modelId": asked["modelId"], "version": "1.0.0"}
    await team.keys[CAROL].ask(CARD, input=which | {"modelCard": {"limitations": "Not for children."}})
    refusal = await team.refused(PIPELINE, asked | {"approvedBy": JAMES})
    assert (refusal["code"], refusal["reason"]) == ("APPROVAL_REQUIRED", "CARD_CHANGED")
    assert "edited after the review (reviewed at revision 0, now at 1)" in refusal["message"]
    seen = await team.keys[CAROL].ask(CHECK, model=asked["modelId"], version="1.0.0", stage=target)
    (approval,) = seen["version"]["approvals"]
    assert (approval["reviewer"], approval["valid"]) == (JAMES, False)
    assert "reviewed at revision 0, now at 1" in approval["invalidReason"]


@TARGETS
async def test_an_approval_of_other_data_no_longer_counts(team: Team, target: str) -> None:
    made = await team.admin.ask(
        f'mutation {{ createDataset(input: {{projectId: "{PROJECT}", name: "D {target}"}}) {{ dataset {{ id }} }} }}'
    )
    new = {"datasetId": made["createDataset"]["dataset"]["id"], "label": "1"}
    data = await team.admin.ask(
        "mutation($input: CreateDatasetVersionInput!) { createDatasetVersion(input: $input)"
        " { datasetVersion { id } } }",
        input=new,
    )
    id_ = data["createDatasetVersion"]["datasetVersion"]["id"]
    await team.policy(requiredApprovals=2)
    asked = await team.at_the_door_of(target, datasetVersionId=id_)
    await team.approved(asked)
    await team.policy(requiredApprovals=1)
    flagged = {"datasetVersionId": id_, "status": "DEPRECATED", "reason": "The source goes away."}
    assert (await team.keys[CAROL].ask(STATUS, input=flagged))["setDatasetVersionStatus"]["datasetVersion"] == {
        "status": "DEPRECATED", "statusReason": "The source goes away."}  # fmt: skip
    refusal = await team.refused(PIPELINE, asked | {"approvedBy": JAMES})
    assert (refusal["code"], refusal["reason"]) == ("APPROVAL_REQUIRED", "DATA_CHANGED")
    assert f"{id_} is DEPRECATED now; it was ACTIVE when reviewed." in refusal["message"]


@TARGETS
async def test_an_old_approval_no_longer_counts(team: Team, target: str) -> None:
    await team.policy(requiredApprovals=2)
    asked = await team.at_the_door_of(target)
    await team.approved(asked)
    await team.policy(requiredApprovals=1)
    await run_sql(
        team.database.superuser_url,
        "ALTER TABLE approvals DISABLE TRIGGER append_only",
        "UPDATE approvals SET at = at - interval '31 days'"
        f" WHERE version_id IN (SELECT id FROM versions WHERE model_id = '{asked['modelId']}')",
        "ALTER TABLE approvals ENABLE ALWAYS TRIGGER append_only",
        "UPDATE members SET reviewer_since = reviewer_since - interval '32 days'",
    )
    refusal = await team.refused(PIPELINE, asked | {"approvedBy": JAMES})
    assert (refusal["code"], refusal["reason"]) == ("APPROVAL_REQUIRED", "EXPIRED")
    assert "The review is older than 30 days." in refusal["message"]


@TARGETS
async def test_a_service_is_refused(team: Team, target: str) -> None:
    asked = await team.at_the_door_of(target)
    refusal = await team.refused(ROBOT, asked | {"approvedBy": ROBOT})
    assert (refusal["code"], refusal["reason"]) == ("APPROVAL_REQUIRED", "SERVICE")
    assert f"{ROBOT} is a service, and only people approve." in refusal["message"]
    assert (await team.refused(ATTESTER, asked | {"approvedBy": ROBOT}))["reason"] == "SERVICE"


@TARGETS
async def test_a_key_that_may_attest_states_the_approval_of_a_reviewer(team: Team, target: str) -> None:
    asked = await team.at_the_door_of(target)
    done = (await team.keys[ATTESTER].ask(MOVE, input=asked | {"approvedBy": MARIA}))["transitionStage"]
    assert (done["transition"]["actor"], done["transition"]["approvedBy"]) == (ATTESTER, MARIA)
    (approval,) = done["transition"]["approvals"]
    assert (approval["reviewer"], approval["attestedBy"]) == (MARIA, ATTESTER)
    assert approval["meaning"].endswith(f"goes to {target}, as {ATTESTER} attests.")


@pytest.mark.parametrize(
    ("name", "reason"),
    [("nobody@company.com", "UNKNOWN_REVIEWER"), (CAROL, "NOT_A_REVIEWER"), (MARIA, "AUTHOR"), (ROBOT, "SERVICE")],
)
async def test_nobody_attests_for_who_could_not_approve(team: Team, name: str, reason: str) -> None:
    asked = await team.at_the_door_of("PRODUCTION", by=MARIA)
    refusal = await team.refused(ATTESTER, asked | {"approvedBy": name})
    assert (refusal["code"], refusal["reason"]) == ("APPROVAL_REQUIRED", reason)


@pytest.mark.parametrize(
    ("who", "reason"), [(PIPELINE, "SERVICE"), (CAROL, "NOT_A_REVIEWER"), (ATTESTER, "SERVICE"), (MARIA, "AUTHOR")]
)
async def test_nobody_reaches_production_without_an_approval(team: Team, who: str, reason: str) -> None:
    refusal = await team.refused(who, await team.at_the_door_of("PRODUCTION", by=MARIA))
    assert (refusal["code"], refusal["reason"], refusal["required"]) == ("APPROVAL_REQUIRED", reason, 1)
    assert f"1 more approval by {JAMES} or {ADMIN} is needed." in refusal["message"]


async def test_a_viewer_may_not_even_ask(team: Team) -> None:
    asked = await team.at_the_door_of("PRODUCTION")
    await team.admin.ask(MEMBER, input={"projectId": PROJECT, "email": CAROL, "role": "VIEWER"})
    refusal = await team.refused(CAROL, asked)
    assert (refusal["code"], refusal["needed"], refusal["role"]) == ("FORBIDDEN", "CONTRIBUTOR", "VIEWER")


async def test_who_administers_the_instance_approves_only_as_a_member(team: Team) -> None:
    asked = await team.at_the_door_of("PRODUCTION")
    stranger = team.admin.with_key(await make_key(team.database.app_url, "root@example.com"))
    refusal = await stranger.refusal(MOVE, input=asked)
    assert (refusal["code"], refusal["reason"]) == ("APPROVAL_REQUIRED", "NOT_A_REVIEWER")


# ---------------------------------------------------------------- requests and reviews


async def test_the_last_needed_approval_applies_the_transition(team: Team) -> None:
    await team.policy(requiredApprovals=2)
    asked = await team.at_the_door_of("PRODUCTION")
    request = await team.approved(asked, by=JAMES)
    done = await team.keys[MARIA].ask(REVIEW, input={"requestId": request, "decision": "APPROVE"})
    found = done["reviewTransition"]["request"]
    assert (found["status"], found["version"]["stage"]) == ("APPLIED", "PRODUCTION")
    assert [(a["reviewer"], a["valid"]) for a in found["approvals"]] == [(JAMES, True), (MARIA, True)]
    refusal = await team.keys[MARIA].refusal(REVIEW, input={"requestId": request, "decision": "APPROVE"})
    assert (refusal["code"], refusal["current"]) == ("CONFLICT", "APPLIED")


async def test_one_reviewer_counts_once(team: Team) -> None:
    await team.policy(requiredApprovals=2)
    request = await team.approved(await team.at_the_door_of("PRODUCTION"))
    again = await team.keys[JAMES].ask(REVIEW, input={"requestId": request, "decision": "APPROVE"})
    assert again["reviewTransition"]["request"]["status"] == "OPEN"
    valid = [a["valid"] for a in again["reviewTransition"]["request"]["approvals"]]
    assert valid == [False, True], "the first was superseded"


async def test_a_rejection_closes_the_request_and_stands(team: Team) -> None:
    asked = await team.at_the_door_of("PRODUCTION")
    request = (await team.keys[PIPELINE].ask(ASK, input=asked))["requestTransition"]["request"]["id"]
    done = await team.keys[JAMES].ask(REVIEW, input={"requestId": request, "decision": "REJECT", "notes": "Biased."})
    assert done["reviewTransition"]["request"]["status"] == "REJECTED"
    refusal = await team.refused(MARIA, asked)
    assert (refusal["code"], refusal["reason"]) == ("APPROVAL_REQUIRED", "REJECTED")
    assert f"{JAMES} has rejected it" in refusal["message"]
    await team.approved(asked, by=MARIA)
    seen = await team.keys[CAROL].ask(
        'query($m: ID!) { version(modelId: $m, version: "1.0.0") { stage } }', m=asked["modelId"]
    )
    assert seen["version"]["stage"] == "PRODUCTION", "a new request starts anew"


@pytest.mark.parametrize(
    ("who", "reason"), [(ROBOT, "SERVICE"), (MARIA, "AUTHOR")]
)  # fmt: skip
async def test_a_review_by_who_may_not_approve_is_forbidden(team: Team, who: str, reason: str) -> None:
    asked = await team.at_the_door_of("PRODUCTION", by=MARIA)
    request = (await team.keys[PIPELINE].ask(ASK, input=asked))["requestTransition"]["request"]["id"]
    for decision in ("APPROVE", "REJECT"):
        refusal = await team.keys[who].refusal(REVIEW, input={"requestId": request, "decision": decision})
        assert (refusal["code"], refusal["reason"]) == ("FORBIDDEN", reason)


async def test_who_may_approve_what_it_registered_where_the_policy_says_so(team: Team) -> None:
    asked = await team.at_the_door_of("PRODUCTION", by=MARIA)
    await team.policy(allowSelfApproval=True)
    assert (await team.keys[MARIA].ask(MOVE, input=asked))["transitionStage"]["version"]["stage"] == "PRODUCTION"


async def test_a_request_is_taken_back_by_who_made_it_or_by_a_reviewer(team: Team) -> None:
    asked = await team.at_the_door_of("PRODUCTION")
    for who in (PIPELINE, MARIA):
        request = (await team.keys[PIPELINE].ask(ASK, input=asked))["requestTransition"]["request"]["id"]
        refusal = await team.keys[CAROL].refusal(CANCEL, input={"requestId": request})
        assert refusal["code"] == "FORBIDDEN"
        done = await team.keys[who].ask(CANCEL, input={"requestId": request})
        assert done["cancelTransition"]["request"]["status"] == "CANCELLED"


async def test_one_request_is_open_at_a_time(team: Team) -> None:
    asked = await team.at_the_door_of("PRODUCTION")
    request = (await team.keys[PIPELINE].ask(ASK, input=asked))["requestTransition"]["request"]["id"]
    refusal = await team.keys[CAROL].refusal(ASK, input=asked | {"targetStage": "ARCHIVED"})
    assert (refusal["code"], refusal["request"]) == ("CONFLICT", request)


async def test_a_request_whose_time_is_over_makes_room(team: Team) -> None:
    asked = await team.at_the_door_of("PRODUCTION")
    request = (await team.keys[PIPELINE].ask(ASK, input=asked))["requestTransition"]["request"]["id"]
    await run_sql(team.database.owner_url, f"UPDATE transition_requests SET expires_at = now() WHERE id = '{request}'")
    refusal = await team.keys[MARIA].refusal(REVIEW, input={"requestId": request, "decision": "APPROVE"})
    assert (refusal["code"], refusal["current"]) == ("CONFLICT", "EXPIRED")
    assert (await team.keys[PIPELINE].ask(ASK, input=asked))["requestTransition"]["request"]["status"] == "OPEN"
    listed = """query($p: ID!) { project(id: $p) { transitionRequests(status: [EXPIRED]) { nodes { id } } } }"""
    assert {"id": request} in (await team.admin.ask(listed, p=PROJECT))["project"]["transitionRequests"]["nodes"]


async def test_a_request_whose_time_is_over_is_not_applied_by_a_later_step(team: Team) -> None:
    await team.policy(requiredApprovals=2)
    asked = await team.at_the_door_of("PRODUCTION")
    request = await team.approved(asked)
    await run_sql(team.database.owner_url, f"UPDATE transition_requests SET expires_at = now() WHERE id = '{request}'")
    await team.policy(requiredApprovals=1)
    done = (await team.keys[MARIA].ask(MOVE, input=asked))["transitionStage"]["transition"]
    valid = {approval["reviewer"]: approval["valid"] for approval in done["approvals"]}
    assert (done["approvedBy"], valid) == (MARIA, {JAMES: False, MARIA: True})
    seen = await team.admin.ask("query($id: ID!) { transitionRequest(id: $id) { status } }", id=request)
    assert seen["transitionRequest"]["status"] == "EXPIRED"


async def test_a_request_is_closed_when_its_version_goes_another_way(team: Team) -> None:
    asked = await team.at_the_door_of("PRODUCTION")
    request = (await team.keys[PIPELINE].ask(ASK, input=asked))["requestTransition"]["request"]["id"]
    await team.keys[PIPELINE].ask(MOVE, input=asked | {"targetStage": "ARCHIVED"})
    seen = await team.admin.ask("query($id: ID!) { transitionRequest(id: $id) { status } }", id=request)
    assert seen["transitionRequest"]["status"] == "CANCELLED"


async def test_an_approval_is_for_one_step_alone(team: Team) -> None:
    asked = await team.at_the_door_of("PRODUCTION")
    await team.keys[MARIA].ask(MOVE, input=asked)
    await team.keys[PIPELINE].ask(MOVE, input=asked | {"targetStage": "ARCHIVED"})
    await team.keys[PIPELINE].ask(MOVE, input=asked | {"targetStage": "STAGING"})
    assert (await team.refused(PIPELINE, asked | {"approvedBy": MARIA}))["reason"] == "NOT_APPROVED"


# ---------------------------------------------------------------- gates


async def failed(team: Team, asked: dict[str, Any]) -> list[str]:
    """Which gates both the dry run and the real one find closed, apart from the approval given with the latter."""
    seen = await team.keys[MARIA].ask(CHECK, model=asked["modelId"], version=asked["version"], stage="PRODUCTION")
    check = seen["version"]["promotion"]
    assert (check["allowed"], check["approvalsRecorded"], check["yourApprovalWouldCount"]) == (False, 0, True)
    closed = [gate for gate in check["gates"] if not gate["passed"]]
    assert closed.pop(0)["name"] == "approvals"
    refusal = await team.refused(MARIA, asked)
    assert refusal["code"] == "GATE_FAILED"
    assert refusal["gates"] == closed
    assert all(gate["reason"] in refusal["message"] for gate in closed)
    return [gate["name"] for gate in closed]


async def test_each_gate_closes_by_itself(team: Team) -> None:
    asked = await team.at_the_door_of("PRODUCTION", metrics={"auc": 0.7})
    await team.policy(requireCompleteCard=True)
    assert await failed(team, asked) == ["card"]
    await team.policy(requireCompleteCard=False, minMetrics=[{"name": "auc", "min": 0.8}])
    assert await failed(team, asked) == ["metrics"]
    await team.policy(minMetrics=[{"name": "f1", "max": 0.8}])
    assert await failed(team, asked) == ["metrics"]
    await team.policy(minMetrics=[{"name": "auc", "min": 0.7, "max": 0.7}])
    assert (await team.keys[MARIA].ask(MOVE, input=asked))["transitionStage"]["version"]["stage"] == "PRODUCTION"


async def test_what_is_worse_than_what_serves_is_stopped_beyond_the_tolerance(team: Team) -> None:
    first = await team.at_the_door_of("PRODUCTION", metrics={"auc": 0.9, "log_loss": 0.30, "mystery": 1.0})
    await team.keys[MARIA].ask(MOVE, input=first)
    worse = {"auc": 0.9, "log_loss": 0.34, "mystery": 0.1}
    new = {"projectId": PROJECT, "modelId": first["modelId"], "bump": "MINOR", "metrics": worse}
    await team.keys[PIPELINE].ask(CREATE_VERSION, input=new)
    second = {"modelId": first["modelId"], "version": "1.1.0"}
    await team.keys[PIPELINE].ask(MOVE, input=second | {"targetStage": "STAGING"})
    assert await failed(team, second | {"targetStage": "PRODUCTION"}) == ["incumbent"]
    seen = await team.keys[MARIA].ask(CHECK, model=first["modelId"], version="1.1.0", stage="PRODUCTION")
    assert seen["version"]["promotion"]["wouldArchive"] == {"version": "1.0.0"}
    await team.policy(maxRegression=0.2)
    done = await team.keys[MARIA].ask(MOVE, input=second | {"targetStage": "PRODUCTION"})
    assert done["transitionStage"]["archived"] == {"version": "1.0.0"}


async def test_an_enforced_bump_is_refused_at_registering_and_stops_what_was_registered_before(team: Team) -> None:
    version = await team.registered(parameters={"algorithm": "xgboost"})
    small = {"projectId": PROJECT, "modelId": version["modelId"], "bump": "PATCH", "parameters": {"algorithm": "mlp"}}
    await team.keys[PIPELINE].ask(CREATE_VERSION, input=small)
    await team.policy(semver="ENFORCE")
    refusal = await team.keys[PIPELINE].refusal(CREATE_VERSION, input=small | {"parentVersion": "1.0.0"})
    assert (refusal["code"], refusal["required"], refusal["declared"]) == ("VERSION_MISMATCH", "MAJOR", "PATCH")
    second = {"modelId": version["modelId"], "version": "1.0.1"}
    await team.keys[PIPELINE].ask(MOVE, input=second | {"targetStage": "STAGING"})
    assert await failed(team, second | {"targetStage": "PRODUCTION"}) == ["bump"]


async def test_invalid_data_and_failed_experiments_stop_a_version(team: Team) -> None:
    made = await team.admin.ask(
        f'mutation {{ createDataset(input: {{id: "ds_bad", projectId: "{PROJECT}", name: "B"}}) {{ dataset {{ id }} }}'
        ' createDatasetVersion(input: {id: "dsv_bad", datasetId: "ds_bad", label: "1"}) { datasetVersion { id } }'
        f' createExperiment(input: {{id: "exp_bad", projectId: "{PROJECT}", name: "Bad", status: FAILED}})'
        " { experiment { id } } }"
    )
    assert made["createExperiment"]["experiment"]["id"] == "exp_bad"
    asked = await team.at_the_door_of("PRODUCTION", experimentId="exp_bad", datasetVersionId="dsv_bad")
    flag = {"datasetVersionId": "dsv_bad", "status": "INVALID", "reason": "Labels leak."}
    await team.keys[CAROL].ask(STATUS, input=flag)
    assert await failed(team, asked) == ["data", "experiment"]
    await team.policy(blockInvalidData=False)
    assert await failed(team, asked) == ["experiment"]


async def test_an_approval_is_kept_where_another_gate_still_fails(team: Team) -> None:
    asked = await team.at_the_door_of("PRODUCTION")
    await team.policy(requireCompleteCard=True)
    request = (await team.keys[PIPELINE].ask(ASK, input=asked))["requestTransition"]["request"]["id"]
    done = await team.keys[MARIA].ask(REVIEW, input={"requestId": request, "decision": "APPROVE"})
    assert done["reviewTransition"]["request"]["status"] == "OPEN"
    await team.policy(requireCompleteCard=False)
    moved = (await team.keys[PIPELINE].ask(MOVE, input=asked))["transitionStage"]
    assert moved["transition"]["approvedBy"] == MARIA
    seen = await team.admin.ask("query($id: ID!) { transitionRequest(id: $id) { status } }", id=request)
    assert seen["transitionRequest"]["status"] == "APPLIED"


# ---------------------------------------------------------------- rolling back


async def two_in_production(team: Team) -> str:
    first = await team.at_the_door_of("PRODUCTION")
    await team.keys[MARIA].ask(MOVE, input=first)
    model = str(first["modelId"])
    await team.keys[PIPELINE].ask(CREATE_VERSION, input={"projectId": PROJECT, "modelId": model, "bump": "MINOR"})
    second = {"modelId": model, "version": "1.1.0"}
    await team.keys[PIPELINE].ask(MOVE, input=second | {"targetStage": "STAGING"})
    await team.keys[MARIA].ask(MOVE, input=second | {"targetStage": "PRODUCTION"})
    return model


async def test_production_goes_back_through_its_legal_stages(team: Team) -> None:
    model = await two_in_production(team)
    done = (await team.keys[ROBOT].ask(BACK, input={"modelId": model, "notes": "Errors."}))["rollbackProduction"]
    assert (done["version"]["version"], done["version"]["stage"]) == ("1.0.0", "PRODUCTION")
    assert done["archived"] == {"version": "1.1.0", "stage": "ARCHIVED"}
    steps = [(s["fromStage"], s["toStage"], s["automatic"], s["notes"]) for s in done["version"]["stageHistory"]][-3:]
    assert steps == [
        ("PRODUCTION", "ARCHIVED", True, "Replaced in production."),
        ("ARCHIVED", "STAGING", False, "Errors."),
        ("STAGING", "PRODUCTION", False, "Errors."),
    ]
    again = {"modelId": model, "notes": "Fixed.", "toVersion": "1.1.0"}
    refusal = await team.keys[MARIA].refusal(BACK, input=again)
    assert (refusal["code"], refusal["reason"]) == ("APPROVAL_REQUIRED", "LEFT_ON_PURPOSE")


async def test_a_rollback_needs_somewhere_to_go(team: Team) -> None:
    model = await two_in_production(team)
    await team.keys[PIPELINE].ask(CREATE_VERSION, input={"projectId": PROJECT, "modelId": model, "bump": "MINOR"})
    for version, code in (("1.2.0", "NOT_FOUND"), ("1.1.0", "CONFLICT"), ("9.9.9", "NOT_FOUND")):
        refusal = await team.keys[MARIA].refusal(BACK, input={"modelId": model, "notes": "x", "toVersion": version})
        assert refusal["code"] == code
    fresh = await team.registered()
    refusal = await team.keys[MARIA].refusal(BACK, input={"modelId": fresh["modelId"], "notes": "x"})
    assert refusal["code"] == "CONFLICT"
    refusal = await team.keys[CAROL].refusal(BACK, input={"modelId": model, "notes": "x"})
    assert (refusal["code"], refusal["needed"]) == ("FORBIDDEN", "REVIEWER")


async def test_after_production_was_archived_by_hand_the_version_before_it_comes_back(team: Team) -> None:
    model = await two_in_production(team)
    asked = {"modelId": model, "version": "1.1.0", "targetStage": "ARCHIVED"}
    await team.keys[PIPELINE].ask(MOVE, input=asked)
    done = (await team.keys[MARIA].ask(BACK, input={"modelId": model, "notes": "Too early."}))["rollbackProduction"]
    assert (done["version"]["version"], done["archived"]) == ("1.0.0", None)
