"""Asking for a step, reviewing it, and what the gates say."""

from datetime import datetime
from typing import ClassVar

import strawberry

from resolvers.reads.reviews import (
    DRY_RUN_NEEDS,
    REVIEW_NEEDS,
    WOULD_ARCHIVE,
    all_gates,
    invalid_reason,
    is_allowed,
    is_valid,
)
from resolvers.reads.types import HEAVY
from resolvers.rules import limits
from schema import links, words
from schema.fields import TEXT, column, computed, expression, given, many, one, optional
from schema.nodes import Node
from schema.scalars import SemVer
from storage.approvals import Approval as ApprovalRow
from storage.approvals import TransitionRequest as RequestRow
from storage.load import request_status


@strawberry.type(description="One condition of a step, and whether it holds.")
class Gate:
    name: str = column("`transition`, `approvals`, `card`, `metrics`, `data`, `experiment`, `bump` or `incumbent`.")
    passed: bool = column("Whether it lets the version through.")
    reason: str = column("Why, in a sentence.")


@strawberry.type(
    description="A dry run of a step: what `transitionStage` would say to the caller now. Nothing is done."
)
class PromotionCheck:
    allowed: bool = computed("Whether all gates are passed.", DRY_RUN_NEEDS, is_allowed, weight=HEAVY)
    gates: list[Gate] = computed(
        "Each condition, into PRODUCTION all of them, elsewhere the stage machine alone.",
        DRY_RUN_NEEDS,
        all_gates,
        weight=HEAVY,
    )
    would_archive: links.ModelVersion | None = one("The version that the step would archive, or null.", WOULD_ARCHIVE)


@strawberry.type(description="A reviewer's decision on one step of a version. Decisions are added, never changed.")
class Approval:
    table: ClassVar = ApprovalRow

    id: strawberry.ID = column("Its id.")
    request: links.TransitionRequest | None = one(
        "The request that it answers; null where it came with the step itself.", "{c}.id = {t}.request_id"
    )
    target_stage: words.Stage = column("The stage that it is about.")
    reviewer: str = column("Who decided.")
    decision: words.Decision = column("What was decided.")
    meaning: str = column("What the decision means, in a sentence.")
    notes: str | None = column("Why.", weight=TEXT)
    at: datetime = column("When it was decided.")
    attested_by: str | None = column("Who stated it in the reviewer's place; null where the reviewer did.")
    valid: bool = computed("Whether it still counts.", REVIEW_NEEDS, is_valid, weight=TEXT)
    invalid_reason: str | None = computed(
        "Why it no longer counts; null while it does.", REVIEW_NEEDS, invalid_reason, weight=TEXT
    )


@strawberry.type(description="That somebody asks for a step of a version, and what became of it.")
class TransitionRequest(Node):
    table: ClassVar = RequestRow
    prefix: ClassVar = "req"

    version: links.ModelVersion = one("The version.", "{c}.id = {t}.version_id")
    target_stage: words.Stage = column("The stage asked for.")
    requested_by: str = column("Who asks.", "created_by")
    notes: str | None = column("Why.", weight=TEXT)
    at: datetime = column("When it was asked for.", "created_at")
    expires_at: datetime = column("When its time is over.")
    status: words.TransitionRequestStatus = expression("What became of it.", request_status("{t}"))
    approvals: list[Approval] = many("Its reviews, the oldest first.", "{c}.request_id = {t}.id", "{c}.at, {c}.id")
    required_approvals: int = expression(
        "How many reviewers must approve.",
        "(SELECT y.required_approvals FROM project_policies y WHERE y.project_id = {t}.project_id)",
    )


@strawberry.input(description="A step to ask for.")
class RequestTransitionInput:
    model_id: strawberry.ID = given("The model.", limits.Id("model"))
    version: SemVer = given("The version's number.")
    target_stage: words.Stage = given("The stage to go to; `allowedTransitions` lists those that are open.")
    notes: str | None = optional("Why; kept in the history when it comes to it.", limits.NOTES)


@strawberry.type(description="What `requestTransition` made.")
class RequestTransitionPayload:
    request: TransitionRequest = one("The request, OPEN.", "{c}.id = {payload[request_id]}")


@strawberry.input(description="A decision on a request.")
class ReviewTransitionInput:
    request_id: strawberry.ID = given("An OPEN request.", limits.Id("req"))
    decision: words.Decision = given("What is decided.")
    notes: str | None = optional("Why; kept with the decision.", limits.NOTES)


@strawberry.type(description="What `reviewTransition` wrote.")
class ReviewTransitionPayload:
    request: TransitionRequest = one(
        "The request: APPLIED where this was the last approval needed, REJECTED after a rejection. Still OPEN after the"
        " last approval only where another gate fails; `promotion` of the version says which.",
        "{c}.id = {payload[request_id]}",
    )


@strawberry.input(description="A request to take back.")
class CancelTransitionInput:
    request_id: strawberry.ID = given("An OPEN request.", limits.Id("req"))
    notes: str | None = optional("Why.", limits.NOTES)


@strawberry.type(description="What `cancelTransition` closed.")
class CancelTransitionPayload:
    request: TransitionRequest = one("The request, CANCELLED.", "{c}.id = {payload[request_id]}")


@strawberry.input(description="A model whose production goes back.")
class RollbackProductionInput:
    model_id: strawberry.ID = given("The model.", limits.Id("model"))
    to_version: SemVer | None = optional(
        "A version that was in production before; absent: the last one that was before the present one."
    )
    notes: str = given("Why; kept in the history of each step.", limits.NOTES)


@strawberry.type(description="What `rollbackProduction` changed.")
class RollbackProductionPayload:
    version: links.ModelVersion = one("The version that is in production again.", "{c}.id = {payload[version_id]}")
    archived: links.ModelVersion | None = one(
        "The version that was in production until now.", "{c}.id = {payload[archived_id]}"
    )
