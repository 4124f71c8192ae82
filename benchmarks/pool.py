"""The connections of what Lineal is compared with: asyncpg's own pool with the options that suit these statements."""

import os
from typing import Any

import asyncpg


async def open_pool(**options: Any) -> asyncpg.Pool:
    return await asyncpg.create_pool(
        os.environ["BENCH_URL"],
        min_size=1,
        max_size=int(os.environ["BENCH_POOL_SIZE"]),
        reset=keep_session,
        max_cacheable_statement_size=0,
        server_settings={"jit": "off", "timezone": "UTC"},
        **options,
    )


async def keep_session(connection: Any) -> None:
    """Nothing to reset: asyncpg's own reset costs a round trip."""
