"""The background jobs of every server process: due rollouts and policy changes, webhooks, checkpoints of the audit log,
retention, and the deletion of old responses.

Any number of processes may run them: each job takes turns with the other processes, or does nothing if another process
has already done the work.
"""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager, suppress
from functools import partial

import structlog

from resolvers.policies import run_due_changes
from resolvers.retention import run_retention
from resolvers.rollouts import run_due
from server.audit.checkpointing import PATIENCE, Checkpoints, checkpoint
from server.events.receivers import new_client
from server.events.webhooks import Sender
from server.ops.deletion import delete_by_age
from server.ops.sealed_secrets import seal_clear_secrets
from server.settings import Settings, sealing_of
from storage.engine import Database
from storage.outages import DatabaseAway

log = structlog.get_logger("lineal")

ROLLOUT_SECONDS = 0.5
POLICY_SECONDS = 1.0
RETENTION_SECONDS = 60.0  # between two checks whether the daily run is due
FORGET_SECONDS = 600.0
# The time limit of one round of any job, far longer than a round takes unless it hangs.
ROUND_SECONDS = 300.0
LAST_SECONDS = 3.0  # for the last checkpoint: the process must end soon


@asynccontextmanager
async def running_jobs(settings: Settings, database: Database) -> AsyncIterator[None]:
    """Run the jobs until the block ends, then write a last checkpoint."""
    client = new_client(settings.webhook_private)
    checkpoints = Checkpoints(settings.data_dir)

    async def take_checkpoint() -> None:
        await checkpoint(partial(database.connection, PATIENCE), checkpoints)

    sealing = sealing_of(settings)

    async def forget() -> None:
        await delete_by_age(database, settings)

    async def seal() -> None:
        # An earlier version of Lineal that still runs alongside this one may have created a webhook.
        async with database.transaction() as session:
            await seal_clear_secrets(session, sealing)

    async def archive_old_versions() -> None:
        if archived := await run_retention(database):
            log.info("retention archived versions", archived=archived)

    async def go_on_with_rollouts() -> None:
        if steps := await run_due(database):
            log.info("rollouts advanced", steps=steps)

    async def change_policies() -> None:
        if changes := await run_due_changes(database):
            log.info("policy changes took effect", changes=changes)

    sender = Sender(database, client, sealing, settings.webhook_dead_days * 86_400)

    tasks = [
        asyncio.create_task(every(0, sender.work)),
        asyncio.create_task(every(ROLLOUT_SECONDS, go_on_with_rollouts)),
        asyncio.create_task(every(POLICY_SECONDS, change_policies)),
        asyncio.create_task(every(settings.checkpoint_seconds, take_checkpoint)),
        asyncio.create_task(every(RETENTION_SECONDS, archive_old_versions)),
        asyncio.create_task(every(FORGET_SECONDS, forget)),
        asyncio.create_task(every(FORGET_SECONDS, seal)),
    ]
    try:
        yield
    finally:
        for task in tasks:
            task.cancel()
        for task in tasks:
            with suppress(asyncio.CancelledError):
                await task
        await sender.close()
        await client.aclose()
        with suppress(TimeoutError):
            async with asyncio.timeout(LAST_SECONDS):
                await take_checkpoint()


async def every(seconds: float, work: Callable[[], Awaitable[object]], within: float = ROUND_SECONDS) -> None:
    """Work, wait and work again. A round that fails or takes too long is logged, and tried again the next time."""
    while True:
        try:
            async with asyncio.timeout(within):
                await work()
        except DatabaseAway:
            pass  # it is in the log already, once
        except Exception:
            log.exception("background job failed", task=getattr(work, "__name__", ""))
        await asyncio.sleep(seconds)
