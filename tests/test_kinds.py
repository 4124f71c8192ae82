"""The kind of a request, as the gate decides it."""

import pytest

from server.http.kinds import PATHS, Kind, kind_of

HTML, EVENTS = "text/html,*/*;q=0.8", "text/event-stream"


@pytest.mark.parametrize(
    ("method", "path", "query", "accept", "kind"),
    [
        ("GET", "/graphql", "", HTML, Kind.EXPLORER),
        ("HEAD", "/graphql", "", HTML, Kind.EXPLORER),
        ("GET", "/graphql", "operationName=A", HTML, Kind.EXPLORER),
        ("GET", "/graphql", "query={__typename}", HTML, Kind.OPERATION),
        ("POST", "/graphql", "", HTML, Kind.OPERATION),
        ("POST", "/graphql", "", "", Kind.OPERATION),
        ("GET", "/graphql", "", "", Kind.OPERATION),
        ("DELETE", "/graphql", "", "application/json", Kind.OPERATION),
        ("POST", "/graphql", "", EVENTS, Kind.STREAM),
        ("GET", "/graphql", "query=subscription{a}", EVENTS, Kind.STREAM),
        ("GET", "/graphql", "", f"{HTML},{EVENTS}", Kind.EXPLORER),
        ("POST", "/graphql/", "", "", Kind.RESOURCE),
        ("GET", "/graphqlx", "", HTML, Kind.RESOURCE),
        ("GET", "/healthz", "", "", Kind.PROBE),
        ("GET", "/readyz", "", HTML, Kind.PROBE),
        ("GET", "/", "", HTML, Kind.OPEN),
        ("GET", "/favicon.ico", "", "", Kind.OPEN),
        ("GET", "/graphiql/3/graphiql.js", "", "", Kind.OPEN),
        ("GET", "/graphiql", "", "", Kind.RESOURCE),
        ("GET", "/lineage/1.svg", "", HTML, Kind.RESOURCE),
        ("GET", "/nothing", "", "", Kind.RESOURCE),
    ],
)
def test_a_request_has_one_kind(method: str, path: str, query: str, accept: str, kind: Kind) -> None:
    scope = {"method": method, "path": path, "query_string": query.encode()}
    assert kind_of(scope, {b"accept": accept.encode()} if accept else {}) is kind


@pytest.mark.parametrize(("path", "need"), PATHS.items())
def test_a_path_is_open_if_the_table_of_paths_says_so(path: str, need: object) -> None:
    scope = {"method": "POST", "path": path, "query_string": b""}
    assert kind_of(scope, {}).is_open == (need.name == "OPEN")  # type: ignore[attr-defined]
