from typing import Any

from sqlalchemy import Column, Index
from sqlalchemy.dialects.postgresql import TSVECTOR
from sqlmodel import Field, SQLModel

from storage.base import within_project


class VersionText(SQLModel, table=True):
    """The search words of a version, each with its position and weight. Written only by triggers."""

    __tablename__ = "version_texts"
    __table_args__ = (
        within_project("version_id", "versions"),
        Index("version_texts_words", "words", postgresql_using="gin"),
    )

    project_id: str
    version_id: str = Field(primary_key=True)
    words: Any = Field(sa_column=Column(TSVECTOR, nullable=False))
