"""Archiving development versions that nobody touched for long (product description, "Clean up old versions")."""

from collections import defaultdict
from collections.abc import Sequence
from typing import Any

import orjson

from resolvers.rules.stages import Step
from resolvers.transaction import Caller, Transaction
from resolvers.transitions import step_event
from storage import load, retention
from storage.vocabulary import Stage

# How many versions one transaction archives, and how many one answer lists.
BATCH = 500
RUN = Caller("lineal retention", None, "retention")


async def apply_retention(tx: Transaction, *, project_id: str, dry_run: bool = True) -> dict[str, Any]:
    await tx.project(project_id)
    found = await retention.old_versions(tx.session, project_id, BATCH + 1, kept=False)
    kept = await retention.old_versions(tx.session, project_id, BATCH, kept=True)
    ids = [version["id"] for version in found[:BATCH]]
    archived = ids if dry_run else await archive(tx, project_id, found[:BATCH])
    return {
        "archived_ids": archived,
        "kept_ids": [version["id"] for version in kept],
        "reasons": orjson.dumps({version["id"]: version["reason"] for version in kept}).decode(),
        "more": len(found) > BATCH,
        "dry_run": dry_run,
    }


async def archive(tx: Transaction, project_id: str, found: Sequence[dict[str, Any]]) -> list[str]:
    """Archive those of these versions that still nothing keeps, now that nobody else works on them."""
    if not found:
        return []
    await tx.lock_models(sorted({version["model_id"] for version in found}))
    ids = [version["id"] for version in found]
    await retention.lock_versions(tx.session, ids)
    days = (await load.retention_days(tx.session, project_id)) or 0
    # Those alone, so that a child that is not among them keeps its parent.
    still = await retention.old_versions(tx.session, project_id, len(ids), kept=False, only=ids)
    notes = f"Not touched for more than {days} days."
    events: dict[str, list[dict[str, Any]]] = defaultdict(list)
    for version in still:
        step = Step(version["id"], Stage.ARCHIVED, automatic=True)
        events[version["model_id"]].append(step_event(tx, project_id, step, Stage.DEVELOPMENT, notes, None))
    await retention.append_all(tx.session, events)
    return [version["id"] for version in still]
