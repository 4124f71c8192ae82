"""Asking for a step, reviewing it, and what the gates say."""

from datetime import datetime
from typing import ClassVar

import strawberry

from resolvers.reads.declarations import HEAVY
from resolvers.reads.reviews import (
    DRY_RUN_NEEDS,
    REVIEW_NEEDS,
    WOULD_ARCHIVE,
    all_gates,
    approvals_recorded,
    approvals_required,
    changed_since,
    invalid_reason,
    is_allowed,
    is_valid,
    your_approval_would_count,
)
from resolvers.rules import limits
from resolvers.rules.access import Need
from schema import enums, links
from schema.fields import TEXT, column, computed, expression, given, many, one, optional
from schema.nodes import Node
from schema.scalars import SemVer
from storage.approvals import Approval as ApprovalRow
from storage.approvals import TransitionRequest as RequestRow
from storage.approvals import request_status
from storage.versions import StageTransition as StageTransitionRow


@strawberry.type(description="One condition of a step, and whether it holds.")
class Gate:
    needs: ClassVar = Need.VIEWER

    name: str = column("`transition`, `approvals`, `card`, `metrics`, `data`, `experiment`, `bump` or `incumbent`.")
    passed: bool = column("Whether it lets the version through.")
    reason: str = column("Why, in a sentence.")


@strawberry.type(
    description="A dry run of a step: how the gates stand now, by what is recorded. Nothing is done. An approval that"
    " the caller could give with `transitionStage` does not count before it is given."
)
class PromotionCheck:
    needs: ClassVar = Need.VIEWER

    allowed: bool = computed("Whether all gates are passed.", DRY_RUN_NEEDS, is_allowed, weight=HEAVY)
    approvals_recorded: int = computed(
        "How many recorded approvals of this step count now.", DRY_RUN_NEEDS, approvals_recorded, weight=HEAVY
    )
    approvals_required: int = computed(
        "How many the policy requires. 0 for a stage other than PRODUCTION.",
        DRY_RUN_NEEDS,
        approvals_required,
        weight=HEAVY,
    )
    your_approval_would_count: bool = computed(
        "Whether an approval by the caller would count in addition to those recorded. False for services, for callers"
        " who are not reviewers, and where the policy asks for another person.",
        DRY_RUN_NEEDS,
        your_approval_would_count,
        weight=HEAVY,
    )
    gates: list[Gate] = computed(
        "Each condition, into PRODUCTION all of them, elsewhere the stage machine alone.",
        DRY_RUN_NEEDS,
        all_gates,
        weight=HEAVY,
    )
    would_archive: links.ModelVersion | None = one("The version that the step would archive, or null.", WOULD_ARCHIVE)


@strawberry.type(description="Something that is no longer as a review saw it.")
class ReviewedChange:
    needs: ClassVar = Need.VIEWER

    what: enums.ReviewedPart = column("The part that has changed.")
    subject: str | None = column("The id of the data set version, for DATA; otherwise null.")
    before: str | None = column(
        "What the review saw: a card's revision, a data set version's status, the description, or the tags,"
        " comma-separated.",
        weight=TEXT,
    )
    after: str | None = column(
        "What is there now. The same as before where it had changed and changed back.", weight=TEXT
    )


@strawberry.type(description="A reviewer's decision on one step of a version. Decisions are added, never changed.")
class Approval:
    table: ClassVar = ApprovalRow
    needs: ClassVar = Need.VIEWER

    id: strawberry.ID = column("Its id.")
    request: links.TransitionRequest | None = one(
        "The request that it answers; null where it came with the step itself.", "{c}.id = {t}.request_id"
    )
    target_stage: enums.Stage = column("The stage that it is about.")
    reviewer: str = column("Who decided.")
    decision: enums.Decision = column("What was decided.")
    meaning: str = column("What the decision means, in a sentence.")
    notes: str | None = column("Why.", weight=TEXT)
    at: datetime = column("When it was decided.")
    attested_by: str | None = column("Who stated it in the reviewer's place; null where the reviewer did.")
    alone: bool = column(
        "Whether the reviewer approved its own version or request without a second person: nobody else in the project"
        " could review it, or nobody else agreed to the policy that allows it."
    )
    valid: bool = computed("Whether it still counts.", REVIEW_NEEDS, is_valid, weight=TEXT)
    invalid_reason: str | None = computed(
        "Why it no longer counts; null while it does.", REVIEW_NEEDS, invalid_reason, weight=TEXT
    )
    changed_since: list[ReviewedChange] = computed(
        "What has changed since the decision, of what the review showed: the model card, the data, the description, the"
        " experiment and the tags. Any of it makes an approval invalid.",
        REVIEW_NEEDS,
        changed_since,
        weight=TEXT,
    )


@strawberry.type(description="One step in a version's history. Steps are added, never changed.")
class StageTransition:
    table: ClassVar = StageTransitionRow
    needs: ClassVar = Need.VIEWER

    id: strawberry.ID = column("Its id.")
    from_stage: enums.Stage | None = column("The stage before; null for the registration.")
    to_stage: enums.Stage = column("The stage after.")
    at: datetime = column("When it happened, by the database's clock.")
    actor: str = column("Who did it: the owner of the API key.")
    approved_by: str | None = column("Who approved it: by name where one was given, else all whose approval counted.")
    approvals: list[Approval] = many(
        "What reviewers decided of this step, the oldest first.",
        "{c}.version_id = {t}.version_id AND {c}.target_stage = {t}.to_stage"
        " AND {c}.stage_position = {t}.after_position",
        "{c}.at, {c}.id",
    )
    alone: bool = expression(
        "Whether an approval of this step was given by its author or requester without a second person who could review"
        " it or agreed to that.",
        "EXISTS (SELECT FROM approvals a WHERE a.version_id = {t}.version_id AND a.target_stage = {t}.to_stage"
        " AND a.stage_position = {t}.after_position AND a.alone)",
    )
    notes: str | None = column("Why.", weight=TEXT)
    automatic: bool = column(
        "Whether it followed from another step, as the archiving that a promotion causes, or from retention."
    )


@strawberry.type(description="That somebody asks for a step of a version, and what became of it.")
class TransitionRequest(Node):
    table: ClassVar = RequestRow
    prefix: ClassVar = "req"
    needs: ClassVar = Need.VIEWER

    version: links.ModelVersion = one("The version.", "{c}.id = {t}.version_id")
    target_stage: enums.Stage = column("The stage asked for.")
    requested_by: str = column("Who asks.", "created_by")
    notes: str | None = column("Why.", weight=TEXT)
    at: datetime = column("When it was asked for.", "created_at")
    expires_at: datetime = column("When its time is over.")
    status: enums.TransitionRequestStatus = expression("What became of it.", request_status("{t}"))
    approvals: list[Approval] = many("Its reviews, the oldest first.", "{c}.request_id = {t}.id", "{c}.at, {c}.id")
    required_approvals: int = expression(
        "How many reviewers must approve.",
        "(SELECT y.required_approvals FROM project_policies y WHERE y.project_id = {t}.project_id)",
    )


EXPECTED_REVISION = "The revision of the model card that the caller has seen. CONFLICT if it is another now."
EXPECTED_DIGEST = (
    "The `reviewDigest` of the version that the caller has seen. CONFLICT if its card, description, tags,"
    " experiment or data have changed since."
)


@strawberry.input(description="A version, and the stage to move it to.")
class TransitionStageInput:
    model_id: strawberry.ID = given("The model.", limits.Id("model"))
    version: SemVer = given("The version's number.")
    target_stage: enums.Stage = given("The stage to go to; `allowedTransitions` lists those that are open.")
    notes: str | None = optional("Why; kept in the history.", limits.NOTES)
    approved_by: str | None = optional(
        "Who approved it: the caller, a reviewer whose approval is recorded, or, where the caller's key may attest, any"
        " reviewer. APPROVAL_REQUIRED where it is nobody of these.",
        limits.Name(),
    )
    expected_stage: enums.Stage | None = optional(
        "The stage that the caller believes the version to be in; CONFLICT if it is not."
    )
    expected_revision: int | None = optional(EXPECTED_REVISION, limits.Whole(2**31 - 1))
    expected_review_digest: str | None = optional(EXPECTED_DIGEST, limits.Text(64))
    retire_deployments: bool | None = optional(
        "Whether archiving takes its deployments away; absent: false, and CONFLICT where it is deployed. A promotion"
        " leaves the deployments of the version that it replaces where they are, until others take over."
    )


@strawberry.type(description="What `transitionStage` changed.")
class TransitionStagePayload:
    version: links.ModelVersion = one("The version, in its new stage.", "{c}.id = {payload[version_id]}")
    transition: StageTransition = one("The new entry of its history.", "{c}.id = {payload[transition_id]}")
    archived: links.ModelVersion | None = one(
        "The version that was in production before and was archived by this promotion.",
        "{c}.id = {payload[archived_id]}",
    )


@strawberry.input(description="A step to ask for.")
class RequestTransitionInput:
    model_id: strawberry.ID = given("The model.", limits.Id("model"))
    version: SemVer = given("The version's number.")
    target_stage: enums.Stage = given("The stage to go to; `allowedTransitions` lists those that are open.")
    notes: str | None = optional("Why; kept in the history when it comes to it.", limits.NOTES)


@strawberry.type(description="What `requestTransition` made.")
class RequestTransitionPayload:
    request: TransitionRequest = one("The request, OPEN.", "{c}.id = {payload[request_id]}")


@strawberry.input(description="A decision on a request.")
class ReviewTransitionInput:
    request_id: strawberry.ID = given("An OPEN request.", limits.Id("req"))
    decision: enums.Decision = given("What is decided.")
    notes: str | None = optional("Why; kept with the decision.", limits.NOTES)
    expected_revision: int | None = optional(EXPECTED_REVISION, limits.Whole(2**31 - 1))
    expected_review_digest: str | None = optional(EXPECTED_DIGEST, limits.Text(64))


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
