from resolvers.errors import Forbidden
from resolvers.transaction import Transaction
from storage.ids import new_id
from storage.projects import Project


async def create_project(
    tx: Transaction, *, name: str, id: str | None = None, description: str | None = None
) -> dict[str, str]:
    if tx.caller.visible is not None:
        raise Forbidden("A key that is bound to a project cannot make another one.")
    project_id = id or new_id("proj")
    facts = {"id": project_id, "name": name, "description": description}
    await tx.keep(Project, facts | {"created_by": tx.caller.actor})
    await tx.record("project.created", project_id, project_id, chain=project_id, details=facts)
    return {"project_id": project_id}
