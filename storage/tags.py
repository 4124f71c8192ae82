from sqlalchemy import ForeignKeyConstraint
from sqlmodel import Field

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
