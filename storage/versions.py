from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, TypedDict

from sqlalchemy import (
    JSON,
    BigInteger,
    CheckConstraint,
    Column,
    DateTime,
    ForeignKeyConstraint,
    Index,
    Integer,
    Text,
    UniqueConstraint,
    delete,
    func,
    text,
    update,
)
from sqlalchemy.dialects.postgresql import ARRAY
from sqlalchemy.ext.asyncio import AsyncSession
from sqlmodel import Field, SQLModel, col

from storage.base import Recorded, one_of, readable_id, tenant, within_project
from storage.rows import at_most_one
from storage.sql import fill_sql, load_sql
from storage.vocabulary import DatasetRole, Stage

# A version's training facts as JSON, and the same with its model and number. `v` is the alias of its row.
FACTS = load_sql("facts")
VERSION_FACTS = "json_build_object('model', {v}.model_id, 'number', {v}.number, 'facts', " + FACTS + ")"


class Version(Recorded, table=True):
    """A registered model version. Its training facts never change.

    `touched_at` is the time of the last change of its tags, description, card or stage.
    """

    __tablename__ = "versions"
    __table_args__ = (
        readable_id("ver"),
        tenant(),
        UniqueConstraint("model_id", "number", name="number"),
        UniqueConstraint("model_id", "ordinal", name="ordinal"),
        UniqueConstraint("project_id", "model_id", "id", name="of_model"),
        CheckConstraint("array_ndims(number) = 1 AND cardinality(number) = 3 AND 0 <= ALL (number)", name="number"),
        one_of("stage", Stage),
        CheckConstraint("artifact_size_bytes >= 0", name="artifact_size_bytes"),
        CheckConstraint(
            "artifact_uri IS NOT NULL OR coalesce(artifact_digest, artifact_format, artifact_size_bytes::text) IS NULL",
            name="artifact",
        ),
        within_project("model_id", "models"),
        within_project("experiment_id", "experiments"),
        within_project("dataset_version_id", "dataset_versions"),
        within_project("parent_id", "versions"),
        # At every commit, the stage is that of the last entry of the version's history.
        ForeignKeyConstraint(
            ["id", "stage_position", "stage"],
            ["stage_transitions.version_id", "stage_transitions.position", "stage_transitions.to_stage"],
            name="versions_stage_is_in_history",
            deferrable=True,
            initially="DEFERRED",
            use_alter=True,
        ),
        Index("versions_one_production", "model_id", unique=True, postgresql_where=text("stage = 'PRODUCTION'")),
        Index("versions_newest", "created_at", "id"),
        Index("versions_newest_in_project", "project_id", "created_at", "id"),
        Index("versions_newest_in_model", "model_id", "created_at", "id"),
        Index("versions_newest_in_stage", "stage", "created_at", "id"),
        Index("versions_newest_of_algorithm", "algorithm", "created_at", "id"),
        Index("versions_by_number", "number", "id"),
        Index("versions_of_experiment", "experiment_id", "created_at", "id"),
        Index("versions_on_data", "dataset_version_id", "created_at", "id"),
        Index("versions_children", "parent_id", "created_at", "id"),
        Index(
            "versions_in_development", "project_id", "touched_at", "id", postgresql_where=text("stage = 'DEVELOPMENT'")
        ),
    )

    id: str = Field(primary_key=True)
    project_id: str
    model_id: str
    number: list[int] = Field(sa_column=Column(ARRAY(Integer), nullable=False))
    # The database counts: whatever is inserted here is replaced.
    ordinal: int = Field(default=None, sa_column_kwargs={"nullable": False})
    stage: str
    stage_position: int = Field(sa_type=BigInteger)
    description: str | None = None
    algorithm: str | None = None
    parameters: dict[str, Any] = Field(default_factory=dict, sa_column=Column(JSON, nullable=False))
    features: list[str] = Field(default_factory=list, sa_column=Column(ARRAY(Text), nullable=False))
    target: str | None = None
    artifact_uri: str | None = None
    artifact_digest: str | None = None
    artifact_size_bytes: int | None = Field(default=None, sa_type=BigInteger)
    artifact_format: str | None = None
    artifact_moved_at: datetime | None = Field(default=None, sa_type=DateTime(timezone=True))
    origin: dict[str, Any] | None = Field(default=None, sa_column=Column(JSON(none_as_null=True)))
    properties: dict[str, Any] = Field(
        default_factory=dict, sa_column=Column(JSON, nullable=False, server_default=text("'{}'"))
    )
    experiment_id: str | None = None
    dataset_version_id: str | None = None
    parent_id: str | None = None
    touched_at: datetime = Field(
        default=None,
        sa_type=DateTime(timezone=True),
        sa_column_kwargs={"server_default": text("clock_timestamp()"), "nullable": False},
    )


class Metric(SQLModel, table=True):
    __tablename__ = "metrics"
    __table_args__ = (
        within_project("version_id", "versions"),
        CheckConstraint("value - value = 0", name="finite"),
        Index("metrics_by_value", "name", "value", "version_id"),
    )

    project_id: str
    version_id: str = Field(primary_key=True)
    name: str = Field(primary_key=True)
    value: float


class Tag(SQLModel, table=True):
    __tablename__ = "tags"
    __table_args__ = (within_project("version_id", "versions"), Index("tags_by_tag", "tag", "version_id"))

    project_id: str
    version_id: str = Field(primary_key=True)
    tag: str = Field(primary_key=True)


class DatasetUse(SQLModel, table=True):
    """The use of a data set version to train, validate or test a version."""

    __tablename__ = "dataset_uses"
    __table_args__ = (
        within_project("version_id", "versions"),
        within_project("dataset_version_id", "dataset_versions"),
        one_of("role", DatasetRole),
        Index("dataset_uses_of_data", "dataset_version_id", "role", "version_id"),
    )

    project_id: str
    version_id: str = Field(primary_key=True)
    role: str = Field(primary_key=True)
    dataset_version_id: str = Field(primary_key=True)


LEGAL_STEPS = """
    from_stage IS NULL AND to_stage = 'DEVELOPMENT'
    OR from_stage = 'DEVELOPMENT' AND to_stage IN ('STAGING', 'ARCHIVED')
    OR from_stage = 'STAGING' AND to_stage IN ('PRODUCTION', 'DEVELOPMENT', 'ARCHIVED')
    OR from_stage = 'PRODUCTION' AND to_stage = 'ARCHIVED'
    OR from_stage = 'ARCHIVED' AND to_stage = 'STAGING'
"""


class StageTransition(SQLModel, table=True):
    """One step in a model's history, which never changes.

    `position` counts the steps of the model without a gap. Each step but a version's first continues the step that
    `after_position` names: foreign keys make a broken or forked history impossible.
    """

    __tablename__ = "stage_transitions"
    __table_args__ = (
        readable_id("tra"),
        within_project("model_id", "models"),
        within_project("version_id", "versions"),
        UniqueConstraint("model_id", "position", name="position"),
        UniqueConstraint("version_id", "position", "to_stage", name="step"),
        UniqueConstraint("version_id", "after_position", name="no_fork", postgresql_nulls_not_distinct=True),
        ForeignKeyConstraint(
            ["model_id", "previous_position"],
            ["stage_transitions.model_id", "stage_transitions.position"],
            name="stage_transitions_without_gap",
        ),
        ForeignKeyConstraint(
            ["version_id", "after_position", "from_stage"],
            ["stage_transitions.version_id", "stage_transitions.position", "stage_transitions.to_stage"],
            name="stage_transitions_continues",
        ),
        CheckConstraint("previous_position IS NOT DISTINCT FROM nullif(position - 1, 0)", name="previous_position"),
        CheckConstraint("position >= 1 AND after_position < position", name="position"),
        CheckConstraint("(from_stage IS NULL) = (after_position IS NULL)", name="first_step"),
        CheckConstraint(f"({LEGAL_STEPS}) IS TRUE", name="legal"),
        Index(
            "stage_transitions_production",
            "model_id",
            "at",
            "position",
            postgresql_where=text("to_stage = 'PRODUCTION' OR from_stage = 'PRODUCTION'"),
        ),
    )

    id: str = Field(primary_key=True)
    project_id: str
    model_id: str
    version_id: str
    position: int = Field(sa_type=BigInteger)
    previous_position: int | None = Field(default=None, sa_type=BigInteger)
    after_position: int | None = Field(default=None, sa_type=BigInteger)
    from_stage: str | None = None
    to_stage: str
    at: datetime = Field(sa_type=DateTime(timezone=True))
    actor: str
    approved_by: str | None = None
    notes: str | None = None
    automatic: bool = False


class OpenRequest(TypedDict):
    """An open transition request of a version, as JSON in LOCKED_VERSION."""

    id: str
    version: str
    target: str
    is_expired: bool


@dataclass(frozen=True)
class LockedVersion:
    """A version of a locked model, the id of the model's production version, and the open requests of both."""

    id: str
    project_id: str
    model_id: str
    number: list[int]
    stage: str
    stage_position: int
    created_by: str
    description: str | None
    artifact_uri: str | None
    artifact_digest: str | None
    production_id: str | None
    tags: list[str]
    requests: list[OpenRequest]


async def locked_version(session: AsyncSession, model_id: str, number: Sequence[int]) -> LockedVersion | None:
    return await at_most_one(session, LockedVersion, LOCKED_VERSION, model_id=model_id, number=list(number))


LOCKED_VERSION = """
SELECT v.id, v.project_id, v.model_id, v.number, v.stage, v.stage_position, v.created_by, v.description,
    shown_uri(v.artifact_uri) AS artifact_uri, v.artifact_digest, p.id AS production_id,
    (SELECT coalesce(array_agg(g.tag), '{}') FROM tags g WHERE g.version_id = v.id) AS tags,
    (SELECT coalesce(json_agg(json_build_object('id', q.id, 'version', q.version_id, 'target', q.target_stage,
            'is_expired', q.expires_at <= clock_timestamp())), '[]')
        FROM transition_requests q WHERE q.version_id IN (v.id, p.id) AND q.status = 'OPEN') AS requests
FROM versions v
LEFT JOIN versions p ON p.model_id = v.model_id AND p.stage = 'PRODUCTION'
WHERE v.model_id = :model_id AND v.number = CAST(:number AS int[])
"""


@dataclass(frozen=True)
class ParentRow:
    """A version that another may be derived from, with its training facts."""

    id: str
    model_id: str
    number: list[int]
    facts: Mapping[str, Any]


PARENTS = f"SELECT v.id, v.model_id, v.number, {fill_sql(FACTS, v='v')} AS facts FROM versions v"


async def parent_by_number(session: AsyncSession, model_id: str, number: Sequence[int]) -> ParentRow | None:
    statement = f"{PARENTS} WHERE v.model_id = :model_id AND v.number = CAST(:number AS int[])"
    return await at_most_one(session, ParentRow, statement, model_id=model_id, number=list(number))


async def highest_below(session: AsyncSession, model_id: str, number: Sequence[int] | None) -> ParentRow | None:
    """The highest version of a model, below a number if one is given."""
    below = "(CAST(:number AS int[]) IS NULL OR v.number < CAST(:number AS int[])) ORDER BY v.number DESC LIMIT 1"
    statement = f"{PARENTS} WHERE v.model_id = :model_id AND {below}"
    return await at_most_one(session, ParentRow, statement, model_id=model_id, number=list(number) if number else None)


async def parent_by_id(session: AsyncSession, project_id: str, id_: str) -> ParentRow | None:
    # Shared, so that retention cannot archive it in the meantime.
    statement = f"{PARENTS} WHERE v.project_id = :project_id AND v.id = :id FOR SHARE"
    return await at_most_one(session, ParentRow, statement, project_id=project_id, id=id_)


async def highest_between(
    session: AsyncSession, model_id: str, low: Sequence[int], high: Sequence[int]
) -> list[int] | None:
    """The highest number of a model that is at least `low` and below `high`."""
    statement = (
        "SELECT number FROM versions WHERE model_id = :model_id"
        " AND number >= CAST(:low AS int[]) AND number < CAST(:high AS int[]) ORDER BY number DESC LIMIT 1"
    )
    values = {"model_id": model_id, "low": list(low), "high": list(high)}
    number: list[int] | None = await session.scalar(text(statement), values)
    return number


async def touch_version(session: AsyncSession, version_id: str, changes: Mapping[str, Any]) -> None:
    """Change these columns of a version, and record the time."""
    values = {**changes, "touched_at": func.clock_timestamp()}
    await session.execute(update(Version).where(col(Version.id) == version_id).values(values))


async def delete_tags(session: AsyncSession, version_id: str, tags: Sequence[str]) -> None:
    await session.execute(delete(Tag).where(col(Tag.version_id) == version_id, col(Tag.tag).in_(tags)))
