"""Webhooks: the receivers of events, and the status of each delivery."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any
from uuid import UUID

from sqlalchemy import (
    BigInteger,
    CheckConstraint,
    Column,
    DateTime,
    Index,
    Text,
    UniqueConstraint,
    delete,
    text,
    update,
)
from sqlalchemy.dialects.postgresql import ARRAY
from sqlalchemy.ext.asyncio import AsyncSession
from sqlmodel import Field, SQLModel, col

from storage.base import Recorded, one_of, readable_id, tenant, within_project
from storage.visibility import Viewer, VisibleRow, visible
from storage.vocabulary import DeliveryStatus


class Webhook(Recorded, table=True):
    """A receiver of a project's events. `position` is the last position of the feed that was processed.

    Secrets are sealed (storage/sealing.py). Until `previous_until`, events are signed with the previous one as well.
    `failing_since` is the first failed attempt since the last success. `disabled_at` and `disabled_reason` are null
    unless the registry disabled the webhook.
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
    never repeats, and `next_at` is when it is sent again if the process is gone by then."""

    __tablename__ = "webhook_deliveries"
    __table_args__ = (
        readable_id("dlv"),
        within_project("webhook_id", "webhooks"),
        one_of("status", DeliveryStatus),
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


DISABLE = text("""
UPDATE webhooks SET active = false, disabled_at = clock_timestamp(), disabled_reason = :reason WHERE id = :webhook
""")


@dataclass(frozen=True, kw_only=True)
class LockedWebhook(VisibleRow):
    id: str
    url: str
    actions: list[str]
    description: str | None
    active: bool
    secret: str


@dataclass(frozen=True, kw_only=True)
class VisibleDelivery(VisibleRow):
    webhook_id: str
    event_id: str


async def lock_webhook(session: AsyncSession, id_: str, viewer: Viewer) -> LockedWebhook | None:
    return await visible(session, LockedWebhook, "webhooks", id_, viewer, lock=True)


async def delivery(session: AsyncSession, id_: str, viewer: Viewer) -> VisibleDelivery | None:
    return await visible(session, VisibleDelivery, "webhook_deliveries", id_, viewer)


async def count_webhooks(session: AsyncSession, project_id: str) -> int:
    """The number of webhooks of a project. The caller must have locked its policy."""
    statement = "SELECT count(*) FROM webhooks WHERE project_id = :project"
    return int(await session.scalar(text(statement), {"project": project_id}) or 0)


async def disable(session: AsyncSession, webhook_id: str, reason: str) -> None:
    await session.execute(DISABLE, {"webhook": webhook_id, "reason": reason})


async def change(session: AsyncSession, webhook_id: str, values: Mapping[str, Any]) -> None:
    await session.execute(update(Webhook).where(col(Webhook.id) == webhook_id).values(**values))


async def delete_webhook(session: AsyncSession, webhook_id: str) -> None:
    """Delete a locked webhook with its deliveries; nobody adds any to it meanwhile."""
    await session.execute(delete(WebhookDelivery).where(col(WebhookDelivery.webhook_id) == webhook_id))
    await session.execute(delete(Webhook).where(col(Webhook.id) == webhook_id))
