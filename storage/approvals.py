from dataclasses import dataclass
from datetime import datetime
from typing import Any

from sqlalchemy import JSON, BigInteger, Column, DateTime, Index, text, update
from sqlalchemy.ext.asyncio import AsyncSession
from sqlmodel import Field, SQLModel, col

from storage.base import Recorded, one_of, readable_id, tenant, within_project
from storage.policies import reviewer_left
from storage.rows import one
from storage.sql import fill_sql, load_sql
from storage.versions import VERSION_FACTS
from storage.visibility import Viewer, VisibleRow, visible
from storage.vocabulary import Decision, Stage, TransitionRequestStatus


class TransitionRequest(Recorded, table=True):
    """A request for a step, and its status. A version has at most one open request."""

    __tablename__ = "transition_requests"
    __table_args__ = (
        readable_id("req"),
        tenant(),
        within_project("version_id", "versions"),
        one_of("target_stage", Stage),
        one_of("status", TransitionRequestStatus),
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
    """A reviewer's decision about one step of a version, and the reviewed facts. Written only by audit_append.

    `stage_position` is the entry of the history that the step would follow: a decision applies to that one step.
    """

    __tablename__ = "approvals"
    __table_args__ = (
        readable_id("apr"),
        within_project("version_id", "versions"),
        within_project("request_id", "transition_requests"),
        one_of("target_stage", Stage),
        one_of("decision", Decision),
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
    # The reviewer is the version's author or requested the step, and there was no second person who could review it, or
    # who agreed to the policy that allows it.
    alone: bool = Field(default=False, sa_column_kwargs={"server_default": text("false")})


def request_status(request: str) -> str:
    """The status of a request, EXPIRED once its time has passed. `request` is the alias of its row."""
    has_expired = f"{request}.status = 'OPEN' AND {request}.expires_at <= clock_timestamp()"
    return f"CASE WHEN {has_expired} THEN 'EXPIRED' ELSE {request}.status END"


def reviewed(version: str) -> str:
    """Everything that a review of a version shows, as JSON. `version` is the alias of its row."""
    return load_sql("reviewed", v=version)


def review(approval: str) -> str:
    """A recorded decision together with the current state, as JSON. `approval` is the alias of its row."""
    return load_sql(
        "review",
        a=approval,
        reviewed_now=reviewed("v"),
        request_status=request_status("r"),
        reviewer_left=reviewer_left("y"),
    )


def promotion_facts(version: str, target: str) -> str:
    """All facts that the gates check, as JSON. `version` is the alias of its row, `target` an expression for the
    stage."""
    parent = f"(SELECT {fill_sql(VERSION_FACTS, v='f')} FROM versions f WHERE f.id = {version}.parent_id)"
    return load_sql(
        "promotion",
        v=version,
        target=target,
        review=review("a"),
        reviewed=reviewed(version),
        invalid_data=load_sql("invalid_data", v=version),
        reviewer_left=reviewer_left("y"),
        parent=parent,
        child=fill_sql(VERSION_FACTS, v=version),
    )


async def load_promotion(session: AsyncSession, version_id: str, target: str) -> dict[str, Any]:
    """The fields of resolvers.rules.gates.Promotion by name."""
    facts = promotion_facts("promoted", "CAST(:target AS text)")
    statement = text(f"SELECT {facts} FROM versions promoted WHERE promoted.id = :id")
    return dict((await session.execute(statement, {"id": version_id, "target": target})).scalar_one())


@dataclass(frozen=True, kw_only=True)
class VisibleRequest(VisibleRow):
    model_id: str


@dataclass(frozen=True)
class LockedRequest:
    """A transition request whose model is locked, with the version that it is for."""

    id: str
    project_id: str
    model_id: str
    number: list[int]
    target_stage: str
    status: str
    notes: str | None
    created_by: str


async def visible_request(session: AsyncSession, id_: str, viewer: Viewer) -> VisibleRequest | None:
    """A request by its id, with the model under whose lock it changes; it is read again under that lock."""
    model = {"model_id": "(SELECT v.model_id FROM versions v WHERE v.id = version_id)"}
    return await visible(session, VisibleRequest, "transition_requests", id_, viewer, computed=model)


async def locked_request(session: AsyncSession, id_: str) -> LockedRequest:
    return await one(session, LockedRequest, LOCKED_REQUEST, id=id_)


LOCKED_REQUEST = f"""
SELECT q.id, q.project_id, v.model_id, v.number, q.target_stage, {request_status("q")} AS status, q.notes, q.created_by
FROM transition_requests q JOIN versions v ON v.id = q.version_id WHERE q.id = :id
"""


async def set_request_status(session: AsyncSession, id_: str, status: TransitionRequestStatus) -> None:
    await session.execute(update(TransitionRequest).where(col(TransitionRequest.id) == id_).values(status=status))
