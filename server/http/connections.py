"""The connections of one process: their number, how long each may wait, and whether its client reads.

uvicorn limits none of this: even its keep-alive timer stops at any byte, so dripping bytes hold a connection open.
"""

import asyncio
import sys
from dataclasses import dataclass, field

import structlog

if sys.platform != "win32":
    import fcntl
    import termios

log = structlog.get_logger("lineal")

SWEEP_SECONDS = 1.0
LOG_SECONDS = 5.0
# Connections over the limit that are kept open until the client has read the refusal.
MOST_TURNED_AWAY = 50
# After this wait, a connection without a complete request is closed before one that is idle between two requests.
GRACE_SECONDS = 1.0

Waiting = dict["Counted", float]


class Counted:
    """A connection of any protocol, counted until it ends."""

    registry: "Connections"
    line: asyncio.Transport
    loop: asyncio.AbstractEventLoop
    waits_among: Waiting | None = None
    # How many bytes the client has not read yet, and when it last read some.
    _left = 0
    _took = 0.0

    @property
    def is_full(self) -> bool:
        """Whether the application has to wait until the client has read something."""
        raise NotImplementedError

    def wait(self, among: Waiting | None) -> None:
        """Begin to wait, behind the connections that wait already. None: a request is being processed."""
        if self.waits_among is not None:
            self.waits_among.pop(self, None)
        self.waits_among = among
        if among is not None:
            among[self] = self.loop.time()

    def leave(self) -> None:
        self.wait(None)
        self.registry.open.discard(self)

    def drop(self) -> None:
        """Close without sending the rest."""
        self.leave()
        self.line.abort()

    def check_reader(self, now: float, patience: float) -> None:
        left = self.line.get_write_buffer_size()
        if not left or not (self.is_full or self.line.is_closing()):
            self._left, self._took = left, now
            return
        # The kernel frees its buffer in steps of a megabyte, which a slow client needs longer for than it may pause.
        left += in_kernel(self.line)
        if left < self._left:
            self._took = now
        elif now - self._took > patience:
            log.warning("a client that does not read was disconnected", bytes=left)
            self.drop()
        self._left = left


@dataclass(eq=False)
class Connections:
    """All connections of a process."""

    most: int
    header_timeout: float
    body_timeout: float
    open: set[Counted] = field(default_factory=set)
    # Connections with the time since which they wait, the longest first: those that have sent no complete request yet,
    # or are still sending after the response; those between two requests; and those over the limit.
    strangers: Waiting = field(default_factory=dict)
    idle: Waiting = field(default_factory=dict)
    turned_away: Waiting = field(default_factory=dict)
    _sweeps: bool = False
    _logged: float = -LOG_SECONDS
    _closed: int = 0
    _refused: int = 0

    def enter(self, new: Counted) -> None:
        """Make room for a new connection, or else refuse it."""
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
        """Close the connection that has waited longest. Returns False if none waits."""
        among = self.strangers
        # Idle connections that were served before are spared if a new one has had its time to send a request.
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
            sentence = "the maximum number of connections is open; raise LINEAL_MAX_CONNECTIONS or reduce the load"
            log.warning(sentence, limit=self.most, closed_while_waiting=self._closed, refused=self._refused)
            self._logged, self._closed, self._refused = now, 0, 0

    def _sweep(self, loop: asyncio.AbstractEventLoop) -> None:
        """Check all connections once a second, which is cheaper than a timer for each request."""
        self._sweeps = bool(self.open or self.turned_away)
        if self._sweeps:
            loop.call_later(SWEEP_SECONDS, self._sweep, loop)
        now = loop.time()
        for waiting in (self.strangers, self.turned_away):
            for counted in overdue(waiting, now - self.header_timeout):
                counted.drop()
        for counted in overdue(self.idle, now - self.header_timeout):
            counted.wait(None)
            counted.line.close()  # the end of a response may still be in transit
        for counted in list(self.open):
            counted.check_reader(now, self.body_timeout)


def in_kernel(line: asyncio.Transport) -> int:
    """How many bytes the kernel still buffers for the client."""
    if sys.platform == "win32":
        return 0
    try:
        kept = fcntl.ioctl(line.get_extra_info("socket").fileno(), termios.TIOCOUTQ, bytes(4))
    except (OSError, ValueError):  # closed in the meantime
        return 0
    return int.from_bytes(kept, sys.byteorder)


def overdue(waiting: Waiting, before: float) -> list[Counted]:
    protocols = []
    for counted, since in waiting.items():
        if since > before:
            break
        protocols.append(counted)
    return protocols
