from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from sqlalchemy import BigInteger, CheckConstraint, Column, DateTime, Index, Text, UniqueConstraint, text, update
from sqlalchemy.dialects.postgresql import ARRAY
from sqlalchemy.ext.asyncio import AsyncSession
from sqlmodel import Field, SQLModel, col

from storage.base import Recorded, one_of, readable_id, tenant, within_project
from storage.visibility import Viewer, VisibleRow, visible
from storage.vocabulary import DatasetVersionStatus


class Dataset(Recorded, table=True):
    __tablename__ = "datasets"
    __table_args__ = (readable_id("ds"), tenant(), UniqueConstraint("project_id", "name", name="name"))

    id: str = Field(primary_key=True)
    project_id: str = Field(foreign_key="projects.id")
    name: str
    description: str | None = None


class DatasetVersion(Recorded, table=True):
    """A data set at one time, which models are trained, validated or tested on."""

    __tablename__ = "dataset_versions"
    __table_args__ = (
        readable_id("dsv"),
        tenant(),
        within_project("dataset_id", "datasets"),
        UniqueConstraint("dataset_id", "label", name="label"),
        one_of("status", DatasetVersionStatus),
        CheckConstraint("row_count >= 0", name="row_count"),
    )

    id: str = Field(primary_key=True)
    project_id: str
    dataset_id: str
    label: str
    row_count: int | None = Field(default=None, sa_type=BigInteger)
    uri: str | None = None
    digest: str | None = None
    features: list[str] = Field(default_factory=list, sa_column=Column(ARRAY(Text), nullable=False))
    status: str = DatasetVersionStatus.ACTIVE
    status_reason: str | None = None
    # The time when the status was last set. Null: never, or before revision 0009.
    status_at: datetime | None = Field(default=None, sa_type=DateTime(timezone=True))


class DatasetParent(SQLModel, table=True):
    """The parent that a data set version was derived from."""

    __tablename__ = "dataset_parents"
    __table_args__ = (
        within_project("dataset_version_id", "dataset_versions"),
        within_project("parent_id", "dataset_versions"),
        CheckConstraint("parent_id <> dataset_version_id", name="not_itself"),
        Index("dataset_parents_children", "parent_id"),
    )

    project_id: str
    dataset_version_id: str = Field(primary_key=True)
    parent_id: str = Field(primary_key=True)


@dataclass(frozen=True, kw_only=True)
class VisibleDataset(VisibleRow):
    id: str
    name: str
    description: str | None


@dataclass(frozen=True, kw_only=True)
class VisibleDatasetVersion(VisibleRow):
    status: str
    status_reason: str | None


async def dataset(session: AsyncSession, id_: str, viewer: Viewer) -> VisibleDataset | None:
    return await visible(session, VisibleDataset, "datasets", id_, viewer)


async def lock_dataset(session: AsyncSession, id_: str, viewer: Viewer) -> VisibleDataset | None:
    return await visible(session, VisibleDataset, "datasets", id_, viewer, lock=True)


async def change_dataset(session: AsyncSession, id_: str, values: Mapping[str, Any]) -> None:
    """Change columns of a locked data set."""
    await session.execute(update(Dataset).where(col(Dataset.id) == id_).values(**values))


async def dataset_version(session: AsyncSession, id_: str, viewer: Viewer) -> VisibleDatasetVersion | None:
    return await visible(session, VisibleDatasetVersion, "dataset_versions", id_, viewer)


async def dataset_ids(session: AsyncSession, project_id: str, version_ids: Sequence[str]) -> dict[str, str]:
    """The data set of each of these data set versions that belongs to the project."""
    statement = text(
        "SELECT id, dataset_id FROM dataset_versions WHERE project_id = :project_id AND id = ANY (CAST(:ids AS text[]))"
    )
    rows = await session.execute(statement, {"project_id": project_id, "ids": list(version_ids)})
    return {row.id: row.dataset_id for row in rows}


async def change_version(session: AsyncSession, id_: str, values: Mapping[str, Any]) -> None:
    """Change columns of a data set version."""
    await session.execute(update(DatasetVersion).where(col(DatasetVersion.id) == id_).values(**values))
