from collections.abc import Sequence
from typing import Any, Unpack

from resolvers.errors import BadUserInput, NotFound
from resolvers.models import lock_or_make_models
from resolvers.rules.limits import TAGS
from resolvers.rules.semver import Number
from resolvers.rules.tags import shared_tags
from resolvers.transaction import Transaction
from resolvers.version_creation import NewVersion, register, vocabulary_of
from storage import experiments, versions
from storage.models import LockedModel
from storage.tags import registration_rules
from storage.versions import LockedVersion, Tag


async def create_version(tx: Transaction, **new: Unpack[NewVersion]) -> dict[str, Any]:
    if "experiment_id" in new:
        await experiments.share_experiment(tx.session, new["project_id"], new["experiment_id"])
    models = await models_of(tx, [new])
    registered = await register(tx, models[new["model_id"]], new)
    return {"version_id": registered.version_id, "warnings": registered.warnings}


async def models_of(tx: Transaction, news: Sequence[NewVersion], path: str = "input") -> dict[str, LockedModel]:
    """All models of these versions, locked. Missing ones are created if the input allows it."""
    wanted: dict[str, str | None] = {new["model_id"]: None for new in news}
    for new in news:
        if new.get("create_model"):
            wanted[new["model_id"]] = await tx.project(new["project_id"], f"{path}.projectId")
    models = await lock_or_make_models(tx, wanted, f"{path}.modelId")
    for model_id in wanted:
        if model_id not in models:
            raise NotFound("model", model_id, f"{path}.modelId", remedy="Create it, or pass createModel: true.")
    return models


async def locked_version(tx: Transaction, model_id: str, number: Number) -> LockedVersion:
    """The version of a model. The model stays locked."""
    await tx.lock_model(model_id)
    version = await versions.locked_version(tx.session, model_id, number)
    if version is None:
        raise NotFound("version", str(number), "input.version", f"of {model_id}", modelId=model_id)
    return version


async def update_version(tx: Transaction, *, model_id: str, version: Number, description: str) -> dict[str, str]:
    row = await locked_version(tx, model_id, version)
    await touch(tx, row.id, description=description)
    before, after = {"description": row.description}, {"description": description}
    await tx.record("version.updated", row.id, row.project_id, chain=model_id, before=before, after=after)
    return {"version_id": row.id}


async def touch(tx: Transaction, version_id: str, **changes: Any) -> None:
    """Change a version, or only record that it is in use, which protects it from retention."""
    await versions.touch_version(tx.session, version_id, changes)


async def add_tags(tx: Transaction, *, model_id: str, version: Number, tags: Sequence[str]) -> dict[str, Any]:
    row = await locked_version(tx, model_id, version)
    rules = await registration_rules(tx.session, row.project_id)
    shared, warnings = shared_tags(tags, vocabulary_of(rules), "input.tags")
    added = [tag for tag in shared if tag not in row.tags]
    if len(row.tags) + len(added) > TAGS.most:
        raise BadUserInput("input.tags", f"would give the version more than {TAGS.most} tags; remove some first.")
    await tx.keep(Tag, *({"project_id": row.project_id, "version_id": row.id, "tag": tag} for tag in added))
    if added:
        await _record_tags(tx, "version.tagged", row, [*row.tags, *added])
    return {"version_id": row.id, "warnings": warnings}


async def remove_tags(tx: Transaction, *, model_id: str, version: Number, tags: Sequence[str]) -> dict[str, Any]:
    row = await locked_version(tx, model_id, version)
    aliases = (await registration_rules(tx.session, row.project_id)).aliases
    removed = [tag for tag in row.tags if tag in tags or tag in [aliases.get(each) for each in tags]]
    if removed:
        await versions.delete_tags(tx.session, row.id, removed)
        await _record_tags(tx, "version.untagged", row, [tag for tag in row.tags if tag not in removed])
    return {"version_id": row.id, "warnings": []}


async def _record_tags(tx: Transaction, action: str, row: LockedVersion, tags: Sequence[str]) -> None:
    await touch(tx, row.id)
    before, after = {"tags": sorted(row.tags)}, {"tags": sorted(tags)}
    await tx.record(action, row.id, row.project_id, chain=row.model_id, before=before, after=after)
