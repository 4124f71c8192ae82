"""Finds the versions for retention, and archives a batch of them."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime

import orjson
from sqlalchemy import DateTime, TextClause, text
from sqlalchemy.ext.asyncio import AsyncSession
from sqlmodel import Field, SQLModel

from storage.audit import NewEvent, canonical
from storage.sql import fill_sql, load_sql


class DailyRun(SQLModel, table=True):
    """The time at which a daily task, which any one process runs, was last completed."""

    __tablename__ = "daily_runs"

    task: str = Field(primary_key=True)
    finished_at: datetime | None = Field(default=None, sa_type=DateTime(timezone=True))


# A condition on a version; `v` is the alias of its row.
IS_OLD = "{v}.stage = 'DEVELOPMENT' AND {v}.touched_at < (SELECT oldest FROM policy)"
# Seconds. A pass through a large project takes longer than a request may.
LONGEST_LOOK = 600


def _statement(is_old: str) -> TextClause:
    return text(load_sql("retention", is_old_v=fill_sql(is_old, v="v"), is_old_c=fill_sql(is_old, v="c")))


OLD = _statement(IS_OLD)
# A separate statement: one in which `only` is optional would not be planned for few rows.
OLD_AMONG = _statement(IS_OLD + " AND {v}.id = ANY (CAST(:only AS text[]))")


@dataclass(frozen=True)
class OldVersion:
    """A development version that retention finds. `reason` says why it is kept, None if it is not."""

    id: str
    model_id: str
    number: list[int]
    reason: str | None


async def old_versions(
    session: AsyncSession,
    project_id: str,
    limit: int,
    *,
    kept: bool | None = None,
    only: Sequence[str] | None = None,
) -> list[OldVersion]:
    """Old development versions, with the reason why each is kept, if any. `kept` selects those that are kept, or the
    others. `only` restricts them to these ids."""
    values = {"project": project_id, "kept": kept, "limit": limit}
    statement, bound = (OLD, values) if only is None else (OLD_AMONG, values | {"only": only})
    return [OldVersion(**row) for row in (await session.execute(statement, bound)).mappings()]


async def lock_versions(session: AsyncSession, ids: Sequence[str]) -> list[str]:
    """Lock versions, so that no version of any model can be derived from them in the meantime. Versions from which one
    is being derived are left out: waiting for them could cause a deadlock."""
    statement = "SELECT id FROM versions WHERE id = ANY (CAST(:ids AS text[])) FOR NO KEY UPDATE SKIP LOCKED"
    return list(await session.scalars(text(statement), {"ids": list(ids)}))


async def append_all(session: AsyncSession, chains: Mapping[str, Sequence[NewEvent]]) -> None:
    """Append events to many chains in one statement."""
    batch = [
        {"chain": chain, "entries": [canonical(entry) for entry in entries]}
        for chain, entries in sorted(chains.items())
    ]
    await session.execute(APPEND_ALL, {"batch": orjson.dumps(batch).decode()})


APPEND_ALL = text("""
SELECT audit_append(b ->> 'chain', ARRAY(SELECT jsonb_array_elements_text(b -> 'entries')))
FROM jsonb_array_elements(CAST(:batch AS jsonb)) WITH ORDINALITY each (b, place) ORDER BY place
""")


async def take_turn(session: AsyncSession) -> bool:
    """Take the lock of the daily run, and set the time limit that it needs. Returns whether the lock was free."""
    await session.execute(text("SELECT set_config('statement_timeout', :ms, true)"), {"ms": str(LONGEST_LOOK * 1000)})
    return bool(await session.scalar(text("SELECT pg_try_advisory_xact_lock(hashtext('lineal retention'))")))


IS_DUE = text("""
SELECT coalesce(finished_at < clock_timestamp() - interval '1 day', true) FROM daily_runs WHERE task = 'retention'
""")
PROJECTS = text("SELECT project_id FROM project_policies WHERE retention_days IS NOT NULL ORDER BY project_id")
FINISHED = text("UPDATE daily_runs SET finished_at = clock_timestamp() WHERE task = 'retention'")


async def is_due(session: AsyncSession) -> bool:
    """Whether the daily run was not completed within the last day."""
    return bool(await session.scalar(IS_DUE))


async def projects(session: AsyncSession) -> list[str]:
    """The ids of the projects whose policy has retention."""
    return list(await session.scalars(PROJECTS))


async def note_finished(session: AsyncSession) -> None:
    await session.execute(FINISHED)
