"""The kind of an HTTP request, decided once, at the gate, before it is processed further."""

from collections.abc import Mapping
from enum import Enum, auto

from starlette.types import Scope

from resolvers.rules.access import Need

API = "/graphql"
EVENTS = b"text/event-stream"

# What each path needs of its caller. Other paths return 404 to authenticated callers, and 401 to everyone else.
PATHS = {
    "/": Need.OPEN,
    "/favicon.ico": Need.OPEN,
    "/graphiql/{version}/{path:path}": Need.OPEN,
    API: Need.ANYONE,
    "/healthz": Need.OPEN,
    "/lineage/{id}.svg": Need.ANYONE,
    "/models/{id}/metrics/{name:path}.svg": Need.ANYONE,
    "/readyz": Need.OPEN,
    "/routes/{environment}": Need.ANYONE,
}
PROBES = frozenset({"/healthz", "/readyz"})
OPEN = [path for path, need in PATHS.items() if need is Need.OPEN]
OPEN_PATHS = frozenset(path for path in OPEN if "{" not in path)
OPEN_PREFIXES = tuple(path.partition("{")[0] for path in OPEN if "{" in path)


class Kind(Enum):
    PROBE = auto()
    """A health check. It is sent to an IP address, and an overloaded process must still respond to it."""
    OPEN = auto()
    """A page or file that everyone may read."""
    EXPLORER = auto()
    """A browser that opens the API's address to use GraphiQL."""
    STREAM = auto()
    """A subscription whose events are sent by the server."""
    OPERATION = auto()
    """A GraphQL operation."""
    RESOURCE = auto()
    """A picture or the traffic routes, for authenticated callers."""

    @property
    def is_open(self) -> bool:
        """Whether the kind needs no authentication."""
        return self in (Kind.PROBE, Kind.OPEN, Kind.EXPLORER)


def kind_of(scope: Scope, headers: Mapping[bytes, bytes]) -> Kind:
    path = scope["path"]
    if path == API:
        return _kind_at_api(scope, headers.get(b"accept", b""))
    if path in PROBES:
        return Kind.PROBE
    return Kind.OPEN if path in OPEN_PATHS or path.startswith(OPEN_PREFIXES) else Kind.RESOURCE


def _kind_at_api(scope: Scope, accept: bytes) -> Kind:
    if scope["method"] in ("GET", "HEAD") and b"text/html" in accept and b"query=" not in scope["query_string"]:
        return Kind.EXPLORER
    return Kind.STREAM if EVENTS in accept else Kind.OPERATION
