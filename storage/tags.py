from collections.abc import Mapping
from dataclasses import dataclass

from sqlalchemy import ForeignKeyConstraint, delete
from sqlalchemy.dialects.postgresql import insert
from sqlalchemy.ext.asyncio import AsyncSession
from sqlmodel import Field, col

from storage.base import Recorded
from storage.rows import at_most_one, one


class TagDefinition(Recorded, table=True):
    """A tag that the teams of a project agreed on."""

    __tablename__ = "tag_definitions"

    project_id: str = Field(primary_key=True, foreign_key="projects.id")
    name: str = Field(primary_key=True)
    description: str | None = None
    deprecated: bool = False


class TagAlias(Recorded, table=True):
    """Another spelling of a defined tag, which is replaced by it."""

    __tablename__ = "tag_aliases"
    __table_args__ = (
        ForeignKeyConstraint(["project_id", "name"], ["tag_definitions.project_id", "tag_definitions.name"]),
    )

    project_id: str = Field(primary_key=True)
    alias: str = Field(primary_key=True)
    name: str


@dataclass(frozen=True)
class DefinedTag:
    description: str | None
    deprecated: bool
    aliases: list[str]


@dataclass(frozen=True)
class RegistrationRules:
    """A project's rules for numbers and tags: the two modes, whether each defined tag is deprecated, and the tag of
    each alias."""

    semver: str
    tags: str
    deprecated: Mapping[str, bool]
    aliases: Mapping[str, str]


async def defined_tag(session: AsyncSession, project_id: str, name: str) -> DefinedTag | None:
    """A defined tag with its aliases. The project's policy must be locked."""
    return await at_most_one(session, DefinedTag, DEFINED_TAG, project=project_id, name=name)


DEFINED_TAG = """
SELECT t.description, t.deprecated, (SELECT coalesce(array_agg(a.alias ORDER BY a.alias), '{}') FROM tag_aliases a
    WHERE a.project_id = t.project_id AND a.name = t.name) AS aliases
FROM tag_definitions t WHERE t.project_id = :project AND t.name = :name
"""


async def registration_rules(session: AsyncSession, project_id: str) -> RegistrationRules:
    return await one(session, RegistrationRules, REGISTRATION_RULES, id=project_id)


REGISTRATION_RULES = """
SELECT y.semver, y.tags,
    (SELECT coalesce(json_object_agg(t.name, t.deprecated), '{}') FROM tag_definitions t WHERE t.project_id = :id)
        AS deprecated,
    (SELECT coalesce(json_object_agg(a.alias, a.name), '{}') FROM tag_aliases a WHERE a.project_id = :id) AS aliases
FROM project_policies y WHERE y.project_id = :id
"""


async def keep_definition(
    session: AsyncSession, project_id: str, name: str, description: str | None, deprecated: bool, by: str
) -> None:
    """Define a tag, or replace its definition."""
    stated = {"description": description, "deprecated": deprecated}
    added = insert(TagDefinition).values({"project_id": project_id, "name": name, "created_by": by} | stated)
    await session.execute(added.on_conflict_do_update(index_elements=["project_id", "name"], set_=stated))


async def delete_aliases(session: AsyncSession, project_id: str, name: str) -> None:
    """Delete all aliases of a tag, before the current ones are added."""
    await session.execute(delete(TagAlias).where(col(TagAlias.project_id) == project_id, col(TagAlias.name) == name))
