"""The common parts of tables: predictable constraint names, readable ids, the tenant key, author and time."""

from collections.abc import Iterable
from datetime import datetime
from enum import StrEnum

from sqlalchemy import CheckConstraint, DateTime, ForeignKeyConstraint, UniqueConstraint, text
from sqlmodel import Field, SQLModel

SQLModel.metadata.naming_convention = {
    "pk": "%(table_name)s_pk",
    "uq": "%(table_name)s_%(constraint_name)s",
    "ck": "%(table_name)s_%(constraint_name)s_check",
    "fk": "%(table_name)s_%(column_0_N_name)s",
}
metadata = SQLModel.metadata


def one_of(column: str, vocabulary: Iterable[StrEnum]) -> CheckConstraint:
    """Only the vocabulary's words are stored in this column."""
    return CheckConstraint(f"{column} IN ({', '.join(repr(word.value) for word in vocabulary)})", name=column)


def readable_id(prefix: str) -> CheckConstraint:
    """An id names its type, then 1 to 100 of A-Z a-z 0-9 . _ -"""
    return CheckConstraint(f"id ~ '^{prefix}_[A-Za-z0-9._-]{{1,100}}$'", name="id")


def tenant(name: str = "in_project") -> UniqueConstraint:
    """The key for references from tables of the same project, so that no reference can leave its project."""
    return UniqueConstraint("project_id", "id", name=name)


def within_project(column: str, table: str) -> ForeignKeyConstraint:
    """A reference that cannot leave its project."""
    return ForeignKeyConstraint(["project_id", column], [f"{table}.project_id", f"{table}.id"])


class Recorded(SQLModel):
    """A row with its time of creation and its author."""

    created_at: datetime = Field(
        default=None,
        sa_type=DateTime(timezone=True),
        sa_column_kwargs={"server_default": text("clock_timestamp()"), "nullable": False},
    )
    created_by: str
