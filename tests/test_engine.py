"""The connections that a process keeps, when the database ends them."""

import asyncio

from sqlalchemy import text

from storage.engine import Database
from tests.conftest import Cluster, run_sql


async def test_connections_that_ended_while_nobody_used_them_are_made_anew(database: Cluster) -> None:
    opened = Database(database.app_url, size=3)
    await opened.open()

    async def read() -> int:
        return int(await opened.fetchval("SELECT pg_backend_pid() FROM (SELECT pg_sleep(0.05)) wait"))

    async def write() -> int:
        async with opened.session() as session:
            return int(await session.scalar(text("SELECT pg_backend_pid() FROM (SELECT pg_sleep(0.05)) wait")) or 0)

    before = await asyncio.gather(*(read() for _ in range(3)), *(write() for _ in range(3)))
    assert len(set(before)) == 6
    ended = ", ".join(map(str, before))
    await run_sql(database.superuser_url, f"SELECT pg_terminate_backend(pid, 5000) FROM unnest(ARRAY[{ended}]) p (pid)")
    await asyncio.sleep(0.1)
    after = await asyncio.gather(*(read() for _ in range(3)), *(write() for _ in range(3)))
    assert not set(before) & set(after)
    await opened.close()


async def test_reads_beyond_the_pool_s_size_wait_and_are_answered(database: Cluster) -> None:
    opened = Database(database.app_url, size=2)
    await opened.open()
    statement = "SELECT count(*) FROM (SELECT pg_sleep(0.02)) wait"
    assert await asyncio.gather(*(opened.fetchval(statement) for _ in range(40))) == [1] * 40
    slow = asyncio.create_task(opened.fetchval("SELECT count(*) FROM (SELECT pg_sleep(30)) wait"))
    await asyncio.sleep(0.05)
    slow.cancel()
    assert await asyncio.wait_for(opened.fetchval("SELECT 7"), 5) == 7
    assert await asyncio.gather(*(opened.fetchval(statement) for _ in range(10))) == [1] * 10
    await opened.close()
