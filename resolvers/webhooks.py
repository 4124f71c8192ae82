"""Webhooks: where a project's events are sent."""

from collections.abc import Mapping, Sequence
from typing import Any

from sqlalchemy import text, update

from resolvers.transaction import Transaction
from storage import feed
from storage.ids import new_id
from storage.secrets import new_signing_secret
from storage.webhooks import REPLAY, Webhook


async def create_webhook(
    tx: Transaction, *, project_id: str, url: str, actions: Sequence[str] = (), description: str | None = None
) -> dict[str, str]:
    """What happens from now on is sent there."""
    await tx.project(project_id)
    # All that was committed by now has its place first: it is not sent.
    await feed.give_places(tx.session)
    position = await feed.head_in(tx.session, project_id)
    webhook_id, secret = new_id("whk"), new_signing_secret()
    told = {"url": url, "actions": list(actions), "description": description}
    row = {"id": webhook_id, "project_id": project_id, "secret": secret, "position": position, "active": True}
    await tx.keep(Webhook, row | told | {"created_by": tx.caller.actor})
    await tx.record("webhook.created", webhook_id, project_id, chain=project_id, after=told)
    return {"webhook_id": webhook_id, "secret": secret}


async def update_webhook(
    tx: Transaction,
    *,
    webhook_id: str,
    url: str | None = None,
    actions: Sequence[str] | None = None,
    description: str | None = None,
    active: bool | None = None,
) -> dict[str, str]:
    found = await tx.webhook(webhook_id)
    wanted = {"url": url, "actions": actions, "description": description, "active": active}
    changed = {name: value for name, value in wanted.items() if value is not None and value != found[name]}
    if changed:
        await tx.session.execute(update(Webhook).where(Webhook.id == webhook_id).values(changed))  # type: ignore[arg-type]
        change = {"before": _told(found, changed), "after": changed}
        await tx.record("webhook.updated", webhook_id, found["project_id"], chain=found["project_id"], **change)
    return {"webhook_id": webhook_id}


def _told(found: Mapping[str, Any], changed: Mapping[str, Any]) -> dict[str, Any]:
    return {name: found[name] for name in changed}


async def replay_delivery(tx: Transaction, *, delivery_id: str) -> dict[str, str]:
    """Send an event again, with as many attempts as a new one has."""
    found = await tx.delivery(delivery_id)
    await tx.session.execute(text(REPLAY), {"id": delivery_id})
    await tx.record("webhook.replayed", found["webhook_id"], found["project_id"], chain=found["project_id"],
                    after={"deliveryId": delivery_id, "eventId": found["event_id"]})  # fmt: skip
    return {"delivery_id": delivery_id}
