"""Four eyes: no rule that one person can switch off for a moment, and no approval of what nobody has seen."""

import asyncio
from collections.abc import Callable
from dataclasses import dataclass, field
from itertools import count
from typing import Any

import pytest
import pytest_asyncio

from resolvers.policies import run_due_changes
from storage.vocabulary import PrincipalKind
from tests.conftest import CONFIRM, POLICY, Cluster, Registry, make_key, run_sql
from tests.support.documents import CREATE_VERSION

ADMIN, RITA, RAVI, CAROL = "ana@example.com", "rita@company.com", "ravi@company.com", "carol@company.com"
ROBOT = "robot@company.com"

MOVE = """mutation($input: TransitionStageInput!) { transitionStage(input: $input) {
    version { stage } transition { approvedBy alone approvals { reviewer alone meaning } } } }"""
ASK = "mutation($input: RequestTransitionInput!) { requestTransition(input: $input) { request { id } } }"
REVIEW = """mutation($input: ReviewTransitionInput!) { reviewTransition(input: $input) { request { status
    approvals { reviewer valid alone invalidReason changedSince { what subject before after } } } } }"""
CANCEL = "mutation($input: CancelTransitionInput!) { cancelTransition(input: $input) { request { status } } }"
MEMBER = "mutation($input: SetMemberInput!) { setMember(input: $input) { project { id } } }"
LEAVE = "mutation($input: RemoveMemberInput!) { removeMember(input: $input) { project { id } } }"
CARD = "mutation($input: UpdateModelCardInput!) { updateModelCard(input: $input) { modelCard { revision } } }"
DESCRIBE = "mutation($input: UpdateVersionInput!) { updateVersion(input: $input) { version { id } } }"
MOVE_ARTIFACT = "mutation($input: MoveArtifactInput!) { moveArtifact(input: $input) { version { id } } }"
TAG = "mutation($input: TagsInput!) { addTags(input: $input) { version { id } } }"
DATA = """mutation($p: ID!, $d: ID!, $v: ID!, $name: String!) {
    createDataset(input: {id: $d, projectId: $p, name: $name}) { dataset { id } }
    createDatasetVersion(input: {id: $v, datasetId: $d, label: "1"}) { datasetVersion { id } } }"""
STATUS = """mutation($input: SetDatasetVersionStatusInput!) { setDatasetVersionStatus(input: $input) {
    datasetVersion { status } } }"""
RUN = "mutation($input: CreateExperimentInput!) { createExperiment(input: $input) { experiment { id } } }"
RAN = "mutation($input: CompleteExperimentInput!) { completeExperiment(input: $input) { experiment { id } } }"
LOOK = """query($id: ID!) { project(id: $id) { policy {
    allowSelfApproval requiredApprovals approvalValidDays loosenedAlone { field to alone }
    pendingChanges { id field from to requestedBy requestedAt effectiveAt confirmedBy status alone } } } }"""
CHECK = """query($id: ID!, $to: Stage!) { version(modelId: $id, version: "1.0.0") { reviewDigest
    promotion(targetStage: $to) { allowed approvalsRecorded approvalsRequired yourApprovalWouldCount
        gates { name passed reason } } } }"""
STANDING = """query($id: ID!) { version(modelId: $id, version: "1.0.0") { stage approvals {
    reviewer valid invalidReason changedSince { what subject before after } } } }"""
EVENTS = "query($id: ID!, $n: Int!) { auditEvents(filter: {projectId: $id}, first: $n) { nodes { action details } } }"


@dataclass
class Office:
    """A project with an administrator who registers versions, two reviewers, a contributor and a service."""

    database: Cluster
    keys: dict[str, Registry]
    project: str
    numbers: Any = field(default_factory=lambda: count(1))

    async def by(self, who: str, query: str, **values: Any) -> Any:
        return next(iter((await self.keys[who].ask(query, input=values)).values()))

    async def refused(self, who: str, query: str, **values: Any) -> Any:
        return await self.keys[who].refusal(query, input=values)

    async def policy(self, who: str = ADMIN, **changes: Any) -> Any:
        """Change the policy; how it is then."""
        await self.by(who, POLICY, projectId=self.project, **changes)
        return await self.look()

    async def look(self) -> Any:
        return (await self.keys[ADMIN].ask(LOOK, id=self.project))["project"]["policy"]

    async def candidate(self, by: str = CAROL, **facts: Any) -> dict[str, Any]:
        """A version in STAGING, as the input of its promotion."""
        model = f"model_{self.project[5:]}_{next(self.numbers)}"
        await self.by(
            by, CREATE_VERSION, projectId=self.project, modelId=model, createModel=True, version="1.0.0", **facts
        )
        named = {"modelId": model, "version": "1.0.0"}
        await self.by(by, MOVE, **named, targetStage="STAGING")
        return named | {"targetStage": "PRODUCTION"}

    async def requested(self, candidate: dict[str, Any], by: str = CAROL) -> str:
        return str((await self.by(by, ASK, **candidate))["request"]["id"])

    async def check(self, who: str, candidate: dict[str, Any]) -> Any:
        return (await self.keys[who].ask(CHECK, id=candidate["modelId"], to="PRODUCTION"))["version"]["promotion"]

    async def vote(self, who: str, request: str, **more: Any) -> Any:
        return (await self.by(who, REVIEW, requestId=request, decision="APPROVE", **more))["request"]

    async def leave(self, *who: str) -> None:
        for email in who:
            await self.by(ADMIN, LEAVE, projectId=self.project, email=email)

    async def join(self, email: str, role: str) -> None:
        await self.by(ADMIN, MEMBER, projectId=self.project, email=email, role=role)


@pytest_asyncio.fixture
async def office(database: Cluster, make_registry: Callable[..., Any], request: pytest.FixtureRequest) -> Office:
    registry = await make_registry(database)
    made = await registry.ask('mutation { createProject(input: {name: "Four eyes"}) { project { id } } }')
    project = made["createProject"]["project"]["id"]
    keys = {ADMIN: registry}
    staff = {RITA: "REVIEWER", RAVI: "REVIEWER", CAROL: "CONTRIBUTOR", ROBOT: "REVIEWER"}
    for email in staff:
        kind = PrincipalKind.SERVICE if email == ROBOT else PrincipalKind.USER
        keys[email] = registry.with_key(await make_key(database.app_url, email, kind=kind, administers=False))
    office = Office(database, keys, project)
    for email, role in staff.items():
        await office.join(email, role)
    return office


# ---------------------------------------------------------------- a policy that loosens


async def test_an_administrator_cannot_switch_four_eyes_off_for_a_moment(office: Office) -> None:
    mine = await office.candidate(by=ADMIN)
    policy = await office.policy(allowSelfApproval=True)
    assert policy["allowSelfApproval"] is False
    refusal = await office.refused(ADMIN, MOVE, **mine)
    assert (refusal["code"], refusal["reason"]) == ("APPROVAL_REQUIRED", "AUTHOR")
    assert (await office.policy(allowSelfApproval=False))["pendingChanges"] == []
    log = (await office.keys[ADMIN].ask(EVENTS, id=office.project, n=2))["auditEvents"]["nodes"]
    assert [event["action"] for event in log] == ["policy.changeWithdrawn", "policy.changeRequested"]
    assert log[1]["details"]["after"]["field"] == "allowSelfApproval"


LOOSENING: list[tuple[dict[str, Any], dict[str, Any]]] = [
    ({"requiredApprovals": 3}, {"requiredApprovals": 2}),
    ({}, {"allowSelfApproval": True}),
    ({}, {"allowRequesterApproval": True}),
    ({"requireCompleteCard": True}, {"requireCompleteCard": False}),
    ({}, {"blockInvalidData": False}),
    ({"semver": "ENFORCE"}, {"semver": "WARN"}),
    ({}, {"tags": "OFF"}),
    ({"minMetrics": [{"name": "auc", "min": 0.8}]}, {"minMetrics": [{"name": "auc", "min": 0.7}]}),
    ({"minMetrics": [{"name": "auc", "min": 0.8}]}, {"minMetrics": [{"name": "f1", "min": 0.9}]}),
    ({}, {"maxRegression": 0.2}),
    ({}, {"maxRegression": None}),
    ({}, {"approvalValidDays": 31}),
    ({}, {"looseningHours": 1}),
]


@pytest.mark.parametrize(("before", "change"), LOOSENING, ids=[next(iter(change)) for _, change in LOOSENING])
async def test_what_loosens_waits_and_what_tightens_does_not(office: Office, before: Any, change: Any) -> None:
    assert (await office.policy(**before))["pendingChanges"] == []
    (name,) = change
    selected = "minMetrics { name min max }" if name == "minMetrics" else name
    look = f"query($id: ID!) {{ project(id: $id) {{ policy {{ {selected} }} }} }}"
    in_force = await office.keys[ADMIN].ask(look, id=office.project)
    (waiting,) = (await office.policy(**change))["pendingChanges"]
    assert (waiting["field"], waiting["status"], waiting["requestedBy"]) == (name, "PENDING", ADMIN)
    assert await office.keys[ADMIN].ask(look, id=office.project) == in_force
    # Asking for the same again does not begin anew.
    assert (await office.policy(**change))["pendingChanges"] == [waiting]


async def test_a_second_reviewer_lets_it_take_effect(office: Office) -> None:
    (change,) = (await office.policy(requiredApprovals=1, allowSelfApproval=True))["pendingChanges"]
    own = await office.refused(ADMIN, CONFIRM, changeId=change["id"])
    assert (own["code"], own["reason"]) == ("FORBIDDEN", "REQUESTER")
    for nobody in (CAROL, ROBOT):
        assert (await office.refused(nobody, CONFIRM, changeId=change["id"]))["code"] == "FORBIDDEN"
    assert (await office.look())["allowSelfApproval"] is False
    await office.by(RITA, CONFIRM, changeId=change["id"])
    policy = await office.look()
    assert (policy["allowSelfApproval"], policy["pendingChanges"], policy["loosenedAlone"]) == (True, [], [])
    again = await office.refused(RAVI, CONFIRM, changeId=change["id"])
    assert (again["code"], again["current"]) == ("CONFLICT", "APPLIED")
    log = (await office.keys[ADMIN].ask(EVENTS, id=office.project, n=2))["auditEvents"]["nodes"]
    assert [event["action"] for event in log] == ["policy.updated", "policy.changeConfirmed"]
    assert log[1]["details"]["after"] == {"status": "APPLIED", "confirmedBy": RITA}


async def test_nobody_confirms_what_a_service_requested_for_it_may_be_the_same_hand(office: Office) -> None:
    await office.join(ROBOT, "ADMIN")
    (change,) = (await office.policy(ROBOT, allowSelfApproval=True))["pendingChanges"]
    refusal = await office.refused(RITA, CONFIRM, changeId=change["id"])
    assert (refusal["code"], refusal["reason"]) == ("FORBIDDEN", "SERVICE")
    # A person asks for the same: then it is that person's change, and another confirms it.
    await office.policy(allowSelfApproval=False)
    (change,) = (await office.policy(allowSelfApproval=True))["pendingChanges"]
    await office.by(RITA, CONFIRM, changeId=change["id"])


async def test_it_takes_effect_when_its_time_has_come(office: Office) -> None:
    (change,) = (await office.policy(approvalValidDays=60))["pendingChanges"]
    assert change["effectiveAt"] > change["requestedAt"]
    await run_sql(
        office.database.owner_url,
        f"UPDATE policy_changes SET effective_at = clock_timestamp() WHERE id = '{change['id']}'",
    )

    kept = office.keys[ADMIN].client._transport.app.app.state.database  # type: ignore[attr-defined]
    assert (await office.look())["approvalValidDays"] == 30
    await asyncio.gather(*(run_due_changes(kept) for _ in range(3)))
    assert (await office.look())["approvalValidDays"] == 60
    assert (await office.look())["pendingChanges"] == []
    log = (await office.keys[ADMIN].ask(EVENTS, id=office.project, n=2))["auditEvents"]["nodes"]
    assert [event["action"] for event in log] == ["policy.updated", "policy.changeApplied"], "once"


async def test_it_is_withdrawn_when_whoever_requested_it_is_no_administrator_then(office: Office) -> None:
    await office.join(RITA, "ADMIN")
    (change,) = (await office.policy(RITA, approvalValidDays=60))["pendingChanges"]
    await office.join(RITA, "REVIEWER")
    due = f"UPDATE policy_changes SET effective_at = clock_timestamp() WHERE id = '{change['id']}'"
    await run_sql(office.database.owner_url, due)
    await run_due_changes(office.keys[ADMIN].client._transport.app.app.state.database)  # type: ignore[attr-defined]
    policy = await office.look()
    assert (policy["approvalValidDays"], policy["pendingChanges"]) == (30, [])
    log = (await office.keys[ADMIN].ask(EVENTS, id=office.project, n=1))["auditEvents"]["nodes"]
    assert [event["action"] for event in log] == ["policy.changeWithdrawn"]


async def test_a_policy_may_do_without_a_cooling_time_once_somebody_has_agreed(office: Office) -> None:
    (change,) = (await office.policy(looseningHours=0))["pendingChanges"]
    await office.by(RAVI, CONFIRM, changeId=change["id"])
    policy = await office.policy(allowSelfApproval=True)
    assert (policy["allowSelfApproval"], policy["pendingChanges"]) == (True, [])


async def test_two_confirmations_at_once_take_effect_once(office: Office) -> None:
    (change,) = (await office.policy(allowSelfApproval=True))["pendingChanges"]
    send = [office.keys[who].send(CONFIRM, input={"changeId": change["id"]}) for who in (RITA, RAVI)]
    answers = [response.json() for response in await asyncio.gather(*send)]
    codes = sorted(answer["errors"][0]["extensions"]["code"] if "errors" in answer else "OK" for answer in answers)
    assert codes == ["CONFLICT", "OK"]
    log = (await office.keys[ADMIN].ask(EVENTS, id=office.project, n=10))["auditEvents"]["nodes"]
    assert [event["action"] for event in log].count("policy.updated") == 1


async def test_whoever_is_alone_loosens_at_once_and_every_view_says_so(office: Office) -> None:
    await office.leave(RITA, RAVI)
    # The service reviews nothing. Nobody could confirm, but somebody could a moment ago.
    policy = await office.policy(allowSelfApproval=True)
    assert (policy["allowSelfApproval"], len(policy["pendingChanges"])) == (False, 1)
    await run_sql(
        office.database.owner_url,
        "UPDATE project_policies SET reviewer_left_at = reviewer_left_at - interval '25 hours'",
    )
    await office.policy(allowSelfApproval=False)
    policy = await office.policy(allowSelfApproval=True)
    assert policy["allowSelfApproval"] is True
    assert policy["loosenedAlone"] == [{"field": "allowSelfApproval", "to": True, "alone": True}]

    done = await office.by(ADMIN, MOVE, **await office.candidate(by=ADMIN))
    assert done["version"]["stage"] == "PRODUCTION"
    (approval,) = done["transition"]["approvals"]
    assert (done["transition"]["alone"], approval["alone"]) == (True, True)
    assert approval["meaning"].endswith(", without a second person who could review it or agreed to that.")
    # Tightening ends what was loosened alone.
    assert (await office.policy(allowSelfApproval=False))["loosenedAlone"] == []


async def test_what_was_loosened_alone_stays_so_while_a_later_change_is_withdrawn(office: Office) -> None:
    await office.leave(RITA, RAVI)
    await run_sql(office.database.owner_url, "UPDATE project_policies SET reviewer_left_at = NULL")
    alone = (await office.policy(approvalValidDays=40))["loosenedAlone"]
    assert [change["to"] for change in alone] == [40]
    await office.join(RITA, "REVIEWER")
    for days in (50, 60, 40):
        policy = await office.policy(approvalValidDays=days)
        assert [change["to"] for change in policy["pendingChanges"]] == ([] if days == 40 else [days])
        assert policy["loosenedAlone"] == alone


async def test_a_cooling_time_that_one_person_switched_off_alone_counts_again_beside_others(office: Office) -> None:
    await office.leave(RITA, RAVI)
    await run_sql(office.database.owner_url, "UPDATE project_policies SET reviewer_left_at = NULL")
    await office.policy(looseningHours=0)
    # Longer than 0, and still shorter than what somebody else ever agreed to.
    marked = (await office.policy(looseningHours=0.001))["loosenedAlone"]
    assert [change["field"] for change in marked] == ["looseningHours"]
    await office.join(RITA, "REVIEWER")
    policy = await office.policy(allowSelfApproval=True)
    assert (policy["allowSelfApproval"], len(policy["pendingChanges"])) == (False, 1)
    await office.leave(RITA)
    assert (await office.policy(allowSelfApproval=True))["allowSelfApproval"] is False, "not for a day"


async def test_what_was_allowed_alone_is_marked_also_when_others_have_joined(office: Office) -> None:
    await office.leave(RITA, RAVI)
    await run_sql(office.database.owner_url, "UPDATE project_policies SET reviewer_left_at = NULL")
    await office.policy(allowSelfApproval=True)
    await office.join(RITA, "REVIEWER")
    done = await office.by(ADMIN, MOVE, **await office.candidate(by=ADMIN))
    assert (done["transition"]["alone"], done["transition"]["approvals"][0]["alone"]) == (True, True)


async def test_a_requesters_vote_does_not_count_once_somebody_else_can_review(office: Office) -> None:
    await office.leave(RITA, RAVI)
    await run_sql(office.database.owner_url, "UPDATE project_policies SET reviewer_left_at = NULL")
    await office.policy(requiredApprovals=2)
    request = await office.requested(await office.candidate(), by=ADMIN)
    assert (await office.vote(ADMIN, request))["approvals"][0]["valid"] is True
    await office.join(RITA, "REVIEWER")
    done = await office.vote(RITA, request)
    assert (done["status"], done["approvals"][0]["valid"]) == ("OPEN", False)


@pytest.mark.parametrize("by", ["removing", "demoting"])
async def test_nobody_becomes_alone_by_taking_the_others_away(office: Office, by: str) -> None:
    mine = await office.candidate(by=ADMIN)
    for email in (RITA, RAVI):
        await (office.leave(email) if by == "removing" else office.join(email, "VIEWER"))
    assert (await office.policy(allowSelfApproval=True))["allowSelfApproval"] is False
    assert (await office.refused(ADMIN, MOVE, **mine))["reason"] == "AUTHOR"
    theirs = await office.candidate(by=CAROL)
    request = await office.requested(theirs, by=ADMIN)
    assert (await office.refused(ADMIN, REVIEW, requestId=request, decision="APPROVE"))["reason"] == "REQUESTER"


# ---------------------------------------------------------------- whoever requested it


async def test_whoever_requested_a_transition_does_not_approve_it(office: Office) -> None:
    candidate = await office.candidate()
    request = await office.requested(candidate, by=RITA)
    refusal = await office.refused(RITA, REVIEW, requestId=request, decision="APPROVE")
    assert (refusal["code"], refusal["reason"]) == ("FORBIDDEN", "REQUESTER")
    # Nor by another way, while the request is open.
    for own in ({}, {"approvedBy": RITA}):
        refusal = await office.refused(RITA, MOVE, **candidate, **own)
        assert (refusal["code"], refusal["reason"]) == ("APPROVAL_REQUIRED", "REQUESTER")
    assert (await office.check(RITA, candidate))["yourApprovalWouldCount"] is False
    assert (await office.check(RAVI, candidate))["yourApprovalWouldCount"] is True
    assert (await office.vote(RAVI, request))["status"] == "APPLIED"


async def test_whoever_requested_it_may_take_it_back_by_a_rejection(office: Office) -> None:
    request = await office.requested(await office.candidate(), by=RITA)
    done = await office.by(RITA, REVIEW, requestId=request, decision="REJECT")
    assert done["request"]["status"] == "REJECTED"


async def test_whoever_requested_it_approves_it_where_the_policy_allows_that(office: Office) -> None:
    (change,) = (await office.policy(allowRequesterApproval=True))["pendingChanges"]
    await office.by(RAVI, CONFIRM, changeId=change["id"])
    done = await office.vote(RITA, await office.requested(await office.candidate(), by=RITA))
    assert (done["status"], done["approvals"][0]["alone"]) == ("APPLIED", False)


async def test_the_only_reviewer_approves_what_it_requested_and_that_is_said(office: Office) -> None:
    await office.leave(RITA, RAVI)
    await run_sql(office.database.owner_url, "UPDATE project_policies SET reviewer_left_at = NULL")
    done = await office.vote(ADMIN, await office.requested(await office.candidate(), by=ADMIN))
    assert (done["status"], done["approvals"][0]["alone"]) == ("APPLIED", True)


# ---------------------------------------------------------------- what an approval covers


async def test_a_reviewer_approves_what_it_has_seen(office: Office) -> None:
    candidate = await office.candidate()
    request = await office.requested(candidate)
    seen = (await office.keys[RITA].ask(CHECK, id=candidate["modelId"], to="PRODUCTION"))["version"]["reviewDigest"]
    named = {"modelId": candidate["modelId"], "version": "1.0.0"}
    await office.by(CAROL, CARD, **named, modelCard={"description": "Another."})
    for asked in ({"expectedRevision": 0}, {"expectedReviewDigest": seen}):
        vote = await office.refused(RITA, REVIEW, requestId=request, decision="APPROVE", **asked)
        step = await office.refused(RITA, MOVE, **candidate, **asked)
        for refusal in (vote, step):
            (name,) = asked
            assert (refusal["code"], refusal["field"]) == ("CONFLICT", f"input.{name}")
    assert vote["current"] != seen
    # Into other stages, too, where nothing has to be approved.
    back = candidate | {"targetStage": "DEVELOPMENT"}
    assert (await office.refused(CAROL, MOVE, **back, expectedRevision=0))["code"] == "CONFLICT"
    assert (await office.vote(RITA, request, expectedRevision=1))["status"] == "APPLIED"


CHANGES: dict[str, tuple[str, dict[str, Any], str, str, str]] = {
    "DESCRIPTION_CHANGED": (DESCRIBE, {"description": "Now better."}, "DESCRIPTION", "As it was.", "Now better."),
    "TAGS_CHANGED": (TAG, {"tags": ["urgent"]}, "TAGS", "", "urgent"),
    "CARD_CHANGED": (CARD, {"modelCard": {"limitations": "Many."}}, "CARD", "0", "1"),
}


@pytest.mark.parametrize("reason", CHANGES)
async def test_an_edit_between_two_votes_makes_the_first_invalid(office: Office, reason: str) -> None:
    query, edit, what, before, after = CHANGES[reason]
    await office.policy(requiredApprovals=2)
    candidate = await office.candidate(description="As it was.")
    request = await office.requested(candidate)
    await office.vote(RITA, request)
    await office.by(CAROL, query, modelId=candidate["modelId"], version="1.0.0", **edit)
    done = await office.vote(RAVI, request)
    assert done["status"] == "OPEN"
    first = done["approvals"][0]
    assert (first["reviewer"], first["valid"]) == (RITA, False)
    assert first["changedSince"] == [{"what": what, "subject": None, "before": before, "after": after}]
    assert (await office.vote(RITA, request))["status"] == "APPLIED"


async def test_an_artifact_that_was_moved_between_two_votes_makes_the_first_invalid(office: Office) -> None:
    await office.policy(requiredApprovals=2)
    candidate = await office.candidate(artifact={"uri": "s3://old/m", "digest": "sha256:ab"})
    request = await office.requested(candidate)
    await office.vote(RITA, request)
    named = {"modelId": candidate["modelId"], "version": "1.0.0"}
    seen = (await office.keys[RITA].ask(CHECK, id=candidate["modelId"], to="PRODUCTION"))["version"]["reviewDigest"]
    await office.by(CAROL, MOVE_ARTIFACT, **named, uri="s3://new/m", reason="Moved.")
    stale = await office.refused(RAVI, REVIEW, requestId=request, decision="APPROVE", expectedReviewDigest=seen)
    assert (stale["code"], stale["field"]) == ("CONFLICT", "input.expectedReviewDigest")
    done = await office.vote(RAVI, request)
    assert done["status"] == "OPEN"
    first = done["approvals"][0]
    assert (first["valid"], first["invalidReason"]) == (False, "The artifact was moved after the review.")
    (change,) = first["changedSince"]
    assert (change["what"], change["before"]) == ("ARTIFACT", None) and change["after"]
    refusal = await office.refused(CAROL, MOVE, **candidate, approvedBy=RITA)
    assert refusal["reason"] == "ARTIFACT_CHANGED"
    assert (await office.vote(RITA, request))["status"] == "APPLIED"


async def test_a_status_that_went_away_and_came_back_makes_a_vote_invalid(office: Office) -> None:
    await office.policy(requiredApprovals=2)
    data = {"d": f"ds_{office.project[5:]}", "v": f"dsv_{office.project[5:]}"}
    await office.keys[ADMIN].ask(DATA, p=office.project, name="Rows", **data)
    request = await office.requested(await office.candidate(datasetVersionId=data["v"]))
    await office.vote(RITA, request)
    for status in ("INVALID", "ACTIVE"):
        await office.by(CAROL, STATUS, datasetVersionId=data["v"], status=status, reason="Looked again.")
    done = await office.vote(RAVI, request)
    assert (done["status"], done["approvals"][0]["valid"]) == ("OPEN", False)
    changed = {"what": "DATA", "subject": data["v"], "before": "ACTIVE", "after": "ACTIVE"}
    assert done["approvals"][0]["changedSince"] == [changed]


async def test_what_is_said_of_its_experiment_and_why_data_has_its_status_bind_a_vote(office: Office) -> None:
    await office.policy(requiredApprovals=2)
    experiment, data = f"exp_{office.project[5:]}", {"d": f"ds_{office.project[5:]}", "v": f"dsv_{office.project[5:]}"}
    await office.keys[ADMIN].ask(DATA, p=office.project, name="Rows", **data)
    await office.by(ADMIN, STATUS, datasetVersionId=data["v"], status="DEPRECATED", reason="Old.")
    run = {"id": experiment, "projectId": office.project, "name": "Run"}
    await office.by(CAROL, RUN, **run)
    request = await office.requested(await office.candidate(experimentId=experiment, datasetVersionId=data["v"]))
    await office.vote(RITA, request)
    await office.by(CAROL, RAN, experimentId=experiment, status="COMPLETED", notes="Leaked the test set.")
    done = await office.vote(RAVI, request)
    assert (done["status"], [change["what"] for change in done["approvals"][0]["changedSince"]]) == (
        "OPEN",
        ["EXPERIMENT"],
    )
    await office.by(CAROL, STATUS, datasetVersionId=data["v"], status="DEPRECATED", reason="Labels leak.")
    done = await office.vote(RITA, request)
    assert (done["status"], [each["what"] for each in done["approvals"][1]["changedSince"]]) == ("OPEN", ["DATA"])


@pytest.mark.parametrize("by", ["removing", "demoting"])
async def test_a_reviewer_who_comes_back_does_not_revive_a_vote(office: Office, by: str) -> None:
    await office.policy(requiredApprovals=2)
    request = await office.requested(await office.candidate())
    await office.vote(RITA, request)
    await (office.leave(RITA) if by == "removing" else office.join(RITA, "CONTRIBUTOR"))
    await office.join(RITA, "REVIEWER")
    done = await office.vote(RAVI, request)
    assert (done["status"], done["approvals"][0]["valid"]) == ("OPEN", False)
    assert "A new review is needed." in done["approvals"][0]["invalidReason"]
    assert (await office.vote(RITA, request))["status"] == "APPLIED"


# ---------------------------------------------------------------- the dry run


async def test_a_dry_run_states_what_is_recorded_and_not_what_the_caller_could_do(office: Office) -> None:
    candidate = await office.candidate()
    for who, would in ((ADMIN, True), (RITA, True), (CAROL, False), (ROBOT, False)):
        check = await office.check(who, candidate)
        assert (check["allowed"], check["approvalsRecorded"], check["approvalsRequired"]) == (False, 0, 1)
        assert check["yourApprovalWouldCount"] is would
        (gate,) = [gate for gate in check["gates"] if gate["name"] == "approvals"]
        assert gate["passed"] is False
        assert gate["reason"].startswith("0 of 1 approvals are recorded")
    await office.policy(requireCompleteCard=True)
    request = await office.requested(candidate)
    await office.vote(RITA, request)
    for who, would in ((RITA, False), (RAVI, True)):
        check = await office.check(who, candidate)
        assert (check["approvalsRecorded"], check["yourApprovalWouldCount"]) == (1, would)
    assert (await office.keys[ADMIN].ask(STANDING, id=candidate["modelId"]))["version"]["approvals"][0]["valid"]
