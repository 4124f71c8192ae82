from datetime import datetime
from typing import ClassVar

import strawberry

from resolvers.reads.paging import NEWEST_FIRST
from resolvers.rules import limits
from resolvers.rules.access import Need
from schema import enums, links
from schema.audit import AuditEvent
from schema.fields import TEXT, argument, column, connection, expression, one, optional, payload, required
from schema.nodes import Connection
from storage.webhooks import Webhook as WebhookRow
from storage.webhooks import WebhookDelivery as DeliveryRow


@strawberry.type(description="The delivery of one event to one webhook.")
class WebhookDelivery:
    table: ClassVar = DeliveryRow
    needs: ClassVar = Need.VIEWER

    id: strawberry.ID = column("The delivery's ID. The message that is sent carries the event's ID instead.")
    event: AuditEvent = one("The event.", "{c}.id = {t}.event_id")
    status: enums.DeliveryStatus = column("The delivery's status.")
    attempts: int = column("The number of attempts.")
    next_at: datetime | None = column("When the next attempt is made. Null if there is none.")
    attempted_at: datetime | None = column("When the last attempt was made. Null if there was none.")
    response_status: int | None = column(
        "The HTTP status of the receiver's last response. Null if there was no response."
    )
    error: str | None = column("What went wrong in the last attempt. Null if nothing did.")
    created_at: datetime = column("When the delivery was first due.")


@strawberry.type(description="A receiver of a project's events, according to the Standard Webhooks specification.")
class Webhook:
    table: ClassVar = WebhookRow
    needs: ClassVar = Need.VIEWER

    id: strawberry.ID = column("The webhook's ID.")
    project: links.Project = one("The project.", "{c}.id = {t}.project_id")
    url: str = column("The URL that events are sent to.")
    description: str | None = column("What the webhook is for.", weight=TEXT)
    actions: list[str] = column("The actions of the events that are sent. Empty if all events are sent.")
    active: bool = column("Whether events are sent. Events that happen while it is false are sent later.")
    created_at: datetime = column("When the webhook was created.")
    created_by: str = column("The email address of the person or service that created the webhook.")
    disabled_at: datetime | None = column(
        "When the registry disabled the webhook because its receiver kept failing. Null if it did not, and"
        " after `updateWebhook` has set `active: true`."
    )
    disabled_reason: str | None = column("Why the registry disabled the webhook, and what to do. Null if it did not.")
    failing_since: datetime | None = column(
        "When the first failed attempt since the last success was made. Null after a success."
    )
    previous_secret_until: datetime | None = expression(
        "When events stop being signed with the previous secret in addition to the current one. Null if they"
        " are signed with the current one only.",
        "CASE WHEN {t}.previous_until > clock_timestamp() THEN {t}.previous_until END",
    )
    deliveries: Connection[WebhookDelivery] = connection(
        "The webhook's deliveries, past and pending, newest first.",
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
        argument(
            "since",
            datetime | None,
            "Only deliveries that were first due at this time or later.",
            default=strawberry.UNSET,
        ),
        argument(
            "until", datetime | None, "Only deliveries that were first due before this time.", default=strawberry.UNSET
        ),
    )


ACTIONS = limits.ListOf(limits.Text(100), 50)


@strawberry.input(description="A webhook to create.")
class CreateWebhookInput:
    project_id: strawberry.ID = required("The project's ID.", limits.Id("proj"))
    url: str = required(
        "The URL to send events to, with a public host. Members can see it, so it must not contain a secret."
        " BAD_USER_INPUT if the host is an address that is not public, in any notation.",
        limits.HTTP,
    )
    actions: list[str] | None = optional(
        "The actions of the events to send, such as `version.transitioned`. Default: all.", ACTIONS
    )
    description: str | None = optional("What the webhook is for.", limits.NOTES)


@strawberry.type(description="The result of `createWebhook`.")
class CreateWebhookPayload:
    webhook: Webhook = one("The new webhook.", "{c}.id = {payload[webhook_id]}")
    secret: str = payload("The secret that signs the events: `whsec_` followed by base64. It is shown only once.")


@strawberry.input(description="Changes to a webhook. Fields that are omitted stay unchanged.")
class UpdateWebhookInput:
    webhook_id: strawberry.ID = required("The webhook's ID.", limits.Id("whk"))
    url: str | None = optional("The URL to send events to.", limits.HTTP)
    actions: list[str] | None = optional("The actions of the events to send. An empty list sends all events.", ACTIONS)
    description: str | None = optional("What the webhook is for.", limits.NOTES)
    active: bool | None = optional("Whether events are sent.")


@strawberry.type(description="The result of `updateWebhook`.")
class UpdateWebhookPayload:
    webhook: Webhook = one("The updated webhook.", "{c}.id = {payload[webhook_id]}")


@strawberry.input(description="A webhook to delete.")
class DeleteWebhookInput:
    webhook_id: strawberry.ID = required("The webhook's ID.", limits.Id("whk"))


@strawberry.type(description="The result of `deleteWebhook`.")
class DeleteWebhookPayload:
    id: strawberry.ID = payload("The ID of the deleted webhook.", "webhook_id")
    project: links.Project = one("The project with its remaining webhooks.", "{c}.id = {payload[project_id]}")


@strawberry.input(description="A delivery to send again.")
class ReplayDeliveryInput:
    delivery_id: strawberry.ID = required("The delivery's ID.", limits.Id("dlv"))


@strawberry.type(description="The result of `replayDelivery`.")
class ReplayDeliveryPayload:
    delivery: WebhookDelivery = one("The delivery, which is PENDING.", "{c}.id = {payload[delivery_id]}")


@strawberry.input(description="The deliveries of a webhook to send again.")
class ReplayDeliveriesInput:
    webhook_id: strawberry.ID = required("The webhook's ID.", limits.Id("whk"))
    since: datetime | None = optional("Only deliveries that were first due at this time or later. Default: all.")
    status: list[enums.DeliveryStatus] | None = optional(
        "Only deliveries with one of these statuses. Default: FAILED.", limits.Several(3)
    )


@strawberry.type(description="The result of `replayDeliveries`.")
class ReplayDeliveriesPayload:
    webhook: Webhook = one("The webhook.", "{c}.id = {payload[webhook_id]}")
    replayed: int = payload("The number of deliveries that will be sent again.")
    left: int = payload(
        "The number of matching deliveries that remain. Repeat the mutation to send them, with a later"
        " `since` if `status` includes DELIVERED."
    )


@strawberry.input(description="A webhook whose secret to replace.")
class RotateWebhookSecretInput:
    webhook_id: strawberry.ID = required("The webhook's ID.", limits.Id("whk"))
    overlap_hours: float | None = optional(
        "How long events are signed with both secrets. With 0, the old secret is dropped at once. Default: 24.",
        limits.Hours(30 * 24.0),
    )


@strawberry.type(description="The result of `rotateWebhookSecret`.")
class RotateWebhookSecretPayload:
    webhook: Webhook = one("The webhook.", "{c}.id = {payload[webhook_id]}")
    secret: str = payload("The new secret: `whsec_` followed by base64. It is shown only once.")
