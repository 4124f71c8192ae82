from collections.abc import Mapping, Sequence
from typing import Any, Unpack

from sqlalchemy import delete, update

from resolvers.errors import BadUserInput, NotFound
from resolvers.models import lock_or_make_models
from resolvers.registration import NewVersion, register
from resolvers.rules import stages
from resolvers.rules.limits import TAGS
from resolvers.rules.semver import Number
from resolvers.rules.stages import Step
from resolvers.transaction import Transaction
from storage import load
from storage.ids import new_id
from storage.versions import StageTransition, Tag, Version
from storage.vocabulary import Stage


async def create_version(tx: Transaction, **new: Unpack[NewVersion]) -> dict[str, Any]:
    models = await models_of(tx, [new])
    registered = await register(tx, models[new["model_id"]], new)
    return {"version_id": registered["version_id"], "warnings": registered["warnings"]}


async def models_of(tx: Transaction, news: Sequence[NewVersion], path: str = "input") -> dict[str, Mapping[str, Any]]:
    """All models of these versions, locked; those that may be made are made."""
    wanted: dict[str, str | None] = {new["model_id"]: None for new in news}
    for new in news:
        if new.get("create_model"):
            wanted[new["model_id"]] = await tx.project(new["project_id"], f"{path}.projectId")
    found = await lock_or_make_models(tx, wanted)
    for model_id in wanted:
        if model_id not in found:
            raise NotFound("model", model_id, f"{path}.modelId")
    return found


async def _version(tx: Transaction, model_id: str, number: Number) -> tuple[str, Mapping[str, Any]]:
    """The project and the version, whose model stays locked."""
    model = await tx.lock_model(model_id)
    version = await load.version_in_model(tx.session, model_id, number)
    if version is None:
        raise NotFound("version", f"{number} of {model_id}", "input.version")
    return model["project_id"], version


async def update_version(tx: Transaction, *, model_id: str, version: Number, description: str) -> dict[str, str]:
    project_id, found = await _version(tx, model_id, version)
    await tx.session.execute(update(Version).where(Version.id == found["id"]).values(description=description))
    details = {"before": {"description": found["description"]}, "after": {"description": description}}
    await tx.record("version.updated", found["id"], project_id, chain=model_id, details=details)
    return {"version_id": found["id"]}


async def add_tags(tx: Transaction, *, model_id: str, version: Number, tags: Sequence[str]) -> dict[str, Any]:
    project_id, found = await _version(tx, model_id, version)
    added = [tag for tag in tags if tag not in found["tags"]]
    if len(found["tags"]) + len(added) > TAGS.most:
        raise BadUserInput("input.tags", f"would make more than {TAGS.most} tags on the version; remove some first.")
    await tx.keep(Tag, *({"project_id": project_id, "version_id": found["id"], "tag": tag} for tag in added))
    if added:
        await tx.record("version.tagged", found["id"], project_id, chain=model_id, details={"added": added})
    return {"version_id": found["id"], "warnings": []}


async def remove_tags(tx: Transaction, *, model_id: str, version: Number, tags: Sequence[str]) -> dict[str, Any]:
    project_id, found = await _version(tx, model_id, version)
    removed = [tag for tag in tags if tag in found["tags"]]
    if removed:
        those = (Tag.version_id == found["id"], Tag.tag.in_(removed))  # type: ignore[attr-defined]
        await tx.session.execute(delete(Tag).where(*those))
        await tx.record("version.untagged", found["id"], project_id, chain=model_id, details={"removed": removed})
    return {"version_id": found["id"], "warnings": []}


async def transition_stage(
    tx: Transaction,
    *,
    model_id: str,
    version: Number,
    target_stage: Stage,
    notes: str | None = None,
    approved_by: str | None = None,
    expected_stage: Stage | None = None,
) -> dict[str, str | None]:
    project_id, found = await _version(tx, model_id, version)
    steps = stages.transition(
        found["id"],
        Stage(found["stage"]),
        target_stage,
        expected=expected_stage,
        in_production=found["production_id"],
    )
    rows = _history(tx, project_id, model_id, found, steps, notes, approved_by)
    await tx.keep(StageTransition, *rows)
    for row in rows:
        # One at a time and in this order: the production version makes room before the next one enters.
        changes = {"stage": row["to_stage"], "stage_position": row["position"]}
        await tx.session.execute(update(Version).where(Version.id == row["version_id"]).values(changes))
    for row in rows:
        await _record_step(tx, row, notes)
    archived = steps[0].version_id if len(steps) > 1 else None
    return {"version_id": found["id"], "transition_id": rows[-1]["id"], "archived_id": archived}


def _history(
    tx: Transaction,
    project_id: str,
    model_id: str,
    found: Mapping[str, Any],
    steps: Sequence[Step],
    notes: str | None,
    approved_by: str | None,
) -> list[dict[str, Any]]:
    """The steps as rows that continue the model's history, all at one moment."""
    rows = []
    for position, step in enumerate(steps, start=found["position"] + 1):
        asked = step.version_id == found["id"]
        rows.append(
            {
                "id": new_id("tra"),
                "project_id": project_id,
                "model_id": model_id,
                "version_id": step.version_id,
                "position": position,
                "previous_position": position - 1,
                "after_position": found["stage_position"] if asked else found["production_position"],
                "from_stage": found["stage"] if asked else Stage.PRODUCTION,
                "to_stage": step.to_stage,
                "at": found["now"],
                "actor": tx.caller.actor,
                "approved_by": approved_by if asked else None,
                "notes": notes if asked else "Replaced in production.",
                "automatic": step.automatic,
            }
        )
    return rows


async def _record_step(tx: Transaction, row: Mapping[str, Any], notes: str | None) -> None:
    details = {
        "from": row["from_stage"],
        "to": row["to_stage"],
        "approvedBy": row["approved_by"],
        "automatic": row["automatic"],
        "transitionId": row["id"],
    }
    await tx.record(
        "version.transitioned",
        row["version_id"],
        row["project_id"],
        chain=row["model_id"],
        details=details,
        notes=notes,
    )
