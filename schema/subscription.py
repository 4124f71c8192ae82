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
    "Resume after the event with this `position`. BAD_USER_INPUT if events after it are no longer kept in the feed."
    " Default: only what comes from now on.",
    default=strawberry.UNSET,
)


@strawberry.type(
    description="What happens, as it is committed, on whichever server process: each event once and in order. A reader"
    " that does not keep up is disconnected, and may resume."
)
class Subscription:
    audit_events: AuditEvent = bound(
        "Every change in a project. NOT_FOUND where there is no such project.",
        Many("{c}.id = ANY ({payload[ids]}::text[])", "array_position({payload[ids]}::text[], {c}.id::text)"),
        (
            argument("projectId", strawberry.ID, "The project."),
            argument(
                "actions", list[str] | None, "Only these, such as `version.transitioned`.", default=strawberry.UNSET
            ),
            AFTER,
        ),
        needs=Need.ANYONE,
    )
    deployment: Deployment = bound(
        "A deployment, each time it changes. NOT_FOUND where there is none.",
        Many("{c}.id = ANY ({payload[ids]}::text[])", "{c}.id"),
        (argument("id", strawberry.ID, "Its id."),),
        needs=Need.ANYONE,
    )
