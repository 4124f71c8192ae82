"""Deletes old rows that are not evidence: responses to Idempotency-Keys, deliveries, health reports, places in the
feeds.

Rows are deleted in batches, each in its own transaction, so that other work does not wait long. Any number of processes
may do it.
"""

from collections.abc import Awaitable, Callable

from sqlalchemy.ext.asyncio import AsyncSession

from server.settings import Settings
from storage import deletion, idempotency
from storage.engine import Database

BATCH = 2_000


async def delete_by_age(database: Database, settings: Settings) -> None:
    async with database.transaction() as session:
        await deletion.previous_secrets(session)
    kept: list[tuple[Callable[[AsyncSession, float, int], Awaitable[int]], float]] = [
        (idempotency.forget, settings.keep_answer_hours),
        (deletion.deliveries, settings.keep_delivery_days),
        (deletion.health_reports, settings.keep_health_days),
        (deletion.feed_places, settings.keep_feed_days),
    ]
    for delete, age in kept:
        while await _deleted(database, delete, age) >= BATCH:
            pass


async def _deleted(database: Database, delete: Callable[[AsyncSession, float, int], Awaitable[int]], age: float) -> int:
    async with database.transaction() as session:
        return await delete(session, age, BATCH)
