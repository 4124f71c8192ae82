from datetime import datetime

from sqlalchemy import Column, DateTime, Index, LargeBinary, Text
from sqlalchemy.dialects.postgresql import ARRAY
from sqlmodel import Field, SQLModel


class IdempotentAnswer(SQLModel, table=True):
    """What a mutation with an Idempotency-Key answered: one row for each root field of the request.

    `projects` are those that the answer was read from. It is null where an administrator of the instance read it, and
    in rows from before revision 0007.
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


class DailyRun(SQLModel, table=True):
    """When a task that any one process does once a day was last done to its end."""

    __tablename__ = "daily_runs"

    task: str = Field(primary_key=True)
    finished_at: datetime | None = Field(default=None, sa_type=DateTime(timezone=True))
