"""A real `lineal serve` to try: started as its users start it, asked over real connections, killed by its numbers."""

import asyncio
import os
import re
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections import Counter
from collections.abc import AsyncIterator, Awaitable, Callable, Iterable, Sequence
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import asyncpg
import httpx
import pytest

from storage.data_folder import urls_of_running
from tests.conftest import Cluster

LINEAL = Path(sys.executable).with_name("lineal")
UNREACHABLE = "UNREACHABLE"
OK = "OK"


def at_full_length(config: pytest.Config) -> bool:
    """Whether the proofs were asked for, as scripts/prove does; in the suite they run in their short form."""
    return bool(config.option.markexpr == "long")


@dataclass(frozen=True)
class Reply:
    """`code` is OK, the code of the refusal, or UNREACHABLE; `data` is what was answered beside it."""

    code: str
    data: dict[str, Any]
    status: int = 0
    message: str = ""


def reply_in(response: httpx.Response) -> Reply:
    answer = response.json()
    data = answer.get("data") or {}
    if not answer.get("errors"):
        return Reply(OK, data, response.status_code)
    assert len(answer["errors"]) == 1, answer
    error = answer["errors"][0]
    return Reply(error["extensions"]["code"], data, response.status_code, error["message"])


class Live:
    """One `lineal serve` on a data folder of its own, started as often as a proof needs it."""

    def __init__(self, home: Path, database: Cluster | None = None, size: int = 2):
        self.home, self.data_dir, self.database = home, home / "data", database
        self.size = size
        # What runs the command, such as a shell that lowers a limit first.
        self.wrapper: Sequence[str] = ()
        self.log = home / "log"
        self.process: subprocess.Popen[bytes] | None = None
        self.url = self.key = ""
        self._client = new_client()

    def launch(self, *options: str, data_dir: Path | None = None) -> subprocess.Popen[bytes]:
        """Start the command and do not wait; what it says goes to files beside the data folder."""
        urls = {}
        if self.database:
            urls = {"LINEAL_DATABASE_URL": self.database.app_url, "LINEAL_OWNER_URL": self.database.owner_url}
        serve: list[str | Path] = [*self.wrapper, LINEAL, "serve", "--port", "0", "--workers", str(self.size)]
        with (self.home / "out").open("wb") as out, self.log.open("ab") as log:
            return subprocess.Popen(
                [*serve, "--data-dir", data_dir or self.data_dir, *options],
                stdout=out,
                stderr=log,
                env=os.environ | urls,
                start_new_session=True,
            )

    async def start(self, *options: str, within: float = 60.0) -> float:
        """Start, wait until ready, and say how many seconds that took."""
        began = time.monotonic()
        self.process = self.launch(*options)
        self.url = await eventually(self._address, within)
        self.key = (self.data_dir / "admin-key").read_text().strip()
        await eventually(self.is_ready, within)
        return time.monotonic() - began

    def _address(self) -> str | None:
        assert self.process and self.process.poll() is None, f"The server did not start: {self.said()}"
        found = re.search(r" at (http://\S+)/graphql", (self.home / "out").read_text())
        return found[1] if found else None

    async def is_ready(self) -> bool:
        with suppress(httpx.TransportError):
            return (await self._client.get(f"{self.url}/readyz")).status_code == 200
        return False

    def said(self) -> str:
        """The end of its log and of PostgreSQL's, and what runs, for whoever has to find out what went wrong."""
        log = self.data_dir / "postgres.log"
        running = [f"{pid} {command_of(pid)}" for pid in self.processes]
        return "\n".join([self.log.read_text()[-4000:], log.read_text()[-2000:] if log.exists() else "", *running])

    async def send(self, query: str, **variables: Any) -> Reply:
        try:
            response = await self._client.post(
                f"{self.url}/graphql",
                json={"query": query, "variables": variables},
                headers={"Authorization": f"Bearer {self.key}", "Accept": "application/graphql-response+json"},
            )
        except httpx.TransportError as error:
            return Reply(UNREACHABLE, {}, message=repr(error))
        return reply_in(response)

    async def ask(self, query: str, **variables: Any) -> dict[str, Any]:
        """The data of an operation that must not be refused."""
        reply = await self.send(query, **variables)
        assert reply.code == OK, (reply, self.said())
        return reply.data

    async def warm_up(self, connections: int) -> None:
        """Open connections to all workers beforehand, so that requests which are to arrive together do."""
        deadline = time.monotonic() + 30.0
        while time.monotonic() < deadline:
            await self._client.aclose()
            self._client = new_client()
            await at_once(self.send("{ projects(first: 1) { totalCount } }") for _ in range(connections))
            # Whichever worker wakes first takes what waits: sometimes all of it.
            if min(self.connections_by_worker()) >= connections // 4:
                return
        pytest.fail("One worker takes all connections.")

    async def sql(self, statement: str, *values: Any) -> list[asyncpg.Record]:
        async with self.connection() as connection:
            return await connection.fetch(statement, *values)

    @asynccontextmanager
    async def connection(self) -> AsyncIterator[asyncpg.Connection]:
        """A connection to the server's database as the role that owns the tables."""
        url = self.database.owner_url if self.database else urls_of_running(self.data_dir)[0]
        connection = await asyncpg.connect(url)
        try:
            yield connection
        finally:
            await connection.close()

    @property
    def parent(self) -> int:
        assert self.process
        return self.process.pid

    @property
    def postmasters(self) -> list[int]:
        """PostgreSQL's first process; none while it is down."""
        return [child for child in children(self.parent) if name_of(child) == "postgres"]

    @property
    def workers(self) -> list[int]:
        return [child for child in children(self.parent) if "spawn_main" in command_of(child)]

    @property
    def is_whole(self) -> bool:
        return len(self.workers) == self.size and len(self.postmasters) == 1

    @property
    def processes(self) -> list[int]:
        return [self.parent, *descendants(self.parent)]

    def connections_by_worker(self) -> list[int]:
        """How many connections each worker has taken."""
        port = f":{int(self.url.rpartition(':')[2]):04X}"
        rows = [line.split() for line in Path("/proc/net/tcp").read_text().splitlines()]
        taken = {f"socket:[{row[9]}]" for row in rows if row[1].endswith(port) and row[3] == "01"}
        return [len(taken & open_files(worker)) for worker in self.workers]

    async def ended(self, within: float = 60.0) -> int:
        """Wait for the server's own end; its exit code."""
        assert self.process
        return await asyncio.to_thread(self.process.wait, within)

    async def stop(self) -> int:
        os.kill(self.parent, signal.SIGTERM)
        return await self.ended()

    async def close(self) -> None:
        await self._client.aclose()
        if self.process and self.process.poll() is None:
            remaining = self.processes
            await self.stop()
            await eventually(lambda: all(map(has_ended, remaining)))


def new_client() -> httpx.AsyncClient:
    limits = httpx.Limits(max_connections=64, max_keepalive_connections=64)
    return httpx.AsyncClient(limits=limits, timeout=60, trust_env=False)


@asynccontextmanager
async def lineal(database: Cluster | None = None, *, started: bool = True, size: int = 2) -> AsyncIterator[Live]:
    """A server that is gone with its folder when the block ends."""
    # Not pytest's own folder: it is closed to the user that PostgreSQL runs as when the suite runs as root.
    home = Path(tempfile.mkdtemp(prefix="lineal-live-", dir="/tmp"))
    live = Live(home, database, size)
    try:
        if started:
            await live.start()
        yield live
    finally:
        await live.close()
        shutil.rmtree(home)


async def at_once(requests: Iterable[Awaitable[Reply]]) -> list[Reply]:
    return await asyncio.gather(*requests)


def codes(replies: Iterable[Reply]) -> Counter[str]:
    return Counter(reply.code for reply in replies)


async def eventually(met: Any, within: float = 60.0, told: Callable[[], str] = lambda: "") -> Any:
    """The first true answer of a function, awaited if need be; `told` says more where there is none in time."""
    deadline = time.monotonic() + within
    while True:
        answer = met()
        if asyncio.iscoroutine(answer):
            answer = await answer
        if answer:
            return answer
        assert time.monotonic() < deadline, f"not within {within:g} s {told()}"
        await asyncio.sleep(0.02)


def children(pid: int) -> list[int]:
    """A process's children, whichever of its threads made them."""
    found: list[int] = []
    for thread in Path(f"/proc/{pid}/task").glob("*/children"):
        with suppress(FileNotFoundError, ProcessLookupError):
            found += map(int, thread.read_text().split())
    return found


def descendants(pid: int) -> list[int]:
    return [each for child in children(pid) for each in (child, *descendants(child))]


def command_of(pid: int) -> str:
    with suppress(FileNotFoundError, ProcessLookupError):
        return Path(f"/proc/{pid}/cmdline").read_text().replace("\0", " ")
    return ""


def name_of(pid: int) -> str:
    with suppress(FileNotFoundError, ProcessLookupError):
        return Path(f"/proc/{pid}/comm").read_text().strip()
    return ""


def open_files(pid: int) -> set[str]:
    files = set()
    for file in Path(f"/proc/{pid}/fd").iterdir():
        with suppress(FileNotFoundError):
            files.add(str(file.readlink()))
    return files


def has_ended(pid: int) -> bool:
    """Whether a process runs no more; one that its new parent has yet to reap (a zombie) does not."""
    with suppress(FileNotFoundError, ProcessLookupError):
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] == "Z"
    return True


def spread(values: Sequence[float]) -> str:
    """The middle and the largest of some seconds, for the figures."""
    ordered = sorted(values)
    return f"{ordered[len(ordered) // 2]:.2f} s in the middle, {ordered[-1]:.2f} s at most" if ordered else "none"
