"""Model cards: the sections that people wrote about a version. A version without a written card has no row, and
revision 0."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from sqlalchemy import JSON, CheckConstraint, Column, DateTime, Text, func
from sqlalchemy.dialects.postgresql import ARRAY, insert
from sqlalchemy.ext.asyncio import AsyncSession
from sqlmodel import Field, SQLModel

from storage.base import within_project
from storage.rows import columns, one
from storage.sql import load_sql

CARD_FACTS = load_sql("card")


class ModelCard(SQLModel, table=True):
    __tablename__ = "model_cards"
    __table_args__ = (within_project("version_id", "versions"), CheckConstraint("revision >= 1", name="revision"))

    project_id: str
    version_id: str = Field(primary_key=True)
    revision: int
    description: str | None = None
    intended_use: str | None = None
    limitations: str | None = None
    ethical_considerations: str | None = None
    training_data_summary: dict[str, Any] | None = Field(default=None, sa_column=Column(JSON))
    performance_by_segment: dict[str, Any] | None = Field(default=None, sa_column=Column(JSON))
    updated_at: datetime = Field(sa_type=DateTime(timezone=True))
    updated_by: str


class ModelCardRevision(SQLModel, table=True):
    """One edit of a card, which never changes: its author, its time, and the sections as written."""

    __tablename__ = "model_card_revisions"
    __table_args__ = (within_project("version_id", "versions"),)

    project_id: str
    version_id: str = Field(primary_key=True)
    revision: int = Field(primary_key=True, sa_column_kwargs={"autoincrement": False})
    at: datetime = Field(sa_type=DateTime(timezone=True))
    by: str
    changed: list[str] = Field(sa_column=Column(ARRAY(Text), nullable=False))
    sections: dict[str, Any] = Field(sa_column=Column(JSON, nullable=False))


class VersionCard:
    """The view that returns every version's card, written or not."""

    __tablename__ = "version_cards"


@dataclass(frozen=True)
class CardRow:
    """The sections of a version's card at its revision. Revision 0 if none was written."""

    revision: int
    description: str | None
    intended_use: str | None
    limitations: str | None
    ethical_considerations: str | None
    training_data_summary: dict[str, Any] | None
    performance_by_segment: dict[str, Any] | None


async def card(session: AsyncSession, version_id: str) -> CardRow:
    """The card of a version whose model is locked."""
    statement = f"SELECT {columns(CardRow, 'c')} FROM version_cards c WHERE c.version_id = :id"
    return await one(session, CardRow, statement, id=version_id)


@dataclass(frozen=True)
class CardEdit:
    """One edit of a version's card: the new revision, all sections after it, and the names of those that it changed."""

    project_id: str
    version_id: str
    revision: int
    by: str
    sections: Mapping[str, Any]
    changed: Sequence[str]


async def keep_edit(session: AsyncSession, edit: CardEdit) -> None:
    """Replace the card, and add the revision to its history."""
    of_version = {"project_id": edit.project_id, "version_id": edit.version_id, "revision": edit.revision}
    card = dict(edit.sections) | {"updated_at": func.clock_timestamp(), "updated_by": edit.by}
    added = insert(ModelCard).values(of_version | card)
    replaced = card | {"revision": edit.revision}
    await session.execute(added.on_conflict_do_update(index_elements=["version_id"], set_=replaced))
    revision = {"at": func.clock_timestamp(), "by": edit.by, "changed": edit.changed, "sections": dict(edit.sections)}
    await session.execute(insert(ModelCardRevision).values(of_version | revision))
