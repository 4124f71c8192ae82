"""Deletes old rows that are not evidence, a batch at a time. Each function returns how many rows it deleted."""

from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncSession

# The app's role cannot delete these rows itself. Functions of the database do, and only old ones.
HEALTH = text("SELECT forget_health(:days, :most)")
FEED = text("SELECT forget_feed(:days, :most)")
DELIVERIES = text("""
WITH old AS (
    SELECT id FROM webhook_deliveries
    WHERE next_at IS NULL AND attempted_at < clock_timestamp() - :days * interval '1 day'
    ORDER BY attempted_at LIMIT :most
), forgotten AS (
    DELETE FROM webhook_deliveries d USING old WHERE d.id = old.id AND d.next_at IS NULL RETURNING 1
)
SELECT count(*) FROM forgotten
""")
PREVIOUS_SECRETS = text("""
UPDATE webhooks SET previous_secret = NULL, previous_until = NULL WHERE previous_until < clock_timestamp()
""")


async def health_reports(session: AsyncSession, days: float, most: int) -> int:
    return int(await session.scalar(HEALTH, {"days": days, "most": most}) or 0)


async def feed_places(session: AsyncSession, days: float, most: int) -> int:
    return int(await session.scalar(FEED, {"days": days, "most": most}) or 0)


async def deliveries(session: AsyncSession, days: float, most: int) -> int:
    """Delete deliveries that were delivered or failed some days ago."""
    return int(await session.scalar(DELIVERIES, {"days": days, "most": most}) or 0)


async def previous_secrets(session: AsyncSession) -> None:
    """Delete the previous secrets whose overlap has ended, all at once: a webhook has at most one."""
    await session.execute(PREVIOUS_SECRETS)
