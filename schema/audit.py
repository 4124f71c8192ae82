from datetime import datetime
from typing import Any, ClassVar

import strawberry
from strawberry.scalars import JSON

from resolvers.reads.audit import AuditSubject
from resolvers.reads.declarations import HEAVY
from resolvers.rules import limits
from resolvers.rules.access import Need
from schema.fields import TEXT, argument, bound, column, expression, optional
from schema.nodes import Node
from schema.scalars import BigInt
from storage.audit import AuditEvent as EventRow
from storage.checkpoints import CheckpointReport

ENTRY = "({t}.entry::json -> '%s')"


@strawberry.type(
    description="A recorded change. Events are append-only: each event's hash covers the hash of the event before it."
)
class AuditEvent(Node):
    table: ClassVar = EventRow
    prefix: ClassVar = "evt"
    needs: ClassVar = Need.VIEWER

    at: datetime = column("When the change happened, by the database's clock.")
    actor: str = column(
        "The email address of the person or service that made the change, or the name of a background job."
    )
    action: str = column("The kind of change, such as `version.transitioned` or `member.set`.")
    subject: Node | None = bound("The object that was changed. Null if the caller cannot see it.", AuditSubject())
    subject_id: strawberry.ID = column("The ID of the object that was changed.")
    project_id: strawberry.ID | None = column("The ID of the project. Null for changes to principals and API keys.")
    notes: str | None = expression(
        "The reason that was given for the change. Null if none was given.",
        "({t}.entry::json ->> 'notes')",
        weight=TEXT,
    )
    details: JSON = expression(
        "What changed, usually as `before` and `after`. Credentials in URIs are shown as `***`; the hash"
        " covers the original values.",
        "(shown_entry({t}.entry)::json -> 'details')",
        weight=HEAVY,
    )
    request_id: str = expression(
        "The ID of the request that made the change, as returned in its `X-Request-Id` header.",
        "({t}.entry::json ->> 'requestId')",
    )
    chain: str = column("The hash chain that the event belongs to: a model's ID, a project's ID, or `registry`.")
    seq: BigInt = column("The event's position in its chain, starting at 1.")
    position: BigInt | None = expression(
        "The event's position in its project's feed, starting at 1. A subscription resumes after it. Null if"
        " the event belongs to no project, for a moment after the event, and once `LINEAL_KEEP_FEED_DAYS` have"
        " passed.",
        "(SELECT f.position FROM audit_feed f WHERE f.chain = {t}.chain AND f.seq = {t}.seq)",
    )
    hash: str = expression(
        "The SHA-256 hash of the chain, sequence number, time, previous hash and entry, each on its own line."
        " Hexadecimal.",
        "encode({t}.hash, 'hex')",
    )
    previous_hash: str = expression("The hash of the previous event in the chain.", "encode({t}.previous_hash, 'hex')")


@strawberry.type(
    description="The result of verifying a chain of the audit log. The database recomputes every hash. This does not"
    " detect that the chain was rewritten as a whole; `lineal audit verify` does, with the signed"
    " checkpoints."
)
class AuditIntegrity:
    needs: ClassVar = Need.VIEWER

    events: BigInt = column("The number of events in the chain.")
    sound: bool = expression(
        "Whether each event follows from the event before it and the last event matches the recorded head of"
        " the chain.",
        "({t}.first_wrong IS NULL AND coalesce({t}.ends_at_head, false))",
    )
    first_wrong: BigInt | None = expression(
        "The position of the first event that does not follow from the event before it. If only the head does"
        " not match, the position after the last event. Null if the chain is sound.",
        "coalesce({t}.first_wrong, CASE WHEN coalesce({t}.ends_at_head, false) THEN NULL ELSE {t}.last + 1 END)",
    )
    since: datetime = column("When the first event of the chain happened.")


@strawberry.type(
    description="The state of the signed checkpoints of the audit log. Without recent checkpoints, `lineal audit"
    " verify` cannot prove that the latest events are unchanged."
)
class AuditStatus:
    table: ClassVar = CheckpointReport
    needs: ClassVar = Need.INSTANCE

    last_checkpoint_at: datetime | None = column(
        "When the last checkpoint was written, by the clock of the server that wrote it. Null if none was written.",
        "at",
    )
    last_checkpoint_number: BigInt | None = column(
        "The number of the last checkpoint in its file. Null if none was written.", "number"
    )
    key_id: str | None = column(
        "The ID of the key that signed the last checkpoint: the first characters of the SHA-256 hash of the"
        " public key. Null if none was written.",
        "key",
    )
    behind_events: BigInt = column("The number of events that no checkpoint covers yet.", "behind")
    problem: str | None = column(
        "The problem that servers reported in the last 24 hours: why checkpoints cannot be written, or which"
        " lines of a checkpoint file are missing. If there are several problems, the one that began first."
        " Null if there is none."
    )
    problem_since: datetime | None = column("When the problem began. Null if there is none.", "since")


@strawberry.input(description="Conditions that audit events must match. An event must match all of them.")
class AuditFilter:
    project_id: strawberry.ID | None = optional("The ID of the events' project.")
    chain: str | None = optional(
        "The events' chain: a model's ID (which includes its versions), a project's ID, or `registry`."
    )
    subject_id: strawberry.ID | None = optional("The ID of the object that was changed.")
    actor: str | None = optional("The email address of the person or service that made the change.")
    action: list[str] | None = optional("The kinds of change. An event must have one of them.", limits.Several(20))
    after: datetime | None = optional("Only events at this time or later.")
    before: datetime | None = optional("Only events before this time.")


FILTER: Any = argument(
    "filter", AuditFilter | None, "Only events that match this filter. Default: all.", default=strawberry.UNSET
)
