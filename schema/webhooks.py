from datetime import datetime
from typing import ClassVar

import strawberry

from resolvers.reads.paging import NEWEST_FIRST
from resolvers.rules import limits
from resolvers.rules.access import Need
from schema import enums, links
from schema.audit import AuditEvent
from schema.fields import TEXT, argument, column, connection, expression, given, one, optional, payload
from schema.nodes import Connection
from storage.webhooks import Webhook as WebhookRow
from storage.webhooks import WebhookDelivery as DeliveryRow


@strawberry.type(description="One event for one webhook, and what became of it.")
class WebhookDelivery:
    table: ClassVar = DeliveryRow
    needs: ClassVar = Need.VIEWER

    id: strawberry.ID = column("Its id; what is sent carries the event's.")
    event: AuditEvent = one("The event.", "{c}.id = {t}.event_id")
    status: enums.DeliveryStatus = column("What became of it.")
    attempts: int = column("How often it was sent.")
    next_at: datetime | None = column("When it is sent next; null where it is not.")
    attempted_at: datetime | None = column("When it was sent last.")
    response_status: int | None = column("The HTTP status of the last answer; null where there was none.")
    error: str | None = column("What was wrong with the last attempt.")
    created_at: datetime = column("When it was due for the first time.")


@strawberry.type(description="Where a project's events are sent, by the Standard Webhooks specification.")
class Webhook:
    table: ClassVar = WebhookRow
    needs: ClassVar = Need.VIEWER

    id: strawberry.ID = column("Its id.")
    project: links.Project = one("The project.", "{c}.id = {t}.project_id")
    url: str = column("Where they are sent.")
    description: str | None = column("What it is for.", weight=TEXT)
    actions: list[str] = column("Only events with these actions are sent; empty: all.")
    active: bool = column("Whether anything is sent. What happens meanwhile is sent later.")
    created_at: datetime = column("When it was made.")
    created_by: str = column("Who made it: the owner of the API key.")
    disabled_at: datetime | None = column(
        "When the registry switched the webhook off because its receiver kept failing. Null if it did not, and once"
        " `updateWebhook` has set `active: true`."
    )
    disabled_reason: str | None = column("Why the registry switched the webhook off, and what to do.")
    failing_since: datetime | None = column("The first failed attempt since the last success. Null after a success.")
    previous_secret_until: datetime | None = expression(
        "Until when events are signed with the secret before the current one as well. Null if they are not.",
        "CASE WHEN {t}.previous_until > clock_timestamp() THEN {t}.previous_until END",
    )
    deliveries: Connection[WebhookDelivery] = connection(
        "What was sent or will be sent, the newest first.",
        "{c}.webhook_id = {t}.id AND ({args[status]}::text[] IS NULL OR {c}.status = ANY ({args[status]}::text[]))"
        " AND ({args[since]}::timestamptz IS NULL OR {c}.created_at >= {args[since]}::timestamptz)"
        " AND ({args[until]}::timestamptz IS NULL OR {c}.created_at < {args[until]}::timestamptz)",
        NEWEST_FIRST,
        argument(
            "status",
            list[enums.DeliveryStatus] | None,
            "Only deliveries with one of these statuses. Default: all.",
            default=strawberry.UNSET,
        ),
        argument("since", datetime | None, "Only what was due at this time or later.", default=strawberry.UNSET),
        argument("until", datetime | None, "Only what was due before this time.", default=strawberry.UNSET),
    )


ACTIONS = limits.ListOf(limits.Text(100), 50)


@strawberry.input(description="Where to send a project's events.")
class CreateWebhookInput:
    project_id: strawberry.ID = given("The project.", limits.Id("proj"))
    url: str = given(
        "Where: an http or https address with a public host. It is shown to members, so it must hold no secret."
        " BAD_USER_INPUT if the host is an address that is not public, in whichever form it is written.",
        limits.HTTP,
    )
    actions: list[str] | None = optional(
        "Only events with these actions, such as `version.transitioned`. Default: all.", ACTIONS
    )
    description: str | None = optional("What it is for.", limits.NOTES)


@strawberry.type(description="What `createWebhook` made.")
class CreateWebhookPayload:
    webhook: Webhook = one("The new webhook.", "{c}.id = {payload[webhook_id]}")
    secret: str = payload("What its signatures are made with, `whsec_` and base64. Shown once.")


@strawberry.input(description="What to change of a webhook; what is left out stays.")
class UpdateWebhookInput:
    webhook_id: strawberry.ID = given("The webhook.", limits.Id("whk"))
    url: str | None = optional("Where its events are sent.", limits.HTTP)
    actions: list[str] | None = optional("Only events with these actions. Empty: all.", ACTIONS)
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


@strawberry.input(description="Which deliveries of a webhook to send again.")
class ReplayDeliveriesInput:
    webhook_id: strawberry.ID = given("The webhook.", limits.Id("whk"))
    since: datetime | None = optional("Only deliveries that were due at this time or later. Default: all.")
    status: list[enums.DeliveryStatus] | None = optional(
        "Only deliveries with one of these statuses. Default: FAILED.", limits.Several(3)
    )


@strawberry.type(description="What `replayDeliveries` put in line.")
class ReplayDeliveriesPayload:
    webhook: Webhook = one("The webhook.", "{c}.id = {payload[webhook_id]}")
    replayed: int = payload("How many deliveries will be sent again.")
    left: int = payload("How many more match. Repeat the mutation, with a later `since` if it includes DELIVERED ones.")


@strawberry.input(description="A webhook whose secret to replace.")
class RotateWebhookSecretInput:
    webhook_id: strawberry.ID = given("The webhook.", limits.Id("whk"))
    overlap_hours: float | None = optional(
        "How long events are signed with both secrets. With 0, the old secret ends at once. Default: 24.",
        limits.Hours(30 * 24.0),
    )


@strawberry.type(description="What `rotateWebhookSecret` made.")
class RotateWebhookSecretPayload:
    webhook: Webhook = one("The webhook.", "{c}.id = {payload[webhook_id]}")
    secret: str = payload("The new secret, `whsec_` and base64. Shown once.")
