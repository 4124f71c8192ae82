from collections.abc import Mapping
from datetime import datetime
from typing import Any

from sqlalchemy import BigInteger, CheckConstraint, Column, DateTime, Index, Text, UniqueConstraint, update
from sqlalchemy.dialects.postgresql import ARRAY
from sqlalchemy.ext.asyncio import AsyncSession
from sqlmodel import Field, SQLModel, col

from storage.base import Recorded, readable_id, tenant, within_project, words
from storage.vocabulary import DatasetVersionStatus


class Dataset(Recorded, table=True):
    __tablename__ = "datasets"
    __table_args__ = (readable_id("ds"), tenant(), UniqueConstraint("project_id", "name", name="name"))

    id: str = Field(primary_key=True)
    project_id: str = Field(foreign_key="projects.id")
    name: str
    description: str | None = None


class DatasetVersion(Recorded, table=True):
    """A data set as it was at one time: what models are trained, validated and tested on."""

    __tablename__ = "dataset_versions"
    __table_args__ = (
        readable_id("dsv"),
        tenant(),
        within_project("dataset_id", "datasets"),
        UniqueConstraint("dataset_id", "label", name="label"),
        words("status", DatasetVersionStatus),
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
    # When the status was last set; null: never, or before revision 0009.
    status_at: datetime | None = Field(default=None, sa_type=DateTime(timezone=True))


class DatasetParent(SQLModel, table=True):
    """This data set version was derived from that one."""

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


async def change_version(session: AsyncSession, id_: str, values: Mapping[str, Any]) -> None:
    """Change columns of a data set version."""
    await session.execute(update(DatasetVersion).where(col(DatasetVersion.id) == id_).values(**values))
