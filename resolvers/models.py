from resolvers.transaction import Transaction
from storage.ids import new_id
from storage.models import Model


async def create_model(
    tx: Transaction, *, project_id: str, name: str, id: str | None = None, description: str | None = None
) -> dict[str, str]:
    await tx.project(project_id)
    model_id = id or new_id("model")
    await keep_model(tx, model_id, project_id, name, description)
    return {"model_id": model_id}


async def keep_model(
    tx: Transaction, model_id: str, project_id: str, name: str, description: str | None = None
) -> None:
    facts = {"id": model_id, "project_id": project_id, "name": name, "description": description}
    await tx.keep(Model, facts | {"created_by": tx.caller.actor})
    await tx.record("model.created", model_id, project_id, chain=model_id, details=facts)
