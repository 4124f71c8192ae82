"""Webhooks: where events are sent, and what became of each sending."""

from datetime import datetime
from uuid import UUID

from sqlalchemy import BigInteger, CheckConstraint, Column, DateTime, Index, Text, UniqueConstraint, text
from sqlalchemy.dialects.postgresql import ARRAY
from sqlmodel import Field, SQLModel

from storage.base import Recorded, readable_id, tenant, within_project, words
from storage.sql import load_sql
from storage.vocabulary import DeliveryStatus


class Webhook(Recorded, table=True):
    """Where a project's events are sent. `position` is how far its feed has been gone through.

    Secrets are sealed (storage/sealing.py). Until `previous_until`, events are signed with the previous one as well.
    `failing_since` is the first failed attempt since the last success. `disabled_at` and `disabled_reason` are null
    unless the registry switched the webhook off.
    """

    __tablename__ = "webhooks"
    __table_args__ = (
        readable_id("whk"),
        tenant(),
        CheckConstraint("position >= 0", name="position"),
        CheckConstraint("(previous_until IS NULL) = (previous_secret IS NULL)", name="previous_until"),
        CheckConstraint("(disabled_at IS NULL) = (disabled_reason IS NULL)", name="disabled_at"),
        Index("webhooks_of_project", "project_id", "created_at", "id"),
    )

    id: str = Field(primary_key=True)
    project_id: str = Field(foreign_key="projects.id")
    url: str
    description: str | None = None
    actions: list[str] = Field(sa_column=Column(ARRAY(Text), nullable=False))
    secret: str
    active: bool = True
    position: int = Field(sa_type=BigInteger)
    previous_secret: str | None = None
    previous_until: datetime | None = Field(default=None, sa_type=DateTime(timezone=True))
    failing_since: datetime | None = Field(default=None, sa_type=DateTime(timezone=True))
    disabled_at: datetime | None = Field(default=None, sa_type=DateTime(timezone=True))
    disabled_reason: str | None = None


class WebhookDelivery(SQLModel, table=True):
    """One event for one webhook. `next_at` is when it is sent next. While it is being sent, `lease` is a token that
    never repeats, and `next_at` is when it is sent again if that process is gone by then."""

    __tablename__ = "webhook_deliveries"
    __table_args__ = (
        readable_id("dlv"),
        within_project("webhook_id", "webhooks"),
        words("status", DeliveryStatus),
        UniqueConstraint("webhook_id", "event_id", name="once"),
        CheckConstraint("(next_at IS NOT NULL) = (status = 'PENDING')", name="next_at"),
        Index(
            "webhook_deliveries_of_webhook_due", "webhook_id", "next_at", postgresql_where=text("next_at IS NOT NULL")
        ),
        Index("webhook_deliveries_leased", "webhook_id", postgresql_where=text("lease IS NOT NULL")),
        Index("webhook_deliveries_ended", "attempted_at", postgresql_where=text("next_at IS NULL")),
        Index("webhook_deliveries_newest", "webhook_id", "created_at", "id"),
    )

    id: str = Field(primary_key=True)
    project_id: str
    webhook_id: str
    event_id: str = Field(foreign_key="audit_events.id")
    status: str
    attempts: int
    next_at: datetime | None = Field(default=None, sa_type=DateTime(timezone=True))
    attempted_at: datetime | None = Field(default=None, sa_type=DateTime(timezone=True))
    response_status: int | None = None
    error: str | None = None
    created_at: datetime = Field(
        default=None,
        sa_type=DateTime(timezone=True),
        sa_column_kwargs={"server_default": text("clock_timestamp()"), "nullable": False},
    )
    lease: UUID | None = None


# Deliveries of what is new in the feeds. Whoever finds a webhook taken leaves it to the other.
EXPAND = """
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
        clock_timestamp() + place * interval '1 microsecond' -- in the order of the feed
    FROM news WHERE cardinality(actions) = 0 OR action = ANY (actions) ORDER BY webhook_id, place
    ON CONFLICT DO NOTHING -- one webhook whose position was set back must not hold up all others
)
UPDATE webhooks w SET position = n.last
FROM (SELECT webhook_id, max(position) AS last FROM news GROUP BY webhook_id) n WHERE w.id = n.webhook_id
"""
# Held while deliveries are taken: two processes that take at once would each count the places without the other's.
TAKING = "SELECT pg_advisory_xact_lock(hashtext('lineal webhook places'))"
TAKE = load_sql("take_deliveries")
# Before a delivery of the webhook changes, so that whoever changes both waits in the same order.
LOCK = "SELECT id FROM webhooks WHERE id = :webhook FOR NO KEY UPDATE"
FINISH = """
UPDATE webhook_deliveries SET status = CAST(:status AS text), response_status = :response_status, error = :error,
    lease = NULL,
    next_at = CASE WHEN CAST(:status AS text) = 'PENDING' THEN clock_timestamp() + make_interval(secs => :wait) END
WHERE id = :id AND lease = :lease
"""
SUCCEEDED = "UPDATE webhooks SET failing_since = NULL WHERE id = :webhook AND failing_since IS NOT NULL"
# The first failure since the last success; returns the project where that is too long ago, and the webhook is active.
FAILED = """
UPDATE webhooks SET failing_since = coalesce(failing_since, clock_timestamp()) WHERE id = :webhook
RETURNING CASE WHEN active AND failing_since < clock_timestamp() - make_interval(secs => :dead) THEN project_id END
"""
DISABLE = """
UPDATE webhooks SET active = false, disabled_at = clock_timestamp(), disabled_reason = :reason WHERE id = :webhook
"""
REPLAY = """
UPDATE webhook_deliveries SET status = 'PENDING', attempts = 0, next_at = clock_timestamp(), error = NULL,
    response_status = NULL, lease = NULL
WHERE id = :id
"""
# The oldest of the deliveries that are meant, in the order of their events; returns how many, and how many are left.
REPLAY_ALL = """
WITH meant AS (
    SELECT d.id, row_number() OVER (ORDER BY e.at, e.chain, e.seq) AS place
    FROM webhook_deliveries d JOIN audit_events e ON e.id = d.event_id
    WHERE d.webhook_id = :webhook AND d.status = ANY (CAST(:status AS text[]))
        AND (CAST(:since AS timestamptz) IS NULL OR d.created_at >= CAST(:since AS timestamptz))
), again AS (
    UPDATE webhook_deliveries d SET status = 'PENDING', attempts = 0, error = NULL, response_status = NULL,
        lease = NULL, next_at = clock_timestamp() + m.place * interval '1 microsecond'
    FROM meant m WHERE d.id = m.id AND m.place <= :most RETURNING d.id
)
SELECT (SELECT count(*) FROM again) AS replayed, (SELECT count(*) FROM meant WHERE place > :most) AS left
"""
# Deliveries that have ended some days ago; returns how many.
FORGET = text("""
WITH old AS (
    SELECT id FROM webhook_deliveries
    WHERE next_at IS NULL AND attempted_at < clock_timestamp() - :days * interval '1 day'
    ORDER BY attempted_at LIMIT :most
), forgotten AS (
    DELETE FROM webhook_deliveries d USING old WHERE d.id = old.id AND d.next_at IS NULL RETURNING 1
)
SELECT count(*) FROM forgotten
""")
FORGET_PREVIOUS_SECRETS = text("""
UPDATE webhooks SET previous_secret = NULL, previous_until = NULL WHERE previous_until < clock_timestamp()
    AND :most > 0 RETURNING 0
""")
