from collections.abc import Mapping
from typing import Any

from resolvers.claims import claimed_id, keep_new, not_free
from resolvers.errors import AlreadyExists
from resolvers.rules.ids import is_reserved
from resolvers.transaction import Transaction
from storage.claims import is_seen
from storage.models import Model


async def create_model(
    tx: Transaction, *, project_id: str, name: str, id: str | None = None, description: str | None = None
) -> dict[str, str]:
    await tx.project(project_id)
    model_id = await claimed_id(tx, Model, id)
    facts = {"id": model_id, "project_id": project_id, "name": name, "description": description}
    await keep_new(tx, Model, facts | {"created_by": tx.caller.actor})
    await tx.record("model.created", model_id, project_id, chain=model_id, after=facts)
    return {"model_id": model_id}


async def lock_or_make_models(
    tx: Transaction, wanted: Mapping[str, str | None], field: str
) -> dict[str, Mapping[str, Any]]:
    """Models by id, locked in id order. One that is missing is made in the project it is wanted in, if any, named by
    its id; without those that there are not and that may not be made."""
    found = await tx.lock_models(sorted(wanted))
    for model_id, project_id in sorted(wanted.items()):
        if model_id not in found and project_id is not None:
            found[model_id] = await _make_model(tx, model_id, project_id, field)
    return found


async def _make_model(tx: Transaction, model_id: str, project_id: str, field: str) -> Mapping[str, Any]:
    seen = await is_seen(tx.session, Model, model_id, tx.caller.who)
    if seen is False or is_reserved(model_id):
        raise not_free(model_id, field)
    facts = {"id": model_id, "project_id": project_id, "name": model_id, "description": None}
    if not await tx.keep_unless_there(Model, facts | {"created_by": tx.caller.actor}):
        return await _made_meanwhile(tx, model_id, field)
    await tx.record("model.created", model_id, project_id, chain=model_id, after=facts)
    return {"id": model_id, "project_id": project_id}


async def _made_meanwhile(tx: Transaction, model_id: str, field: str) -> Mapping[str, Any]:
    """The model that somebody else has made, and committed by now."""
    if model := (await tx.lock_models([model_id])).get(model_id):
        return model
    if await is_seen(tx.session, Model, model_id, tx.caller.who) is None:
        raise AlreadyExists(
            f"There is a model named {model_id} in the project already, with another id; use that id.", field=field
        )
    raise not_free(model_id, field)
