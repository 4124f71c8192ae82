from collections.abc import Mapping
from typing import Any

from resolvers.claims import claimed_id, keep_new, not_free
from resolvers.errors import AlreadyExists, BadUserInput
from resolvers.rules.cleaning import quoted
from resolvers.rules.corrections import before_and_after, corrected
from resolvers.rules.ids import is_reserved
from resolvers.rules.origins import NewOrigin, kept_origin
from resolvers.transaction import Transaction
from storage import models
from storage.claims import is_seen
from storage.models import LockedModel, Model


async def create_model(
    tx: Transaction,
    *,
    project_id: str,
    name: str,
    id: str | None = None,
    description: str | None = None,
    owner: str | None = None,
    properties: Mapping[str, Any] | None = None,
    origin: NewOrigin | None = None,
) -> dict[str, str]:
    await tx.project(project_id)
    model_id = await claimed_id(tx, Model, id)
    await _require_free_name(tx, project_id, name)
    facts = {
        "id": model_id,
        "project_id": project_id,
        "name": name,
        "description": description,
        "owner": owner,
        "properties": properties or {},
        "origin": kept_origin(origin),
    }
    await keep_new(tx, Model, facts | {"created_by": tx.caller.actor})
    await tx.record("model.created", model_id, project_id, chain=model_id, after=facts)
    return {"model_id": model_id}


async def update_model(
    tx: Transaction,
    *,
    model_id: str,
    name: str | None = None,
    description: str | None = None,
    owner: str | None = None,
    properties: Mapping[str, Any] | None = None,
    archived: bool | None = None,
    reason: str | None = None,
) -> dict[str, str]:
    model = await tx.lock_model(model_id)
    now = await models.model_texts(tx.session, model_id)
    asked = {"name": name, "description": description, "owner": owner, "properties": properties, "archived": archived}
    changed = corrected(now, asked)
    if changed.get("archived") and reason is None:
        raise BadUserInput("input.reason", "is missing; say why the model is archived.")
    if "name" in changed:
        await _require_free_name(tx, model.project_id, changed["name"])
    if changed:
        await models.change_model(tx.session, model_id, changed)
        change = before_and_after(now, changed)
        await tx.record("model.updated", model_id, model.project_id, chain=model_id, notes=reason, **change)
    return {"model_id": model_id}


async def _require_free_name(tx: Transaction, project_id: str, name: str) -> None:
    """Name the archived model that has this name, which no list shows. Of any other the database tells."""
    named = await models.model_named(tx.session, project_id, name)
    if named is not None and named.archived:
        raise AlreadyExists(
            f"The project already has a model named {quoted(name)}: {named.id}, which is archived. Bring it back with"
            " updateModel(archived: false), or choose another name.",
            field="input.name",
            id=named.id,
            archived=True,
        )


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
