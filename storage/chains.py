"""Reads the audit log's chains of events in one snapshot. They are streamed, so that any number of them can be read."""

from collections.abc import AsyncIterator, Mapping
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from typing import Any, NamedTuple

from sqlalchemy import Row, text
from sqlalchemy.ext.asyncio import AsyncConnection

AT_ONCE = 1000  # rows fetched in one go


class EventRow(NamedTuple):
    """One event with the exact text that was hashed, `entry`."""

    chain: str
    seq: int
    id: str
    at: str
    project_id: str | None
    actor: str
    action: str
    subject_id: str
    entry: str
    previous_hash: bytes
    hash: bytes


class HeadRow(NamedTuple):
    chain: str
    seq: int
    hash: bytes


class LaterEvent(NamedTuple):
    """The parts of an event that its hash covers, besides the previous hash and its number."""

    chain: str
    at: str
    entry: str


# The time as it was hashed. A time without this form (infinity) was not written by Lineal.
MOMENT = """coalesce(to_char(at AT TIME ZONE 'UTC', 'YYYY-MM-DD"T"HH24:MI:SS.US"Z"'), '')"""

# Whole chains: a part of a chain could not be verified.
CHOSEN = """
(CAST(:chain AS text) IS NULL OR chain = :chain) AND (CAST(:project AS text) IS NULL
    OR chain IN (SELECT chain FROM audit_events WHERE project_id = :project))
"""

EVENTS = f"""
SELECT chain, seq, id, {MOMENT} AS at, project_id, actor, action, subject_id, entry, previous_hash, hash
FROM audit_events WHERE {CHOSEN} ORDER BY chain, seq
"""

HEADS = "SELECT chain, seq, hash FROM audit_chains"

CHOSEN_HEADS = f"{HEADS} WHERE {CHOSEN} ORDER BY chain"

# OFFSET 0 makes PostgreSQL read along the index, chain by chain: the planner estimates "after" as a third of the table.
EVENTS_SINCE = f"""
SELECT chain, {MOMENT} AS at, entry
FROM unnest(CAST(:chains AS text[]), CAST(:seqs AS bigint[])) WITH ORDINALITY AS known (of_chain, known_seq, place)
CROSS JOIN LATERAL (
    SELECT chain, seq, at, entry FROM audit_events WHERE chain = of_chain AND seq > known_seq ORDER BY seq OFFSET 0
) AS since ORDER BY place, seq
"""


@asynccontextmanager
async def snapshot(opening: AbstractAsyncContextManager[AsyncConnection]) -> AsyncIterator[AsyncConnection]:
    """One moment of the database, read only."""
    async with opening as connection:
        await connection.execution_options(isolation_level="REPEATABLE READ", postgresql_readonly=True)
        # While an export is written to a slow disk or a pager, the transaction is idle.
        await connection.execute(text("SET LOCAL idle_in_transaction_session_timeout = 0"))
        yield connection


async def stream(connection: AsyncConnection, statement: str, **values: Any) -> AsyncIterator[Row[Any]]:
    """Stream rows through a server-side cursor."""
    async with connection.stream(text(statement), values, execution_options={"yield_per": AT_ONCE}) as result:
        async for rows in result.partitions(AT_ONCE):
            for row in rows:
                yield row


async def events(
    connection: AsyncConnection, project: str | None = None, chain: str | None = None
) -> AsyncIterator[EventRow]:
    async for row in stream(connection, EVENTS, project=project, chain=chain):
        yield EventRow._make(row)


async def heads(
    connection: AsyncConnection, project: str | None = None, chain: str | None = None
) -> AsyncIterator[HeadRow]:
    async for row in stream(connection, CHOSEN_HEADS, project=project, chain=chain):
        yield HeadRow._make(row)


async def all_heads(connection: AsyncConnection) -> AsyncIterator[HeadRow]:
    """The heads of all chains, in no order."""
    async for row in stream(connection, HEADS):
        yield HeadRow._make(row)


async def events_since(connection: AsyncConnection, known: Mapping[str, int]) -> AsyncIterator[LaterEvent]:
    """The events appended to these chains after these numbers."""
    async for row in stream(connection, EVENTS_SINCE, chains=list(known), seqs=list(known.values())):
        yield LaterEvent._make(row)
