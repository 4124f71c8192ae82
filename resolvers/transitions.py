"""Moves versions from stage to stage: the gates, the steps, and what becomes of requests.

The database keeps the history and the approvals by itself, so no statement for them stands here. Its function audit_append, which
`Transaction.append` calls (`storage/audit.py`), reads each event that it appends:

- one with a `step` adds the row of stage_transitions, and sets the stage and the position of the version;
- one with an `approval` adds the row of approvals.

The role of the server may not write these rows or columns in any other way (`storage/grants.sql`), so that history and
approvals cannot differ from the audit log. The rules here decide what the event says; the database's constraints, such
as one production version of a model, then accept or refuse it.
"""

from collections.abc import Mapping, Sequence
from typing import Any

from sqlalchemy import update

from resolvers.errors import ApprovalRequired, Conflict, GateFailed, NotFound
from resolvers.rollouts import take
from resolvers.rules import approvals, gates, stages
from resolvers.rules.approvals import Asked, Person
from resolvers.rules.gates import Outcome, Promotion
from resolvers.rules.rollout import ACTIVE, Action
from resolvers.rules.semver import Number
from resolvers.transaction import Transaction
from resolvers.versions import version_of
from storage import load, rollouts
from storage.approvals import TransitionRequest
from storage.ids import new_id
from storage.vocabulary import Decision, Stage, TransitionRequestStatus

REPLACED = "Replaced in production."


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
    project_id, found = await version_of(tx, model_id, version)
    steps = stages.transition(
        found["id"],
        Stage(found["stage"]),
        target_stage,
        expected=expected_stage,
        in_production=found["production_id"],
    )
    events: list[dict[str, Any]] = []
    is_gated = target_stage is Stage.PRODUCTION or approved_by is not None
    if is_gated or expected_revision is not None or expected_review_digest is not None:
        promotion = await promotion_of(tx, project_id, found["id"], target_stage)
        require_seen(promotion, expected_revision, expected_review_digest)
    if is_gated:
        asked = Asked(caller_in(tx, promotion), approved_by, tx.caller.may_attest)
        outcome = gates.outcome(promotion, target_stage, asked)
        refuse_unless_allowed(outcome, promotion, target_stage)
        events = given_approval(tx, project_id, found, promotion, target_stage, outcome, notes)
        approved_by = approved_by or ", ".join(outcome.tally.approvers)
    if target_stage is Stage.ARCHIVED:
        events += await retired_deployments(tx, found, retire_deployments, notes)
    events += await step_events(tx, project_id, found, steps, notes, approved_by)
    await tx.append(model_id, *events)
    return moved(found, steps, events)


async def retired_deployments(
    tx: Transaction, found: Mapping[str, Any], may_retire: bool, notes: str | None
) -> list[dict[str, Any]]:
    """The events of what deployed a version that is to be archived: all of it retires, or the step is refused.

    Where another version takes its place, this one serves on until a deployment of that takes over.
    """
    deployed = await rollouts.of_version(tx.session, found["id"])
    if deployed and not may_retire:
        places = ", ".join(f"{each['name']} in {each['environment']}" for each in deployed)
        raise Conflict(
            f"{Number(*found['number'])} is deployed as {places}; deploy what takes over there first, or give"
            " retireDeployments to take it away.",
            deployments=[each["id"] for each in deployed],
        )
    events = []
    # Rollouts first: what an active one serves beside them goes back to it before it retires itself.
    for each in sorted(deployed, key=lambda row: row["status"] == ACTIVE):
        events += await take(tx, await rollouts.locked(tx.session, each["id"]), Action.RETIRE, notes or "Archived.")
    return events


def moved(found: Mapping[str, Any], steps: Sequence[stages.Step], events: Sequence[Any]) -> dict[str, str | None]:
    """What a step's payload is read from."""
    ids = {event["subjectId"]: event["step"]["id"] for event in events if "step" in event}
    archived = steps[0].version_id if len(steps) > 1 else None
    return {"version_id": found["id"], "transition_id": ids[found["id"]], "archived_id": archived}


async def promotion_of(tx: Transaction, project_id: str, version_id: str, target: Stage) -> Promotion:
    """What the gates look at. Roles, the policy and the status of data stay so until the transaction ends."""
    await load.lock_policy(tx.session, project_id, share=True)
    return Promotion(**await load.promotion(tx.session, version_id, target))


def require_seen(promotion: Promotion, revision: int | None, seen: str | None) -> None:
    """CONFLICT where the version is no longer as the caller has seen it."""
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
    """The caller as a member of the project; without a role where it is none."""
    found = next((person for person in promotion.people if person["id"] == tx.caller.principal_id), None)
    return found or Person(id=tx.caller.principal_id, email=tx.caller.actor, kind=tx.caller.kind, role=None)


def refuse_unless_allowed(outcome: Outcome, promotion: Promotion, target: Stage) -> None:
    if outcome.allowed:
        return
    number, failed = Number(*promotion.number), [gate._asdict() for gate in outcome.failed]
    if (problem := outcome.tally.problem) is not None:
        raise ApprovalRequired(
            f"{number} cannot go to {target} yet. {problem.sentence}",
            reason=problem.reason,
            required=promotion.policy["required_approvals"],
            approvedBy=list(outcome.tally.approvers),
            gates=failed,
        )
    reasons = " ".join(gate.reason for gate in outcome.failed)
    raise GateFailed(f"{number} cannot go to {target}: {reasons}", gates=failed)


def given_approval(
    tx: Transaction,
    project_id: str,
    found: Mapping[str, Any],
    promotion: Promotion,
    target: Stage,
    outcome: Outcome,
    notes: str | None,
) -> list[dict[str, Any]]:
    """The event of the approval that comes with the step itself, if one does."""
    given = outcome.tally.given
    if given is None:
        return []
    reviewer = next(person for person in promotion.people if person["email"] == given)
    by = tx.caller.actor if outcome.tally.attested else None
    return [
        review_event(tx, project_id, found, promotion, target, Decision.APPROVE, reviewer, notes=notes, attested_by=by)
    ]


def review_event(
    tx: Transaction,
    project_id: str,
    found: Mapping[str, Any],
    promotion: Promotion,
    target: Stage,
    decision: Decision,
    reviewer: Person,
    *,
    notes: str | None,
    attested_by: str | None = None,
    request_id: str | None = None,
) -> dict[str, Any]:
    """The event of a decision, which says what it means and what it was made on."""
    verb = "approves" if decision is Decision.APPROVE else "rejects"
    attested = f", as {attested_by} attests" if attested_by else ""
    alone = decision is Decision.APPROVE and promotion.panel.approves_alone(reviewer["email"])
    only = ", without a second person who could review it or agreed to that" if alone else ""
    approval = {
        "id": new_id("apr"),
        "requestId": request_id,
        "targetStage": target,
        "stagePosition": promotion.position,
        "reviewer": reviewer["email"],
        "reviewerId": reviewer["id"],
        "attestedBy": attested_by,
        "decision": decision,
        "alone": alone,
        "meaning": f"{reviewer['email']} {verb} that {found['model_id']} {Number(*found['number'])} goes to {target}"
        f"{attested}{only}.",
        "reviewed": promotion.reviewed,
    }
    action = "version.approved" if decision is Decision.APPROVE else "version.rejected"
    return tx.event(action, found["id"], project_id, after=approval, notes=notes, approval=approval)


async def step_events(
    tx: Transaction,
    project_id: str,
    found: Mapping[str, Any],
    steps: Sequence[stages.Step],
    notes: str | None,
    approved_by: str | None = None,
) -> list[dict[str, Any]]:
    """The events of these steps, in order, and of the requests that they answer or make pointless."""
    stage_of = {found["id"]: Stage(found["stage"]), found["production_id"]: Stage.PRODUCTION}
    events = []
    for step in steps:
        version_id, is_asked = step.version_id, step.version_id == found["id"]
        said = notes if is_asked else REPLACED
        by = approved_by if is_asked else None
        events.append(step_event(tx, project_id, step, stage_of[version_id], said, by))
        stage_of[version_id] = step.to_stage
    for request in found["requests"]:
        if request["version"] in {step.version_id for step in steps}:
            status = _answered(request, stage_of[request["version"]])
            events.append(await close_request(tx, project_id, request["id"], status))
    return events


def _answered(request: Mapping[str, Any], reached: Stage) -> TransitionRequestStatus:
    """What becomes of a request whose version has gone on. One whose time was over before has not brought it there."""
    if request["is_over"]:
        return TransitionRequestStatus.EXPIRED
    is_applied = reached == request["target"]
    return TransitionRequestStatus.APPLIED if is_applied else TransitionRequestStatus.CANCELLED


def step_event(
    tx: Transaction, project_id: str, step: stages.Step, before: Stage, notes: str | None, approved_by: str | None
) -> dict[str, Any]:
    kept = {
        "id": new_id("tra"),
        "versionId": step.version_id,
        "from": before,
        "to": step.to_stage,
        "automatic": step.automatic,
        "approvedBy": approved_by,
    }
    change = {"before": {"stage": before}, "after": {"stage": step.to_stage, "approvedBy": approved_by}}
    return tx.event("version.transitioned", step.version_id, project_id, **change, notes=notes, step=kept)


async def close_request(
    tx: Transaction, project_id: str, request_id: str, status: TransitionRequestStatus, notes: str | None = None
) -> dict[str, Any]:
    """Close an open request; the event that says so."""
    those = update(TransitionRequest).where(TransitionRequest.id == request_id)  # type: ignore[arg-type]
    await tx.session.execute(those.values(status=status))
    change = {"before": {"status": TransitionRequestStatus.OPEN}, "after": {"status": status}}
    return tx.event(f"transition.{status.lower()}", request_id, project_id, **change, notes=notes)


async def rollback_production(
    tx: Transaction, *, model_id: str, notes: str, to_version: Number | None = None
) -> dict[str, str | None]:
    """Bring back a version that was in production, through its legal stages, in one transaction."""
    model = await tx.lock_model(model_id)
    target = await _former(tx, model_id, to_version)
    project_id, found = model["project_id"], await load.version_in_model(tx.session, model_id, target["number"])
    assert found is not None
    promotion = await promotion_of(tx, project_id, found["id"], Stage.PRODUCTION)
    await tx.lock_model(model_id)  # again: the role, on which this stands, may have been taken away while this waited
    if not (gate := gates.data_gate(promotion)).passed:
        raise GateFailed(f"{Number(*found['number'])} cannot come back: {gate.reason}", gates=[gate._asdict()])
    steps = [stages.Step(found["id"], stage, automatic=False) for stage in stages.way_back(Stage(found["stage"]))]
    if found["production_id"]:
        steps.insert(0, stages.Step(found["production_id"], Stage.ARCHIVED, automatic=True))
    events = await step_events(tx, project_id, found, steps, notes)
    await tx.append(model_id, *events)
    return {"version_id": found["id"], "archived_id": found["production_id"]}


async def _former(tx: Transaction, model_id: str, number: Number | None) -> Mapping[str, Any]:
    """The version to go back to: the named one, else the last that was in production and no longer is."""
    productive = await load.productive(tx.session, model_id)
    serving = [version for version in productive if version["stage"] == Stage.PRODUCTION]
    if number is not None:
        named = [version for version in productive if tuple(version["number"]) == number]
        if named and named == serving:
            raise Conflict(f"{number} is in production already.", current=str(number))
        if not named:
            raise NotFound("version that was in production", f"{number} of {model_id}", "input.toVersion")
        return named[0]
    former = [version for version in productive if version not in serving]
    if not former:
        raise Conflict(f"No version of {model_id} was in production before; there is nothing to go back to.")
    return former[0]
