"""Each project's feed of its audit log. The order of events that a reader has passed never changes
(audit_feed_events)."""

from typing import NamedTuple

import orjson
from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncSession

from storage.engine import Database
from storage.sql import fill_sql

BATCH = 500
# The channels that report new events.
CHANNELS = ("lineal_events", "lineal_feed")
READ = f"""
SELECT convert_to(coalesce(json_agg(json_build_array(n.position, n.id, n.action, n.subject_id)), '[]')::text, 'UTF8')
FROM (
    SELECT f.position, e.id, e.action, e.subject_id FROM audit_feed f JOIN audit_events e USING (chain, seq)
    WHERE f.project_id = $1 AND f.position > $2 ORDER BY f.position LIMIT {BATCH}) n
"""
HEAD = "SELECT coalesce(max(position), 0) FROM audit_feed WHERE project_id = {project}"
FIRST = "SELECT coalesce(min(position), 1) FROM audit_feed WHERE project_id = $1"
# The types that can be subscribed to.
PROJECT_OF = {
    "project": "SELECT id FROM projects WHERE id = $1",
    "deployment": "SELECT project_id FROM deployments WHERE id = $1",
}


class Event(NamedTuple):
    position: int
    id: str
    action: str
    subject_id: str


async def give_places(session: AsyncSession) -> None:
    """Assign places to all events committed so far."""
    await session.execute(text("SELECT audit_feed_events()"))


async def head_in(session: AsyncSession, project_id: str) -> int:
    """The last position of a project's feed, in a transaction that writes."""
    return int(await session.scalar(text(fill_sql(HEAD, project=":project")), {"project": project_id}) or 0)


async def head(database: Database, project_id: str) -> int:
    return int(await database.fetchval(fill_sql(HEAD, project="$1"), project_id))


async def first(database: Database, project_id: str) -> int:
    """The first position of a feed that is still stored. 1 while it is empty."""
    return int(await database.fetchval(FIRST, project_id))


async def read(database: Database, project_id: str, after: int) -> list[Event]:
    """The next events of a feed."""
    return [Event(*row) for row in orjson.loads(await database.fetchval(READ, project_id, after))]


async def project_of(database: Database, noun: str, id_: str) -> str | None:
    """The project of a project or deployment to subscribe to. None if there is no such object."""
    project_id: str | None = await database.fetchval(PROJECT_OF[noun], id_)
    return project_id
