"""Deliveries of events to webhooks: the due ones, their results, and replays."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, NamedTuple
from uuid import UUID

from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncSession

from storage.sql import load_sql


@dataclass(frozen=True)
class Delivery:
    """One event to send to one webhook now. `entry` is the event as the audit log shows it, `lease` the token of this
    attempt."""

    id: str
    lease: UUID
    attempts: int
    webhook_id: str
    url: str
    secret: str
    previous_secret: str | None
    event_id: str
    action: str
    at: str
    chain: str
    seq: int
    entry: str


@dataclass(frozen=True)
class Places:
    """The most deliveries in flight: of this process now, of a project, and of a project to receivers that failed last
    time. And the seconds for which a delivery is leased."""

    most: int
    per_project: int
    per_failing: int
    seconds: float


class Replayed(NamedTuple):
    """How many deliveries are sent again, and how many more there are."""

    replayed: int
    left: int


# Creates deliveries of new events in the feeds. A process skips webhooks that another one has locked.
EXPAND = text("""
WITH due AS (
    SELECT w.id, w.project_id, w.position, w.actions FROM webhooks w
    WHERE w.active AND w.position < (SELECT max(f.position) FROM audit_feed f WHERE f.project_id = w.project_id)
    FOR UPDATE SKIP LOCKED
), news AS (
    SELECT due.id AS webhook_id, due.project_id, due.actions, n.position, n.place, e.id AS event_id, e.action
    FROM due
    CROSS JOIN LATERAL (
        SELECT f.position, f.chain, f.seq, row_number() OVER (ORDER BY f.position) AS place FROM audit_feed f
        WHERE f.project_id = due.project_id AND f.position > due.position ORDER BY f.position LIMIT 500
    ) n JOIN audit_events e USING (chain, seq)
), added AS (
    INSERT INTO webhook_deliveries (id, project_id, webhook_id, event_id, status, attempts, next_at)
    SELECT 'dlv_' || replace(gen_random_uuid()::text, '-', ''), project_id, webhook_id, event_id, 'PENDING', 0,
        statement_timestamp() + place * interval '1 microsecond' -- in the order of the feed
    FROM news WHERE cardinality(actions) = 0 OR action = ANY (actions) ORDER BY webhook_id, place
    ON CONFLICT DO NOTHING -- one webhook whose position was set back must not hold up all others
)
UPDATE webhooks w SET position = n.last
FROM (SELECT webhook_id, max(position) AS last FROM news GROUP BY webhook_id) n WHERE w.id = n.webhook_id
""")
# Held while deliveries are leased: two concurrent processes would each count the places without the other's.
TAKING = text("SELECT pg_advisory_xact_lock(hashtext('lineal webhook places'))")
TAKE = text(load_sql("take_deliveries"))
LOCK = text("SELECT id FROM webhooks WHERE id = :webhook FOR NO KEY UPDATE")
FINISH = text("""
UPDATE webhook_deliveries SET status = CAST(:status AS text), response_status = :response_status, error = :error,
    lease = NULL,
    next_at = CASE WHEN CAST(:status AS text) = 'PENDING' THEN clock_timestamp() + make_interval(secs => :wait) END
WHERE id = :id AND lease = :lease
""")
SUCCEEDED = text("UPDATE webhooks SET failing_since = NULL WHERE id = :webhook AND failing_since IS NOT NULL")
FAILED = text("""
UPDATE webhooks SET failing_since = coalesce(failing_since, clock_timestamp()) WHERE id = :webhook
RETURNING CASE WHEN active AND failing_since < clock_timestamp() - make_interval(secs => :dead) THEN project_id END
""")
REPLAY = text("""
UPDATE webhook_deliveries SET status = 'PENDING', attempts = 0, next_at = clock_timestamp(), error = NULL,
    response_status = NULL, lease = NULL
WHERE id = :id
""")
REPLAY_OLDEST = text("""
WITH meant AS (
    SELECT d.id, row_number() OVER (ORDER BY e.at, e.chain, e.seq) AS place
    FROM webhook_deliveries d JOIN audit_events e ON e.id = d.event_id
    WHERE d.webhook_id = :webhook AND d.status = ANY (CAST(:status AS text[]))
        AND (CAST(:since AS timestamptz) IS NULL OR d.created_at >= CAST(:since AS timestamptz))
), again AS (
    UPDATE webhook_deliveries d SET status = 'PENDING', attempts = 0, error = NULL, response_status = NULL,
        lease = NULL, next_at = statement_timestamp() + m.place * interval '1 microsecond' -- one time for all rows
    FROM meant m WHERE d.id = m.id AND m.place <= :most RETURNING d.id
)
SELECT (SELECT count(*) FROM again) AS replayed, (SELECT count(*) FROM meant WHERE place > :most) AS left
""")


async def expand(session: AsyncSession) -> None:
    """Create deliveries of new events in the feeds."""
    await session.execute(EXPAND)


async def take(session: AsyncSession, places: Places, keys: Sequence[str], busy: Sequence[str]) -> list[Delivery]:
    """Lease due deliveries whose secrets can be decrypted with these keys, except those of busy webhooks."""
    await session.execute(TAKING)
    values = {"most": places.most, "per_project": places.per_project, "per_failing": places.per_failing}
    values |= {"seconds": places.seconds, "keys": list(keys), "busy": list(busy)}  # type: ignore[dict-item]
    return [Delivery(**row) for row in (await session.execute(TAKE, values)).mappings()]


async def finish(session: AsyncSession, delivery: Delivery, ending: Mapping[str, Any]) -> bool:
    """Store the result of an attempt. Returns False if the attempt no longer owns the delivery, because its lease
    expired or it was replayed. Locks the webhook first, so that all transactions lock the two in the same order."""
    await session.execute(LOCK, {"webhook": delivery.webhook_id})
    result = await session.execute(FINISH, dict(ending) | {"id": delivery.id, "lease": delivery.lease})
    return bool(result.rowcount)  # type: ignore[attr-defined]


async def note_success(session: AsyncSession, webhook_id: str) -> None:
    await session.execute(SUCCEEDED, {"webhook": webhook_id})


async def note_failure(session: AsyncSession, webhook_id: str, dead_seconds: float) -> str | None:
    """Record the first failure since the last success. Returns the webhook's project if that was too long ago and the
    webhook is active."""
    project_id: str | None = await session.scalar(FAILED, {"webhook": webhook_id, "dead": dead_seconds})
    return project_id


async def replay(session: AsyncSession, delivery_id: str) -> None:
    await session.execute(REPLAY, {"id": delivery_id})


async def replay_oldest(
    session: AsyncSession, webhook_id: str, status: Sequence[str], since: datetime | None, most: int
) -> Replayed:
    """Send the oldest of these deliveries again, in the order of their events."""
    values = {"webhook": webhook_id, "status": list(status), "since": since, "most": most}
    return Replayed(*(await session.execute(REPLAY_OLDEST, values)).one())
