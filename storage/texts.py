from typing import Any

from sqlalchemy import Column, Index
from sqlalchemy.dialects.postgresql import TSVECTOR
from sqlmodel import Field, SQLModel

from storage.base import within_project


class VersionText(SQLModel, table=True):
    """The words by which a version is found, each with its place and weight. Written by triggers alone."""

    __tablename__ = "version_texts"
    __table_args__ = (
        within_project("version_id", "versions"),
        Index("version_texts_words", "words", postgresql_using="gin"),
    )

    project_id: str
    version_id: str = Field(primary_key=True)
    words: Any = Field(sa_column=Column(TSVECTOR, nullable=False))
