"""What comes over HTTP and is wrong, too large, too late, or meets a defect or a database that is away."""

import asyncio
import json
import threading
import time
from collections.abc import AsyncIterator, Callable, Iterator
from typing import Any

import pytest
import pytest_asyncio
from graphql import get_introspection_query
from sqlalchemy import make_url

from schema import schema
from server.http.documents import Documents, RequestError
from server.http.endpoint import answer_in
from tests.conftest import Cluster, Registry, make_key, run_sql
from tests.support.asgi import (
    GRAPHQL,
    PROMISE,
    READ,
    app_of,
    asked,
    call,
    cost_of,
    locked_projects,
    times,
)
from tests.support.asgi import first_time as first_time  # noqa: PLC0414 - a fixture
from tests.support.relay import Relay

CREATE = 'mutation { createProject(input: {name: "Test"}) { project { id } } }'


# ---------------------------------------------------------------- abuse

BOMB = "query { ...f0 } " + "".join(f"fragment f{i} on Query {{ ...f{i + 1} ...f{i + 1} }} " for i in range(17))
DEEP = "{a" * 5_000 + "}" * 5_000
PARAMETERS = 'mutation { createVersion(input: {projectId: "proj_x", modelId: "model_x", parameters: %s}) { warnings } }'
NESTED = b'{"query": "{ __typename }", "variables": {"a": ' + b"[" * 10_000 + b"]" * 10_000 + b"}}"
FILTER = "query($f: VersionFilter!) { searchVersions(filter: $f) { totalCount } }"
MARKS = "\u0301\u0316"  # in the wrong order
AT = "query($at: DateTime!) { model(id: 1) { productionAt(at: $at) { id } } }"
NUMBERS = "query($numbers: [SemVer!]!) { compareVersions(modelId: 1, versions: $numbers) { markdown } }"
IDS = "query($ids: [ID!]!) { nodes(ids: $ids) { id } }"

COSTLY = {
    "a fragment bomb": asked(BOMB + "fragment f17 on Query { __typename }"),
    "a fragment bomb without a field": asked(BOMB + "fragment f17 on Query { }"),
    "fragments twenty times in each other": asked(
        "{ ...f0 }"
        + "".join(f"fragment f{i} on Query {{ {f'...f{i + 1} ' * 20} }}" for i in range(25))
        + "fragment f25 on Query { __typename }"
    ),
    "all fragments in all others": asked("{ ...f0 }" + times(40, f"fragment f# on Query {{ {times(40, '...f#')} }}")),
    "a long chain of fragments": asked(
        "{ ...f0 }" + "".join(f"fragment f{i} on Query{{...f{i + 1}}}" for i in range(99))
    ),
    "a long chain, last first": asked(
        "{ ...f0 }" + "".join(f"fragment f{i} on Query{{...f{i + 1}}}" for i in reversed(range(90)))
    ),
    "hundreds of fragments": asked("{ __typename }" + times(400, "fragment f# on Query { id }")),
    "hundreds of operations": asked(times(500, "query q# { __typename }")),
    "ten thousand aliases": asked("{" + times(10_000, "a#:__typename") + "}"),
    "aliases within the tokens": asked("{" + times(900, "a#:__typename") + "}"),
    "one field 400 times": asked("{" + times(400, "__typename") + "}"),
    "one object 400 times": asked("{ project(id: 1) {" + times(400, "id") + "} }"),
    "one field 400 times by aliases": asked("{" + times(400, "a#: __typename") + "}"),
    "one field 400 times under one alias": asked("{" + times(400, "a: __typename") + "}"),
    "one field 400 times by inline fragments": asked("{" + times(400, "... { __typename }") + "}"),
    "fields that overlap by fragments": asked(
        "{ node(id: 1) {" + times(90, "...f#") + "} }" + times(90, "fragment f# on Node { ... on Model { id name } }")
    ),
    "fields that overlap squared": asked(
        "{" + times(20, "project(id: 1) {" + times(12, "models { nodes { id } }") + "}") + "}"
    ),
    "100,000 directives": asked("{ __typename " + "@a" * 100_000 + "}"),
    "directives within the tokens": asked("{ __typename " + "@a" * 1_400 + "}"),
    "directives on the operation": asked("query " + "@a" * 1_400 + "{ __typename }"),
    "directives on a variable": asked("query($a: Int " + "@a" * 1_400 + ") { __typename }"),
    "directives on a fragment": asked("{ ...f } fragment f on Query " + "@a" * 1_400 + "{ __typename }"),
    "a long string": asked('{ project(id: "' + "x" * 900_000 + '") { id } }'),
    "a long name": asked("{" + "x" * 900_000 + "}"),
    "a long comment": asked("#" + "x" * 900_000 + "\n{ __typename }"),
    "many lines": asked("\n" * 400_000 + "{ nope }"),
    "many comments": asked("#\n" * 300_000 + "{ nope }"),
    "pages within pages": asked(
        "{ projects(first: 100) { nodes { models(first: 100) { nodes { versions(first: 100) { nodes { id } } } } } } }"
    ),
    "many ids": asked(IDS, variables={"ids": ["x"] * 150_000}),
    "many tags": asked(FILTER, variables={"f": {"tags": ["x"] * 150_000}}),
    "many conditions": asked(FILTER, variables={"f": {"metrics": [{"name": "x"}] * 50_000}}),
    "many unknown fields": asked(FILTER, variables={"f": {f"x{i}": 1 for i in range(60_000)}}),
    "many lists": asked("{ __typename }", variables={"a": [[[]] * 5_000] * 30}),
    "a long text": asked(IDS, variables={"ids": ["x" * 900_000]}),
    "a long text of marks": asked(FILTER, variables={"f": {"query": MARKS * 70_000}}),
    "a long name in variables": asked("{ __typename }", variables={"a": {"x" * 900_000: 1}}),
}
WRONG = {
    "operations that share variables": asked(
        times(10, "query q#($a: ID!) { ...f }") + f" fragment f on Query {{ nodes(ids: [{'$a ' * 1_300}]) {{ id }} }}"
    ),
    "fragments in a circle": asked("{ ...a } fragment a on Query { ...b } fragment b on Query { ...a }"),
    "a fragment in itself": asked(
        "{ project(id: 1) { ...a } } fragment a on Project { models { nodes { project { ...a } } } }"
    ),
    "5,000 braces": asked(DEEP),
    "a list nested deeply": asked("{ nodes(ids: " + "[" * 1_400 + "]" * 1_400 + ") { id } }"),
    "a list nested at length": asked("{ nodes(ids: " + "[" * 190 + "]" * 190 + ") { id } }"),
    "an object nested deeply": asked(PARAMETERS % ("{a: " * 700 + "1" + "}" * 700)),
    "a type nested deeply": asked("query($a: " + "[" * 1_400 + "Int" + "]" * 1_400 + ") { __typename }"),
    "a huge integer": asked("{ projects(first: " + "9" * 90_000 + ") { nodes { id } } }"),
    "a huge BigInt": asked(
        'mutation { createVersion(input: {projectId: "proj_x", modelId: "model_x", artifact: {uri: "a", sizeBytes: '
        + "9" * 5_000
        + "}}) { warnings } }"
    ),
    "a huge number in variables": b'{"query": "query($n: Int) { __typename }", "variables": {"n": %b}}'
    % (b"9" * 5_000),
    "unknown input fields": asked(
        "mutation { createProject(input: {" + times(900, 'name#: "x"') + "}) { project { id } } }"
    ),
    "one argument 900 times": asked("{ projects(" + times(900, "first: 1") + ") { totalCount } }"),
    "one variable 700 times": asked("query(" + times(700, "$a: Int") + ") { __typename }"),
    "undefined variables": asked("{ nodes(ids: [" + times(1_400, "$a#") + "]) { id } }"),
    "unknown enum values": asked(
        "{ searchVersions(filter: {stage: [" + times(2_900, "STAGIN#") + "]}) { totalCount } }"
    ),
    "unknown fields": asked("{ projects { nodes {" + times(1_400, "nam#") + "} } }"),
    "unknown long fields": asked("{ " + times(40, "x#" + "x" * 2_000) + "}"),
    "an unknown operation": asked("query a { __typename }", operationName="b" * 500_000),
    "no operation": asked("fragment f on Query { __typename }"),
    "a subscription": asked("subscription { a }"),
    "a definition of a type": asked("type T { a: Int }"),
    "a NUL character": asked("{ \0 }"),
    "a NUL character in a value": asked('{ project(id: "\\u0000") { id } }'),
    "half a surrogate pair": asked('{ project(id: "\\uD800") { id } }'),
    "half a surrogate pair in the body": b'{"query": "{ project(id: \\"\\ud800\\") { id } }"}',
    "null": b"null",
    "a string": b'"abc"',
    "an empty batch": b"[]",
    "a batch": b'[{"query": "{ __typename }"}]',
    "no body": b"",
    "half a body": b'{"query": ',
    "bytes that are not UTF-8": b'{"query": "{ __typename \xff }"}',
    "variables nested deeply": NESTED,
    "marks in an id": asked(IDS, variables={"ids": [MARKS * 49_000]}),
    "marks in a search": asked(FILTER, variables={"f": {"query": MARKS * 49_000}}),
    "marks in a document": asked('{ node(id: "' + MARKS * 40_000 + '") { id } }'),
    "marks in a hundred ids": asked(IDS, variables={"ids": [("a" + MARKS * 15) * 20] * 100}),
    "a long time": asked(AT, variables={"at": "2" * 100_000}),
    "a long version number": asked(NUMBERS, variables={"numbers": ["1" * 100_000] * 8}),
    "a query that is a number": b'{"query": 1}',
    "a query that is empty": asked(""),
    "variables that are a list": asked("{ __typename }", variables=[1]),
    "extensions that are text": asked("{ __typename }", extensions="x"),
    "an operationName that is a number": asked("{ __typename }", operationName=1),
}


@pytest.mark.usefixtures("first_time")
@pytest.mark.parametrize("body", COSTLY.values(), ids=COSTLY.keys())
async def test_what_costs_too_much_is_refused_before_it_costs(registry: Registry, body: bytes) -> None:
    cost, reply = await cost_of(registry, body)
    assert reply.status in (400, 413)
    if reply.status == 400:
        assert reply.error()["code"] in ("QUERY_TOO_COMPLEX", "GRAPHQL_PARSE_FAILED")
    assert cost < PROMISE


@pytest.mark.usefixtures("first_time")
@pytest.mark.parametrize("body", WRONG.values(), ids=WRONG.keys())
async def test_what_is_wrong_is_refused_in_a_sentence(registry: Registry, body: bytes) -> None:
    cost, reply = await cost_of(registry, body)
    assert reply.status == 400
    assert reply.error()["code"] in ("BAD_USER_INPUT", "GRAPHQL_PARSE_FAILED", "GRAPHQL_VALIDATION_FAILED")
    assert len(reply.body) < 30_000
    assert cost < PROMISE


@pytest.mark.usefixtures("first_time")
@pytest.mark.parametrize(
    "query",
    [
        "{" + times(50, "a#: __schema { types { name fields { name args { name } } } }") + "}",
        "{ __schema {" + times(90, "a#: types { fields { args { name description } } }") + "} }",
        "{ __schema { types { fields { type { fields { args { type {" + times(90, "a#: name") + "} } } } } } } }",
    ],
    ids=["whole", "lists", "leaves"],
)
async def test_introspection_may_cost_little_more_than_what_graphiql_asks(
    database: Cluster, make_registry: Callable[..., Any], query: str
) -> None:
    registry = await make_registry(database, rate_per_second=0)
    # By a variable that no document needs, so that the answer is not one that was kept.
    standard, reply = await cost_of(registry, asked(get_introspection_query(), variables={"new": 1}), 5)
    assert reply.status == 200
    cost, reply = await cost_of(registry, asked(query), 5)
    assert (reply.status, reply.error()["what"]) == (400, "introspectedFields")
    assert cost < 8 * standard


def test_a_document_known_as_refused_holds_on_to_no_request() -> None:
    documents = Documents(schema._schema)
    told = set()
    for _ in range(3):
        with pytest.raises(RequestError) as refused:
            documents.prepare("{ nothing }", None)
        told.add(id(refused.value.errors[0]))
    assert len(told) == 1, "it was not known"
    known = documents._known["{ nothing }", None]
    assert isinstance(known, RequestError)
    assert known.__traceback__ is None


async def test_a_body_announced_too_large_is_refused_unread(registry: Registry) -> None:
    def unread() -> Iterator[bytes]:
        pytest.fail("The body was read.")
        yield b""

    for size in ("10000000", "9" * 5_000):
        cost, reply = await cost_of(registry, unread(), headers={"content-length": size})  # type: ignore[arg-type]
        assert reply.status == 413
        assert reply.error()["code"] == "BAD_USER_INPUT"
        assert cost < PROMISE


async def test_a_body_in_chunks_is_refused_as_soon_as_it_is_too_large(registry: Registry) -> None:
    given = []

    def chunks() -> Iterator[bytes]:
        for _ in range(160):
            given.append(65_536)
            yield b" " * 65_536

    cost, reply = await cost_of(registry, chunks())  # type: ignore[arg-type]
    assert reply.status == 413
    assert sum(given) < 1_100_000
    assert cost < PROMISE


async def test_a_body_of_very_many_parts_is_refused_before_it_is_parsed(registry: Registry) -> None:
    parts = b'{"query": "{ __typename }", "x": [' + b"[]," * 150_000 + b"[]]}"
    cost, reply = await cost_of(registry, parts)
    assert (reply.status, reply.error()["code"]) == (413, "BAD_USER_INPUT")
    assert reply.error()["message"].endswith("commas and brackets; the limit is 120000. Split the request.")
    assert cost < PROMISE / 10


async def test_a_long_list_of_input_objects_is_refused_before_it_is_coerced(registry: Registry) -> None:
    query = "query($f: VersionFilter) { searchVersions(filter: $f) { totalCount } }"
    plain, reply = await cost_of(registry, asked(query, variables={"f": {"metrics": [{"name": "auc"}]}}))
    assert reply.status == 200
    cost, reply = await cost_of(registry, asked(query, variables={"f": {"metrics": [{"name": "auc"}] * 6_000}}))
    assert (reply.status, reply.error()["field"]) == (400, "f.metrics")
    assert reply.error()["message"] == "f.metrics has 6000 entries; at most 100 are allowed."
    assert cost < 10 * plain


async def test_documents_that_are_refused_cost_points_and_are_read_beside_the_event_loop(
    database: Cluster, make_registry: Callable[..., Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    registry = await make_registry(database, rate_per_second=0.001, rate_burst=22_000)
    threads: list[str] = []
    documents = app_of(registry).endpoint.operations.documents
    read = documents.read

    def reading(*arguments: Any) -> Any:
        threads.append(threading.current_thread().name)
        return read(*arguments)

    monkeypatch.setattr(documents, "read", reading)
    statuses = [
        (await call(registry, asked("{" + times(20, f"nothing{number}_#") + "}"))).status for number in range(24)
    ]
    assert statuses[:20] == [400] * 20
    assert statuses[-1] == 429
    assert all(name.startswith("workshop") for name in threads)


async def test_all_fields_of_a_mutation_together_have_the_time_of_one(
    database: Cluster, make_registry: Callable[..., Any]
) -> None:
    registry = await make_registry(database, statement_timeout=0.5)
    await registry.ask(CREATE)
    several = "mutation {" + times(6, 'a#: createProject(input: {name: "Test"}) { project { id } }') + "}"
    async with locked_projects(database):
        began = time.monotonic()
        reply = await call(registry, asked(several))
        assert time.monotonic() - began < 2
    assert reply.status == 503
    assert len(json.loads(reply.body)["errors"]) == 6
    assert "Send fewer fields at once" in json.loads(reply.body)["errors"][-1]["message"]


async def test_a_body_in_tiny_chunks_costs_no_more_than_its_size(registry: Registry) -> None:
    body = asked("{ __typename }").ljust(20_000)
    cost, reply = await cost_of(registry, [body[i : i + 1] for i in range(len(body))])  # type: ignore[arg-type]
    assert reply.status == 200
    assert cost < PROMISE


# ---------------------------------------------------------------- methods and media types


@pytest.mark.parametrize("method", ["PUT", "DELETE", "PATCH", "OPTIONS"])
async def test_other_methods_are_refused_with_those_allowed(registry: Registry, method: str) -> None:
    reply = await call(registry, asked(READ), method=method)
    assert (reply.status, reply.headers["allow"]) == (405, "GET, POST")
    assert reply.error()["code"] == "BAD_USER_INPUT"


async def test_a_mutation_by_get_is_refused_and_nothing_is_kept(registry: Registry) -> None:
    before = await registry.ask("{ projects { totalCount } }")
    query = CREATE.replace(" ", "%20").encode()
    reply = await call(registry, method="GET", query_string=b"query=" + query, headers={"content-type": None})
    assert (reply.status, reply.headers["allow"]) == (405, "POST")
    assert reply.error()["message"] == "A mutation must be sent with POST."
    assert await registry.ask("{ projects { totalCount } }") == before


async def test_a_query_by_get_takes_variables_and_an_operation_name(registry: Registry) -> None:
    query = b"query=query%20a($i:ID!){node(id:$i){id}}query%20b{a:__typename}"
    reply = await call(registry, method="GET", query_string=query + b'&operationName=a&variables={"i":"x"}')
    assert json.loads(reply.body)["data"] == {"node": None}
    reply = await call(registry, method="GET", query_string=query + b"&operationName=a&variables=[")
    assert (reply.status, reply.error()["message"]) == (400, "variables must be a JSON object.")


@pytest.mark.parametrize(
    "content_type",
    [
        None, "", "text/plain", "text/plainapplication/json", "application/jsonp", "application/graphql",
        "application/x-www-form-urlencoded", "multipart/form-data; boundary=x",
        "application/json; charset=iso-8859-1", "application/json; charset=utf-16", "application/json, text/plain",
    ],
)  # fmt: skip
async def test_a_body_of_another_type_is_refused(registry: Registry, content_type: str | None) -> None:
    reply = await call(registry, asked(READ), headers={"content-type": content_type})
    assert (reply.status, reply.error()["code"]) == (415, "BAD_USER_INPUT")


@pytest.mark.parametrize("charset", ["; charset=utf-8", ";charset=UTF-8", '; charset="utf-8"', "; other=1", ";"])
async def test_utf_8_is_taken_however_it_is_written(registry: Registry, charset: str) -> None:
    reply = await call(registry, asked(READ), headers={"content-type": f"Application/JSON{charset}"})
    assert reply.status == 200


@pytest.mark.parametrize(
    ("accept", "media"),
    [
        ("", "application/json"),
        ("*/*", "application/json"),
        ("application/*;q=0.1", "application/json"),
        (GRAPHQL, GRAPHQL),
        (f"{GRAPHQL}, application/json;q=0.9", GRAPHQL),
        (f"{GRAPHQL};q=0.5, application/json;q=0.9", "application/json"),
        (f"text/html, {GRAPHQL.upper()};q=0.2", GRAPHQL),
        (f"application/json;q=0, {GRAPHQL};q=0.001", GRAPHQL),
        (f"application/json; charset=latin-1, {GRAPHQL}; charset=utf-8", GRAPHQL),
        (f"application/json;q=nan, application/json;q=x, {GRAPHQL}", GRAPHQL),
    ],
)
def test_the_answer_is_of_the_type_that_the_accept_header_prefers(accept: str, media: str) -> None:
    assert answer_in(accept.encode()) == media


@pytest.mark.parametrize("accept", ["text/html", "application/xml, image/*", "application/json;q=0", ",,;;=", "\xff"])
async def test_an_accept_header_without_our_types_is_refused(registry: Registry, accept: str) -> None:
    reply = await call(registry, asked(READ), headers={"accept": accept})
    assert (reply.status, reply.error()["code"]) == (406, "BAD_USER_INPUT")


async def test_addresses_that_there_are_not_are_told(registry: Registry) -> None:
    reply = await call(registry, path="/graphql/more")
    assert (reply.status, reply.error()["code"]) == (404, "NOT_FOUND")
    reply = await call(registry, path="/readyz")
    assert (reply.status, reply.error()["code"]) == (405, "BAD_USER_INPUT")


# ---------------------------------------------------------------- defects


class Log:
    def __init__(self) -> None:
        self.events: list[dict[str, Any]] = []

    def error(self, event: str, **facts: Any) -> None:
        self.events.append({"event": event, **facts})


@pytest.fixture
def log(monkeypatch: pytest.MonkeyPatch) -> Log:
    log = Log()
    monkeypatch.setattr("server.http.operations.log", log)
    return log


async def broken(*_: Any, **__: Any) -> Any:
    raise ZeroDivisionError("the word is xyzzy")


@pytest.mark.parametrize(
    "place", ["server.http.operations.Operations._read", "server.http.operations.Operations.answer"]
)
async def test_a_defect_is_masked_and_found_in_the_log_by_its_request_id(
    registry: Registry, log: Log, monkeypatch: pytest.MonkeyPatch, place: str
) -> None:
    monkeypatch.setattr(place, broken)
    reply = await call(registry, asked(READ))
    error = reply.error()
    assert (reply.status, error["code"]) == (500, "INTERNAL")
    assert error["requestId"] == reply.headers["x-request-id"] == log.events[0]["request_id"]
    assert error["requestId"] in error["message"]
    assert isinstance(log.events[0]["exc_info"], ZeroDivisionError)
    assert b"xyzzy" not in reply.body
    assert b"ZeroDivision" not in reply.body


async def test_a_defect_in_one_mutation_leaves_the_others(
    registry: Registry, log: Log, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("storage.audit.append", broken)
    reply = await call(registry, asked(CREATE.replace("createProject", "a: createProject")))
    assert reply.status == 200
    assert reply.error()["requestId"] == reply.headers["x-request-id"] == log.events[0]["request_id"]
    assert json.loads(reply.body)["data"] == {"a": None}
    assert b"xyzzy" not in reply.body


async def test_a_defect_in_finding_the_caller_is_masked(
    registry: Registry, log: Log, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("server.identity.keyring.Keyring.by_key", broken)
    reply = await call(registry, asked(READ))
    assert (reply.status, reply.error()["code"]) == (500, "INTERNAL")
    assert reply.error()["requestId"] == reply.headers["x-request-id"] == log.events[0]["request_id"]
    assert b"xyzzy" not in reply.body


# ---------------------------------------------------------------- time


@pytest.mark.parametrize("query", [READ, CREATE], ids=["reading", "writing"])
@pytest.mark.parametrize("limit", ["statement_timeout", "request_timeout"])
async def test_what_takes_too_long_is_given_up(
    database: Cluster, make_registry: Callable[..., Any], limit: str, query: str
) -> None:
    registry = await make_registry(database, **{limit: 0.3})
    await registry.ask(READ)
    async with locked_projects(database):
        began = time.monotonic()
        reply = await call(registry, asked(query))
        assert time.monotonic() - began < 5
    assert (reply.status, reply.error()["code"]) == (503, "UNAVAILABLE")
    assert int(reply.headers["retry-after"]) == reply.error()["retryAfter"] > 0
    await registry.ask(READ)


async def test_a_body_that_is_sent_too_slowly_is_given_up(database: Cluster, make_registry: Callable[..., Any]) -> None:
    registry = await make_registry(database, request_timeout=0.2)
    sent: list[Any] = []
    scope = {
        "type": "http", "method": "POST", "path": "/graphql", "query_string": b"", "root_path": "",
        "headers": [
            (b"host", b"localhost"), (b"content-type", b"application/json"),
            (b"authorization", f"Bearer {registry.key}".encode()),
        ],
    }  # fmt: skip

    async def receive() -> Any:
        await asyncio.sleep(60)

    async def send(message: Any) -> None:
        sent.append(message)

    await app_of(registry)(scope, receive, send)
    assert sent[0]["status"] == 503
    assert app_of(registry).admission.bodies.taken == 0


# ---------------------------------------------------------------- the database away, and back


@pytest_asyncio.fixture
async def relay(database: Cluster) -> AsyncIterator[Relay]:
    relay = Relay(database)
    await relay.mend()
    yield relay
    await relay.cut()


async def test_without_its_database_it_says_so_and_it_recovers(
    database: Cluster, relay: Relay, make_registry: Callable[..., Any]
) -> None:
    registry = await make_registry(relay.cluster())
    unknown = registry.with_key(await make_key(database.app_url))
    assert (await call(registry, method="GET", path="/readyz")).status == 200
    await registry.ask(READ)
    await registry.ask(CREATE)

    await relay.cut()
    for asker, query in [(registry, READ), (registry, CREATE), (unknown, READ)]:
        reply = await call(asker, asked(query))
        assert (reply.status, reply.error()["code"]) == (503, "UNAVAILABLE")
        assert reply.headers["retry-after"]
    assert (await call(registry, method="GET", path="/healthz")).status == 200
    reply = await call(registry, method="GET", path="/readyz")
    assert (reply.status, json.loads(reply.body)["status"]) == (503, "not ready")
    assert json.loads(reply.body)["reason"]

    await relay.mend()
    for asker, query in [(registry, READ), (registry, CREATE), (unknown, READ)]:
        await asker.ask(query)
    assert (await call(registry, method="GET", path="/readyz")).status == 200


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        (
            "UPDATE alembic_version SET version_num = 'old'",
            "The database is at schema revision old; this server needs ",
        ),
        ("REVOKE ALL ON alembic_version FROM PUBLIC, {app}", "The database is empty; this server needs "),
        ("DROP TABLE alembic_version", "The database is empty; this server needs "),
    ],
)
async def test_a_database_without_our_schema_is_not_ready(
    make_database: Callable[[], Any], make_registry: Callable[..., Any], change: str, reason: str
) -> None:
    database = await make_database()
    registry = await make_registry(database)
    await run_sql(database.owner_url, change.format(app=make_url(database.app_url).username))
    reply = await call(registry, method="GET", path="/readyz")
    told = json.loads(reply.body)
    assert (reply.status, told["status"]) == (503, "not ready")
    assert told["reason"].startswith(reason)
    assert told["reason"].endswith(". Run lineal migrate.")
    assert (await call(registry, method="GET", path="/healthz")).status == 200
