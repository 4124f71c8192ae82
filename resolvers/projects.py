from resolvers.claims import claimed_id, keep_new
from resolvers.transaction import Transaction
from storage.policies import ProjectPolicy, recorded_policy
from storage.principals import Member
from storage.projects import Project
from storage.vocabulary import Role


async def create_project(
    tx: Transaction, *, name: str, id: str | None = None, description: str | None = None
) -> dict[str, str]:
    project_id = await claimed_id(tx, Project, id)
    facts = {"id": project_id, "name": name, "description": description}
    await keep_new(tx, Project, facts | {"created_by": tx.caller.actor})
    await tx.keep(ProjectPolicy, {"project_id": project_id, "min_metrics": []})
    after = facts | {"policy": await recorded_policy(tx.session, project_id)}
    events = [tx.event("project.created", project_id, project_id, after=after)]
    if maker := tx.caller.principal_id:
        # Who makes a project is its first ADMIN, and may leave it to others.
        role = {"role": Role.ADMIN, "principal_id": maker, "project_id": project_id}
        await tx.keep(Member, role | {"created_by": tx.caller.actor})
        member = {"email": tx.caller.actor, "role": Role.ADMIN}
        events.append(tx.event("member.set", project_id, project_id, after=member))
    await tx.append(project_id, *events)
    return {"project_id": project_id}
