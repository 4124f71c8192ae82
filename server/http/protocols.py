"""uvicorn's protocols with limits on what a connection may send. A refused client can read the reason.

uvicorn closes as soon as it has responded. The kernel then resets a client that is still sending its body, and clients
that read only after they have sent everything lose the response.
"""

import asyncio
from collections import deque
from functools import partial
from typing import Any

from uvicorn.protocols.http.httptools_impl import STATUS_LINE, HttpToolsProtocol
from uvicorn.protocols.websockets.websockets_sansio_impl import WebSocketsSansIOProtocol

from server.http.connections import Connections, Counted
from server.http.endpoint import JSON, HTTPRefusal, busy

# A request's line and headers. The parser itself has no limit.
HEAD_BYTES = 65_536
# The most bytes that are read and discarded after the response was sent.
DISCARD_BYTES = 64_000_000
MOST_PIPELINED = 100
# The limits of a request that begins a WebSocket. The library does not respond to what exceeds its own limits.
MOST_LINES, LONGEST_LINE = 100, 8_000
# The largest message of a WebSocket: the longest document, and its variables.
MESSAGE_BYTES = 131_072
UNLIMITED = 1 << 62
# Receives the trailers of a chunked body, which are not read and whose number is not limited.
NOWHERE: Any = deque(maxlen=0)


TOO_LARGE = HTTPRefusal(431, f"The request's headers are larger than {HEAD_BYTES} bytes. Send smaller headers.")
TOO_LONG = HTTPRefusal(414, f"The request's address is longer than {HEAD_BYTES} bytes. Send the request with POST.")
LONG_UPGRADE = HTTPRefusal(
    431, f"A WebSocket request can have {MOST_LINES} headers of {LONGEST_LINE} bytes each; send fewer or shorter ones."
)
NO_REQUEST = HTTPRefusal(400, "This is not a valid HTTP/1.1 request.")


def full(most: int) -> HTTPRefusal:
    return busy(f"This process has reached its limit of {most} connections. Try again later.", 1)


def protocols(connections: Connections) -> dict[str, Any]:
    """The options of a uvicorn.Config that make it use these protocols."""
    return {
        "http": partial(Connection, connections),
        "ws": partial(Socket, connections),
        "ws_max_size": MESSAGE_BYTES,
        # A kilobyte can decompress to megabytes.
        "ws_per_message_deflate": False,
    }


class Lingering:
    """What uvicorn uses as the transport. Closing it waits until the client has sent its body and read the response."""

    def __init__(self, connection: "Connection"):
        self.connection = connection
        self.write = connection.line.write

    def is_closing(self) -> bool:
        return self.connection.lingers or self.connection.line.is_closing()

    def close(self) -> None:
        self.connection.close()


class Connection(Counted, HttpToolsProtocol):
    """One HTTP connection."""

    def __init__(self, registry: Connections, **of_uvicorn: Any):
        super().__init__(**of_uvicorn)
        self.registry = registry
        self._took = self.loop.time()
        # Whether a request has begun whose body is not complete.
        self.receives = False
        # Whether the connection only waits for the client to close, and whether its input can no longer be parsed.
        self.lingers = self.is_deaf = False
        # How many bytes may still arrive before the next stage must begin.
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
            self.refuse(full(self.registry.most))
        elif not self.is_deaf:
            super().data_received(data)  # which resets the allowance if the next stage begins
        if self.allowance < 0:
            self._take_no_more()

    def _take_no_more(self) -> None:
        if self.receives:
            self.drop()
        else:
            self.refuse(TOO_LARGE)

    def on_headers_complete(self) -> None:
        super().on_headers_complete()
        if self.lingers:
            return
        self.wait(None)
        self.receives, self.allowance = True, UNLIMITED
        if self.cycle is not None and self.cycle.scope is self.scope:  # not if a WebSocket begins
            self.headers = NOWHERE
            # Without the 100 response, a client may send the body or omit it, so the next bytes would be ambiguous.
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
        if another_waits or self.lingers or self.line.is_closing():
            return
        if self.receives:
            self.wait(self.registry.strangers)
            self.allowance = DISCARD_BYTES
        else:
            self._await_the_next()

    def _await_the_next(self) -> None:
        self.wait(self.registry.idle)
        self.allowance = HEAD_BYTES

    def _start_asgi_task(self, cycle: Any, app: Any) -> None:
        if not self.lingers:  # a request that cannot get a response must not be run
            super()._start_asgi_task(cycle, app)

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
        if self.scope["method"] != "GET":
            self.refuse(HTTPRefusal(405, "Open a WebSocket with GET.", headers=[(b"allow", b"GET")]))
            return
        lines = [self.url, *(name + value for name, value in self.headers)]
        if len(lines) > MOST_LINES or max(map(len, lines)) > LONGEST_LINE:
            self.refuse(LONG_UPGRADE)
            return
        self.leave()
        self.transport = self.line
        super().handle_websocket_upgrade()

    def shutdown(self) -> None:
        super().shutdown()
        if self.lingers:
            self.line.close()

    def send_400_response(self, msg: str) -> None:
        # The parser accepts no longer address.
        self.refuse(TOO_LONG if len(getattr(self, "url", b"")) >= HEAD_BYTES - 1 else NO_REQUEST)

    def refuse(self, refusal: HTTPRefusal) -> None:
        """Respond to a request that does not reach the application."""
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
    """One WebSocket connection. Until the application knows its caller, it may be closed to make room for others."""

    def __init__(self, registry: Connections, **of_uvicorn: Any):
        super().__init__(**of_uvicorn)
        self.registry = registry
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
