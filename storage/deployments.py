"""Deployments: which version serves which share of an environment's traffic, and its reported health."""

from datetime import datetime
from typing import Any

from sqlalchemy import JSON, CheckConstraint, Column, DateTime, ForeignKeyConstraint, Index, text
from sqlmodel import Field, SQLModel

from storage.base import Recorded, one_of, readable_id, tenant, within_project
from storage.vocabulary import DeploymentStatus, DeploymentStrategy

SERVES = "strategy <> 'SHADOW'"


class Deployment(Recorded, table=True):
    """A version that is deployed to an environment by a plan. `stages` is the plan, `stage` the position in it.

    A model has at most one active deployment in an environment, and at most one that is being rolled out. Their shares
    add up to 100. Shadows are additional and have no share. `due_at` is the time of the rollout's next check.
    """

    __tablename__ = "deployments"
    __table_args__ = (
        readable_id("dep"),
        tenant(),
        one_of("strategy", DeploymentStrategy),
        one_of("status", DeploymentStatus),
        within_project("model_id", "models"),
        ForeignKeyConstraint(
            ["project_id", "model_id", "version_id"],
            ["versions.project_id", "versions.model_id", "versions.id"],
            name="deployments_version",
        ),
        within_project("previous_id", "deployments"),
        CheckConstraint("traffic_percentage BETWEEN 0 AND 100", name="traffic_percentage"),
        CheckConstraint("(status IN ('ROLLED_BACK', 'RETIRED')) <= (traffic_percentage = 0)", name="ended"),
        CheckConstraint("(strategy = 'SHADOW') <= (traffic_percentage = 0)", name="shadow"),
        CheckConstraint("(due_at IS NOT NULL) <= (status = 'IN_PROGRESS')", name="due_at"),
        Index(
            "deployments_one_active",
            "model_id",
            "environment",
            unique=True,
            postgresql_where=text(f"status = 'ACTIVE' AND {SERVES}"),
        ),
        Index(
            "deployments_one_rollout",
            "model_id",
            "environment",
            unique=True,
            postgresql_where=text(f"status IN ('IN_PROGRESS', 'PAUSED') AND {SERVES}"),
        ),
        Index("deployments_due", "due_at", postgresql_where=text("due_at IS NOT NULL")),
        Index("deployments_newest", "created_at", "id"),
        Index("deployments_newest_in_project", "project_id", "created_at", "id"),
        Index("deployments_of_version", "version_id", "created_at", "id"),
        Index("deployments_of_model", "model_id", "created_at", "id"),
        Index("deployments_in_environment", "environment", postgresql_where=text("traffic_percentage > 0")),
    )

    id: str = Field(primary_key=True)
    project_id: str = Field(foreign_key="projects.id")
    model_id: str
    version_id: str
    name: str
    environment: str
    strategy: str
    status: str
    traffic_percentage: int
    stages: list[dict[str, Any]] = Field(sa_column=Column(JSON, nullable=False))
    stage: int
    auto_advance: bool
    auto_rollback: bool
    failure_threshold: int
    health_required: bool
    max_health_age_minutes: float | None = None
    stage_since: datetime = Field(sa_type=DateTime(timezone=True))
    due_at: datetime | None = Field(default=None, sa_type=DateTime(timezone=True))
    previous_id: str | None = None
    revision: int = 1


class HealthReport(SQLModel, table=True):
    """An observation of a deployment's health, which never changes."""

    __tablename__ = "health_reports"
    __table_args__ = (
        readable_id("hlt"),
        within_project("deployment_id", "deployments"),
        Index("health_reports_newest", "deployment_id", "at", "id"),
    )

    id: str = Field(primary_key=True)
    project_id: str
    deployment_id: str
    at: datetime = Field(sa_type=DateTime(timezone=True))
    healthy: bool
    metrics: dict[str, Any] = Field(sa_column=Column(JSON, nullable=False))
    reported_by: str
