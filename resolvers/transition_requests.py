"""Requests a transition, reviews the request, and cancels it."""

from datetime import timedelta

from resolvers.errors import Conflict, Forbidden
from resolvers.rules import gates
from resolvers.rules.access import at_least
from resolvers.rules.approvals import Asked
from resolvers.rules.semver import Number
from resolvers.transaction import Transaction
from resolvers.transitions import Move, caller_in, close_request, require_seen, review_event, step_events
from resolvers.versions import locked_version, touch
from storage import approvals, policies, versions
from storage.approvals import LockedRequest, TransitionRequest
from storage.audit import NewEvent
from storage.ids import new_id
from storage.vocabulary import Decision, Role, Stage, TransitionRequestStatus


async def request_transition(
    tx: Transaction, *, model_id: str, version: Number, target_stage: Stage, notes: str | None = None
) -> dict[str, str]:
    move = Move(tx, await locked_version(tx, model_id, version), target_stage, notes)
    move.steps()
    row = move.version
    policy = await policies.lock_policy(tx.session, row.project_id, share=True)
    events = [await _closed_if_expired(tx, each["id"]) for each in row.requests if each["version"] == row.id]
    request_id = new_id("req")
    request = {
        "id": request_id,
        "project_id": row.project_id,
        "version_id": row.id,
        "target_stage": target_stage,
        "stage_position": row.stage_position,
        "notes": notes,
        "expires_at": policy.now + timedelta(days=policy.approval_valid_days),
        "created_by": tx.caller.actor,
    }
    await tx.keep(TransitionRequest, request)
    await touch(tx, row.id)
    after = {"versionId": row.id, "targetStage": target_stage, "status": TransitionRequestStatus.OPEN}
    events.append(tx.event("transition.requested", request_id, row.project_id, after=after, notes=notes))
    await tx.append(model_id, *events)
    return {"request_id": request_id}


async def _closed_if_expired(tx: Transaction, request_id: str) -> NewEvent:
    """Close the version's request if it has expired. A version has at most one open request."""
    request = await approvals.locked_request(tx.session, request_id)
    if request.status != TransitionRequestStatus.EXPIRED:
        raise Conflict(
            f"{request_id} already requests {request.target_stage} for {Number(*request.number)}; review it,"
            " or cancel it first.",
            request=request_id,
        )
    return await close_request(tx, request.project_id, request_id, TransitionRequestStatus.EXPIRED)


async def review_transition(
    tx: Transaction,
    *,
    request_id: str,
    decision: Decision,
    notes: str | None = None,
    expected_revision: int | None = None,
    expected_review_digest: str | None = None,
) -> dict[str, str]:
    request = await tx.request(request_id)
    _refuse_unless_open(request)
    version = await versions.locked_version(tx.session, request.model_id, request.number)
    assert version is not None
    move = Move(tx, version, Stage(request.target_stage), notes)
    promotion = await move.promotion()
    require_seen(promotion, expected_revision, expected_review_digest)
    reviewer = caller_in(tx, promotion)
    # The requester may reject the request, just as they may cancel it.
    wrong = promotion.panel.problem(reviewer)
    if wrong and not (wrong.reason == "REQUESTER" and decision is Decision.REJECT):
        raise Forbidden(wrong.sentence, reason=wrong.reason)

    events = [review_event(move, promotion, decision, reviewer, request_id=request_id)]
    if decision is Decision.REJECT:
        rejected = TransitionRequestStatus.REJECTED
        events.append(await close_request(tx, request.project_id, request_id, rejected, notes))
    else:
        assessment = gates.assess(promotion, move.target, Asked(reviewer, by_review=True))
        if assessment.allowed:
            requested = Move(tx, version, move.target, request.notes)
            events += await step_events(requested, move.steps(), ", ".join(assessment.tally.approvers))
    await tx.append(request.model_id, *events)
    return {"request_id": request_id}


def _refuse_unless_open(request: LockedRequest) -> None:
    if request.status != TransitionRequestStatus.OPEN:
        raise Conflict(
            f"The request is {request.status}. Create a new one with requestTransition.", current=request.status
        )


async def cancel_transition(tx: Transaction, *, request_id: str, notes: str | None = None) -> dict[str, str]:
    request = await tx.request(request_id)
    _refuse_unless_open(request)
    model = await tx.lock_model(request.model_id)
    if request.created_by != tx.caller.actor and not at_least(model.role, Role.REVIEWER):
        raise Forbidden(f"{request.created_by} made this request; only they or a reviewer can cancel it.")
    closed = await close_request(tx, request.project_id, request_id, TransitionRequestStatus.CANCELLED, notes)
    await tx.append(request.model_id, closed)
    return {"request_id": request_id}
