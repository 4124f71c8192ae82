"""Who used the processors meanwhile: the measured server, its database, and everybody else on the machine."""

import os
import time
from dataclasses import dataclass
from pathlib import Path

import asyncpg

BACKENDS = "SELECT pid FROM pg_stat_activity WHERE datname = current_database() AND pid <> pg_backend_pid()"
TICKS = os.sysconf("SC_CLK_TCK")
UNKNOWN = float("nan")


@dataclass(frozen=True)
class Use:
    """Seconds of processor time since some moment; not a number where the system does not say."""

    server: float
    database: float
    ours: float
    machine: float

    def since(self, before: "Use") -> "Use":
        return Use(
            self.server - before.server,
            self.database - before.database,
            self.ours - before.ours,
            self.machine - before.machine,
        )

    @property
    def others(self) -> float:
        return self.machine - self.server - self.database - self.ours


class Meter:
    """Reads the counters of one server, and of the database's processes if they are on this machine."""

    def __init__(self, database: asyncpg.Connection | None, pid: int):
        self.database, self.pid = database, pid

    async def read(self) -> Use:
        database = UNKNOWN
        if self.database is not None:
            database = sum(of_process(row["pid"]) for row in await self.database.fetch(BACKENDS))
        return Use(of_process(self.pid), database, time.process_time(), of_machine())


def of_process(pid: int) -> float:
    """How long the main thread has run."""
    try:
        return int(Path(f"/proc/{pid}/schedstat").read_text().split()[0]) / 1e9
    except OSError:
        return UNKNOWN


def of_machine() -> float:
    """How long all processors were not idle."""
    try:
        user, nice, system, _, _, *interrupts = map(int, Path("/proc/stat").read_text().split("\n", 1)[0].split()[1:9])
    except OSError:
        return UNKNOWN
    return (user + nice + system + sum(interrupts[:2])) / TICKS
