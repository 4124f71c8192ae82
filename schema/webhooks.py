from datetime import datetime
from typing import ClassVar

import strawberry

from resolvers.reads.bindings import Each
from resolvers.rules import limits
from schema import links, words
from schema.audit import AuditEvent
from schema.fields import TEXT, argument, bound, column, given, one, optional, payload
from storage.webhooks import Webhook as WebhookRow
from storage.webhooks import WebhookDelivery as DeliveryRow


@strawberry.type(description="One event for one webhook, and what became of it.")
class WebhookDelivery:
    table: ClassVar = DeliveryRow

    id: strawberry.ID = column("Its id; what is sent carries the event's.")
    event: AuditEvent = one("The event.", "{c}.id = {t}.event_id")
    status: words.DeliveryStatus = column("What became of it.")
    attempts: int = column("How often it was sent.")
    next_at: datetime | None = column("When it is sent next; null where it is not.")
    attempted_at: datetime | None = column("When it was sent last.")
    response_status: int | None = column("The HTTP status of the last answer; null where there was none.")
    error: str | None = column("What was wrong with the last attempt.")
    created_at: datetime = column("When it was to be sent first.")


@strawberry.type(description="Where a project's events are sent, by the Standard Webhooks specification.")
class Webhook:
    table: ClassVar = WebhookRow

    id: strawberry.ID = column("Its id.")
    project: links.Project = one("The project.", "{c}.id = {t}.project_id")
    url: str = column("Where they are sent.")
    description: str | None = column("What it is for.", weight=TEXT)
    actions: list[str] = column("Only events with these actions are sent; empty: all.")
    active: bool = column("Whether anything is sent. What happens meanwhile is sent later.")
    created_at: datetime = column("When it was made.")
    created_by: str = column("Who made it: the owner of the API key.")
    deliveries: list[WebhookDelivery] = bound(
        "What was sent, or is to be, the newest first.",
        Each(
            "(SELECT d.* FROM webhook_deliveries d WHERE d.webhook_id = {t}.id) {c}",
            "{c}.created_at DESC, {c}.id DESC",
            (50, 1000),
        ),
        (argument("first", int | None, "How many at most: 1 to 1000.", default=50),),
    )


ACTIONS = limits.ListOf(limits.Text(100), 50)


@strawberry.input(description="Where to send a project's events.")
class CreateWebhookInput:
    project_id: strawberry.ID = given("The project.", limits.Id("proj"))
    url: str = given(
        "Where: an http or https address. It is shown to members, and so must hold no secret.", limits.HTTP
    )
    actions: list[str] | None = optional("Only these, such as `version.transitioned`; absent: all.", ACTIONS)
    description: str | None = optional("What it is for.", limits.NOTES)


@strawberry.type(description="What `createWebhook` made.")
class CreateWebhookPayload:
    webhook: Webhook = one("The new webhook.", "{c}.id = {payload[webhook_id]}")
    secret: str = payload("What its signatures are made with, `whsec_` and base64. Shown once.")


@strawberry.input(description="What to change of a webhook; what is left out stays.")
class UpdateWebhookInput:
    webhook_id: strawberry.ID = given("The webhook.", limits.Id("whk"))
    url: str | None = optional("Where its events are sent.", limits.HTTP)
    actions: list[str] | None = optional("Only these; empty: all.", ACTIONS)
    description: str | None = optional("What it is for.", limits.NOTES)
    active: bool | None = optional("Whether anything is sent.")


@strawberry.type(description="What `updateWebhook` changed.")
class UpdateWebhookPayload:
    webhook: Webhook = one("The webhook.", "{c}.id = {payload[webhook_id]}")


@strawberry.input(description="A delivery to make again.")
class ReplayDeliveryInput:
    delivery_id: strawberry.ID = given("The delivery.", limits.Id("dlv"))


@strawberry.type(description="What `replayDelivery` put in line.")
class ReplayDeliveryPayload:
    delivery: WebhookDelivery = one("The delivery, PENDING.", "{c}.id = {payload[delivery_id]}")
