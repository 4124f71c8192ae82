from collections.abc import Mapping, Sequence
from typing import Any

from resolvers.claims import claimed_id, keep_new
from resolvers.errors import BadUserInput
from resolvers.principals import known_principal, set_role
from resolvers.rules.cleaning import quoted
from resolvers.rules.corrections import before_and_after, corrected
from resolvers.transaction import Transaction
from storage.policies import ProjectPolicy, recorded_policy
from storage.principals import Member
from storage.projects import Project, change_project, project_texts
from storage.vocabulary import PrincipalKind, Role


async def create_project(
    tx: Transaction,
    *,
    name: str,
    id: str | None = None,
    description: str | None = None,
    members: Sequence[Mapping[str, Any]] = (),
) -> dict[str, str]:
    project_id = await claimed_id(tx, Project, id)
    _refuse_unless_once(tx.caller.actor, members)
    people = {each["email"]: await known_principal(tx, each["email"], PrincipalKind.USER) for each in members}
    facts = {"id": project_id, "name": name, "description": description}
    await keep_new(tx, Project, facts | {"created_by": tx.caller.actor})
    await tx.keep(ProjectPolicy, {"project_id": project_id, "min_metrics": []})
    after = facts | {"policy": await recorded_policy(tx.session, project_id)}
    events = [tx.event("project.created", project_id, project_id, after=after)]
    if maker := tx.caller.principal_id:
        # The principal that creates a project is its first ADMIN, and may hand it over to others.
        role = {"role": Role.ADMIN, "principal_id": maker, "project_id": project_id}
        await tx.keep(Member, role | {"created_by": tx.caller.actor})
        member = {"email": tx.caller.actor, "role": Role.ADMIN}
        events.append(tx.event("member.set", project_id, project_id, after=member))
    for each in members:
        if each["email"] != tx.caller.actor:
            events.append(await set_role(tx, project_id, people[each["email"]], None, each["role"]))
    await tx.append(project_id, *events)
    return {"project_id": project_id}


def _refuse_unless_once(creator: str, members: Sequence[Mapping[str, Any]]) -> None:
    """Each person has one role, and the creator is an ADMIN."""
    for place, each in enumerate(members):
        field = f"input.members[{place}]"
        if each["email"] in [other["email"] for other in members[:place]]:
            raise BadUserInput(f"{field}.email", f"names {quoted(each['email'])} again; name each person once.")
        if each["email"] == creator and each["role"] != Role.ADMIN:
            raise BadUserInput(f"{field}.role", f"is {each['role']}; the creator of a project is an ADMIN. Omit it.")


async def update_project(
    tx: Transaction, *, project_id: str, name: str | None = None, description: str | None = None
) -> dict[str, str]:
    await tx.lock_project(project_id)
    now = await project_texts(tx.session, project_id)
    changed = corrected(now, {"name": name, "description": description})
    if changed:
        await change_project(tx.session, project_id, changed)
        await tx.record("project.updated", project_id, project_id, chain=project_id, **before_and_after(now, changed))
    return {"project_id": project_id}
