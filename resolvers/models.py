from collections.abc import Mapping

from resolvers.claims import claimed_id, keep_new, not_free
from resolvers.errors import AlreadyExists
from resolvers.rules.ids import is_reserved
from resolvers.transaction import Transaction
from storage.claims import is_seen
from storage.models import LockedModel, Model


async def create_model(
    tx: Transaction, *, project_id: str, name: str, id: str | None = None, description: str | None = None
) -> dict[str, str]:
    await tx.project(project_id)
    model_id = await claimed_id(tx, Model, id)
    facts = {"id": model_id, "project_id": project_id, "name": name, "description": description}
    await keep_new(tx, Model, facts | {"created_by": tx.caller.actor})
    await tx.record("model.created", model_id, project_id, chain=model_id, after=facts)
    return {"model_id": model_id}


async def lock_or_make_models(tx: Transaction, wanted: Mapping[str, str | None], field: str) -> dict[str, LockedModel]:
    """Models by id, locked in id order. A missing model is created in its wanted project, if any, with its id as the
    name. Missing models without a wanted project are left out."""
    models = await tx.lock_models(sorted(wanted))
    for model_id, project_id in sorted(wanted.items()):
        if model_id not in models and project_id is not None:
            models[model_id] = await _make_model(tx, model_id, project_id, field)
    return models


async def _make_model(tx: Transaction, model_id: str, project_id: str, field: str) -> LockedModel:
    seen = await is_seen(tx.session, Model, model_id, tx.caller.viewer)
    if seen is False or is_reserved(model_id):
        raise not_free(model_id, field)
    facts = {"id": model_id, "project_id": project_id, "name": model_id, "description": None}
    if not await tx.keep_unless_there(Model, facts | {"created_by": tx.caller.actor}):
        return await _made_meanwhile(tx, model_id, field)
    await tx.record("model.created", model_id, project_id, chain=model_id, after=facts)
    return await tx.lock_model(model_id, field)


async def _made_meanwhile(tx: Transaction, model_id: str, field: str) -> LockedModel:
    """The model that another transaction has created and committed in the meantime."""
    if model := (await tx.lock_models([model_id])).get(model_id):
        return model
    if await is_seen(tx.session, Model, model_id, tx.caller.viewer) is None:
        raise AlreadyExists(
            f"There is a model named {model_id} in the project with another id; use that id.", field=field
        )
    raise not_free(model_id, field)
