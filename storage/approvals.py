from datetime import datetime
from typing import Any

from sqlalchemy import JSON, BigInteger, Column, DateTime, Index, text
from sqlmodel import Field, SQLModel

from storage.base import Recorded, readable_id, tenant, within_project, words
from storage.vocabulary import Decision, Stage, TransitionRequestStatus


class TransitionRequest(Recorded, table=True):
    """That somebody asks for a step, and what became of it. One is open for a version at a time."""

    __tablename__ = "transition_requests"
    __table_args__ = (
        readable_id("req"),
        tenant(),
        within_project("version_id", "versions"),
        words("target_stage", Stage),
        words("status", TransitionRequestStatus),
        Index("transition_requests_open", "version_id", unique=True, postgresql_where=text("status = 'OPEN'")),
        Index("transition_requests_newest", "project_id", "created_at", "id"),
        Index("transition_requests_of_version", "version_id", "created_at", "id"),
    )

    id: str = Field(primary_key=True)
    project_id: str = Field(foreign_key="projects.id")
    version_id: str
    target_stage: str
    stage_position: int = Field(sa_type=BigInteger)
    notes: str | None = None
    expires_at: datetime = Field(sa_type=DateTime(timezone=True))
    status: str = TransitionRequestStatus.OPEN


class Approval(SQLModel, table=True):
    """What a reviewer decided of one step of a version, and what was reviewed. Written by audit_append alone.

    `stage_position` is the entry of the history that the step would follow: a decision is for that one step.
    """

    __tablename__ = "approvals"
    __table_args__ = (
        readable_id("apr"),
        within_project("version_id", "versions"),
        within_project("request_id", "transition_requests"),
        words("target_stage", Stage),
        words("decision", Decision),
        Index("approvals_of_version", "version_id", "at", "id"),
        Index("approvals_of_request", "request_id"),
    )

    id: str = Field(primary_key=True)
    project_id: str
    version_id: str
    request_id: str | None = None
    target_stage: str
    stage_position: int = Field(sa_type=BigInteger)
    reviewer: str
    reviewer_id: str = Field(foreign_key="principals.id")
    attested_by: str | None = None
    decision: str
    meaning: str
    notes: str | None = None
    at: datetime = Field(sa_type=DateTime(timezone=True))
    reviewed: dict[str, Any] = Field(sa_column=Column(JSON, nullable=False))
    # The reviewer is the version's author or requested the step, and no second person could have reviewed it, or agreed
    # to the policy that allows it.
    alone: bool = Field(default=False, sa_column_kwargs={"server_default": text("false")})
