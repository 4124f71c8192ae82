"""Whether the process is up, and whether it can serve."""

from starlette.requests import Request
from starlette.responses import JSONResponse, Response

from resolvers.errors import Refusal
from resolvers.refusals import refused
from storage.migrate import newest_revision


async def healthz(request: Request) -> Response:
    return JSONResponse({"status": "up"})


async def readyz(request: Request) -> Response:
    """Ready when the database answers and has this code's schema."""
    try:
        with refused():
            found = await request.app.state.database.reads.fetchval("SELECT version_num FROM alembic_version")
    except Refusal as refusal:
        return JSONResponse({"status": "not ready", "reason": str(refusal)}, status_code=503)
    if found != newest_revision():
        reason = f"The database is at schema revision {found}, this code needs {newest_revision()}; run lineal migrate."
        return JSONResponse({"status": "not ready", "reason": reason}, status_code=503)
    return JSONResponse({"status": "ready"})
