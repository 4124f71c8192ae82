"""Which versions retention finds, and how a batch of them is archived."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import orjson
import rfc8785
from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncSession

OLD = text((Path(__file__).parent / "retention.sql").read_text())


async def old_versions(
    session: AsyncSession,
    project_id: str,
    limit: int,
    *,
    kept: bool | None = None,
    only: Sequence[str] | None = None,
) -> list[dict[str, Any]]:
    """Old development versions with the reason why each is kept, if any: all, or those that are kept or not, or none
    but some."""
    values = {"project": project_id, "kept": kept, "only": only, "limit": limit}
    return [dict(row) for row in (await session.execute(OLD, values)).mappings()]


async def lock_versions(session: AsyncSession, ids: Sequence[str]) -> None:
    """So that no version is derived from one of these meanwhile, in whichever model."""
    statement = "SELECT FROM versions WHERE id = ANY (CAST(:ids AS text[])) ORDER BY id FOR NO KEY UPDATE"
    await session.execute(text(statement), {"ids": list(ids)})


async def append_all(session: AsyncSession, chains: Mapping[str, Sequence[Mapping[str, Any]]]) -> None:
    """Append events to many chains in one statement."""
    batch = [
        {"chain": chain, "entries": [rfc8785.dumps(entry).decode() for entry in entries]}
        for chain, entries in sorted(chains.items())
    ]
    await session.execute(APPEND_ALL, {"batch": orjson.dumps(batch).decode()})


APPEND_ALL = text("""
SELECT audit_append(b ->> 'chain', ARRAY(SELECT jsonb_array_elements_text(b -> 'entries')))
FROM jsonb_array_elements(CAST(:batch AS jsonb)) WITH ORDINALITY each (b, place) ORDER BY place
""")

# The projects with a retention policy; with whether the daily run is due.
IS_DUE = text("""
SELECT coalesce(finished_at < clock_timestamp() - interval '1 day', true) FROM daily_runs WHERE task = 'retention'
""")
PROJECTS = text("SELECT project_id FROM project_policies WHERE retention_days IS NOT NULL ORDER BY project_id")
FINISHED = text("UPDATE daily_runs SET finished_at = clock_timestamp() WHERE task = 'retention'")
