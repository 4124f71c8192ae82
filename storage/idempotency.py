"""Responses to requests with an Idempotency-Key, which are returned again for repeated requests."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime

from sqlalchemy import Column, DateTime, Index, LargeBinary, Text, text
from sqlalchemy.dialects.postgresql import ARRAY
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncSession
from sqlmodel import Field, SQLModel


class IdempotentAnswer(SQLModel, table=True):
    """The response of a mutation with an Idempotency-Key, with one row for each root field of the request.

    `projects` are those that the response was read from. It is null if an administrator of the instance read it, and in
    rows from before revision 0007.
    """

    __tablename__ = "idempotent_answers"
    __table_args__ = (Index("idempotent_answers_at", "at"),)

    actor: str = Field(primary_key=True)
    key: str = Field(primary_key=True)
    place: int = Field(primary_key=True, sa_column_kwargs={"autoincrement": False})
    body_hash: bytes = Field(sa_type=LargeBinary)
    answer: bytes = Field(sa_type=LargeBinary)
    extensions: bytes = Field(sa_type=LargeBinary)
    projects: list[str] | None = Field(default=None, sa_column=Column(ARRAY(Text)))
    at: datetime = Field(sa_type=DateTime(timezone=True))


@dataclass(frozen=True)
class AnswerKey:
    """The key of one response: the principal's scope, its Idempotency-Key, and the place of the root field."""

    actor: str
    key: str
    place: int


@dataclass(frozen=True)
class StoredAnswer:
    body_hash: bytes
    answer: bytes
    extensions: bytes
    projects: Sequence[str] | None


LOCK = text("SELECT pg_advisory_xact_lock(hashtextextended(:lock, 0))")
RECALL = text("""
SELECT body_hash, answer, extensions, projects FROM idempotent_answers
WHERE actor = :actor AND key = :key AND place = :place AND at > clock_timestamp() - make_interval(hours => :hours)
""")
KEEP = text("""
INSERT INTO idempotent_answers (actor, key, place, body_hash, answer, extensions, projects, at)
VALUES (:actor, :key, :place, :hash, :answer, :extensions, CAST(:projects AS text[]), clock_timestamp())
ON CONFLICT (actor, key, place) DO UPDATE SET body_hash = excluded.body_hash, answer = excluded.answer,
    extensions = excluded.extensions, projects = excluded.projects, at = excluded.at
""")
FORGET = text("""
WITH old AS (
    SELECT actor, key, place FROM idempotent_answers
    WHERE at < clock_timestamp() - make_interval(hours => :hours) ORDER BY at LIMIT :most
), forgotten AS (
    DELETE FROM idempotent_answers i USING old WHERE (i.actor, i.key, i.place) = (old.actor, old.key, old.place)
        AND i.at < clock_timestamp() - make_interval(hours => :hours)
    RETURNING 1
)
SELECT count(*) FROM forgotten
""")


async def recall(session: AsyncSession, named: AnswerKey, hours: float) -> StoredAnswer | None:
    """The response stored under this key within the last hours. Waits while the same request is in progress."""
    await session.execute(LOCK, {"lock": f"{named.actor}\n{named.key}\n{named.place}"})
    values = {"actor": named.actor, "key": named.key, "place": named.place, "hours": hours}
    row = (await session.execute(RECALL, values)).mappings().one_or_none()
    return None if row is None else StoredAnswer(**row)


async def keep(session: AsyncSession, named: AnswerKey, stored: StoredAnswer) -> None:
    values = {"actor": named.actor, "key": named.key, "place": named.place, "hash": stored.body_hash}
    projects = None if stored.projects is None else list(stored.projects)
    values |= {"answer": stored.answer, "extensions": stored.extensions, "projects": projects}
    await session.execute(KEEP, values)


async def forget(session: AsyncSession | AsyncConnection, hours: float, most: int) -> int:
    """Delete answers older than this, at most so many: how many."""
    return int(await session.scalar(FORGET, {"hours": hours, "most": most}) or 0)
