from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from sqlalchemy import update
from sqlalchemy.ext.asyncio import AsyncSession
from sqlmodel import Field, col

from storage.base import Recorded, readable_id
from storage.rows import columns, one


class Project(Recorded, table=True):
    """A project: the tenant, whose objects belong together and are visible together."""

    __tablename__ = "projects"
    __table_args__ = (readable_id("proj"),)

    id: str = Field(primary_key=True)
    name: str
    description: str | None = None


@dataclass(frozen=True)
class ProjectTexts:
    """What can be corrected of a project."""

    name: str
    description: str | None


async def project_texts(session: AsyncSession, id_: str) -> ProjectTexts:
    """What can be corrected of a project whose policy is locked."""
    return await one(
        session, ProjectTexts, f"SELECT {columns(ProjectTexts, 'p')} FROM projects p WHERE p.id = :id", id=id_
    )


async def change_project(session: AsyncSession, id_: str, values: Mapping[str, Any]) -> None:
    """Change columns of a project whose policy is locked."""
    await session.execute(update(Project).where(col(Project.id) == id_).values(**values))
