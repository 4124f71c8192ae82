"""The servers that are compared, each a process of its own with one worker."""

import asyncio
import os
import socket
import subprocess
import sys
import tempfile
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path

from benchmarks.data import ACTOR
from server.ops.key_commands import make_key
from server.ops.processes import PARENT
from storage.vocabulary import PrincipalKind

ROOT = Path(__file__).parent.parent
LINEAL, FLOOR, DATALOADERS = "Lineal", "floor", "DataLoaders"
STOP_TIMEOUT = 15.0


@dataclass(frozen=True)
class Server:
    name: str
    port: int
    pid: int
    key: str | None = None


@asynccontextmanager
async def lineal(app_url: str, pool_size: int) -> AsyncIterator[Server]:
    """Lineal with everything on, and a key to ask it with."""
    key = await make_key(app_url, "benchmark", ACTOR, kind=PrincipalKind.USER)
    environment = {
        "LINEAL_DATABASE_URL": app_url,
        "LINEAL_POOL_SIZE": str(pool_size),
        # Counted as ever, but no limit that a benchmark would meet.
        "LINEAL_RATE_PER_SECOND": "1e9",
        "LINEAL_RATE_BURST": "1e12",
        "LINEAL_DATA_DIR": tempfile.mkdtemp(prefix="lineal-bench-data-"),
    }
    async with running(LINEAL, "server.app:application", environment, key) as server:
        yield server


@asynccontextmanager
async def running(name: str, app: str, environment: Mapping[str, str], key: str | None = None) -> AsyncIterator[Server]:
    """A server until the block ends. Requests may be sent at once: the kernel holds them until it takes them."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        process = _start(app, listener, environment)
        port = listener.getsockname()[1]
    try:
        yield Server(name, port, process.pid, key)
    finally:
        process.terminate()
        try:
            await asyncio.to_thread(process.wait, STOP_TIMEOUT)
        except subprocess.TimeoutExpired:
            process.kill()


def _start(app: str, listener: socket.socket, environment: Mapping[str, str]) -> subprocess.Popen[bytes]:
    kept = {name: value for name, value in os.environ.items() if not name.startswith("LINEAL_")}
    return subprocess.Popen(
        [sys.executable, "-m", "benchmarks.serve", app, str(listener.fileno())],
        cwd=ROOT,
        env={**kept, PARENT: str(os.getpid()), **environment},
        pass_fds=[listener.fileno()],
        stdin=subprocess.DEVNULL,
    )
