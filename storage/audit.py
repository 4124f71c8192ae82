"""The audit log: append-only, hash-chained, and written only by one database function."""

from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any, NotRequired, TypedDict

import rfc8785
from sqlalchemy import BigInteger, Column, DateTime, ForeignKeyConstraint, LargeBinary, Text, UniqueConstraint, text
from sqlalchemy.ext.asyncio import AsyncSession
from sqlmodel import Field, Index, SQLModel

from storage.base import readable_id

# The largest whole number that canonical JSON represents exactly.
MOST_EXACT = 2**53 - 1


class AuditChain(SQLModel, table=True):
    """The head of one chain: a model's, a project's, or the registry's."""

    __tablename__ = "audit_chains"

    chain: str = Field(primary_key=True)
    seq: int = Field(sa_type=BigInteger)
    hash: bytes = Field(sa_type=LargeBinary)
    at: datetime = Field(sa_type=DateTime(timezone=True))


class AuditEvent(SQLModel, table=True):
    """One change. `hash` = SHA-256 over chain, seq, at, previous hash and entry, each on a line of its own.

    `entry` is the event as canonical JSON (RFC 8785), the text that was hashed; the other columns repeat parts of it
    for queries.
    """

    __tablename__ = "audit_events"
    __table_args__ = (
        readable_id("evt"),
        UniqueConstraint("id", name="id"),
        Index("audit_events_newest", "at", "id"),
        Index("audit_events_of_subject", "subject_id", "at", "id"),
        Index("audit_events_of_project", "project_id", "at", "id"),
        Index("audit_events_of_actor", "actor", "at", "id"),
    )

    chain: str = Field(primary_key=True)
    seq: int = Field(primary_key=True, sa_type=BigInteger, sa_column_kwargs={"autoincrement": False})
    id: str
    project_id: str | None = Field(default=None, foreign_key="projects.id")
    at: datetime = Field(sa_type=DateTime(timezone=True))
    actor: str
    action: str
    subject_id: str
    entry: str = Field(sa_column=Column(Text, nullable=False))
    previous_hash: bytes = Field(sa_type=LargeBinary)
    hash: bytes = Field(sa_type=LargeBinary)


class UnplacedEvent(SQLModel, table=True):
    """An event that has no place in its project's feed yet."""

    __tablename__ = "audit_unfed"
    __table_args__ = (ForeignKeyConstraint(["chain", "seq"], ["audit_events.chain", "audit_events.seq"]),)

    chain: str = Field(primary_key=True)
    seq: int = Field(primary_key=True, sa_type=BigInteger, sa_column_kwargs={"autoincrement": False})


class FeedEvent(SQLModel, table=True):
    """An event's place in its project's feed. Places are assigned after the commit, by one transaction at a time, so
    that a new one never precedes a place that a reader has passed."""

    __tablename__ = "audit_feed"
    __table_args__ = (
        ForeignKeyConstraint(["chain", "seq"], ["audit_events.chain", "audit_events.seq"]),
        UniqueConstraint("chain", "seq", name="event"),
    )

    project_id: str = Field(primary_key=True, foreign_key="projects.id")
    position: int = Field(primary_key=True, sa_type=BigInteger, sa_column_kwargs={"autoincrement": False})
    chain: str
    seq: int = Field(sa_type=BigInteger)


class NewEvent(TypedDict):
    """A new entry of the audit log. `details` holds the state before and after. `step` adds a step to a version's
    history, `approval` an approval."""

    id: str
    action: str
    actor: str
    projectId: str | None
    subjectId: str
    notes: str | None
    details: Mapping[str, Any]
    requestId: str
    step: NotRequired[Mapping[str, Any]]
    approval: NotRequired[Mapping[str, Any]]


def canonical(entry: Mapping[str, Any]) -> str:
    """An entry as it is hashed and stored. Whole numbers that canonical JSON cannot represent become text."""
    try:
        return rfc8785.dumps(entry).decode()
    except rfc8785.IntegerDomainError:
        return rfc8785.dumps(_in_domain(entry)).decode()


def _in_domain(value: Any) -> Any:
    if isinstance(value, Mapping):
        return {name: _in_domain(each) for name, each in value.items()}
    if isinstance(value, list | tuple):
        return [_in_domain(each) for each in value]
    return str(value) if isinstance(value, int) and abs(value) > MOST_EXACT else value


async def append(session: AsyncSession, chain: str, entries: Sequence[NewEvent]) -> None:
    """Add events to the end of a chain, all with the same time, in the session's transaction.

    An entry with a `step` also adds that step to the version's history, and one with an `approval` that approval.
    """
    await session.execute(APPEND, {"chain": chain, "entries": [canonical(entry) for entry in entries]})


APPEND = text("SELECT audit_append(:chain, CAST(:entries AS text[]))")
