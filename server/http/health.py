"""Whether the process is up, and whether it can serve."""

import asyncio
from functools import cache
from typing import Any

from starlette.requests import Request
from starlette.responses import JSONResponse, Response

from resolvers.errors import Refusal
from resolvers.refusals import driver_errors_as_refusals
from server.ops.sealed_secrets import problem_now
from storage.checkpoints import pulse
from storage.engine import Database
from storage.migrate import newest_revision, revision_seen
from storage.sealing import Sealing

# Probes are sent every few seconds and time out soon.
ANSWER_SECONDS = 2.0
needed_revision = cache(newest_revision)


async def healthz(request: Request) -> Response:
    return JSONResponse({"status": "up"})


async def readyz(request: Request) -> Response:
    """Ready if the database responds and has this code's schema. `details` reports other problems.

    Concurrent probes share one check."""
    state = request.app.state
    looking = getattr(state, "looking", None)
    if looking is None or looking.done():
        looking = state.looking = asyncio.ensure_future(_look(state.database, state.sealing))
    response: Response = await asyncio.shield(looking)
    return response


async def _look(database: Database, sealing: Sealing) -> Response:
    try:
        with driver_errors_as_refusals():
            revision = await revision_seen(database, ANSWER_SECONDS)
            details = await _details(database, sealing) if revision == needed_revision() else {}
    except Refusal as refusal:
        return JSONResponse({"status": "not ready", "reason": str(refusal)}, status_code=503)
    if revision != needed_revision():
        at = f"at schema revision {revision}" if revision else "empty"
        reason = f"The database is {at}; this server needs {needed_revision()}. Run lineal migrate."
        return JSONResponse({"status": "not ready", "reason": reason}, status_code=503)
    return JSONResponse({"status": "ready", "details": details})


async def _details(database: Database, sealing: Sealing) -> dict[str, Any]:
    """The state of the background work, without the reasons why checkpoints fail: those are for administrators
    (`auditStatus`)."""
    problem = await problem_now(database, sealing, ANSWER_SECONDS)
    return {"checkpoints": await _checkpoints(database)} | ({"webhooks": problem} if problem else {})


async def _checkpoints(database: Database) -> dict[str, Any]:
    """Whether the audit log is being checkpointed.

    The process stays ready if it is not: the registry can serve requests, and taking it out of service would turn a
    late proof into an outage.
    """
    try:
        with driver_errors_as_refusals():
            last = await pulse(database, ANSWER_SECONDS)
    except Refusal:
        return {"status": "unknown"}
    return {"status": "failing" if last.failing else "ok", "lastCheckpointAt": last.last_at}
