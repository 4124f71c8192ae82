"""Changes a project's policy: tightening at once, loosening after a confirmation or a wait
(`resolvers.rules.policies`)."""

from collections.abc import Mapping, Sequence
from dataclasses import asdict
from datetime import timedelta
from typing import Any, TypedDict, Unpack

from pydantic.alias_generators import to_camel

from resolvers.callers import Caller
from resolvers.errors import Conflict, Forbidden
from resolvers.rules import policies as rules
from resolvers.rules.access import Need
from resolvers.rules.approvals import is_reviewer
from resolvers.transaction import Transaction
from storage import policies, principals
from storage.audit import NewEvent
from storage.engine import Database
from storage.ids import new_id
from storage.policies import LockedPolicy, PolicyChange, PolicyChangeRow
from storage.vocabulary import PolicyChangeStatus, PolicyMode, PrincipalKind, Role

CLOCK = Caller("lineal policies", None, "policies")

PENDING, APPLIED = PolicyChangeStatus.PENDING, PolicyChangeStatus.APPLIED
Events = list[NewEvent]


class PolicyChanges(TypedDict, total=False):
    """The fields of a policy to change. None is a value of two fields: `retention_days` (never) and `max_regression`
    (no comparison)."""

    project_id: str
    required_approvals: int
    allow_self_approval: bool
    allow_requester_approval: bool
    require_complete_card: bool
    block_invalid_data: bool
    semver: PolicyMode
    tags: PolicyMode
    retention_days: int | None
    min_metrics: Sequence[Mapping[str, Any]]
    max_regression: float | None
    approval_valid_days: int
    loosening_hours: float
    protected_aliases: Sequence[str]


async def update_project_policy(tx: Transaction, **new: Unpack[PolicyChanges]) -> dict[str, str]:
    project_id = new["project_id"]
    policy = await tx.lock_project(project_id)
    known = await policies.changes_in_force(tx.session, project_id)
    confirmable = not await policies.is_alone(tx.session, project_id, tx.caller.actor)
    asked = {field: value for field, value in new.items() if field != "project_id"}
    pending = {row.field: row.to_value for row in known if row.status == PENDING}
    hours = _hours(policy, known)
    decision = rules.decide(asdict(policy), asked, pending, confirmable=confirmable, hours=hours)

    events = await _end(tx, [row for row in known if _is_ended(row, decision)])
    alone = {field: decision.at_once[field] for field in decision.alone}
    events += await _begin(tx, policy, alone, APPLIED, timedelta())
    events += await _begin(tx, policy, decision.waiting, PENDING, timedelta(hours=hours))
    events += await _apply(tx, policy, decision.at_once)
    if events:
        await tx.append(project_id, *events)
    return {"project_id": project_id}


def _is_ended(row: PolicyChangeRow, decision: rules.Decision) -> bool:
    """Whether a decision withdraws a pending change or reverts one in force. A value that is still looser than the one
    before the change does not revert it."""
    field = row.field
    if row.status == PENDING:
        return field in decision.withdrawn
    return field in decision.at_once and not rules.loosens(field, row.from_value, decision.at_once[field])


def _hours(policy: LockedPolicy, known: Sequence[PolicyChangeRow]) -> float:
    """The cooling time that applies. One that a person shortened alone does not apply once there are other
    reviewers."""
    shortened = any(row.field == "loosening_hours" and row.status == APPLIED and row.alone for row in known)
    hours = float(policy.loosening_hours)
    return max(hours, rules.USUAL_HOURS) if shortened else hours


async def confirm_policy_change(tx: Transaction, *, change_id: str) -> dict[str, str]:
    project_id = (await tx.policy_change(change_id)).project_id
    policy = await tx.lock_project(project_id)
    row = await policies.locked_change(tx.session, change_id)
    await _refuse_unless_second(tx, row)
    if row.status != PENDING:
        raise Conflict(
            f"The change {change_id} is {row.status}. Only a PENDING change can be confirmed.", current=row.status
        )
    events = await _take_effect(tx, policy, row, "policy.changeConfirmed", tx.caller.actor)
    await tx.append(project_id, *events)
    return {"change_id": change_id, "project_id": project_id}


async def _refuse_unless_second(tx: Transaction, row: PolicyChangeRow) -> None:
    """Only a reviewer of the project can confirm a change, and only one that another person requested: a person with
    the key of a service could otherwise confirm its changes alone."""
    role = await principals.member_role(tx.session, row.project_id, tx.caller.principal_id or "")
    actor = tx.caller.actor
    if not is_reviewer(role, tx.caller.kind):
        raise Forbidden(
            f"{actor} is not a reviewer of the project. A person with the role REVIEWER or ADMIN confirms.",
            reason="NOT_A_REVIEWER",
        )
    time = f"it takes effect at {row.effective_at:%Y-%m-%dT%H:%M:%SZ}"
    if row.created_by == actor:
        raise Forbidden(
            f"{actor} requested this change. Another REVIEWER or ADMIN confirms it, or {time}.", reason="REQUESTER"
        )
    requester = await principals.principal(tx.session, row.created_by)
    if requester is None or requester.kind == PrincipalKind.SERVICE:
        raise Forbidden(
            f"{row.created_by} is a service, so its change cannot be confirmed; {time}. To apply it"
            " sooner, one person must request it and another confirm it.",
            reason="SERVICE",
        )


async def run_due_changes(database: Database) -> int:
    """Apply every change that is due, and return their number. Any number of processes may call it at once."""
    made = 0
    while await _one_due(database):
        made += 1
    return made


async def _one_due(database: Database) -> bool:
    async with database.transaction() as session:
        due = await policies.due_change(session)
        if due is None:
            return False
        tx = Transaction(session, CLOCK, Need.ADMIN)
        policy = await tx.lock_project(due.project_id)
        row = await policies.locked_change(session, due.id)
        if row.status == PENDING:  # no other process was faster
            in_office = await _is_in_office(tx, row)
            events = await (
                _take_effect(tx, policy, row, "policy.changeApplied", None) if in_office else _end(tx, [row])
            )
            await tx.append(due.project_id, *events)
        return True


async def _is_in_office(tx: Transaction, row: PolicyChangeRow) -> bool:
    """Whether the principal that requested a change still has the role for it. If not, the change is withdrawn."""
    requester = await principals.principal(tx.session, row.created_by)
    if requester is None or requester.administers:
        return requester is not None
    return await principals.member_role(tx.session, row.project_id, requester.id) == Role.ADMIN


async def _take_effect(
    tx: Transaction, policy: LockedPolicy, row: PolicyChangeRow, action: str, confirmed_by: str | None
) -> Events:
    values = {"status": APPLIED, "confirmed_by": confirmed_by, "effective_at": policy.now}
    await policies.update_change(tx.session, row.id, values)
    known = await policies.changes_in_force(tx.session, row.project_id)
    events = await _end(tx, [each for each in known if each.field == row.field and each.id != row.id])
    after = {"status": APPLIED, "confirmedBy": confirmed_by}
    events.append(tx.event(action, row.id, row.project_id, before={"status": PENDING}, after=after))
    return events + await _apply(tx, policy, {row.field: row.to_value})


async def _begin(
    tx: Transaction,
    policy: LockedPolicy,
    changes: Mapping[str, Any],
    status: PolicyChangeStatus,
    wait: timedelta,
) -> Events:
    """Store changes that loosen: pending, or in force at once because there is no second person to confirm them."""
    alone = status is APPLIED
    events = []
    for field, value in sorted(changes.items()):
        before, effective_at, id_ = getattr(policy, field), policy.now + wait, new_id("pch")
        row = {
            "id": id_,
            "project_id": policy.project_id,
            "field": field,
            "from_value": before,
            "to_value": value,
            "effective_at": effective_at,
            "status": status,
            "alone": alone,
            "created_by": tx.caller.actor,
        }
        await tx.keep(PolicyChange, row)
        after = {"field": to_camel(field), "from": before, "to": value, "status": status, "alone": alone}
        after["effectiveAt"] = f"{effective_at:%Y-%m-%dT%H:%M:%S.%fZ}"
        action = "policy.changeApplied" if alone else "policy.changeRequested"
        events.append(tx.event(action, id_, policy.project_id, after=after))
    return events


async def _end(tx: Transaction, changes: Sequence[PolicyChangeRow]) -> Events:
    """Withdraw pending changes, and mark those in force as replaced."""
    events = []
    for row in changes:
        is_pending = row.status == PENDING
        status = PolicyChangeStatus.WITHDRAWN if is_pending else PolicyChangeStatus.REPLACED
        await policies.update_change(tx.session, row.id, {"status": status})
        if is_pending:
            before, after = {"status": PENDING}, {"status": status}
            withdrawn = tx.event("policy.changeWithdrawn", row.id, row.project_id, before=before, after=after)
            events.append(withdrawn)
    return events


async def _apply(tx: Transaction, policy: LockedPolicy, changes: Mapping[str, Any]) -> Events:
    """Change the policy in force. Returns the event that records it."""
    if not changes:
        return []
    project_id = policy.project_id
    await policies.update_policy(tx.session, project_id, changes)
    before = {field: getattr(policy, field) for field in changes}
    return [tx.event("policy.updated", project_id, project_id, before=before, after=dict(changes))]
