from collections.abc import Mapping
from datetime import datetime
from typing import Any

from sqlalchemy import JSON, CheckConstraint, Column, DateTime, Index, text, update
from sqlalchemy.ext.asyncio import AsyncSession
from sqlmodel import Field, SQLModel, col

from storage.base import Recorded, readable_id, words
from storage.load import Who, one, reviewer_left, role_in
from storage.vocabulary import PolicyChangeStatus, PolicyMode

Row = Mapping[str, Any]


class ProjectPolicy(SQLModel, table=True):
    """What a project asks of its versions. Its row is the lock under which members, tags and data status change.

    `reviewer_left_at` is when somebody last lost the role REVIEWER or ADMIN: for `loosening_hours` from then, a day at
    least, those who are left do not count as alone.
    """

    __tablename__ = "project_policies"
    __table_args__ = (
        words("semver", PolicyMode),
        words("tags", PolicyMode),
        CheckConstraint("required_approvals BETWEEN 1 AND 10", name="required_approvals"),
        CheckConstraint("retention_days BETWEEN 1 AND 36500", name="retention_days"),
        CheckConstraint("approval_valid_days BETWEEN 1 AND 3650", name="approval_valid_days"),
        CheckConstraint("max_regression BETWEEN 0 AND 1", name="max_regression"),
        CheckConstraint("loosening_hours BETWEEN 0 AND 8760", name="loosening_hours"),
    )

    project_id: str = Field(primary_key=True, foreign_key="projects.id")
    required_approvals: int = 1
    allow_self_approval: bool = False
    require_complete_card: bool = False
    block_invalid_data: bool = True
    semver: str = PolicyMode.WARN
    tags: str = PolicyMode.WARN
    retention_days: int | None = 90
    min_metrics: list[dict[str, Any]] = Field(default_factory=list, sa_column=Column(JSON, nullable=False))
    max_regression: float | None = 0.1
    approval_valid_days: int = 30
    allow_requester_approval: bool = Field(default=False, sa_column_kwargs={"server_default": text("false")})
    loosening_hours: float = Field(default=24, sa_column_kwargs={"server_default": text("24")})
    reviewer_left_at: datetime | None = Field(default=None, sa_type=DateTime(timezone=True))


class PolicyChange(Recorded, table=True):
    """A change that loosens a policy: it waits for a confirmation or for its time. One is pending for a field."""

    __tablename__ = "policy_changes"
    __table_args__ = (
        readable_id("pch"),
        words("status", PolicyChangeStatus),
        Index(
            "policy_changes_pending", "project_id", "field", unique=True, postgresql_where=text("status = 'PENDING'")
        ),
        Index("policy_changes_due", "effective_at", postgresql_where=text("status = 'PENDING'")),
        Index("policy_changes_of_project", "project_id", "created_at", "id"),
    )

    id: str = Field(primary_key=True)
    project_id: str = Field(foreign_key="projects.id")
    field: str
    from_value: Any = Field(sa_column=Column(JSON))
    to_value: Any = Field(sa_column=Column(JSON))
    effective_at: datetime = Field(sa_type=DateTime(timezone=True))
    status: str = PolicyChangeStatus.PENDING
    confirmed_by: str | None = None
    # It took effect at once, because nobody else could have confirmed it.
    alone: bool = False


# Whether nobody but this person could review anything in the project.
IS_ALONE = f"""
SELECT NOT EXISTS (
    SELECT FROM members m JOIN principals p ON p.id = m.principal_id
    WHERE m.project_id = y.project_id AND m.role IN ('REVIEWER', 'ADMIN') AND p.kind = 'USER' AND p.email <> :email
) AND NOT {reviewer_left("y")}
FROM project_policies y WHERE y.project_id = :project
"""


async def is_alone(session: AsyncSession, project_id: str, email: str) -> bool:
    return bool(await session.scalar(text(IS_ALONE), {"project": project_id, "email": email}))


async def changes_in_force(session: AsyncSession, project_id: str) -> list[dict[str, Any]]:
    """The pending changes of a locked policy, and those that made it what it is."""
    statement = "SELECT * FROM policy_changes WHERE project_id = :project AND status IN ('PENDING', 'APPLIED')"
    rows = await session.execute(text(statement), {"project": project_id})
    return [dict(row) for row in rows.mappings()]


async def change(session: AsyncSession, id_: str, who: Who) -> Row | None:
    """A change by its id, with the caller's role; read again under the policy's lock."""
    role = role_in("policy_changes")
    statement = f"SELECT *, {role} AS role FROM policy_changes WHERE id = :id AND {role} IS NOT NULL"
    return await one(session, statement, id=id_, **who)


async def due_change(session: AsyncSession) -> Row | None:
    """The pending change whose time came first."""
    statement = (
        "SELECT id, project_id FROM policy_changes WHERE status = 'PENDING' AND effective_at <= clock_timestamp()"
    )
    return await one(session, f"{statement} ORDER BY effective_at LIMIT 1")


async def locked_change(session: AsyncSession, id_: str) -> Row:
    """A change whose project's policy is locked."""
    row = await one(session, "SELECT * FROM policy_changes WHERE id = :id", id=id_)
    assert row is not None
    return row


async def note_that_reviewer_left(session: AsyncSession, project_id: str) -> None:
    """Note that somebody who could review in this project no longer can."""
    statement = "UPDATE project_policies SET reviewer_left_at = clock_timestamp() WHERE project_id = :project"
    await session.execute(text(statement), {"project": project_id})


async def update_policy(session: AsyncSession, project_id: str, values: Mapping[str, Any]) -> None:
    await session.execute(update(ProjectPolicy).where(col(ProjectPolicy.project_id) == project_id).values(**values))


async def update_change(session: AsyncSession, id_: str, values: Mapping[str, Any]) -> None:
    await session.execute(update(PolicyChange).where(col(PolicyChange.id) == id_).values(**values))
