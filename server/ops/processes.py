"""The process that `lineal serve` starts. It supervises the database and the workers, and stops them when it ends."""

import ctypes
import os
import signal
import socket
import sys
import threading
import time
import weakref
from collections.abc import Iterator
from contextlib import contextmanager

import structlog
import uvicorn
from uvicorn.config import STARTUP_FAILURE
from uvicorn.supervisors import Multiprocess
from uvicorn.supervisors.multiprocess import Process

from server.http.connections import Connections
from server.http.protocols import protocols
from server.ops.owner_url import forget_owner_url
from server.settings import Settings

if sys.platform != "win32":
    import resource

log = structlog.get_logger("lineal")

PARENT = "LINEAL_PARENT_PID"
# The descriptors that a worker needs in addition to connections and pools: pipes, logs, webhooks, and connections that
# it refuses.
OWN_DESCRIPTORS = 120
FEWEST_CONNECTIONS = 10
PR_SET_PDEATHSIG = 1


# After a signal: the time limit of requests in flight, and the time after which workers are killed. The time to stop
# the embedded database comes on top.
REQUESTS_SECONDS, WORKERS_SECONDS = 10, 14
# How long a new worker may load the program before it is considered to hang.
START_SECONDS = 120


class PortTaken(Exception):
    """The address cannot be listened on."""


def listen(settings: Settings) -> socket.socket:
    family = socket.AF_INET6 if ":" in settings.host else socket.AF_INET
    listener = socket.socket(family)
    listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    try:
        listener.bind((settings.host, settings.port))
        # Now, not in the workers: two servers can bind one port as long as neither listens, and a user who reads the
        # address below must be able to connect.
        listener.listen(2048)
    except OSError as error:
        listener.close()
        raise PortTaken(
            f"Cannot listen on {settings.host}:{settings.port} ({error.strerror}). Choose another --port or --host."
        ) from error
    listener.set_inheritable(True)
    return listener


@contextmanager
def ended_by_signals() -> Iterator[None]:
    """SIGTERM ends the block like an interrupt, so that everything that was started is stopped."""

    def leave(number: int, frame: object) -> None:
        raise KeyboardInterrupt

    before = signal.signal(signal.SIGTERM, leave)
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, before)


class Workers(Multiprocess):
    """Ends in time after a signal, even if a worker hangs or the parent is waiting for its health check. A worker that
    is still loading the program has more time for its first health check than uvicorn allows."""

    def __init__(self, config: uvicorn.Config, sockets: list[socket.socket]):
        super().__init__(config, sockets)
        self._grace: threading.Timer | None = None
        self._starting = weakref.WeakKeyDictionary[Process, float]()
        self._started = weakref.WeakSet[Process]()
        for number in (signal.SIGINT, signal.SIGTERM):
            signal.signal(number, self._leave)

    def _leave(self, number: int, frame: object) -> None:
        self.should_exit.set()
        self._begin_grace()

    def keep_subprocess_alive(self) -> None:
        """Replaces workers that have ended or hang, like uvicorn, but not one that is still loading the program."""
        for place, worker in enumerate(self.processes):
            if self._is_starting(worker) or worker.is_alive(self.config.timeout_worker_healthcheck):
                continue
            worker.kill()
            worker.join()
            if worker.exitcode == STARTUP_FAILURE:
                log.error(f"Worker {worker.pid} cannot start; the server stops.")
                self.should_exit.set()
            if self.should_exit.is_set():
                return
            log.warning(f"Worker {worker.pid} died or hung; another one takes its place.")
            self.processes[place] = Process(self.config, self.sockets)
            self.processes[place].start()

    def _is_starting(self, worker: Process) -> bool:
        """Whether a worker runs, has not yet passed its first health check, and still has time to. Only one check is
        sent: replies to several would later count as signs of life."""
        if worker in self._started or not worker.process.is_alive():
            return False
        try:
            if worker not in self._starting:
                self._starting[worker] = time.monotonic()
                worker.parent_conn.send(b"ping")
            if worker.parent_conn.poll():
                worker.parent_conn.recv()
                self._started.add(worker)
        except (OSError, EOFError):
            return False
        return worker not in self._started and time.monotonic() - self._starting[worker] < START_SECONDS

    def terminate_all(self) -> None:
        self._begin_grace()
        super().terminate_all()

    def _begin_grace(self) -> None:
        if self._grace is None:
            self._grace = threading.Timer(WORKERS_SECONDS, self._kill_all)
            self._grace.daemon = True
            self._grace.start()

    def _kill_all(self) -> None:
        for worker in self.processes:
            worker.process.kill()


def connections(settings: Settings) -> Connections:
    """How many connections a worker may have, after raising its limit of descriptors as far as necessary."""
    most = min(settings.max_connections, room_for(settings.max_connections, OWN_DESCRIPTORS + 2 * settings.pool_size))
    return Connections(most, settings.header_timeout, settings.body_timeout)


def room_for(wanted: int, others: int) -> int:
    """How many of the wanted connections the limit of descriptors allows, in addition to the other descriptors."""
    if sys.platform == "win32":
        return wanted
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if soft == resource.RLIM_INFINITY or soft >= wanted + others:
        return wanted
    limit = wanted + others if hard == resource.RLIM_INFINITY else min(wanted + others, hard)
    resource.setrlimit(resource.RLIMIT_NOFILE, (limit, hard))
    room = max(limit - others, FEWEST_CONNECTIONS)
    if room < wanted:
        log.warning(
            f"The limit of {limit} open files leaves room for {room} of {wanted} connections in each process. "
            f"Raise it to {wanted + others} (ulimit -n, LimitNOFILE) or lower LINEAL_MAX_CONNECTIONS."
        )
    return room


def run_workers(settings: Settings, listener: socket.socket) -> None:
    """Serve until a signal. The workers get the settings as LINEAL_* variables, except the owner's URL: a process that
    serves requests must not be able to change what only the owner may change."""
    forget_owner_url()
    for name, value in settings.model_dump(mode="json", exclude={"owner_url"}).items():
        os.environ[f"LINEAL_{name.upper()}"] = "" if value is None else str(value)
    os.environ[PARENT] = str(os.getpid())
    config = uvicorn.Config(
        "server.app:application",
        factory=True,
        workers=settings.workers,
        loop="asyncio" if sys.platform == "win32" else "uvloop",
        access_log=False,
        log_config=None,
        proxy_headers=False,
        server_header=False,
        date_header=True,
        timeout_graceful_shutdown=REQUESTS_SECONDS,
        **protocols(connections(settings)),
    )
    Workers(config, [listener]).run()


def die_with_parent() -> None:
    """Ends a worker whose parent was killed, so that it does not hold the port."""
    parent = os.environ.get(PARENT)
    if parent is None or sys.platform != "linux":
        return
    ctypes.CDLL(None).prctl(PR_SET_PDEATHSIG, signal.SIGKILL)
    if os.getppid() != int(parent):
        os.kill(os.getpid(), signal.SIGKILL)
