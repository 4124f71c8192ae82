"""Connections that are silent, half-sent, slow or too many, on a real server: they end, and others are served."""

import asyncio
import http.client
import json
import re
import socket
import time
import urllib.error
import urllib.request
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any
from unittest.mock import Mock

import pytest
import pytest_asyncio

from server.http.connections import Connections, Counted
from tests.conftest import make_key
from tests.support.live import Live, eventually, lineal

LIMIT = 40
BODIES = 5
OPTIONS = (
    "--header-timeout", "1", "--body-timeout", "1", "--max-connections", str(LIMIT),
    "--max-in-flight-per-principal", str(BODIES),
)  # fmt: skip
PING = b'{"query": "{ __typename }"}'
LARGE = b" " * 8_000_000
FULL = "the maximum number of connections is open"


@pytest_asyncio.fixture(scope="module", loop_scope="session")
async def live(make_database: Callable[[], Any]) -> AsyncIterator[Live]:
    """One worker with short limits and few connections."""
    async with lineal(await make_database(), started=False, size=1) as live:
        await live.start(*OPTIONS)
        await live.ask('mutation { createProject(input: {id: "proj_a", name: "A"}) { project { id } } }')
        yield live


@pytest.fixture
def sockets(live: Live) -> Iterator[Callable[..., socket.socket]]:
    """Opens connections that are closed after the test, and have been seen to end by the server."""
    with ExitStack() as opened:

        def open_one(*sent: bytes, **options: int) -> socket.socket:
            made = opened.enter_context(socket.socket())
            for option, value in options.items():
                made.setsockopt(socket.SOL_SOCKET, getattr(socket, option), value)
            made.settimeout(10)
            made.connect(address(live))
            for data in sent:
                made.sendall(data)
            return made

        yield open_one


def address(live: Live) -> tuple[str, int]:
    return "127.0.0.1", int(live.url.rpartition(":")[2])


def head(live: Live, *lines: str, method: str = "POST", path: str = "/graphql", key: str | None = None) -> bytes:
    usual = ["Host: localhost", "Content-Type: application/json", f"Authorization: Bearer {key or live.key}"]
    return "\r\n".join([f"{method} {path} HTTP/1.1", *usual, *lines, "", ""]).encode()


def request(live: Live, *lines: str) -> bytes:
    return head(live, f"Content-Length: {len(PING)}", *lines) + PING


def answer(connection: socket.socket) -> tuple[int, dict[str, str], Any]:
    """The status, the headers and the JSON body of the next response."""
    response = http.client.HTTPResponse(connection)
    response.begin()
    body = response.read()
    return response.status, {name.lower(): value for name, value in response.getheaders()}, json.loads(body or b"null")


def sentence(body: Any) -> str:
    return str(body["errors"][0]["message"])


def is_served(live: Live) -> bool:
    """Whether somebody with a new connection is."""
    with socket.create_connection(address(live), 10) as connection:
        connection.sendall(request(live))
        status, _, body = answer(connection)
    return (status, body.get("data")) == (200, {"__typename": "Query"})


def drip_until_closed(connection: socket.socket, byte: bytes, within: float = 6.0) -> bool:
    """Send a byte now and then; whether the server closes the connection nevertheless."""
    deadline = time.monotonic() + within
    connection.settimeout(0.1)
    while time.monotonic() < deadline:
        try:
            if byte:
                connection.send(byte)
            if connection.recv(1000) == b"":
                return True
        except TimeoutError:
            continue
        except OSError:
            return True
    return False


def test_silent_connections_beyond_the_limit_shut_nobody_out(live: Live, sockets: Callable[..., socket.socket]) -> None:
    for _ in range(3):
        for _ in range(LIMIT):
            sockets()
        assert is_served(live)
        assert live.connections_by_worker()[0] <= LIMIT
    assert FULL in live.log.read_text()
    assert f"limit={LIMIT}" in live.log.read_text()


@pytest.mark.parametrize("sent", [b"", b"POST /graphql HTTP/1.1\r\nHost: localhost\r\nX-Long: a"])
@pytest.mark.parametrize("byte", [b"", b"a"], ids=["silent", "dripping"])
def test_headers_that_do_not_come_to_their_end_are_not_awaited(
    live: Live, sockets: Callable[..., socket.socket], sent: bytes, byte: bytes
) -> None:
    assert drip_until_closed(sockets(sent), byte)


@pytest.mark.parametrize("byte", [b"\r\n", b"P"])
def test_an_idle_connection_is_closed_even_if_bytes_drip(
    live: Live, sockets: Callable[..., socket.socket], byte: bytes
) -> None:
    connection = sockets(request(live))
    assert answer(connection)[0] == 200
    # The parser skips empty lines before a request; the letter begins one.
    connection.sendall(byte)
    assert drip_until_closed(connection, b"\r\n" if byte == b"\r\n" else b"")


def test_headers_without_end_are_refused_by_their_size(live: Live, sockets: Callable[..., socket.socket]) -> None:
    connection = sockets(head(live)[:-2], b"X-Long: a\r\n" * 10_000)
    status, headers, body = answer(connection)
    assert (status, headers["connection"]) == (431, "close")
    assert sentence(body) == "The request's headers are larger than 65536 bytes. Send smaller headers."


def test_what_is_no_http_is_answered_in_json(live: Live, sockets: Callable[..., socket.socket]) -> None:
    status, _, body = answer(sockets(b"\x16\x03\x01\r\n\r\n", LARGE))
    assert status == 400
    assert sentence(body).startswith("This is not a valid HTTP/1.1 request")


def test_a_body_that_pauses_is_refused(live: Live, sockets: Callable[..., socket.socket]) -> None:
    connection = sockets(head(live, "Content-Length: 1000"), PING)
    status, headers, body = answer(connection)
    assert (status, headers["connection"]) == (408, "close")
    assert sentence(body) == "The body paused for more than 1 seconds; send it without pauses."


async def test_slow_bodies_of_one_key_shut_nobody_out(live: Live, sockets: Callable[..., socket.socket]) -> None:
    assert live.database
    key = await make_key(live.database.app_url, "nobody@example.com", administers=False)
    slow = [sockets(head(live, "Content-Length: 1000", key=key), b"{") for _ in range(LIMIT + 5)]
    # Until the key is known, all of them are being worked on; then most are refused, and make room.
    assert await eventually(lambda: is_served(live), within=2)
    assert is_served(live)
    statuses = []
    for connection in slow:
        try:
            statuses.append(answer(connection)[0])
        except (http.client.RemoteDisconnected, ConnectionResetError):
            statuses.append(0)  # was answered, went on sending and had to make room
    assert statuses.count(408) >= BODIES
    assert statuses.count(429) >= LIMIT // 2
    assert set(statuses) <= {408, 429, 503, 0}  # 503: came while all others were still being worked on


class Clock:
    """A loop of which only the time is asked."""

    now = 100.0

    def time(self) -> float:
        return self.now

    def call_later(self, *ignored: object) -> None:
        pass


def waiting(connections: Connections, clock: Clock, among: str = "strangers") -> Any:
    made: Any = Counted()
    made.loop, made.registry, made.line = clock, connections, Mock()
    connections.open.add(made)
    made.wait(getattr(connections, among))
    return made


def test_the_stranger_that_waits_longest_makes_room_and_who_was_served_is_spared() -> None:
    clock, connections = Clock(), Connections(most=3, header_timeout=10, body_timeout=10)
    first, second = waiting(connections, clock), waiting(connections, clock)
    clock.now += 0.2
    served = waiting(connections, clock, "idle")
    clock.now += 2
    assert connections._close_one(clock.now)
    assert connections._close_one(clock.now)
    assert (first.line.abort.called, second.line.abort.called) == (True, True)
    # A stranger that came just now has had no time to send its request.
    new = waiting(connections, clock)
    assert connections._close_one(clock.now)
    assert (served.line.abort.called, new.line.abort.called) == (True, False)
    assert connections.open == {new}
    assert connections._close_one(clock.now)
    assert not connections._close_one(clock.now)


# ---------------------------------------------------------------- refused before the body has come


@pytest.mark.parametrize(
    ("status", "path", "given", "begins"),
    [
        (413, "/graphql", {}, "The body is larger than 1000000 bytes. Send less at once."),
        (401, "/graphql", {"Authorization": "Bearer lnl_unknown"}, "This is not an API key"),
        (401, "/graphql", {"Authorization": ""}, "The request has no API key"),
        (400, "/graphql", {"Host": "elsewhere.example"}, "The Host header names a host that is not allowed."),
        (403, "/graphql", {"Origin": "https://elsewhere.example"}, "Pages of this origin cannot call the API."),
        (406, "/graphql", {"Accept": "text/csv"}, "Lineal responds with "),
        (404, "/nothing", {}, "There is nothing at this address."),
        (405, "/healthz", {}, "This address does not accept this method."),
    ],
)
def test_a_client_that_sends_all_and_then_reads_is_told_why_it_is_refused(
    live: Live, status: int, path: str, given: dict[str, str], begins: str
) -> None:
    headers = {"Authorization": f"Bearer {live.key}", "Content-Type": "application/json"} | given
    asked = urllib.request.Request(f"{live.url}{path}", LARGE, headers)  # noqa: S310 - our own server
    with pytest.raises(urllib.error.HTTPError) as refused, without_proxies().open(asked, timeout=10):
        pass
    assert refused.value.code == status
    assert sentence(json.loads(refused.value.read())).startswith(begins)


def without_proxies() -> urllib.request.OpenerDirector:
    return urllib.request.build_opener(urllib.request.ProxyHandler({}))


def test_after_a_refused_body_the_connection_serves_the_next_request(live: Live) -> None:
    connection = http.client.HTTPConnection(*address(live), timeout=10)
    json_type = {"Content-Type": "application/json"}
    connection.request("POST", "/graphql", LARGE, json_type)
    refused = connection.getresponse()
    assert (refused.status, bool(refused.read())) == (401, True)
    made = connection.sock
    connection.request("POST", "/graphql", PING, json_type | {"Authorization": f"Bearer {live.key}"})
    assert connection.getresponse().status == 200
    assert connection.sock is made
    connection.close()


@pytest.mark.parametrize("more", [(), ("Connection: close",)], ids=["kept", "closed"])
def test_of_a_body_that_was_refused_only_so_much_is_read(
    live: Live, sockets: Callable[..., socket.socket], more: tuple[str, ...]
) -> None:
    connection = sockets(head(live, "Content-Length: 100000000000", *more, key="lnl_unknown"))
    connection.settimeout(6)
    sent, deadline = 0, time.monotonic() + 8
    with pytest.raises(OSError, match=r"reset|Broken pipe"):
        while time.monotonic() < deadline:
            sent += connection.send(LARGE)
    assert sent < 64_000_000 + 20_000_000  # and what the kernel holds


def test_trailers_are_not_kept(live: Live, sockets: Callable[..., socket.socket]) -> None:
    before = peak(live.workers[0])
    trailers = b"0\r\n" + b"a:b\r\n" * 1_000_000
    connection = sockets(head(live, "Transfer-Encoding: chunked", key="lnl_unknown"), trailers, b"\r\n")
    assert answer(connection)[0] == 401
    connection.sendall(request(live))
    assert answer(connection)[0] == 200
    assert peak(live.workers[0]) - before < 50_000


def peak(pid: int) -> int:
    """The most memory that a process has used, in kB."""
    found = re.search(r"VmHWM:\s+(\d+)", Path(f"/proc/{pid}/status").read_text())
    assert found
    return int(found[1])


@pytest.mark.parametrize("key", [None, "lnl_unknown"], ids=["too-large", "unknown-key"])
def test_a_body_that_would_be_refused_is_not_invited(
    live: Live, sockets: Callable[..., socket.socket], key: str | None
) -> None:
    connection = sockets(head(live, "Content-Length: 8000000", "Expect: 100-continue", key=key))
    status, headers, _ = answer(connection)
    assert (status, headers["connection"]) == (401 if key else 413, "close")
    assert connection.recv(1) == b""


def test_a_body_that_will_be_taken_is_invited(live: Live, sockets: Callable[..., socket.socket]) -> None:
    connection = sockets(head(live, f"Content-Length: {len(PING)}", "Expect: 100-continue"))
    assert connection.recv(1000) == b"HTTP/1.1 100 Continue\r\n\r\n"
    connection.sendall(PING)
    assert answer(connection)[0] == 200


# ---------------------------------------------------------------- many requests, many streams, slow readers


def test_pipelined_requests_are_answered_in_order_and_limited_in_number(
    live: Live, sockets: Callable[..., socket.socket]
) -> None:
    last = PING.replace(b"__typename", b"last: __typename")
    last = head(live, f"Content-Length: {len(last)}", "Connection: close") + last
    with sockets(request(live) * 3 + last).makefile("rb") as reader:
        answers = reader.read()
    assert answers.count(b"HTTP/1.1 200 OK") == 4
    assert b'{"last":"Query"}' in answers.rpartition(b"HTTP/1.1 200 OK")[2]
    flooding = sockets(request(live) * 3_000)
    answered = 0
    try:
        while data := flooding.recv(1_000_000):
            answered += data.count(b"HTTP/1.1 200 OK")
    except ConnectionResetError:
        pass
    assert answered < 1_000


def test_nothing_is_done_for_a_request_after_one_that_closes(live: Live, sockets: Callable[..., socket.socket]) -> None:
    create = (
        b'{"query": "mutation { createProject(input: {id: \\"proj_late\\", name: \\"Late\\"}) { project { id } } }"}'
    )
    late = head(live, f"Content-Length: {len(create)}") + create
    refused = head(live, "Content-Length: 8000000", "Connection: close", key="lnl_unknown")
    connection = sockets(refused)
    assert answer(connection)[0] == 401
    connection.sendall(LARGE + late)
    assert connection.recv(1) == b""
    with socket.create_connection(address(live), 10) as another:
        query = b'{"query": "{ node(id: \\"proj_late\\") { id } }"}'
        another.sendall(head(live, f"Content-Length: {len(query)}") + query)
        assert answer(another)[2]["data"] == {"node": None}


def test_when_every_connection_is_in_use_the_next_is_told(live: Live, sockets: Callable[..., socket.socket]) -> None:
    with streams(live, sockets, LIMIT):
        asked = urllib.request.Request(f"{live.url}/graphql", LARGE, {"Content-Type": "application/json"})  # noqa: S310
        with pytest.raises(urllib.error.HTTPError) as refused, without_proxies().open(asked, timeout=10):
            pass
        assert (refused.value.code, refused.value.headers["Retry-After"]) == (503, "1")
        error = json.loads(refused.value.read())["errors"][0]
        assert error["message"] == f"This process has reached its limit of {LIMIT} connections. Try again later."
        assert (error["extensions"]["code"], error["extensions"]["retryAfter"]) == ("UNAVAILABLE", 1)
        # Those that are turned away wait for no longer, and in no larger number, than others.
        refused_too = [sockets() for _ in range(100)]
        assert live.connections_by_worker()[0] <= LIMIT + 50
        assert all(drip_until_closed(each, b"") for each in refused_too)
    assert is_served(live)


@contextmanager
def streams(live: Live, sockets: Callable[..., socket.socket], count: int) -> Iterator[list[socket.socket]]:
    query = b'{"query": "subscription { auditEvents(projectId: \\"proj_a\\") { position } }"}'
    asked = head(live, f"Content-Length: {len(query)}", "Accept: text/event-stream") + query
    opened = []
    for _ in range(count):
        opened.append(sockets(asked))
        assert opened[-1].recv(1000).startswith(b"HTTP/1.1 200 OK")
    yield opened
    for each in opened:
        each.close()
    time.sleep(0.1)


UPGRADE = (
    "Upgrade: websocket", "Connection: Upgrade", "Sec-WebSocket-Version: 13",
    "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==", "Sec-WebSocket-Protocol: graphql-transport-ws",
)  # fmt: skip


def framed(message: Any) -> bytes:
    """A WebSocket's text frame, masked with zeros."""
    text = json.dumps(message).encode()
    assert len(text) < 126
    return bytes([0x81, 0x80 | len(text), 0, 0, 0, 0]) + text


def test_websockets_of_nobody_make_room_and_those_of_somebody_stay(
    live: Live, sockets: Callable[..., socket.socket]
) -> None:
    upgrade = head(live, *UPGRADE, method="GET")
    known = sockets(upgrade)
    assert known.recv(1000).startswith(b"HTTP/1.1 101")
    known.sendall(framed({"type": "connection_init"}))
    assert b"connection_ack" in known.recv(1000)
    for _ in range(3):
        for _ in range(LIMIT):
            assert sockets(upgrade).recv(1000).startswith(b"HTTP/1.1 101")
        assert is_served(live)
        assert live.connections_by_worker()[0] <= LIMIT
    known.sendall(framed({"type": "ping"}))
    assert b"pong" in known.recv(1000)


def test_a_websocket_that_has_ended_leaves_its_place(live: Live, sockets: Callable[..., socket.socket]) -> None:
    upgrade = head(live, *UPGRADE, method="GET")
    for _ in range(LIMIT + 5):
        each = sockets(upgrade)
        each.recv(1000)
        each.sendall(framed({"type": "connection_init"}))
        assert b"connection_ack" in each.recv(1000)
        each.close()
    with streams(live, sockets, LIMIT - 5):
        assert is_served(live)


async def test_a_reader_that_takes_nothing_is_dropped(live: Live, sockets: Callable[..., socket.socket]) -> None:
    made = await live.ask(EXPERIMENT, parameters={"long": "x" * 60_000})
    aliases = " ".join(f"a{place}: parameters" for place in range(90))
    query = f'{{ node(id: "{made["createExperiment"]["experiment"]["id"]}") {{ ... on Experiment {{ {aliases} }} }} }}'
    body = json.dumps({"query": query}).encode()
    asked = head(live, f"Content-Length: {len(body)}") + body
    patient, reader = sockets(asked, SO_RCVBUF=4_096), sockets(asked, SO_RCVBUF=4_096)
    closing = sockets(asked.replace(b"Host:", b"Connection: close\r\nHost:"), SO_RCVBUF=4_096)
    assert await asyncio.to_thread(read_slowly, patient, 3.0) > 5_000_000
    await eventually(lambda: live.connections_by_worker()[0] <= 2, within=10)
    assert received(reader) < 5_000_000
    assert received(closing) < 5_000_000
    assert live.log.read_text().count("a client that does not read was disconnected") == 2
    # An answer that is being read has its place among the requests; one that was dropped has left it.
    assert is_served(live)


EXPERIMENT = """mutation($parameters: JSON) {
    createExperiment(input: {projectId: "proj_a", name: "A", parameters: $parameters}) { experiment { id } } }"""


def read_slowly(connection: socket.socket, seconds: float) -> int:
    """Read a response for longer than a pause may last, but without one; the length of its body."""
    data, began = bytearray(), time.monotonic()
    while time.monotonic() - began < seconds:
        data += connection.recv(30_000)
        time.sleep(0.1)
    length = re.search(rb"content-length: (\d+)", data)
    assert length
    while len(data.partition(b"\r\n\r\n")[2]) < int(length[1]):
        data += connection.recv(65_536) or pytest.fail("It was closed before the end.")
    return int(length[1])


def received(connection: socket.socket) -> int:
    count = 0
    try:
        while data := connection.recv(65_536):
            count += len(data)
    except OSError:
        pass
    return count


# ---------------------------------------------------------------- descriptors


async def test_silent_connections_beyond_the_descriptors_shut_nobody_out(make_database: Callable[[], Any]) -> None:
    async with lineal(await make_database(), started=False, size=1) as live:
        live.wrapper = ("sh", "-c", 'ulimit -S -n 300; ulimit -H -n 400; exec "$@"', "sh")
        await live.start()
        with ExitStack() as opened:
            for _ in range(520):
                opened.enter_context(socket.create_connection(address(live), 10))
            for _ in range(5):
                assert is_served(live)
            await live.ask('mutation { createProject(input: {name: "A"}) { project { id } } }')
            # None of them, nor who still sends a refused body or is not known yet, keeps the process from ending.
            for sent in (
                head(live, "Content-Length: 1000", "Connection: close", key="lnl_unknown"),
                head(live, *UPGRADE, method="GET"),
            ):
                opened.enter_context(socket.create_connection(address(live), 10)).sendall(sent)
            await asyncio.sleep(0.2)
            assert await live.stop() == 0
            assert "timeout graceful shutdown exceeded" not in live.log.read_text()
        told = re.search(r"The limit of 400 open files leaves room for (\d+) of 5000 connections", live.log.read_text())
        assert told
        assert 200 < int(told[1]) < 400
        assert FULL in live.log.read_text()


@pytest.mark.parametrize(
    ("method", "path", "more", "status"),
    [
        ("POST", "/graphql", "X-A: 1", 405),
        ("GET", "/graphql?" + "x" * 20_000, "X-A: 1", 431),
        ("GET", "/graphql", "X-A: " + "x" * 9_000, 431),
    ],
    ids=["by POST", "a long address", "a long header"],
)
def test_an_upgrade_that_cannot_be_is_answered(
    live: Live, sockets: Callable[..., socket.socket], method: str, path: str, more: str, status: int
) -> None:
    upgrade = ("Connection: Upgrade", "Upgrade: websocket", "Sec-WebSocket-Version: 13", "Sec-WebSocket-Key: eA==")
    connection = sockets(head(live, *upgrade, more, method=method, path=path))
    told, headers, body = answer(connection)
    assert (told, headers["content-type"].split(";")[0]) == (status, "application/json")
    assert sentence(body)
