from collections.abc import Mapping
from typing import Any

from resolvers.transaction import Transaction
from storage.ids import new_id
from storage.models import Model


async def create_model(
    tx: Transaction, *, project_id: str, name: str, id: str | None = None, description: str | None = None
) -> dict[str, str]:
    await tx.project(project_id)
    model_id = id or new_id("model")
    facts = {"id": model_id, "project_id": project_id, "name": name, "description": description}
    await tx.keep(Model, facts | {"created_by": tx.caller.actor})
    await tx.record("model.created", model_id, project_id, chain=model_id, after=facts)
    return {"model_id": model_id}


async def lock_or_make_models(tx: Transaction, wanted: Mapping[str, str | None]) -> dict[str, Mapping[str, Any]]:
    """Models by id, locked in id order. One that is missing is made in the project it is wanted in, if any, named by
    its id; without those that there are not and that may not be made."""
    found = await tx.lock_models(sorted(wanted))
    for model_id, project_id in sorted(wanted.items()):
        if model_id not in found and project_id is not None:
            found |= await _make_model(tx, model_id, project_id)
    return found


async def _make_model(tx: Transaction, model_id: str, project_id: str) -> dict[str, Mapping[str, Any]]:
    facts = {"id": model_id, "project_id": project_id, "name": model_id, "description": None}
    if not await tx.keep_unless_there(Model, facts | {"created_by": tx.caller.actor}):
        # Somebody was faster, and has committed by now; or the id or name belongs to what the caller cannot see.
        return await tx.lock_models([model_id])
    await tx.record("model.created", model_id, project_id, chain=model_id, after=facts)
    return {model_id: {"id": model_id, "project_id": project_id}}
