from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from sqlalchemy import JSON, Column, DateTime, UniqueConstraint, text, update
from sqlalchemy.ext.asyncio import AsyncSession
from sqlmodel import Field, col

from storage.base import Recorded, readable_id, tenant
from storage.rows import at_most_one, columns, every, one
from storage.visibility import Viewer, VisibleRow, role_in


class Model(Recorded, table=True):
    """A line of versions with one purpose. Its row is the lock under which its versions and stages change.

    `updated_at` is the time of the last event about anything of the model; the database keeps it.
    """

    __tablename__ = "models"
    __table_args__ = (readable_id("model"), tenant(), UniqueConstraint("project_id", "name", name="name"))

    id: str = Field(primary_key=True)
    project_id: str = Field(foreign_key="projects.id")
    name: str
    description: str | None = None
    owner: str | None = None
    properties: dict[str, Any] = Field(
        default_factory=dict, sa_column=Column(JSON, nullable=False, server_default=text("'{}'"))
    )
    origin: dict[str, Any] | None = Field(default=None, sa_column=Column(JSON(none_as_null=True)))
    archived: bool = Field(default=False, sa_column_kwargs={"server_default": text("false")})
    updated_at: datetime = Field(
        default=None,
        sa_type=DateTime(timezone=True),
        sa_column_kwargs={"server_default": text("clock_timestamp()"), "nullable": False},
    )


@dataclass(frozen=True, kw_only=True)
class LockedModel(VisibleRow):
    """A model whose versions, stages, requests and deployments nobody else changes until the transaction ends."""

    id: str
    archived: bool


@dataclass(frozen=True)
class ModelTexts:
    """What can be corrected of a model."""

    name: str
    description: str | None
    owner: str | None
    properties: Mapping[str, Any]
    archived: bool


async def lock_models(session: AsyncSession, ids: Sequence[str], viewer: Viewer) -> dict[str, LockedModel]:
    """Models by id, locked in the order of their ids. Those that do not exist, or that the caller does not see, are
    left out."""
    role = role_in("models")
    statement = (
        f"SELECT id, project_id, archived, {role} AS role FROM models WHERE id = ANY (CAST(:ids AS text[]))"
        f" AND {role} IS NOT NULL ORDER BY id FOR NO KEY UPDATE"
    )
    models = await every(session, LockedModel, statement, ids=list(ids), **viewer.parameters)
    return {model.id: model for model in models}


async def model_texts(session: AsyncSession, id_: str) -> ModelTexts:
    """What can be corrected of a locked model."""
    statement = f"SELECT {columns(ModelTexts, 'm')} FROM models m WHERE m.id = :id"
    return await one(session, ModelTexts, statement, id=id_)


async def change_model(session: AsyncSession, id_: str, values: Mapping[str, Any]) -> None:
    """Change columns of a locked model."""
    await session.execute(update(Model).where(col(Model.id) == id_).values(**values))


@dataclass(frozen=True)
class NamedModel:
    id: str
    archived: bool


async def model_named(session: AsyncSession, project_id: str, name: str) -> NamedModel | None:
    statement = "SELECT id, archived FROM models WHERE project_id = :project_id AND name = :name"
    return await at_most_one(session, NamedModel, statement, project_id=project_id, name=name)
