"""The floor of reading: no framework, one statement by hand for each case, the database's bytes as the answer."""

from typing import Any

import asyncpg
import orjson

from benchmarks.cases import CASES
from benchmarks.pool import open_pool
from benchmarks.wire import Receive, Scope, Send, answer, body_of, lived

BY_PATH = {case.path: (case.statement, case.arguments) for case in CASES}


class Floor:
    pool: asyncpg.Pool

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "lifespan":
            self.pool = await open_pool()
            await lived(receive, send, self.pool.close)
            return
        statement, arguments = BY_PATH[scope["path"]]
        sent: dict[str, Any] = orjson.loads(await body_of(receive))
        await answer(send, await self.pool.fetchval(statement, *arguments(sent["variables"])))


app = Floor()
