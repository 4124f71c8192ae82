"""Sends events to webhooks, by the Standard Webhooks specification (standardwebhooks.com).

Each process sends deliveries that are due and that no other process is sending. Sends are independent of each other:
one that ends frees its place at once. The number in flight is bounded for each webhook, project and process
(storage/take_deliveries.sql), so that a receiver that does not respond delays no other receiver's events. A delivery
without a 2xx response is tried again after a growing interval. Redirects are not followed.
"""

import asyncio
import ssl
import time
from collections.abc import Iterable
from contextlib import suppress
from dataclasses import dataclass, field
from datetime import UTC, datetime
from types import UnionType

import httpx
import orjson
import structlog
from sqlalchemy.ext.asyncio import AsyncSession
from standardwebhooks import Webhook

from resolvers.rules.webhooks import AttemptResult, result_of
from resolvers.webhooks import disable_dead, secrets_of
from server.events.receivers import NoPublicAddress
from storage import webhook_deliveries
from storage.engine import Database
from storage.feed import give_places
from storage.outages import DatabaseAway
from storage.sealing import Sealing, SealingUnusable
from storage.webhook_deliveries import Delivery, Places

log = structlog.get_logger("lineal")

# The most sends in flight: of a project, of a project to receivers that failed last time, and of a process.
PER_PROJECT, PER_FAILING, PER_PROCESS = 8, 4, 200
TIMEOUT_SECONDS = 15.0
# Longer than a request may take. A process that leased a delivery and is gone has not sent it.
LEASE_SECONDS = 60.0
# The interval between two checks for due deliveries. Places that this process frees are used at once.
LOOK_SECONDS = 0.5


@dataclass(eq=False)
class Sender:
    database: Database
    client: httpx.AsyncClient
    sealing: Sealing
    dead_seconds: float = 5 * 86_400.0
    # The webhooks of the sends in flight.
    sending: dict[asyncio.Task[None], str] = field(default_factory=dict)
    _freed: asyncio.Event = field(default_factory=asyncio.Event)
    _looked: float = 0.0

    async def work(self) -> None:
        """Wait until a place is free or the interval has passed, then send due deliveries."""
        with suppress(TimeoutError):
            async with asyncio.timeout(LOOK_SECONDS):
                await self._freed.wait()
        is_time = time.monotonic() - self._looked >= LOOK_SECONDS
        await self.start_due(look=is_time)

    async def start_due(self, look: bool = True) -> int:
        """Start due sends as far as there are places, and return their number. With `look`, new events become
        deliveries first."""
        self._freed.clear()
        if not (keys := self._keys()):
            return 0
        if look:
            self._looked = time.monotonic()
            async with self.database.transaction() as session:
                await give_places(session)
                await webhook_deliveries.expand(session)
        taken = await self._take(keys)
        for delivery in taken:
            task = asyncio.create_task(self._send(delivery))
            self.sending[task] = delivery.webhook_id
            task.add_done_callback(self._free)
        return len(taken)

    def _keys(self) -> list[str]:
        """The ids of the keys that can decrypt secrets. Deliveries whose secrets need another key wait."""
        try:
            return list(self.sealing.keys)
        except (SealingUnusable, OSError):
            return []  # readyz says so

    def _free(self, task: asyncio.Task[None]) -> None:
        del self.sending[task]
        self._freed.set()

    async def _take(self, keys: list[str]) -> list[Delivery]:
        most = PER_PROCESS - len(self.sending)
        if most <= 0:
            return []
        places = Places(most, PER_PROJECT, PER_FAILING, LEASE_SECONDS)
        async with self.database.transaction() as session:
            return await webhook_deliveries.take(session, places, keys, list(self.sending.values()))

    async def _send(self, delivery: Delivery) -> None:
        try:
            status, error = await self._post(delivery)
            await self._finish(delivery, result_of(status, error, delivery.attempts))
        except DatabaseAway:
            pass  # it is in the log already, and the lease will expire
        except Exception:
            log.exception("webhook delivery failed", delivery=delivery.id)

    async def _post(self, delivery: Delivery) -> tuple[int | None, str | None]:
        """The status of the response, or a sentence about why there is none."""
        body = body_of(delivery)
        try:
            secrets = secrets_of(self.sealing, delivery)
            headers = signed(secrets, delivery.event_id, int(time.time()), body)
            async with (
                asyncio.timeout(TIMEOUT_SECONDS),
                self.client.stream("POST", delivery.url, content=body, headers=headers) as response,
            ):
                return response.status_code, None
        except (httpx.HTTPError, httpx.InvalidURL, OSError, UnicodeError, SealingUnusable) as error:
            return None, sentence_for(error)

    async def _finish(self, delivery: Delivery, result: AttemptResult) -> None:
        """Store the outcome, unless the attempt no longer owns the delivery: its lease expired, or it was replayed."""
        async with self.database.transaction() as session:
            if await webhook_deliveries.finish(session, delivery, result._asdict()):
                await self._judge(session, delivery.webhook_id, result.is_success)

    async def _judge(self, session: AsyncSession, webhook_id: str, is_success: bool) -> None:
        if is_success:
            await webhook_deliveries.note_success(session, webhook_id)
            return
        project_id = await webhook_deliveries.note_failure(session, webhook_id, self.dead_seconds)
        if project_id is not None:
            await disable_dead(session, webhook_id, project_id, self.dead_seconds / 86_400)

    async def close(self) -> None:
        """Cancel the sends in flight. They are sent again when their leases have expired."""
        tasks = list(self.sending)
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)


NO_ADDRESS = "The receiver has no public address."
NO_CONNECTION = "No connection to the receiver."
NOT_SECURE = "No secure connection to the receiver: its certificate or TLS version was not accepted."
UNSEALED = "The secret of this webhook cannot be decrypted; rotate it with rotateWebhookSecret."
BAD_URL = "The URL cannot be used; change it with updateWebhook."
CUT_OFF = "The connection was closed before a valid HTTP response."


def sentence_for(error: BaseException) -> str:
    """One of a few fixed sentences: a driver's message could reveal what a name resolves to."""
    meanings: list[tuple[type[BaseException] | UnionType, str]] = [
        (NoPublicAddress, NO_ADDRESS),
        (TimeoutError | httpx.TimeoutException, f"No response within {TIMEOUT_SECONDS:g} seconds."),
        (ssl.SSLError, NOT_SECURE),
        (httpx.ConnectError, NO_CONNECTION),
        (SealingUnusable, UNSEALED),
        (httpx.InvalidURL | httpx.UnsupportedProtocol | UnicodeError, BAD_URL),
    ]
    causes = list(_causes(error))
    return next((meaning for kind, meaning in meanings if any(isinstance(cause, kind) for cause in causes)), CUT_OFF)


def _causes(error: BaseException | None) -> Iterable[BaseException]:
    while error is not None:
        yield error
        error = error.__cause__ or error.__context__


def body_of(delivery: Delivery) -> bytes:
    """The request body: the event as the audit log has it."""
    entry = orjson.loads(delivery.entry)
    data = {name: entry[name] for name in ("id", "actor", "action", "subjectId", "projectId", "notes", "details")}
    data |= {"at": delivery.at, "chain": delivery.chain, "seq": delivery.seq}
    return orjson.dumps({"type": delivery.action, "timestamp": delivery.at, "data": data})


def signed(secrets: Iterable[str], id_: str, timestamp: int, body: bytes) -> dict[str, str]:
    """The headers, with one signature for each secret, as the specification requires during a rotation."""
    at = datetime.fromtimestamp(timestamp, UTC)
    signatures = (Webhook(secret).sign(id_, at, body.decode()) for secret in secrets)
    return {
        "content-type": "application/json",
        "user-agent": "Lineal",
        "webhook-id": id_,
        "webhook-timestamp": str(timestamp),
        "webhook-signature": " ".join(signatures),
    }
