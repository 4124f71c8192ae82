from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from sqlalchemy import CheckConstraint, DateTime, Index, UniqueConstraint, delete, text, update
from sqlalchemy.dialects.postgresql import insert
from sqlalchemy.ext.asyncio import AsyncSession
from sqlmodel import Field, col

from storage.base import Recorded, one_of, readable_id
from storage.rows import at_most_one, columns
from storage.vocabulary import PrincipalKind, Role


class Principal(Recorded, table=True):
    """A person or a service that can send requests, identified by its email address in lower case."""

    __tablename__ = "principals"
    __table_args__ = (
        readable_id("prin"),
        UniqueConstraint("email", name="email"),
        CheckConstraint("email = lower(email)", name="email"),
        one_of("kind", PrincipalKind),
    )

    id: str = Field(primary_key=True)
    email: str
    kind: str = PrincipalKind.USER
    administers: bool = Field(default=False, sa_column_kwargs={"server_default": text("false")})


class Member(Recorded, table=True):
    """The role of a principal in a project."""

    __tablename__ = "members"
    __table_args__ = (one_of("role", Role), Index("members_of_principal", "principal_id"))

    project_id: str = Field(primary_key=True, foreign_key="projects.id")
    principal_id: str = Field(primary_key=True, foreign_key="principals.id")
    role: str
    # Since when the role has been REVIEWER or ADMIN without interruption. Null: since before revision 0009.
    reviewer_since: datetime | None = Field(default=None, sa_type=DateTime(timezone=True))


@dataclass(frozen=True)
class PrincipalRow:
    id: str
    email: str
    kind: str
    administers: bool


async def principal(session: AsyncSession, email: str, lock: bool = False) -> PrincipalRow | None:
    statement = f"SELECT {columns(PrincipalRow, 'p')} FROM principals p WHERE p.email = :email"
    return await at_most_one(session, PrincipalRow, statement + (" FOR NO KEY UPDATE" if lock else ""), email=email)


async def member_role(session: AsyncSession, project_id: str, principal_id: str) -> str | None:
    """The role of a principal in a project. None if it is not a member."""
    statement = "SELECT role FROM members WHERE project_id = :project AND principal_id = :principal"
    role: str | None = await session.scalar(text(statement), {"project": project_id, "principal": principal_id})
    return role


async def lock_administrators(session: AsyncSession) -> int:
    """The number of administrators of the instance, whose rows are locked."""
    statement = "SELECT id FROM principals WHERE administers ORDER BY id FOR NO KEY UPDATE"
    return len((await session.execute(text(statement))).all())


async def keep_member(session: AsyncSession, row: Mapping[str, Any], changes: Mapping[str, Any]) -> None:
    """Add a member with these changes, or apply them to an existing one."""
    added = insert(Member).values({**row, **changes})
    key = ["project_id", "principal_id"]
    await session.execute(added.on_conflict_do_update(index_elements=key, set_=dict(changes)))


async def delete_member(session: AsyncSession, project_id: str, principal_id: str) -> None:
    those = (col(Member.project_id) == project_id, col(Member.principal_id) == principal_id)
    await session.execute(delete(Member).where(*those))


async def set_administers(session: AsyncSession, principal_id: str, administers: bool) -> None:
    await session.execute(update(Principal).where(col(Principal.id) == principal_id).values(administers=administers))
