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
    description="One change of anything. Events are added, never changed; each one's hash covers the one before it."
)
class AuditEvent(Node):
    table: ClassVar = EventRow
    prefix: ClassVar = "evt"
    needs: ClassVar = Need.VIEWER

    at: datetime = column("When it happened, by the database's clock.")
    actor: str = column("Who did it.")
    action: str = column("What was done, such as `version.transitioned` or `member.set`.")
    subject: Node | None = bound("What it was done to; null where the caller does not see it.", AuditSubject())
    subject_id: strawberry.ID = column("The id of what it was done to.")
    project_id: strawberry.ID | None = column("The project; null for principals and keys.")
    notes: str | None = expression("Why.", "({t}.entry::json ->> 'notes')", weight=TEXT)
    details: JSON = expression(
        "What changed: `before` and `after`. Credentials in addresses are shown as `***`; the hash covers them.",
        "(shown_entry({t}.entry)::json -> 'details')",
        weight=HEAVY,
    )
    request_id: str = expression(
        "The request that did it, as its `X-Request-Id` says.", "({t}.entry::json ->> 'requestId')"
    )
    chain: str = column("The chain that it belongs to: a model's id, a project's id, or `registry`.")
    seq: BigInt = column("Its place in the chain, from 1.")
    position: BigInt | None = expression(
        "Its place in its project's feed, from 1: a subscription resumes after it. Null for what belongs to no project,"
        " for a moment after the event, and after `LINEAL_KEEP_FEED_DAYS`.",
        "(SELECT f.position FROM audit_feed f WHERE f.chain = {t}.chain AND f.seq = {t}.seq)",
    )
    hash: str = expression(
        "SHA-256 over the chain, seq, time, previous hash and entry, each on a line of its own; in hex.",
        "encode({t}.hash, 'hex')",
    )
    previous_hash: str = expression("The hash of the event before it in the chain.", "encode({t}.previous_hash, 'hex')")


@strawberry.type(
    description="Whether one chain of the audit log is as it was written. The database computes every hash anew; that"
    " it was not rewritten as a whole, `lineal audit verify` proves with the signed checkpoints."
)
class AuditIntegrity:
    needs: ClassVar = Need.VIEWER

    events: BigInt = column("How many events the chain has.")
    sound: bool = expression(
        "Whether each event follows from the one before it, and the last is the chain's head.",
        "({t}.first_wrong IS NULL AND coalesce({t}.ends_at_head, false))",
    )
    first_wrong: BigInt | None = expression(
        "The place of the first event that does not follow; where only the head disagrees, the place after the last.",
        "coalesce({t}.first_wrong, CASE WHEN coalesce({t}.ends_at_head, false) THEN NULL ELSE {t}.last + 1 END)",
    )
    since: datetime = column("When its first event happened.")


@strawberry.type(
    description="Whether signed checkpoints of the audit log are being written. Without recent ones, `lineal audit"
    " verify` cannot prove that the latest events are as they were written."
)
class AuditStatus:
    table: ClassVar = CheckpointReport
    needs: ClassVar = Need.INSTANCE

    last_checkpoint_at: datetime | None = column(
        "When the last checkpoint was written, by its server's clock. Null if none was written.",
        "at",
    )
    last_checkpoint_number: BigInt | None = column(
        "The number of the last checkpoint in its file. Null if none was written.", "number"
    )
    key_id: str | None = column("The id of the key that signed it: the start of the public key's SHA-256.", "key")
    behind_events: BigInt = column("How many events of the audit log no checkpoint covers yet.", "behind")
    problem: str | None = column(
        "What prevents checkpoints, or which lines of a checkpoint file are missing, as reported by the servers in the"
        " last 24 hours. The problem that began first, if several; null if there is none."
    )
    problem_since: datetime | None = column("When the problem began. Null if there is none.", "since")


@strawberry.input(description="Which events are meant. All given conditions hold together.")
class AuditFilter:
    project_id: strawberry.ID | None = optional("Of this project.")
    chain: str | None = optional("Of this chain: a model with all its versions, a project, or `registry`.")
    subject_id: strawberry.ID | None = optional("Done to this.")
    actor: str | None = optional("Done by this principal.")
    action: list[str] | None = optional("One of these actions.", limits.Several(20))
    after: datetime | None = optional("At this moment or later.")
    before: datetime | None = optional("Before this moment.")


FILTER: Any = argument("filter", AuditFilter | None, "Which events; absent: all.", default=strawberry.UNSET)
