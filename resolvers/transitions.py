"""Moves versions from stage to stage: the gates, the steps, and the status of requests.

The database writes the history and the approvals itself, so there are no statements for them here. Its function
audit_append, which `Transaction.append` calls (`storage/audit.py`), reads each event that it appends:

- one with a `step` adds the row of stage_transitions, and sets the stage and the position of the version;
- one with an `approval` adds the row of approvals.

The server's role cannot write these rows or columns in any other way (`storage/grants.sql`), so history and approvals
cannot differ from the audit log. The rules here decide the content of the event. The database's constraints, such as
one production version for each model, then accept or refuse it.
"""

from collections.abc import Sequence
from dataclasses import dataclass

from resolvers.errors import ApprovalRequired, Conflict, GateFailed
from resolvers.rollouts import make_step
from resolvers.rules import approvals, gates, stages
from resolvers.rules.approvals import Asked, Person
from resolvers.rules.gates import Assessment, Promotion
from resolvers.rules.rollouts import ACTIVE, Action
from resolvers.rules.semver import Number
from resolvers.transaction import Transaction
from resolvers.versions import locked_version
from storage import policies, rollouts
from storage.approvals import load_promotion, set_request_status
from storage.audit import NewEvent
from storage.ids import new_id
from storage.versions import LockedVersion, OpenRequest
from storage.vocabulary import Decision, Stage, TransitionRequestStatus

REPLACED = "Replaced in production."


@dataclass(frozen=True)
class Move:
    """A version on its way to a stage. The transaction holds its model's lock."""

    tx: Transaction
    version: LockedVersion
    target: Stage
    notes: str | None

    @property
    def number(self) -> Number:
        return Number(*self.version.number)

    @property
    def stage(self) -> Stage:
        return Stage(self.version.stage)

    def steps(self, expected: Stage | None = None) -> list[stages.Step]:
        """The steps to the target. Raises IllegalTransition if the stage machine has none, and Conflict if the version
        is not in the expected stage."""
        version = self.version
        return stages.transition(
            version.id, self.stage, self.target, expected=expected, in_production=version.production_id
        )

    async def promotion(self) -> Promotion:
        """The facts that the gates check. Roles, the policy and the status of data cannot change until the transaction
        ends."""
        await policies.lock_policy(self.tx.session, self.version.project_id, share=True)
        return Promotion(**await load_promotion(self.tx.session, self.version.id, self.target))


async def transition_stage(
    tx: Transaction,
    *,
    model_id: str,
    version: Number,
    target_stage: Stage,
    notes: str | None = None,
    approved_by: str | None = None,
    expected_stage: Stage | None = None,
    expected_revision: int | None = None,
    expected_review_digest: str | None = None,
    retire_deployments: bool = False,
) -> dict[str, str | None]:
    move = Move(tx, await locked_version(tx, model_id, version), target_stage, notes)
    steps = move.steps(expected_stage)
    events: list[NewEvent] = []
    is_gated = target_stage is Stage.PRODUCTION or approved_by is not None
    if is_gated or expected_revision is not None or expected_review_digest is not None:
        promotion = await move.promotion()
        require_seen(promotion, expected_revision, expected_review_digest)
    if is_gated:
        asked = Asked(caller_in(tx, promotion), approved_by, tx.caller.may_attest)
        assessment = gates.assess(promotion, target_stage, asked)
        refuse_unless_allowed(assessment, promotion, f"{move.number} cannot go to {target_stage}")
        events = approval_with_step(move, promotion, assessment)
        approved_by = approved_by or ", ".join(assessment.tally.approvers)
    if target_stage is Stage.ARCHIVED:
        events += await retire_all(move, retire_deployments)
    events += await step_events(move, steps, approved_by)
    await tx.append(model_id, *events)
    return payload_of(move, steps, events)


async def retire_all(move: Move, may_retire: bool) -> list[NewEvent]:
    """Retire all deployments of a version that will be archived, or refuse the step. Returns the events.

    If another version replaces this one, this one keeps serving until a deployment of the other takes over.
    """
    tx, deployed = move.tx, await rollouts.of_version(move.tx.session, move.version.id)
    if deployed and not may_retire:
        places = ", ".join(f"{each.name} in {each.environment}" for each in deployed)
        raise Conflict(
            f"{move.number} is deployed as {places}. Deploy its successor there first, or pass"
            " retireDeployments: true to retire the deployments.",
            deployments=[each.id for each in deployed],
        )
    events = []
    # Rollouts first: their share returns to the active deployment before that one is retired itself.
    for each in sorted(deployed, key=lambda row: row.status == ACTIVE):
        row = await rollouts.locked_deployment(tx.session, each.id)
        events += await make_step(tx, row, Action.RETIRE, move.notes or "Archived.")
    return events


def payload_of(move: Move, steps: Sequence[stages.Step], events: Sequence[NewEvent]) -> dict[str, str | None]:
    """The values that a step's payload is read from."""
    ids = {event["subjectId"]: event["step"]["id"] for event in events if "step" in event}
    archived = steps[0].version_id if len(steps) > 1 else None
    return {"version_id": move.version.id, "transition_id": ids[move.version.id], "archived_id": archived}


def require_seen(promotion: Promotion, revision: int | None, seen: str | None) -> None:
    """Refuse with CONFLICT if the version has changed since the caller read it."""
    now = promotion.reviewed["cardRevision"]
    if revision is not None and revision != now:
        raise Conflict(
            f"expectedRevision is {revision}; the model card is at revision {now} now. Read it again.",
            field="input.expectedRevision",
            current=now,
        )
    if seen is not None and seen != (digest := approvals.digest(promotion.reviewed)):
        raise Conflict(
            "expectedReviewDigest does not match the version: its card, description, tags,"
            " experiment or data have changed. Read them again.",
            field="input.expectedReviewDigest",
            current=digest,
        )


def caller_in(tx: Transaction, promotion: Promotion) -> Person:
    """The caller as a member of the project, without a role if it is not one."""
    member = next((person for person in promotion.people if person["id"] == tx.caller.principal_id), None)
    return member or Person(id=tx.caller.principal_id, email=tx.caller.actor, kind=tx.caller.kind, role=None)


def refuse_unless_allowed(assessment: Assessment, promotion: Promotion, what: str) -> None:
    """Refuse `what` the sentence begins with, such as "2.1.0 cannot go to PRODUCTION"."""
    if assessment.allowed:
        return
    failed = [gate._asdict() for gate in assessment.failed]
    if (problem := assessment.tally.problem) is not None:
        raise ApprovalRequired(
            f"{what} yet. {problem.sentence}",
            reason=problem.reason,
            required=promotion.policy["required_approvals"],
            approvedBy=list(assessment.tally.approvers),
            gates=failed,
        )
    reasons = " ".join(gate.reason for gate in assessment.failed)
    raise GateFailed(f"{what}: {reasons}", gates=failed)


def approval_with_step(move: Move, promotion: Promotion, assessment: Assessment) -> list[NewEvent]:
    """The event of the approval that comes with the step itself, if there is one."""
    approver = assessment.tally.new_approver
    if approver is None:
        return []
    reviewer = next(person for person in promotion.people if person["email"] == approver)
    attested_by = move.tx.caller.actor if assessment.tally.attested else None
    return [review_event(move, promotion, Decision.APPROVE, reviewer, attested_by=attested_by)]


def review_event(
    move: Move,
    promotion: Promotion,
    decision: Decision,
    reviewer: Person,
    *,
    attested_by: str | None = None,
    request_id: str | None = None,
) -> NewEvent:
    """The event of a decision, with its meaning and the facts that it was based on."""
    verb = "approves" if decision is Decision.APPROVE else "rejects"
    attested = f", as {attested_by} attests" if attested_by else ""
    alone = decision is Decision.APPROVE and promotion.panel.approves_alone(reviewer["email"])
    only = ", without a second person who could review it or agreed to that" if alone else ""
    version = move.version
    approval = {
        "id": new_id("apr"),
        "requestId": request_id,
        "targetStage": move.target,
        "stagePosition": promotion.position,
        "reviewer": reviewer["email"],
        "reviewerId": reviewer["id"],
        "attestedBy": attested_by,
        "decision": decision,
        "alone": alone,
        "meaning": f"{reviewer['email']} {verb} that {version.model_id} {move.number} goes to {move.target}"
        f"{attested}{only}.",
        "reviewed": promotion.reviewed,
    }
    action = "version.approved" if decision is Decision.APPROVE else "version.rejected"
    return move.tx.event(action, version.id, version.project_id, after=approval, notes=move.notes, approval=approval)


async def step_events(move: Move, steps: Sequence[stages.Step], approved_by: str | None = None) -> list[NewEvent]:
    """The events of these steps, in order, and of the requests that they fulfil or make obsolete."""
    version = move.version
    stage_of = {version.id: move.stage, version.production_id: Stage.PRODUCTION}
    events = []
    for step in steps:
        is_requested = step.version_id == version.id
        notes, by = (move.notes, approved_by) if is_requested else (REPLACED, None)
        events.append(step_event(move.tx, version.project_id, step, stage_of[step.version_id], notes, by))
        stage_of[step.version_id] = step.to_stage
    for request in version.requests:
        if request["version"] in {step.version_id for step in steps}:
            status = _status_after(request, stage_of[request["version"]])
            events.append(await close_request(move.tx, version.project_id, request["id"], status))
    return events


def _status_after(request: OpenRequest, reached: Stage) -> TransitionRequestStatus:
    """The status of a request after its version has moved. A request that had expired before did not cause the move."""
    if request["is_expired"]:
        return TransitionRequestStatus.EXPIRED
    is_applied = reached == request["target"]
    return TransitionRequestStatus.APPLIED if is_applied else TransitionRequestStatus.CANCELLED


def step_event(
    tx: Transaction, project_id: str, step: stages.Step, before: Stage, notes: str | None, approved_by: str | None
) -> NewEvent:
    history = {
        "id": new_id("tra"),
        "versionId": step.version_id,
        "from": before,
        "to": step.to_stage,
        "automatic": step.automatic,
        "approvedBy": approved_by,
    }
    return tx.event(
        "version.transitioned",
        step.version_id,
        project_id,
        before={"stage": before},
        after={"stage": step.to_stage, "approvedBy": approved_by},
        notes=notes,
        step=history,
    )


async def close_request(
    tx: Transaction, project_id: str, request_id: str, status: TransitionRequestStatus, notes: str | None = None
) -> NewEvent:
    """Close an open request. Returns the event that records it."""
    await set_request_status(tx.session, request_id, status)
    before, after = {"status": TransitionRequestStatus.OPEN}, {"status": status}
    return tx.event(f"transition.{status.lower()}", request_id, project_id, before=before, after=after, notes=notes)
