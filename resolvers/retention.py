"""Archives development versions that were not touched for long (product description, "Clean up old versions")."""

from collections import defaultdict
from collections.abc import AsyncIterator, Sequence
from typing import Any

import orjson

from resolvers.callers import Caller
from resolvers.rules.access import Need
from resolvers.rules.stages import Step
from resolvers.transaction import Transaction
from resolvers.transitions import step_event
from storage import retention
from storage.audit import NewEvent
from storage.engine import Database
from storage.policies import retention_days
from storage.retention import OldVersion
from storage.vocabulary import Stage

# How many versions one transaction archives, and how many one response lists.
BATCH = 500
# How many versions the daily run finds in one pass through a project.
LOOK = 40 * BATCH
RUN = Caller("lineal retention", None, "retention")


async def apply_retention(tx: Transaction, *, project_id: str, dry_run: bool = True) -> dict[str, Any]:
    await tx.project(project_id)
    old = await retention.old_versions(tx.session, project_id, BATCH + 1, kept=False)
    kept = await retention.old_versions(tx.session, project_id, BATCH, kept=True)
    ids = [version.id for version in old[:BATCH]]
    archived = ids if dry_run else await archive(tx, project_id, old[:BATCH])
    return {
        "archived_ids": archived,
        "kept_ids": [version.id for version in kept],
        "reasons": orjson.dumps({version.id: version.reason for version in kept}).decode(),
        "more": len(old) > BATCH,
        "dry_run": dry_run,
    }


async def archive(tx: Transaction, project_id: str, old: Sequence[OldVersion]) -> list[str]:
    """Archive those of these versions that still have no reason to be kept, under their locks."""
    if not old:
        return []
    await tx.lock_models(sorted({version.model_id for version in old}))
    ids = await retention.lock_versions(tx.session, [version.id for version in old])
    days = await retention_days(tx.session, project_id) or 0
    # Only these, so that a child that is not among them keeps its parent.
    still = await retention.old_versions(tx.session, project_id, len(ids), kept=False, only=ids)
    notes = f"Not touched for more than {days} days."
    events: dict[str, list[NewEvent]] = defaultdict(list)
    for version in still:
        step = Step(version.id, Stage.ARCHIVED, automatic=True)
        events[version.model_id].append(step_event(tx, project_id, step, Stage.DEVELOPMENT, notes, None))
    await retention.append_all(tx.session, events)
    return [version.id for version in still]


async def run_retention(database: Database) -> int:
    """The daily run over all projects, if it is due. Returns how many versions it archived.

    It may be killed at any moment, and several processes may call it at once. Each transaction leaves a state from
    which the next run continues, and a process that finds another one at work leaves the rest to it.
    """
    async with database.session() as session:
        if not await retention.is_due(session):
            return 0
        projects = await retention.projects(session)
    archived = 0
    for project_id in projects:
        async for count in _archive_all(database, project_id):
            if count is None:
                return archived
            archived += count
    async with database.transaction() as session:
        await retention.note_finished(session)
    return archived


async def _archive_all(database: Database, project_id: str) -> AsyncIterator[int | None]:
    """How many versions each transaction archived, until no more can be. None if another process is doing it."""
    while True:
        old = await _look(database, project_id)
        if old is None:
            yield None
            return
        progress = 0
        for start in range(0, len(old), BATCH):
            count = await _archive_batch(database, project_id, old[start : start + BATCH])
            yield count
            progress += count or 0
        # A version that was kept before may be free now: a parent that came before its child.
        if not progress or progress == len(old) < LOOK:
            return


async def _look(database: Database, project_id: str) -> list[OldVersion] | None:
    async with database.transaction() as session:
        if not await retention.take_turn(session):
            return None
        return await retention.old_versions(session, project_id, LOOK, kept=False)


async def _archive_batch(database: Database, project_id: str, old: Sequence[OldVersion]) -> int | None:
    async with database.transaction() as session:
        if not await retention.take_turn(session):
            return None
        return len(await archive(Transaction(session, RUN, Need.ADMIN), project_id, old))
