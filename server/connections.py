"""The connections of one process: how many there may be, how long each may wait, and how each ends.

uvicorn limits none of this. Its keep-alive timer stops at any byte, so dripping bytes hold a connection open. It closes
as soon as it has answered, so the kernel resets a client that is still sending its body, and the answer is lost.
"""

import asyncio
import sys
from collections import OrderedDict, deque
from dataclasses import dataclass, field
from typing import Any

import structlog
from uvicorn.config import Config
from uvicorn.protocols.http.httptools_impl import STATUS_LINE, HttpToolsProtocol
from uvicorn.protocols.websockets.websockets_sansio_impl import WebSocketsSansIOProtocol
from uvicorn.server import ServerState

from server.http import JSON, Refused, busy

if sys.platform != "win32":
    import fcntl
    import termios

log = structlog.get_logger("lineal")

SWEEP_SECONDS = 1.0
LOG_SECONDS = 5.0
# A request's line and headers. The parser itself has no limit.
HEAD_BYTES = 65_536
# Bytes that are read and discarded after the request was answered.
DISCARD_BYTES = 64_000_000
# Connections over the limit that are kept until they have read the refusal.
MOST_TURNED_AWAY = 50
MOST_PIPELINED = 100
# How long a stranger may wait before it is closed rather than a connection between two requests.
GRACE_SECONDS = 1.0
UNLIMITED = 1 << 62
# Takes the trailers of a chunked body, which nobody reads and whose number has no limit.
NOWHERE: Any = deque(maxlen=0)

Waiting = OrderedDict["Counted", float]


class Counted:
    """A connection that has its place in the count until it ends, whichever protocol it speaks."""

    registry: "Connections"
    line: asyncio.Transport
    loop: asyncio.AbstractEventLoop
    waits_among: Waiting | None = None
    # How much is left for the reader to take, and when it last took something.
    _left = 0
    _took = 0.0

    @property
    def is_full(self) -> bool:
        """Whether the application has to wait until the reader has taken something."""
        raise NotImplementedError

    def wait(self, among: Waiting | None) -> None:
        """Begin to wait, behind those who wait already; None: something is being done for it."""
        if self.waits_among is not None:
            self.waits_among.pop(self, None)
        self.waits_among = among
        if among is not None:
            among[self] = self.loop.time()

    def leave(self) -> None:
        self.wait(None)
        self.registry.open.discard(self)

    def drop(self) -> None:
        """Close without sending what is left."""
        self.leave()
        self.line.abort()

    def check_reader(self, now: float, patience: float) -> None:
        left = self.line.get_write_buffer_size()
        if not left or not (self.is_full or self.line.is_closing()):
            self._left, self._took = left, now
            return
        # The kernel makes room in lumps of a megabyte, which takes a slow reader longer than it may pause.
        left += in_kernel(self.line)
        if left < self._left:
            self._took = now
        elif now - self._took > patience:
            log.warning("a reader takes nothing of what is sent and is disconnected", bytes=left)
            self.drop()
        self._left = left


@dataclass(eq=False)
class Connections:
    """All connections of a process. uvicorn makes them by it: it is the `http` of its Config."""

    most: int
    header_timeout: float
    body_timeout: float
    open: set[Counted] = field(default_factory=set)
    # Connections by the moment since which they wait, the longest first: those that have sent no whole request yet, or
    # were answered and go on sending; those between two requests; and those for which there is no room.
    strangers: Waiting = field(default_factory=OrderedDict)
    idle: Waiting = field(default_factory=OrderedDict)
    turned_away: Waiting = field(default_factory=OrderedDict)
    _sweeps: bool = False
    _logged: float = -LOG_SECONDS
    _closed: int = 0
    _refused: int = 0

    def __call__(
        self,
        config: Config,
        server_state: ServerState,
        app_state: dict[str, Any],
        _loop: asyncio.AbstractEventLoop | None = None,
    ) -> "Connection":
        return Connection(self, config, server_state, app_state, _loop)

    def enter(self, new: "Connection") -> None:
        """Make room for a new connection, or else turn it away."""
        loop = new.loop
        if not self._sweeps:
            self._sweeps = True
            loop.call_later(SWEEP_SECONDS, self._sweep, loop)
        if len(self.open) < self.most or self._close_one(loop.time()):
            self.open.add(new)
            new.wait(self.strangers)
            return
        if len(self.turned_away) >= MOST_TURNED_AWAY:
            next(iter(self.turned_away)).drop()
        new.wait(self.turned_away)
        self._refused += 1
        self._say(loop.time())

    def _close_one(self, now: float) -> bool:
        """Close the connection that has waited longest; False where none waits."""
        among = self.strangers
        # Whoever was served before is spared if a stranger has had its time to speak.
        if self.idle and (not among or next(iter(among.values())) > now - GRACE_SECONDS):
            among = self.idle
        if not among:
            return False
        next(iter(among)).drop()
        self._closed += 1
        self._say(now)
        return True

    def _say(self, now: float) -> None:
        if now - self._logged >= LOG_SECONDS:
            sentence = "all connections that this process may have are open; raise LINEAL_MAX_CONNECTIONS or lower load"
            log.warning(sentence, limit=self.most, closed_while_waiting=self._closed, refused=self._refused)
            self._logged, self._closed, self._refused = now, 0, 0

    def _sweep(self, loop: asyncio.AbstractEventLoop) -> None:
        """Look at all connections once a second, which is cheaper than a timer for each request."""
        now = loop.time()
        for waiting in (self.strangers, self.turned_away):
            for counted in overdue(waiting, now - self.header_timeout):
                counted.drop()
        for counted in overdue(self.idle, now - self.header_timeout):
            counted.wait(None)
            counted.line.close()  # the end of an answer may still be on its way
        for counted in list(self.open):
            counted.check_reader(now, self.body_timeout)
        self._sweeps = bool(self.open or self.turned_away)
        if self._sweeps:
            loop.call_later(SWEEP_SECONDS, self._sweep, loop)


def in_kernel(line: asyncio.Transport) -> int:
    """How many bytes the kernel still keeps for the reader."""
    if sys.platform == "win32":
        return 0
    try:
        kept = fcntl.ioctl(line.get_extra_info("socket").fileno(), termios.TIOCOUTQ, bytes(4))
    except (OSError, ValueError):  # closed meanwhile
        return 0
    return int.from_bytes(kept, sys.byteorder)


def overdue(waiting: Waiting, before: float) -> list[Counted]:
    found = []
    for counted, since in waiting.items():
        if since > before:
            break
        found.append(counted)
    return found


class Lingering:
    """What uvicorn takes for the transport. Closing it waits until the client has sent its body and read the answer."""

    def __init__(self, connection: "Connection"):
        self.connection = connection
        self.write = connection.line.write

    def is_closing(self) -> bool:
        return self.connection.lingers or self.connection.line.is_closing()

    def close(self) -> None:
        self.connection.close()


class Connection(Counted, HttpToolsProtocol):
    """One HTTP connection."""

    def __init__(self, registry: Connections, *of_uvicorn: Any):
        super().__init__(*of_uvicorn)
        self.registry = registry
        self._took = self.loop.time()
        # Whether a request has begun whose body has not come to its end.
        self.receives = False
        # Whether only the client's end is awaited; and whether what it sends cannot be parsed any more.
        self.lingers = self.is_deaf = False
        # How many bytes may still come before something else must have happened.
        self.allowance = HEAD_BYTES

    @property
    def is_full(self) -> bool:
        return self.flow.write_paused

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        super().connection_made(transport)
        self.line = transport
        self.transport = Lingering(self)  # type: ignore[assignment]
        self.registry.enter(self)

    def connection_lost(self, exc: Exception | None) -> None:
        self.leave()
        self.transport = self.line
        super().connection_lost(exc)

    def data_received(self, data: bytes) -> None:
        self.allowance -= len(data)
        if self.waits_among is self.registry.turned_away and not self.lingers:
            self.refuse(busy(f"This process already has {self.registry.most} connections; try again later.", 1))
        elif not self.is_deaf:
            super().data_received(data)  # which gives another allowance where the next stage begins
        if self.allowance < 0:
            self._take_no_more()

    def _take_no_more(self) -> None:
        if self.receives:
            self.drop()
        else:
            self.refuse(Refused(431, f"The request's headers are larger than {HEAD_BYTES} bytes; send fewer."))

    def on_headers_complete(self) -> None:
        super().on_headers_complete()
        if self.lingers:
            return
        self.wait(None)
        self.receives, self.allowance = True, UNLIMITED
        if self.cycle is not None and self.cycle.scope is self.scope:  # not where a WebSocket begins
            self.headers = NOWHERE
            # Without the invitation a client may send the body or leave it out: what comes next could be either.
            if self.expect_100_continue:
                self.cycle.keep_alive = False
        if len(self.pipeline) > MOST_PIPELINED:
            self.drop()

    def on_message_complete(self) -> None:
        super().on_message_complete()
        self.receives = False
        if self.lingers:
            self.line.close()
        elif self.waits_among is not None:
            self._await_the_next()

    def on_response_complete(self) -> None:
        another_waits = bool(self.pipeline)
        super().on_response_complete()
        if another_waits or self.transport.is_closing():
            return
        if self.receives:
            self.wait(self.registry.strangers)
            self.allowance = DISCARD_BYTES
        else:
            self._await_the_next()

    def _await_the_next(self) -> None:
        self.wait(self.registry.idle)
        self.allowance = HEAD_BYTES

    def _start_asgi_task(self, *request: Any) -> None:
        if not self.transport.is_closing():  # what cannot be answered must not be done
            super()._start_asgi_task(*request)

    def close(self) -> None:
        """Close now, or after the rest of the body that the client is sending."""
        if self.lingers or self.line.is_closing():
            return
        if not self.receives:
            self.line.close()
            return
        self.lingers, self.allowance = True, DISCARD_BYTES
        if self.cycle is not None and not self.cycle.response_complete:
            self.cycle.disconnected = True
            self.cycle.message_event.set()
        if self.waits_among is not self.registry.turned_away:
            self.wait(self.registry.strangers)
        self.flow.resume_reading()
        self.line.write_eof()

    def handle_websocket_upgrade(self) -> None:
        self.leave()
        self.transport = self.line
        super().handle_websocket_upgrade()

    def shutdown(self) -> None:
        super().shutdown()
        if self.lingers:
            self.line.close()

    def send_400_response(self, msg: str) -> None:
        self.refuse(Refused(400, "This is not a request by HTTP/1.1; its first bytes or its body cannot be parsed."))

    def refuse(self, refusal: Refused) -> None:
        """Answer what no application sees."""
        self.is_deaf = self.receives = True
        if self.cycle is not None and self.cycle.response_started and not self.cycle.response_complete:
            self.drop()
            return
        body = refusal.body()
        headers = [
            *self.server_state.default_headers,
            (b"content-type", f"{JSON}; charset=utf-8".encode()),
            (b"content-length", b"%d" % len(body)),
            (b"cache-control", b"no-store"),
            (b"connection", b"close"),
            *refusal.headers,
        ]
        lines = [b"%b: %b\r\n" % header for header in headers]
        self.line.write(b"".join([STATUS_LINE[refusal.status], *lines, b"\r\n", body]))
        self.close()


class Socket(Counted, WebSocketsSansIOProtocol):
    """One WebSocket connection. It waits, and may be closed to make room, until the application knows its caller."""

    def __init__(self, config: Config, server_state: ServerState, app_state: dict[str, Any]):
        super().__init__(config, server_state, app_state)
        assert isinstance(config.http, Connections)
        self.registry = config.http
        self._took = self.loop.time()

    @property
    def is_full(self) -> bool:
        return not self.writable.is_set()

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        super().connection_made(transport)
        self.line = self.transport
        self.registry.open.add(self)
        self.wait(self.registry.strangers)

    def handle_connect(self, event: Any) -> None:
        super().handle_connect(event)
        if hasattr(self, "scope"):
            self.scope["state"]["known"] = lambda: self.wait(None)

    def connection_lost(self, exc: Exception | None) -> None:
        self.leave()
        super().connection_lost(exc)
