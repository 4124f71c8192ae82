"""Asking for a step, reviewing it, taking it back."""

from collections.abc import Mapping
from datetime import timedelta
from typing import Any

from resolvers.errors import Conflict, Forbidden
from resolvers.rules import gates, stages
from resolvers.rules.access import at_least
from resolvers.rules.approvals import Asked
from resolvers.rules.semver import Number
from resolvers.transaction import Transaction
from resolvers.transitions import caller_in, close_request, promotion_of, require_seen, review_event, step_events
from resolvers.versions import touch, version_of
from storage import load
from storage.approvals import TransitionRequest
from storage.ids import new_id
from storage.vocabulary import Decision, Role, Stage, TransitionRequestStatus


async def request_transition(
    tx: Transaction, *, model_id: str, version: Number, target_stage: Stage, notes: str | None = None
) -> dict[str, str]:
    project_id, found = await version_of(tx, model_id, version)
    stages.transition(found["id"], Stage(found["stage"]), target_stage, expected=None, in_production=None)
    policy = await load.lock_policy(tx.session, project_id, share=True)
    events = [await _closed_if_over(tx, project_id, each["id"]) for each in found["requests"]
              if each["version"] == found["id"]]  # fmt: skip
    request_id = new_id("req")
    row = {
        "id": request_id,
        "project_id": project_id,
        "version_id": found["id"],
        "target_stage": target_stage,
        "stage_position": found["stage_position"],
        "notes": notes,
        "expires_at": policy["now"] + timedelta(days=policy["approval_valid_days"]),
        "created_by": tx.caller.actor,
    }
    await tx.keep(TransitionRequest, row)
    await touch(tx, found["id"])
    after = {"versionId": found["id"], "targetStage": target_stage, "status": TransitionRequestStatus.OPEN}
    events.append(tx.event("transition.requested", request_id, project_id, after=after, notes=notes))
    await tx.append(model_id, *events)
    return {"request_id": request_id}


async def _closed_if_over(tx: Transaction, project_id: str, request_id: str) -> dict[str, Any]:
    """A version has one open request; one whose time is over makes room."""
    request = await load.locked_request(tx.session, request_id)
    if request["status"] != TransitionRequestStatus.EXPIRED:
        raise Conflict(
            f"{request_id} already asks for {Number(*request['number'])} to go to {request['target_stage']}; review it,"
            " or cancel it first.",
            request=request_id,
        )
    return await close_request(tx, project_id, request_id, TransitionRequestStatus.EXPIRED)


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
    project_id, target = request["project_id"], Stage(request["target_stage"])
    found = await load.version_in_model(tx.session, request["model_id"], request["number"])
    assert found is not None
    promotion = await promotion_of(tx, project_id, found["id"], target)
    require_seen(promotion, expected_revision, expected_review_digest)
    reviewer = caller_in(tx, promotion)
    # Whoever requested it may reject it, as it may cancel it.
    wrong = promotion.panel.problem(reviewer)
    if wrong and not (wrong.reason == "REQUESTER" and decision is Decision.REJECT):
        raise Forbidden(wrong.sentence, reason=wrong.reason)

    review = review_event(
        tx, project_id, found, promotion, target, decision, reviewer, notes=notes, request_id=request_id
    )
    events = [review]
    if decision is Decision.REJECT:
        events.append(await close_request(tx, project_id, request_id, TransitionRequestStatus.REJECTED, notes))
    else:
        outcome = gates.outcome(promotion, target, Asked(reviewer, by_review=True))
        if outcome.allowed:
            steps = stages.transition(
                found["id"], Stage(found["stage"]), target, expected=None, in_production=found["production_id"]
            )
            by = ", ".join(outcome.tally.approvers)
            events += await step_events(tx, project_id, found, steps, request["notes"], by)
    await tx.append(request["model_id"], *events)
    return {"request_id": request_id}


def _refuse_unless_open(request: Mapping[str, Any]) -> None:
    if request["status"] != TransitionRequestStatus.OPEN:
        raise Conflict(f"The request is {request['status']}; make a new one.", current=request["status"])


async def cancel_transition(tx: Transaction, *, request_id: str, notes: str | None = None) -> dict[str, str]:
    request = await tx.request(request_id)
    _refuse_unless_open(request)
    model = await tx.lock_model(request["model_id"])
    if request["created_by"] != tx.caller.actor and not at_least(model["role"], Role.REVIEWER):
        raise Forbidden(f"The request is {request['created_by']}'s; only its author or a reviewer may cancel it.")
    closed = await close_request(tx, request["project_id"], request_id, TransitionRequestStatus.CANCELLED, notes)
    await tx.append(request["model_id"], closed)
    return {"request_id": request_id}
