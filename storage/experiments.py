from collections.abc import Mapping
from datetime import datetime
from typing import Any

from sqlalchemy import JSON, CheckConstraint, Column, DateTime, Index, func, update
from sqlalchemy.ext.asyncio import AsyncSession
from sqlmodel import Field, col

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


async def complete(session: AsyncSession, id_: str, ending: Mapping[str, Any]) -> None:
    """End an experiment now, with these columns."""
    ended = {"completed_at": func.clock_timestamp(), **ending}
    await session.execute(update(Experiment).where(col(Experiment.id) == id_).values(**ended))
