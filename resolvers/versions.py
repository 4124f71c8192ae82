from collections.abc import Mapping, Sequence
from typing import Any, Unpack

from sqlalchemy import delete, func, update

from resolvers.errors import BadUserInput, NotFound
from resolvers.models import lock_or_make_models
from resolvers.rules.limits import TAGS
from resolvers.rules.semver import Number
from resolvers.rules.tags import shared_tags
from resolvers.transaction import Transaction
from resolvers.version_creation import NewVersion, register, vocabulary_of
from storage import load
from storage.versions import Tag, Version


async def create_version(tx: Transaction, **new: Unpack[NewVersion]) -> dict[str, Any]:
    if "experiment_id" in new:
        await load.share_experiment(tx.session, new["project_id"], new["experiment_id"])
    models = await models_of(tx, [new])
    registered = await register(tx, models[new["model_id"]], new)
    return {"version_id": registered["version_id"], "warnings": registered["warnings"]}


async def models_of(tx: Transaction, news: Sequence[NewVersion], path: str = "input") -> dict[str, Mapping[str, Any]]:
    """All models of these versions, locked; those that may be made are made."""
    wanted: dict[str, str | None] = {new["model_id"]: None for new in news}
    for new in news:
        if new.get("create_model"):
            wanted[new["model_id"]] = await tx.project(new["project_id"], f"{path}.projectId")
    found = await lock_or_make_models(tx, wanted, f"{path}.modelId")
    for model_id in wanted:
        if model_id not in found:
            raise NotFound("model", model_id, f"{path}.modelId")
    return found


async def version_of(tx: Transaction, model_id: str, number: Number) -> tuple[str, Mapping[str, Any]]:
    """The project and the version, whose model stays locked."""
    model = await tx.lock_model(model_id)
    version = await load.version_in_model(tx.session, model_id, number)
    if version is None:
        raise NotFound("version", str(number), "input.version", f"of {model_id}", modelId=model_id)
    return model["project_id"], version


async def update_version(tx: Transaction, *, model_id: str, version: Number, description: str) -> dict[str, str]:
    project_id, found = await version_of(tx, model_id, version)
    await touch(tx, found["id"], description=description)
    change = {"before": {"description": found["description"]}, "after": {"description": description}}
    await tx.record("version.updated", found["id"], project_id, chain=model_id, **change)
    return {"version_id": found["id"]}


async def touch(tx: Transaction, version_id: str, **changes: Any) -> None:
    """Change a version, or only say that somebody works with it, which keeps it from retention."""
    changes["touched_at"] = func.clock_timestamp()
    await tx.session.execute(update(Version).where(Version.id == version_id).values(changes))  # type: ignore[arg-type]


async def add_tags(tx: Transaction, *, model_id: str, version: Number, tags: Sequence[str]) -> dict[str, Any]:
    project_id, found = await version_of(tx, model_id, version)
    rules = await load.registration_rules(tx.session, project_id)
    shared, warnings = shared_tags(tags, vocabulary_of(rules), "input.tags")
    added = [tag for tag in shared if tag not in found["tags"]]
    if len(found["tags"]) + len(added) > TAGS.most:
        raise BadUserInput("input.tags", f"would make more than {TAGS.most} tags on the version; remove some first.")
    await tx.keep(Tag, *({"project_id": project_id, "version_id": found["id"], "tag": tag} for tag in added))
    if added:
        await _record_tags(tx, "version.tagged", project_id, found, [*found["tags"], *added])
    return {"version_id": found["id"], "warnings": warnings}


async def remove_tags(tx: Transaction, *, model_id: str, version: Number, tags: Sequence[str]) -> dict[str, Any]:
    project_id, found = await version_of(tx, model_id, version)
    aliases = (await load.registration_rules(tx.session, project_id))["aliases"]
    removed = [tag for tag in found["tags"] if tag in tags or tag in [aliases.get(each) for each in tags]]
    if removed:
        those = (Tag.version_id == found["id"], Tag.tag.in_(removed))  # type: ignore[attr-defined]
        await tx.session.execute(delete(Tag).where(*those))
        await _record_tags(tx, "version.untagged", project_id, found, [t for t in found["tags"] if t not in removed])
    return {"version_id": found["id"], "warnings": []}


async def _record_tags(
    tx: Transaction, action: str, project_id: str, found: Mapping[str, Any], tags: Sequence[str]
) -> None:
    await touch(tx, found["id"])
    change = {"before": {"tags": sorted(found["tags"])}, "after": {"tags": sorted(tags)}}
    await tx.record(action, found["id"], project_id, chain=found["model_id"], **change)
