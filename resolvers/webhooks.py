"""Webhooks, which receive a project's events."""

from collections.abc import Sequence
from datetime import datetime, timedelta
from typing import Any

from sqlalchemy.ext.asyncio import AsyncSession

from resolvers.callers import Caller
from resolvers.errors import BadUserInput, Conflict, Unavailable
from resolvers.rules.access import Need
from resolvers.rules.actions import known_actions
from resolvers.rules.addresses import may_be_public
from resolvers.rules.cleaning import quoted
from resolvers.transaction import Transaction
from storage import feed, webhook_deliveries, webhooks
from storage.ids import new_id
from storage.rows import now
from storage.sealing import Sealing, SealingUnusable
from storage.secrets import new_signing_secret
from storage.vocabulary import DeliveryStatus
from storage.webhook_deliveries import Delivery
from storage.webhooks import LockedWebhook, Webhook

# The most deliveries that one mutation sends again.
MOST_REPLAYED = 1_000
SENDING = Caller("lineal webhooks", None, "webhooks")


async def create_webhook(
    tx: Transaction, *, project_id: str, url: str, actions: Sequence[str] = (), description: str | None = None
) -> dict[str, str]:
    """Create a webhook. It receives events from now on."""
    await tx.lock_project(project_id)
    await _require_place(tx, project_id)
    _require_public(tx, url)
    # Events committed before get their places first, so that they are not sent.
    await feed.give_places(tx.session)
    position = await feed.head_in(tx.session, project_id)
    webhook_id, secret = new_id("whk"), new_signing_secret()
    facts = {"url": url, "actions": known_actions("input.actions", actions), "description": description}
    sealed = _sealed(tx, secret, webhook_id)
    row = {"id": webhook_id, "project_id": project_id, "secret": sealed, "position": position, "active": True}
    await tx.keep(Webhook, row | facts | {"created_by": tx.caller.actor})
    await tx.record("webhook.created", webhook_id, project_id, chain=project_id, after=facts)
    return {"webhook_id": webhook_id, "secret": secret}


async def _require_place(tx: Transaction, project_id: str) -> None:
    most = tx.settings.webhooks_per_project
    if await webhooks.count_webhooks(tx.session, project_id) >= most:
        raise Conflict(
            f"{project_id} has {most} webhooks, which is the maximum. Change one of them with updateWebhook, or ask"
            " the operator of the server to raise LINEAL_WEBHOOKS_PER_PROJECT.",
            limit=most,
        )


def _require_public(tx: Transaction, url: str) -> None:
    if not tx.settings.private_webhooks and not may_be_public(url):
        raise BadUserInput(
            "input.url",
            f"is {quoted(url)}; its host must be a public address, or a name of one. Use the receiver's public address,"
            " or ask the operator of the server to set LINEAL_WEBHOOK_PRIVATE.",
        )


def _sealed(tx: Transaction, secret: str, webhook_id: str) -> str:
    try:
        return tx.settings.sealing.seal(secret, bound_to(webhook_id))
    except (SealingUnusable, OSError) as error:
        raise Unavailable(
            "This server has no usable key to encrypt the secret with. Nothing was saved; /readyz says what is wrong.",
            retry_after=None,
        ) from error


def bound_to(webhook_id: str) -> str:
    """The text that binds a secret to its webhook."""
    return f"webhooks.secret {webhook_id}"


def secrets_of(sealing: Sealing, delivery: Delivery) -> list[str]:
    """The secrets that sign a delivery: the webhook's secret, and the previous one until its overlap ends."""
    stored = filter(None, (delivery.secret, delivery.previous_secret))
    return [sealing.open(secret, bound_to(delivery.webhook_id)) for secret in stored]


async def update_webhook(
    tx: Transaction,
    *,
    webhook_id: str,
    url: str | None = None,
    actions: Sequence[str] | None = None,
    description: str | None = None,
    active: bool | None = None,
) -> dict[str, str]:
    webhook = await tx.webhook(webhook_id)
    if url is not None and url != webhook.url:
        _require_public(tx, url)
    if actions is not None:
        known_actions("input.actions", actions)
    wanted = {"url": url, "actions": actions, "description": description, "active": active}
    changed = {name: value for name, value in wanted.items() if value is not None and value != getattr(webhook, name)}
    if changed:
        begins_anew = {"failing_since": None, "disabled_at": None, "disabled_reason": None} if active else {}
        await webhooks.change(tx.session, webhook_id, changed | begins_anew)
        change = {"before": {name: getattr(webhook, name) for name in changed}, "after": changed}
        await tx.record("webhook.updated", webhook_id, webhook.project_id, chain=webhook.project_id, **change)
    return {"webhook_id": webhook_id}


async def delete_webhook(tx: Transaction, *, webhook_id: str) -> dict[str, str]:
    """An attempt that is in flight may still arrive."""
    webhook = await tx.webhook(webhook_id)
    await webhooks.delete_webhook(tx.session, webhook_id)
    project_id = webhook.project_id
    before = {name: getattr(webhook, name) for name in ("url", "actions", "description", "active")}
    await tx.record("webhook.deleted", webhook_id, project_id, chain=project_id, before=before)
    return {"webhook_id": webhook_id, "project_id": project_id}


async def rotate_webhook_secret(tx: Transaction, *, webhook_id: str, overlap_hours: float = 24.0) -> dict[str, Any]:
    """Create a new secret. Until the overlap ends, events are signed with the previous one as well."""
    webhook = await tx.webhook(webhook_id)
    until = await now(tx.session) + timedelta(hours=overlap_hours)
    secret = new_signing_secret()
    values: dict[str, Any] = {
        "secret": _sealed(tx, secret, webhook_id),
        "previous_secret": None,
        "previous_until": None,
    }
    if overlap_hours:
        values |= {"previous_secret": webhook.secret, "previous_until": until}
    await webhooks.change(tx.session, webhook_id, values)
    await tx.record("webhook.secretRotated", webhook_id, webhook.project_id, chain=webhook.project_id,
                    after={"previousSecretUntil": until.isoformat() if overlap_hours else None})  # fmt: skip
    return {"webhook_id": webhook_id, "secret": secret}


async def replay_delivery(tx: Transaction, *, delivery_id: str) -> dict[str, str]:
    """Send an event again, with as many attempts as a new one has."""
    delivery, webhook = await tx.delivery(delivery_id)
    _require_active(webhook)
    await webhook_deliveries.replay(tx.session, delivery_id)
    await tx.record("webhook.replayed", webhook.id, webhook.project_id, chain=webhook.project_id,
                    after={"deliveryId": delivery_id, "eventId": delivery.event_id})  # fmt: skip
    return {"delivery_id": delivery_id}


async def replay_deliveries(
    tx: Transaction,
    *,
    webhook_id: str,
    since: datetime | None = None,
    status: Sequence[DeliveryStatus] = (DeliveryStatus.FAILED,),
) -> dict[str, Any]:
    """Send the oldest of these deliveries again, in the order of their events."""
    webhook = await tx.webhook(webhook_id)
    _require_active(webhook)
    replayed, left = await webhook_deliveries.replay_oldest(tx.session, webhook_id, status, since, MOST_REPLAYED)
    if replayed:
        asked = {"since": since.isoformat() if since else None, "status": list(status), "deliveries": replayed}
        await tx.record("webhook.replayed", webhook_id, webhook.project_id, chain=webhook.project_id, after=asked)
    return {"webhook_id": webhook_id, "replayed": replayed, "left": left}


def _require_active(webhook: LockedWebhook) -> None:
    if not webhook.active:
        raise Conflict(
            f"{webhook.id} is not active, so nothing would be sent. Set active: true with updateWebhook.",
            webhookId=webhook.id,
        )


async def disable_dead(session: AsyncSession, webhook_id: str, project_id: str, days: float) -> None:
    """Disable a webhook whose receiver has failed for too long. The caller must have locked it."""
    reason = f"Every attempt has failed for more than {days:g} days. Set active: true with updateWebhook to try again."
    await webhooks.disable(session, webhook_id, reason)
    tx = Transaction(session, SENDING, Need.OPEN)
    await tx.record(
        "webhook.disabled", webhook_id, project_id, chain=project_id, before={"active": True},
        after={"active": False, "reason": reason},
    )  # fmt: skip
