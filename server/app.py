"""The ASGI application of one server process."""

import gc
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, nullcontext

from starlette.applications import Starlette
from starlette.middleware import Middleware
from starlette.middleware.exceptions import ExceptionMiddleware
from starlette.requests import Request
from starlette.responses import JSONResponse, RedirectResponse, Response
from starlette.routing import Route
from starlette.types import ASGIApp, Receive, Scope, Send

from resolvers.errors import Refusal
from schema import schema
from server.events.feed import Feed
from server.events.sse import Streams
from server.events.subscriptions import Subscriptions
from server.events.websockets import Sockets
from server.http import graphiql
from server.http.admission import Admission
from server.http.deadlines import Deadlines
from server.http.documents import Documents
from server.http.endpoint import JSON, GraphQLEndpoint, HTTPRefusal, defect, http_refusal
from server.http.gate import Gate
from server.http.health import healthz, readyz
from server.http.operations import Operations
from server.http.pictures import Pictures
from server.http.rates import Buckets
from server.http.traffic import Routes
from server.identity.callers import Callers
from server.identity.keyring import Keyring
from server.identity.oidc import Tokens
from server.logs import configure_logs
from server.ops.background import running_jobs
from server.ops.environment import SettingsInvalid, read_settings
from server.ops.processes import die_with_parent
from server.settings import Settings, mutation_settings_of
from storage.engine import Database

SWITCH_SECONDS = 0.0005


def application() -> ASGIApp:
    """The application that uvicorn's workers run. Settings come from the environment that `lineal serve` prepared."""
    die_with_parent()
    # How long the event loop waits for a computing thread. Python's default of 5 ms is longer than a usual request
    # takes.
    sys.setswitchinterval(SWITCH_SECONDS)
    try:
        settings = read_settings()
    except SettingsInvalid as invalid:
        raise SystemExit(str(invalid)) from None
    configure_logs(settings.log_level, settings.log_format)
    return make_app(settings, background_jobs=True)


def make_app(settings: Settings, background_jobs: bool = False) -> Gate:
    """The application. With `background_jobs`, it also runs the jobs of a server process."""
    database = Database(settings.database_url, size=settings.pool_size, statement_timeout=settings.statement_timeout)
    keyring = Keyring(database)

    @asynccontextmanager
    async def lifespan(app: Starlette) -> AsyncIterator[None]:
        await database.open()
        # Everything loaded so far is permanent: the collector does not need to scan it for every large request.
        gc.freeze()
        # Reference counting frees what a request allocates, so searching for cycles can wait.
        gc.set_threshold(20_000, 20, 20)
        try:
            async with running_jobs(settings, database) if background_jobs else nullcontext():
                yield
        finally:
            await database.close()

    buckets = Buckets(settings.rate_per_second, settings.rate_burst)
    mutation_settings = mutation_settings_of(settings)
    documents = Documents(schema._schema, settings.max_answer_bytes)  # noqa: SLF001 - Strawberry has no public name for it
    admission = Admission(settings)
    operations = Operations(documents, database, buckets, admission, mutation_settings)
    feed = Feed(database)
    endpoint = GraphQLEndpoint(
        operations, admission, Deadlines(settings.request_timeout), settings.max_body_bytes, settings.body_timeout
    )
    app = Starlette(
        routes=[
            Route("/", lambda request: RedirectResponse("graphql"), methods=["GET"]),
            Route("/favicon.ico", lambda request: Response(status_code=204), methods=["GET"]),
            Route("/healthz", healthz, methods=["GET"]),
            Route("/readyz", readyz, methods=["GET"]),
            *graphiql.routes,
            *Routes(database, admission, buckets).routes,
            *Pictures(operations, settings.request_timeout).routes,
        ],
        exception_handlers={404: not_found, 405: wrong_method, HTTPRefusal: respond_refused, Refusal: respond_refused},
        # Not as a handler of the app: it would raise the error again after responding.
        middleware=[Middleware(ExceptionMiddleware, handlers={Exception: masked})],
        lifespan=lifespan,
    )
    app.state.database, app.state.sealing = database, mutation_settings.sealing
    tokens = Tokens(settings) if settings.oidc_issuer else None
    subscriptions = Subscriptions(operations, database, feed)
    streams = Streams(endpoint, subscriptions)
    sockets = Sockets(subscriptions, admission)
    callers = Callers(keyring, tokens, settings.open)
    return Gate(endpoint, streams, explorer, app, sockets, settings, callers, admission)


async def explorer(scope: Scope, receive: Receive, send: Send) -> None:
    await graphiql.page(Request(scope, receive))(scope, receive, send)


async def not_found(request: Request, error: Exception) -> Response:
    sentence = "There is nothing at this address. The API is at /graphql."
    return JSONResponse({"errors": [{"message": sentence, "extensions": {"code": "NOT_FOUND"}}]}, status_code=404)


async def wrong_method(request: Request, error: Exception) -> Response:
    sentence = "This address does not accept this method. The header Allow lists those that it accepts."
    headers = getattr(error, "headers", None)
    body = {"errors": [{"message": sentence, "extensions": {"code": "BAD_USER_INPUT"}}]}
    return JSONResponse(body, status_code=405, headers=headers)


async def masked(request: Request, error: Exception) -> Response:
    return await respond_refused(request, defect(error, request.state.request_id))


async def respond_refused(request: Request, error: Exception) -> Response:
    if isinstance(error, Refusal):
        error = http_refusal(error)
    assert isinstance(error, HTTPRefusal)
    headers = {name.decode(): value.decode() for name, value in error.headers}
    headers |= {"cache-control": "no-store", "x-content-type-options": "nosniff"}
    return Response(error.body(), error.status, headers, JSON)
