from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from sqlalchemy import JSON, CheckConstraint, Column, DateTime, Index, func, text, update
from sqlalchemy.ext.asyncio import AsyncSession
from sqlmodel import Field, col

from storage.base import Recorded, one_of, readable_id, tenant, within_project
from storage.rows import at_most_one
from storage.visibility import Viewer, VisibleRow, visible
from storage.vocabulary import ExperimentStatus


class Experiment(Recorded, table=True):
    """One training run or search, successful or not."""

    __tablename__ = "experiments"
    __table_args__ = (
        readable_id("exp"),
        tenant(),
        within_project("dataset_version_id", "dataset_versions"),
        one_of("status", ExperimentStatus),
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


@dataclass(frozen=True, kw_only=True)
class LockedExperiment(VisibleRow):
    name: str
    status: str
    training_duration_secs: float | None
    notes: str | None


@dataclass(frozen=True)
class TrainingSource:
    """The facts that a version takes over from its experiment if it does not state them itself."""

    algorithm: str | None
    dataset_version_id: str | None


async def lock_experiment(session: AsyncSession, id_: str, viewer: Viewer) -> LockedExperiment | None:
    return await visible(session, LockedExperiment, "experiments", id_, viewer, lock=True)


async def share_experiment(session: AsyncSession, project_id: str, id_: str) -> None:
    """Lock an experiment before its version's model, in the same order as its completion. Its notes, which are part of
    the version's search text, cannot change until the transaction ends."""
    statement = "SELECT FROM experiments WHERE project_id = :project_id AND id = :id FOR SHARE"
    await session.execute(text(statement), {"project_id": project_id, "id": id_})


async def training_source(session: AsyncSession, project_id: str, id_: str) -> TrainingSource | None:
    statement = "SELECT algorithm, dataset_version_id FROM experiments WHERE project_id = :project_id AND id = :id"
    return await at_most_one(session, TrainingSource, statement, project_id=project_id, id=id_)


async def complete(session: AsyncSession, id_: str, ending: Mapping[str, Any]) -> None:
    """End an experiment now, with these columns."""
    ended = {"completed_at": func.clock_timestamp(), **ending}
    await session.execute(update(Experiment).where(col(Experiment.id) == id_).values(**ended))


async def change_experiment(session: AsyncSession, id_: str, values: Mapping[str, Any]) -> None:
    """Change columns of a locked experiment."""
    await session.execute(update(Experiment).where(col(Experiment.id) == id_).values(**values))
