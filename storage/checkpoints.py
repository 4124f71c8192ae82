"""Signed checkpoints in the database: the events that record them, and the problems that prevent further ones.

The events are a chain of the audit log, `checkpoints`. Each names a line of a checkpoint file by its number and digest,
so that a moved, emptied or truncated file is detected.
"""

from collections.abc import Iterable, Mapping
from datetime import datetime
from typing import Any, NamedTuple

import orjson
from sqlalchemy import DateTime, text
from sqlalchemy.ext.asyncio import AsyncConnection
from sqlmodel import Field, SQLModel

from storage import ids
from storage.audit import APPEND, canonical
from storage.engine import Database
from storage.sql import load_sql

CHAIN = "checkpoints"
WRITTEN, ROTATED, LOST = "checkpoint.written", "signingKey.rotated", "signingKey.lost"
ACTOR = "lineal"
# Reports of data folders that no server uses any more are ignored after this time.
REPORT_HOURS = 24


class Pulse(NamedTuple):
    """The time of the last checkpoint (None: never), and whether any server cannot write one."""

    last_at: str | None
    failing: bool


class CheckpointReport(SQLModel, table=True):
    """The problem that prevents the servers of one data folder from writing checkpoints, as they reported it. Null:
    none."""

    __tablename__ = "checkpoint_reports"

    place: str = Field(primary_key=True)
    problem: str | None = None
    since: datetime | None = Field(default=None, sa_type=DateTime(timezone=True))
    reported_at: datetime = Field(sa_type=DateTime(timezone=True))


# The current problem keeps the time at which it began.
REPORT = text("""
WITH gone AS (
    DELETE FROM checkpoint_reports
    WHERE place <> :place AND reported_at < clock_timestamp() - make_interval(hours => CAST(:hours AS int))
)
INSERT INTO checkpoint_reports AS r (place, problem, since, reported_at)
VALUES (:place, CAST(:problem AS text), CASE WHEN CAST(:problem AS text) IS NOT NULL THEN clock_timestamp() END,
    clock_timestamp())
ON CONFLICT (place) DO UPDATE SET problem = excluded.problem, reported_at = excluded.reported_at,
    since = CASE WHEN excluded.problem IS NOT NULL THEN coalesce(r.since, excluded.since) END
""")
RECORDED = text("""
SELECT entry FROM audit_events WHERE chain = :chain AND subject_id = ANY (CAST(:subjects AS text[]))
ORDER BY at DESC, id DESC LIMIT 200
""")
EVENTS = text("SELECT coalesce(sum(seq), 0) FROM audit_chains WHERE chain <> :chain")
# Like STATUS, without the parts that require reading every chain.
PULSE = f"""
SELECT (SELECT entry::json -> 'details' ->> 'at' FROM audit_events WHERE chain = '{CHAIN}' ORDER BY seq DESC LIMIT 1),
    EXISTS (SELECT FROM checkpoint_reports WHERE problem IS NOT NULL
        AND reported_at > clock_timestamp() - interval '{REPORT_HOURS} hours')
"""
STATUS = load_sql("checkpoint_status")


def subject(key: str) -> str:
    """The subject that stands for a signing key in the audit log."""
    return f"signer_{key}"


async def recorded(connection: AsyncConnection, keys: Iterable[str]) -> list[dict[str, Any]]:
    """The audit log's records of checkpoints that these keys signed, the latest first. Not verified."""
    subjects = [subject(key) for key in keys]
    rows = await connection.execute(RECORDED, {"chain": CHAIN, "subjects": subjects})
    return [orjson.loads(entry)["details"] for (entry,) in rows]


async def record(connection: AsyncConnection, action: str, details: Mapping[str, Any]) -> None:
    entry: dict[str, Any] = {
        "id": ids.new_id("evt"),
        "action": action,
        "actor": ACTOR,
        "subjectId": subject(details["key"]),
    }
    entry |= {"projectId": None, "notes": None, "details": dict(details), "requestId": "checkpoint"}
    await connection.execute(APPEND, {"chain": CHAIN, "entries": [canonical(entry)]})
    await connection.commit()


async def report(connection: AsyncConnection, place: str, problem: str | None) -> None:
    await connection.execute(REPORT, {"place": place, "problem": problem, "hours": REPORT_HOURS})
    await connection.commit()


async def pulse(database: Database, within: float) -> Pulse:
    """Whether the audit log is being checkpointed, for probes that cannot wait long."""
    (row,) = await database.fetch(PULSE, within=within)
    return Pulse(*row)
