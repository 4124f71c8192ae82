from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from sqlalchemy import JSON, CheckConstraint, Column, DateTime, Index, Text, text, update
from sqlalchemy.dialects.postgresql import ARRAY
from sqlalchemy.ext.asyncio import AsyncSession
from sqlmodel import Field, SQLModel, col

from storage.base import Recorded, one_of, readable_id
from storage.rows import at_most_one, columns, every, one
from storage.visibility import Viewer, VisibleRow, visible
from storage.vocabulary import PolicyChangeStatus, PolicyMode


class ProjectPolicy(SQLModel, table=True):
    """A project's rules for its versions. Its row is the lock for changes of members, tags and data status.

    `reviewer_left_at` is when a person last lost the role REVIEWER or ADMIN. For `loosening_hours` from then, but at
    least a day, the remaining reviewers do not count as alone.
    """

    __tablename__ = "project_policies"
    __table_args__ = (
        one_of("semver", PolicyMode),
        one_of("tags", PolicyMode),
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
    protected_aliases: list[str] = Field(
        default_factory=list, sa_column=Column(ARRAY(Text), nullable=False, server_default=text("'{}'::text[]"))
    )
    reviewer_left_at: datetime | None = Field(default=None, sa_type=DateTime(timezone=True))


class PolicyChange(Recorded, table=True):
    """A change that loosens a policy. It waits for a confirmation or for its time. A field has at most one pending
    change."""

    __tablename__ = "policy_changes"
    __table_args__ = (
        readable_id("pch"),
        one_of("status", PolicyChangeStatus),
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
    # It took effect at once, because there was no second person to confirm it.
    alone: bool = False


@dataclass(frozen=True)
class LockedPolicy:
    """A project's policy, which cannot change until the transaction ends. `now` is the database's clock."""

    project_id: str
    required_approvals: int
    allow_self_approval: bool
    require_complete_card: bool
    block_invalid_data: bool
    semver: str
    tags: str
    retention_days: int | None
    min_metrics: list[dict[str, Any]]
    max_regression: float | None
    approval_valid_days: int
    allow_requester_approval: bool
    loosening_hours: float
    protected_aliases: list[str]
    reviewer_left_at: datetime | None
    now: datetime


async def lock_policy(session: AsyncSession, project_id: str, share: bool = False) -> LockedPolicy:
    """A project's policy. Members, tags, policy and data status cannot change until the transaction ends. A transaction
    that only reads them shares the lock."""
    lock = "SHARE" if share else "NO KEY UPDATE"
    selected = f"{columns(LockedPolicy, 'y', 'now')}, clock_timestamp() AS now"
    statement = f"SELECT {selected} FROM project_policies y WHERE y.project_id = :id FOR {lock}"
    return await one(session, LockedPolicy, statement, id=project_id)


async def recorded_policy(session: AsyncSession, project_id: str) -> dict[str, Any]:
    """A project's policy as the audit log records it."""
    facts = "to_jsonb(y) - ARRAY['project_id', 'reviewer_left_at']"
    statement = f"SELECT {facts} FROM project_policies y WHERE project_id = :id"
    return dict((await session.execute(text(statement), {"id": project_id})).scalar_one())


async def retention_days(session: AsyncSession, project_id: str) -> int | None:
    """After how many days without a touch a development version is archived. None: never."""
    statement = text("SELECT retention_days FROM project_policies WHERE project_id = :id")
    days: int | None = await session.scalar(statement, {"id": project_id})
    return days


def reviewer_left(policy: str) -> str:
    """Whether a person has lost the role of a reviewer within the cooling time, but at least the last day. `policy` is
    the alias of the policy's row. The remaining reviewers do not count as alone, so that a person cannot become alone
    by removing the others."""
    until = f"{policy}.reviewer_left_at + make_interval(secs => greatest({policy}.loosening_hours, 24) * 3600)"
    return f"coalesce({until} > clock_timestamp(), false)"


# Whether this person is the only one who could review in the project.
IS_ALONE = f"""
SELECT NOT EXISTS (
    SELECT FROM members m JOIN principals p ON p.id = m.principal_id
    WHERE m.project_id = y.project_id AND m.role IN ('REVIEWER', 'ADMIN') AND p.kind = 'USER' AND p.email <> :email
) AND NOT {reviewer_left("y")}
FROM project_policies y WHERE y.project_id = :project
"""


async def is_alone(session: AsyncSession, project_id: str, email: str) -> bool:
    return bool(await session.scalar(text(IS_ALONE), {"project": project_id, "email": email}))


@dataclass(frozen=True)
class PolicyChangeRow:
    id: str
    project_id: str
    field: str
    from_value: Any
    to_value: Any
    effective_at: datetime
    status: str
    alone: bool
    created_by: str


@dataclass(frozen=True, kw_only=True)
class VisiblePolicyChange(VisibleRow):
    id: str


CHANGES = f"SELECT {columns(PolicyChangeRow, 'c')} FROM policy_changes c"


async def changes_in_force(session: AsyncSession, project_id: str) -> list[PolicyChangeRow]:
    """The pending changes of a locked policy, and those in force."""
    statement = f"{CHANGES} WHERE c.project_id = :project AND c.status IN ('PENDING', 'APPLIED')"
    return await every(session, PolicyChangeRow, statement, project=project_id)


async def visible_change(session: AsyncSession, id_: str, viewer: Viewer) -> VisiblePolicyChange | None:
    """A change by its id, with the caller's role; it is read again under the policy's lock."""
    return await visible(session, VisiblePolicyChange, "policy_changes", id_, viewer)


@dataclass(frozen=True)
class DueChange:
    id: str
    project_id: str


async def due_change(session: AsyncSession) -> DueChange | None:
    """The pending change that has been due for longest."""
    statement = (
        "SELECT id, project_id FROM policy_changes WHERE status = 'PENDING' AND effective_at <= clock_timestamp()"
    )
    return await at_most_one(session, DueChange, f"{statement} ORDER BY effective_at LIMIT 1")


async def locked_change(session: AsyncSession, id_: str) -> PolicyChangeRow:
    """A change whose project's policy is locked."""
    return await one(session, PolicyChangeRow, f"{CHANGES} WHERE c.id = :id", id=id_)


async def note_that_reviewer_left(session: AsyncSession, project_id: str) -> None:
    """Record that a person who could review in this project no longer can."""
    statement = "UPDATE project_policies SET reviewer_left_at = clock_timestamp() WHERE project_id = :project"
    await session.execute(text(statement), {"project": project_id})


async def update_policy(session: AsyncSession, project_id: str, values: Mapping[str, Any]) -> None:
    await session.execute(update(ProjectPolicy).where(col(ProjectPolicy.project_id) == project_id).values(**values))


async def update_change(session: AsyncSession, id_: str, values: Mapping[str, Any]) -> None:
    await session.execute(update(PolicyChange).where(col(PolicyChange.id) == id_).values(**values))
