"""Principals, and their roles in projects."""

from collections.abc import Mapping
from typing import Any

from resolvers.errors import Conflict, NotFound
from resolvers.rules.access import at_least
from resolvers.transaction import REGISTRY, Transaction
from storage import policies, principals
from storage.audit import NewEvent
from storage.ids import new_id
from storage.principals import Principal, PrincipalRow
from storage.rows import now as database_now
from storage.vocabulary import PrincipalKind, Role


async def set_member(tx: Transaction, *, project_id: str, email: str, role: Role) -> dict[str, str]:
    await tx.lock_project(project_id)
    principal = await known_principal(tx, email, PrincipalKind.USER)
    before = await principals.member_role(tx.session, project_id, principal.id)
    if before is None or before != role:
        await tx.append(project_id, await set_role(tx, project_id, principal, before, role))
    return {"project_id": project_id}


async def set_role(
    tx: Transaction, project_id: str, principal: PrincipalRow, before: str | None, role: Role
) -> NewEvent:
    """Set a principal's role in a project whose members are locked. Returns the event that records it."""
    could, can = before is not None and at_least(before, Role.REVIEWER), at_least(role, Role.REVIEWER)
    now: dict[str, Any] = {"role": role}
    if could != can:
        # The time now, not when the lock was requested: a review may have been given during the wait.
        now["reviewer_since"] = await database_now(tx.session) if can else None
    row = {"project_id": project_id, "principal_id": principal.id, "created_by": tx.caller.actor}
    await principals.keep_member(tx.session, row, now)
    if could and not can:
        await policies.note_that_reviewer_left(tx.session, project_id)
    was, is_now = before and {"email": principal.email, "role": before}, {"email": principal.email, "role": role}
    return tx.event("member.set", project_id, project_id, before=was, after=is_now)


async def add_roles(tx: Transaction, principal: PrincipalRow, wanted: Mapping[str, Role]) -> None:
    """Grant a principal roles by project. All projects must be locked. A role that includes the wanted one stays."""
    for project_id, role in wanted.items():
        before = await principals.member_role(tx.session, project_id, principal.id)
        if before is None or not at_least(before, role):
            await tx.append(project_id, await set_role(tx, project_id, principal, before, role))


async def remove_member(tx: Transaction, *, project_id: str, email: str) -> dict[str, str]:
    await tx.lock_project(project_id)
    principal = await principals.principal(tx.session, email)
    before = principal and await principals.member_role(tx.session, project_id, principal.id)
    if not principal or not before:
        raise NotFound("member", email, "input.email", f"of {project_id}", projectId=project_id)
    await principals.delete_member(tx.session, project_id, principal.id)
    if at_least(before, Role.REVIEWER):
        await policies.note_that_reviewer_left(tx.session, project_id)
    change = {"before": {"email": email, "role": before}, "after": None}
    await tx.record("member.removed", project_id, project_id, chain=project_id, **change)
    return {"project_id": project_id}


async def known_principal(tx: Transaction, email: str, kind: PrincipalKind) -> PrincipalRow:
    """The principal with this address, created if there is none."""
    known = await principals.principal(tx.session, email)
    if known is None:
        id_ = new_id("prin")
        row = {"id": id_, "email": email, "kind": kind, "created_by": tx.caller.actor}
        if await tx.keep_unless_there(Principal, row):
            after = {"email": email, "kind": kind}
            await tx.record("principal.created", id_, None, chain=REGISTRY, after=after)
        known = await principals.principal(tx.session, email)
    assert known is not None
    return known


async def set_administrator(tx: Transaction, *, email: str, administers: bool) -> dict[str, str]:
    count = await principals.lock_administrators(tx.session)
    await tx.require_instance()  # again: the right may have been revoked during the wait
    principal = await principals.principal(tx.session, email, lock=True)
    if principal is None:
        raise NotFound("principal", email, "input.email")
    if principal.administers and not administers and count == 1:
        raise Conflict(f"{email} is the last administrator of the instance. Make another one first.")
    if principal.administers != administers:
        await principals.set_administers(tx.session, principal.id, administers)
        change = {"before": {"administers": not administers}, "after": {"administers": administers}}
        await tx.record("principal.administersSet", principal.id, None, chain=REGISTRY, **change)
    return {"principal_id": principal.id}
