"""Deletes by age what is no evidence: answers to Idempotency-Keys, deliveries, health reports, places in the feeds.

In batches, each in a transaction of its own, so that nothing waits long for one. Any number of processes may do it.
"""

from typing import Any

from sqlalchemy import TextClause, text

from resolvers.idempotency import FORGET as ANSWERS
from server.settings import Settings
from storage.engine import Database
from storage.webhooks import FORGET as DELIVERIES
from storage.webhooks import FORGET_PREVIOUS_SECRETS as PREVIOUS_SECRETS

BATCH = 2_000
HEALTH = text("SELECT forget_health(:days, :most)")
FEED = text("SELECT forget_feed(:days, :most)")


async def delete_by_age(database: Database, settings: Settings) -> None:
    kept: list[tuple[TextClause, dict[str, Any]]] = [
        (ANSWERS, {"hours": settings.keep_answer_hours}),
        (PREVIOUS_SECRETS, {}),
        (DELIVERIES, {"days": settings.keep_delivery_days}),
        (HEALTH, {"days": settings.keep_health_days}),
        (FEED, {"days": settings.keep_feed_days}),
    ]
    for statement, values in kept:
        while await _forgotten(database, statement, values) >= BATCH:
            pass


async def _forgotten(database: Database, statement: TextClause, values: dict[str, Any]) -> int:
    async with database.transaction() as session:
        return int(await session.scalar(statement, values | {"most": BATCH}) or 0)
