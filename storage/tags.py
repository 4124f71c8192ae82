from sqlalchemy import ForeignKeyConstraint, delete
from sqlalchemy.dialects.postgresql import insert
from sqlalchemy.ext.asyncio import AsyncSession
from sqlmodel import Field, col

from storage import load
from storage.base import Recorded


class TagDefinition(Recorded, table=True):
    """A tag that the teams of a project agreed on."""

    __tablename__ = "tag_definitions"

    project_id: str = Field(primary_key=True, foreign_key="projects.id")
    name: str = Field(primary_key=True)
    description: str | None = None
    deprecated: bool = False


class TagAlias(Recorded, table=True):
    """Another way of writing a defined tag, which turns into it."""

    __tablename__ = "tag_aliases"
    __table_args__ = (
        ForeignKeyConstraint(["project_id", "name"], ["tag_definitions.project_id", "tag_definitions.name"]),
    )

    project_id: str = Field(primary_key=True)
    alias: str = Field(primary_key=True)
    name: str


async def tag_definition(session: AsyncSession, project_id: str, name: str) -> load.Row | None:
    """A defined tag with its aliases; the project's policy is locked."""
    return await load.one(session, TAG_DEFINITION, project=project_id, name=name)


TAG_DEFINITION = """
SELECT t.description, t.deprecated, (SELECT coalesce(array_agg(a.alias ORDER BY a.alias), '{}') FROM tag_aliases a
    WHERE a.project_id = t.project_id AND a.name = t.name) AS aliases
FROM tag_definitions t WHERE t.project_id = :project AND t.name = :name
"""


async def keep_definition(
    session: AsyncSession, project_id: str, name: str, description: str | None, deprecated: bool, by: str
) -> None:
    """Define a tag, or replace what is stated of it."""
    stated = {"description": description, "deprecated": deprecated}
    added = insert(TagDefinition).values({"project_id": project_id, "name": name, "created_by": by} | stated)
    await session.execute(added.on_conflict_do_update(index_elements=["project_id", "name"], set_=stated))


async def delete_aliases(session: AsyncSession, project_id: str, name: str) -> None:
    """Delete all aliases of a tag, before the current ones are added."""
    await session.execute(delete(TagAlias).where(col(TagAlias.project_id) == project_id, col(TagAlias.name) == name))
