"""Kills the processes of a server, and looks at the audit log that is left."""

import asyncio
import hashlib
import os
import random
import signal
import time
from dataclasses import dataclass, field

import asyncpg

from tests.support.live import (
    Live,
    children,
    command_of,
    eventually,
    has_ended,
)


async def assert_chains_intact(connection: asyncpg.Connection) -> None:
    """Compute every hash of the audit log anew, from the text that was hashed.

    Events and heads are read in one snapshot: the server goes on signing its checkpoints meanwhile.
    """
    async with connection.transaction(isolation="repeatable_read", readonly=True):
        events = await connection.fetch("SELECT * FROM audit_events ORDER BY chain, seq")
        kept = {row["chain"]: (row["seq"], row["hash"]) for row in await connection.fetch("TABLE audit_chains")}
    heads: dict[str, tuple[int, bytes]] = {}
    for event in events:
        chain = event["chain"]
        seq, previous = heads.get(chain, (0, hashlib.sha256(chain.encode()).digest()))
        at = f"{event['at']:%Y-%m-%dT%H:%M:%S.%fZ}"
        text = "\n".join((chain, str(seq + 1), at, previous.hex(), event["entry"]))
        found = hashlib.sha256(text.encode()).digest()
        assert (event["seq"], event["previous_hash"], event["hash"]) == (seq + 1, previous, found)
        heads[chain] = (seq + 1, found)
    assert heads == kept


@dataclass
class Kill:
    """Who was killed, when, and every process of the server at that moment."""

    victims: list[int]
    processes: list[int]
    at: float = field(default_factory=time.monotonic)


def kill(live: Live, *victims: int) -> Kill:
    processes = live.processes
    for pid in victims:
        os.kill(pid, signal.SIGKILL)
    return Kill(list(victims), processes)


async def kill_server(live: Live) -> Kill:
    return kill(live, live.parent)


async def kill_postgres(live: Live) -> Kill:
    return kill(live, *live.postmasters)


async def kill_worker(live: Live) -> Kill:
    return kill(live, random.choice(live.workers))


async def kill_server_and_postgres(live: Live) -> Kill:
    return kill(live, live.parent, *live.postmasters)


async def kill_backend(live: Live) -> Kill:
    """One that is about to commit if there is one: its client cannot know what became of it."""
    ends = time.monotonic() + 2
    while time.monotonic() < ends:
        backends = [child for child in children(live.postmasters[0]) if "lineal_app" in command_of(child)]
        committing = [child for child in backends if "COMMIT" in command_of(child)]
        if committing:
            break
        await asyncio.sleep(0)
    return kill(live, (committing or backends)[0])


async def restarted(live: Live, killed: Kill) -> float:
    """Start again at once, whatever still runs; the seconds until ready."""
    await live.ended()
    took = await live.start()
    await eventually(lambda: all(map(has_ended, killed.processes)))
    return took
