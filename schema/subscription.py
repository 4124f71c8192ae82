import strawberry

from resolvers.reads.bindings import Many
from resolvers.rules.access import Need
from schema.audit import AuditEvent
from schema.deployments import Deployment
from schema.fields import argument, bound
from schema.scalars import BigInt

AFTER = argument(
    "after",
    BigInt | None,
    "Resume after the event with this `position`. BAD_USER_INPUT if the feed no longer has the events"
    " after it. Default: only events from now on.",
    default=strawberry.UNSET,
)


@strawberry.type(
    description="Events as they are committed, from any server process. Each event is sent once and in order. A"
    " client that does not keep up is disconnected and can resume."
)
class Subscription:
    audit_events: AuditEvent = bound(
        "Every change in a project. NOT_FOUND if the project does not exist.",
        Many("{c}.id = ANY ({payload[ids]}::text[])", "array_position({payload[ids]}::text[], {c}.id::text)"),
        (
            argument("projectId", strawberry.ID, "The project's ID."),
            argument(
                "actions",
                list[str] | None,
                "Only events with these actions, such as `version.transitioned`. Default: all.",
                default=strawberry.UNSET,
            ),
            AFTER,
        ),
        needs=Need.ANYONE,
    )
    deployment: Deployment = bound(
        "A deployment, each time it changes. NOT_FOUND if it does not exist.",
        Many("{c}.id = ANY ({payload[ids]}::text[])", "{c}.id"),
        (argument("id", strawberry.ID, "The deployment's ID."),),
        needs=Need.ANYONE,
    )
