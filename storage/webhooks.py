"""Webhooks: where events are sent, and what became of each sending."""

from datetime import datetime

from sqlalchemy import BigInteger, CheckConstraint, Column, DateTime, Index, Text, UniqueConstraint, text
from sqlalchemy.dialects.postgresql import ARRAY
from sqlmodel import Field, SQLModel

from storage.base import Recorded, readable_id, tenant, within_project, words
from storage.vocabulary import DeliveryStatus


class Webhook(Recorded, table=True):
    """Where a project's events are sent. `position` is how far its feed has been gone through."""

    __tablename__ = "webhooks"
    __table_args__ = (
        readable_id("whk"),
        tenant(),
        CheckConstraint("position >= 0", name="position"),
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


class WebhookDelivery(SQLModel, table=True):
    """One event for one webhook. `next_at` is when it is sent next, or again should whoever sends it now be gone."""

    __tablename__ = "webhook_deliveries"
    __table_args__ = (
        readable_id("dlv"),
        within_project("webhook_id", "webhooks"),
        words("status", DeliveryStatus),
        UniqueConstraint("webhook_id", "event_id", name="once"),
        CheckConstraint("(next_at IS NOT NULL) = (status = 'PENDING')", name="next_at"),
        Index("webhook_deliveries_due", "next_at", postgresql_where=text("next_at IS NOT NULL")),
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


# Deliveries of what is new in the feeds. Whoever finds a webhook taken leaves it to the other.
EXPAND = """
WITH due AS (
    SELECT w.id, w.project_id, w.position, w.actions FROM webhooks w
    WHERE w.active AND w.position < (SELECT max(f.position) FROM audit_feed f WHERE f.project_id = w.project_id)
    FOR UPDATE SKIP LOCKED
), news AS (
    SELECT due.id AS webhook_id, due.project_id, due.actions, n.position, e.id AS event_id, e.action
    FROM due
    CROSS JOIN LATERAL (
        SELECT f.position, f.chain, f.seq FROM audit_feed f
        WHERE f.project_id = due.project_id AND f.position > due.position ORDER BY f.position LIMIT 500
    ) n JOIN audit_events e USING (chain, seq)
), added AS (
    INSERT INTO webhook_deliveries (id, project_id, webhook_id, event_id, status, attempts, next_at)
    SELECT 'dlv_' || replace(gen_random_uuid()::text, '-', ''), project_id, webhook_id, event_id, 'PENDING', 0,
        clock_timestamp()
    FROM news WHERE cardinality(actions) = 0 OR action = ANY (actions)
)
UPDATE webhooks w SET position = n.last
FROM (SELECT webhook_id, max(position) AS last FROM news GROUP BY webhook_id) n WHERE w.id = n.webhook_id
"""
# Deliveries that are due, each for one sender alone as long as its request may take.
TAKE = """
UPDATE webhook_deliveries d SET attempts = d.attempts + 1, attempted_at = clock_timestamp(),
    next_at = clock_timestamp() + make_interval(secs => :lease)
FROM (
    SELECT q.id FROM webhook_deliveries q JOIN webhooks w ON w.id = q.webhook_id
    WHERE q.next_at <= clock_timestamp() AND w.active ORDER BY q.next_at LIMIT :most FOR UPDATE OF q SKIP LOCKED
) t, webhooks w, audit_events e
WHERE d.id = t.id AND w.id = d.webhook_id AND e.id = d.event_id
RETURNING d.id, d.attempts, w.url, w.secret, e.id AS event_id, e.action, e.at, e.chain, e.seq,
    shown_entry(e.entry) AS entry
"""
FINISH = """
UPDATE webhook_deliveries SET status = CAST(:status AS text), response_status = :response_status, error = :error,
    next_at = CASE WHEN CAST(:status AS text) = 'PENDING' THEN clock_timestamp() + make_interval(secs => :wait) END
WHERE id = :id AND attempts = :attempts
"""
REPLAY = """
UPDATE webhook_deliveries SET status = 'PENDING', attempts = 0, next_at = clock_timestamp(), error = NULL,
    response_status = NULL
WHERE id = :id
"""
