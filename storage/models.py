from collections.abc import Sequence
from dataclasses import dataclass

from sqlalchemy import UniqueConstraint
from sqlalchemy.ext.asyncio import AsyncSession
from sqlmodel import Field

from storage.base import Recorded, readable_id, tenant
from storage.rows import every
from storage.visibility import Viewer, VisibleRow, role_in


class Model(Recorded, table=True):
    """A series of versions with one purpose. Its row is the lock for changes of its versions and stages."""

    __tablename__ = "models"
    __table_args__ = (readable_id("model"), tenant(), UniqueConstraint("project_id", "name", name="name"))

    id: str = Field(primary_key=True)
    project_id: str = Field(foreign_key="projects.id")
    name: str
    description: str | None = None


@dataclass(frozen=True, kw_only=True)
class LockedModel(VisibleRow):
    """A model whose versions, stages, requests and deployments other transactions cannot change until this one ends."""

    id: str


async def lock_models(session: AsyncSession, ids: Sequence[str], viewer: Viewer) -> dict[str, LockedModel]:
    """Models by id, locked in the order of their ids. Those that do not exist, or that the caller does not see, are
    left out."""
    role = role_in("models")
    statement = (
        f"SELECT id, project_id, {role} AS role FROM models WHERE id = ANY (CAST(:ids AS text[]))"
        f" AND {role} IS NOT NULL ORDER BY id FOR NO KEY UPDATE"
    )
    models = await every(session, LockedModel, statement, ids=list(ids), **viewer.parameters)
    return {model.id: model for model in models}
