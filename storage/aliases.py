"""Aliases of a model: names that each point to one of its versions."""

from dataclasses import dataclass
from datetime import datetime

from sqlalchemy import DateTime, ForeignKeyConstraint, Index, delete, func, text
from sqlalchemy.dialects.postgresql import insert
from sqlalchemy.ext.asyncio import AsyncSession
from sqlmodel import Field, SQLModel, col

from storage.base import within_project
from storage.rows import at_most_one


class ModelAlias(SQLModel, table=True):
    """A name that points to one version of a model. A move changes one row, so a reader always sees a version."""

    __tablename__ = "model_aliases"
    __table_args__ = (
        within_project("model_id", "models"),
        ForeignKeyConstraint(
            ["project_id", "model_id", "version_id"],
            ["versions.project_id", "versions.model_id", "versions.id"],
            name="model_aliases_of_its_own_version",
        ),
        Index("model_aliases_of_version", "version_id", "name"),
    )

    project_id: str
    model_id: str = Field(primary_key=True)
    name: str = Field(primary_key=True)
    version_id: str
    set_at: datetime = Field(
        default=None,
        sa_type=DateTime(timezone=True),
        sa_column_kwargs={"server_default": text("clock_timestamp()"), "nullable": False},
    )
    set_by: str


@dataclass(frozen=True)
class AliasTarget:
    """The version that an alias points to."""

    version_id: str
    number: list[int]


TARGET = """
SELECT a.version_id, v.number FROM model_aliases a JOIN versions v ON v.id = a.version_id
WHERE a.model_id = :model_id AND a.name = :name
"""


async def alias_target(session: AsyncSession, model_id: str, name: str) -> AliasTarget | None:
    """The version that an alias of a locked model points to. None if the model does not have the alias."""
    return await at_most_one(session, AliasTarget, TARGET, model_id=model_id, name=name)


async def count_aliases(session: AsyncSession, model_id: str) -> int:
    statement = text("SELECT count(*) FROM model_aliases WHERE model_id = :model_id")
    return int(await session.scalar(statement, {"model_id": model_id}) or 0)


async def point_alias(
    session: AsyncSession, *, project_id: str, model_id: str, name: str, version_id: str, set_by: str
) -> None:
    """Point an alias of a locked model to a version. Creates the alias if the model does not have it."""
    pointer = {"version_id": version_id, "set_by": set_by}
    key = {"project_id": project_id, "model_id": model_id, "name": name}
    added = insert(ModelAlias.__table__).values(key | pointer)  # type: ignore[attr-defined]
    changed = pointer | {"set_at": func.clock_timestamp()}
    await session.execute(added.on_conflict_do_update(index_elements=["model_id", "name"], set_=changed))


async def delete_alias(session: AsyncSession, model_id: str, name: str) -> None:
    await session.execute(delete(ModelAlias).where(col(ModelAlias.model_id) == model_id, col(ModelAlias.name) == name))
