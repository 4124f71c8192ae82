from typing import Any

from sqlalchemy import JSON, CheckConstraint, Column
from sqlmodel import Field, SQLModel

from storage.base import words
from storage.vocabulary import PolicyMode


class ProjectPolicy(SQLModel, table=True):
    """What a project asks of its versions. Its row is the lock under which members, tags and data status change."""

    __tablename__ = "project_policies"
    __table_args__ = (
        words("semver", PolicyMode),
        words("tags", PolicyMode),
        CheckConstraint("required_approvals BETWEEN 1 AND 10", name="required_approvals"),
        CheckConstraint("retention_days BETWEEN 1 AND 36500", name="retention_days"),
        CheckConstraint("approval_valid_days BETWEEN 1 AND 3650", name="approval_valid_days"),
        CheckConstraint("max_regression BETWEEN 0 AND 1", name="max_regression"),
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
