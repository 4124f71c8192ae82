from datetime import datetime
from typing import Any

from sqlalchemy import JSON, CheckConstraint, Column, DateTime, Index
from sqlmodel import Field

from storage.base import Recorded, readable_id, tenant, within_project, words
from storage.vocabulary import ExperimentStatus


class Experiment(Recorded, table=True):
    """One training run or search, successful or not."""

    __tablename__ = "experiments"
    __table_args__ = (
        readable_id("exp"),
        tenant(),
        within_project("dataset_version_id", "dataset_versions"),
        words("status", ExperimentStatus),
        CheckConstraint("training_duration_secs >= 0", name="training_duration_secs"),
        CheckConstraint("max_models >= 0", name="max_models"),
        CheckConstraint("(status = 'RUNNING') = (completed_at IS NULL)", name="completed_at"),
        Index("experiments_newest", "project_id", "created_at", "id"),
        Index("experiments_on_data", "dataset_version_id"),
    )

    id: str = Field(primary_key=True)
    project_id: str = Field(foreign_key="projects.id")
    name: str
    status: str = ExperimentStatus.RUNNING
    algorithm: str | None = None
    training_duration_secs: float | None = None
    max_models: int | None = None
    parameters: dict[str, Any] = Field(default_factory=dict, sa_column=Column(JSON, nullable=False))
    notes: str | None = None
    dataset_version_id: str | None = None
    completed_at: datetime | None = Field(default=None, sa_type=DateTime(timezone=True))
