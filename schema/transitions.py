"""Stage transitions, their requests and reviews, and the gates."""

from datetime import datetime
from typing import ClassVar

import strawberry

from resolvers.reads.declarations import HEAVY
from resolvers.reads.reviews import (
    DRY_RUN_INPUTS,
    REVIEW_INPUTS,
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
from schema.fields import TEXT, column, computed, expression, many, one, optional, required
from schema.nodes import Node
from schema.scalars import SemVer
from storage.approvals import Approval as ApprovalRow
from storage.approvals import TransitionRequest as RequestRow
from storage.approvals import request_status
from storage.versions import StageTransition as StageTransitionRow


@strawberry.type(description="One condition of a transition, and whether it is met.")
class Gate:
    needs: ClassVar = Need.VIEWER

    name: str = column(
        "The gate's name: `transition`, `approvals`, `card`, `metrics`, `data`, `experiment`, `bump` or `incumbent`."
    )
    passed: bool = column("Whether the version passes the gate.")
    reason: str = column("The reason for the result, in a sentence.")


@strawberry.type(
    description="A dry run of a transition: the current result of each gate. Nothing is changed. Only recorded"
    " approvals count, not one that the caller could give with `transitionStage`."
)
class PromotionCheck:
    needs: ClassVar = Need.VIEWER

    allowed: bool = computed("Whether the version passes all gates.", DRY_RUN_INPUTS, is_allowed, weight=HEAVY)
    approvals_recorded: int = computed(
        "The number of recorded approvals of this transition that currently count.",
        DRY_RUN_INPUTS,
        approvals_recorded,
        weight=HEAVY,
    )
    approvals_required: int = computed(
        "The number of approvals that the policy requires. 0 for stages other than PRODUCTION.",
        DRY_RUN_INPUTS,
        approvals_required,
        weight=HEAVY,
    )
    your_approval_would_count: bool = computed(
        "Whether an approval by the caller would count in addition to the recorded ones. False for services,"
        " for callers who are not reviewers, and where the policy requires another person.",
        DRY_RUN_INPUTS,
        your_approval_would_count,
        weight=HEAVY,
    )
    gates: list[Gate] = computed(
        "The gates. All gates apply to PRODUCTION; only `transition` applies to other stages.",
        DRY_RUN_INPUTS,
        all_gates,
        weight=HEAVY,
    )
    would_archive: links.ModelVersion | None = one(
        "The version that the transition would archive. Null if there is none.", WOULD_ARCHIVE
    )


@strawberry.type(description="A part of the version that has changed since it was reviewed.")
class ReviewedChange:
    needs: ClassVar = Need.VIEWER

    what: enums.ReviewedPart = column("The part that has changed.")
    subject: str | None = column("The ID of the data set version if the part is DATA. Otherwise null.")
    before: str | None = column(
        "The value at the time of the review: a card's revision, a data set version's status, the"
        " description, the tags, comma-separated, or when the artifact was last moved. Null if there was none.",
        weight=TEXT,
    )
    after: str | None = column(
        "The current value. Equal to `before` if it was changed and then changed back. Null if there is none.",
        weight=TEXT,
    )


@strawberry.type(description="A reviewer's decision on a transition of a version. Decisions are append-only.")
class Approval:
    table: ClassVar = ApprovalRow
    needs: ClassVar = Need.VIEWER

    id: strawberry.ID = column("The decision's ID.")
    request: links.TransitionRequest | None = one(
        "The request that was reviewed. Null if the decision was given with the transition itself.",
        "{c}.id = {t}.request_id",
    )
    target_stage: enums.Stage = column("The stage that the decision is about.")
    reviewer: str = column("The email address of the reviewer.")
    decision: enums.Decision = column("The decision.")
    meaning: str = column("What the decision means, in a sentence.")
    notes: str | None = column("The reviewer's notes. Null if there are none.", weight=TEXT)
    at: datetime = column("When the decision was made.")
    attested_by: str | None = column(
        "The email address of the person or service that attested the decision for the reviewer. Null if the"
        " reviewer made it directly."
    )
    alone: bool = column(
        "Whether the reviewer approved their own version or request without a second person, because nobody"
        " else in the project could review it, or because nobody else agreed to the policy that allows it."
    )
    valid: bool = computed("Whether the decision still counts.", REVIEW_INPUTS, is_valid, weight=TEXT)
    invalid_reason: str | None = computed(
        "Why the decision no longer counts. Null if it still counts.", REVIEW_INPUTS, invalid_reason, weight=TEXT
    )
    changed_since: list[ReviewedChange] = computed(
        "What has changed since the decision: the model card, the data, the description, the experiment,"
        " the tags or the artifact's location. Any of these changes invalidates an approval.",
        REVIEW_INPUTS,
        changed_since,
        weight=TEXT,
    )


@strawberry.type(description="A stage transition in a version's history. Transitions are append-only.")
class StageTransition:
    table: ClassVar = StageTransitionRow
    needs: ClassVar = Need.VIEWER

    id: strawberry.ID = column("The transition's ID.")
    from_stage: enums.Stage | None = column("The stage before the transition. Null for the registration.")
    to_stage: enums.Stage = column("The stage after the transition.")
    at: datetime = column("When the transition happened, by the database's clock.")
    actor: str = column(
        "The email address of the person or service that made the transition, or the name of a background job."
    )
    approved_by: str | None = column(
        "The email address that was given as `approvedBy`, or the addresses of all reviewers whose approvals"
        " counted. Null if there was no approval."
    )
    approvals: list[Approval] = many(
        "The reviewers' decisions on the transition, oldest first.",
        "{c}.version_id = {t}.version_id AND {c}.target_stage = {t}.to_stage"
        " AND {c}.stage_position = {t}.after_position",
        "{c}.at, {c}.id",
    )
    alone: bool = expression(
        "Whether the author or requester approved the transition without a second person who could review it"
        " or had agreed to that.",
        "EXISTS (SELECT FROM approvals a WHERE a.version_id = {t}.version_id AND a.target_stage = {t}.to_stage"
        " AND a.stage_position = {t}.after_position AND a.alone)",
    )
    notes: str | None = column("The reason for the transition. Null if none was given.", weight=TEXT)
    automatic: bool = column(
        "Whether the transition was automatic: caused by another transition, such as a promotion that"
        " archives the previous version, or by retention."
    )


@strawberry.type(description="A request for reviewers to approve a transition of a version.")
class TransitionRequest(Node):
    table: ClassVar = RequestRow
    prefix: ClassVar = "req"
    needs: ClassVar = Need.VIEWER

    version: links.ModelVersion = one("The version.", "{c}.id = {t}.version_id")
    target_stage: enums.Stage = column("The requested stage.")
    requested_by: str = column("The email address of the person or service that made the request.", "created_by")
    notes: str | None = column("The reason for the request. Null if none was given.", weight=TEXT)
    at: datetime = column("When the request was made.", "created_at")
    expires_at: datetime = column("When the request expires.")
    status: enums.TransitionRequestStatus = expression("The request's status.", request_status("{t}"))
    approvals: list[Approval] = many(
        "The reviewers' decisions on the request, oldest first.", "{c}.request_id = {t}.id", "{c}.at, {c}.id"
    )
    required_approvals: int = expression(
        "The number of reviewers who must approve.",
        "(SELECT y.required_approvals FROM project_policies y WHERE y.project_id = {t}.project_id)",
    )


EXPECTED_REVISION = (
    "The revision of the model card that the caller has seen. CONFLICT if the card is at another revision."
)
EXPECTED_DIGEST = (
    "The `reviewDigest` of the version that the caller has seen. CONFLICT if its card, description, tags,"
    " experiment or data have changed since."
)


@strawberry.input(description="A version and the stage to move it to.")
class TransitionStageInput:
    model_id: strawberry.ID = required("The model's ID.", limits.Id("model"))
    version: SemVer = required("The version's number.")
    target_stage: enums.Stage = required("The stage to move to. `allowedTransitions` lists the possible stages.")
    notes: str | None = optional("The reason for the transition. Kept in the history.", limits.NOTES)
    approved_by: str | None = optional(
        "The email address of the person who approved the transition: the caller, a reviewer whose approval"
        " is recorded, or any reviewer if the caller's key can attest. APPROVAL_REQUIRED for anybody else.",
        limits.EMAIL,
    )
    expected_stage: enums.Stage | None = optional(
        "The stage that the caller expects the version to be in. CONFLICT if it is in another stage."
    )
    expected_revision: int | None = optional(EXPECTED_REVISION, limits.Whole(2**31 - 1))
    expected_review_digest: str | None = optional(EXPECTED_DIGEST, limits.Text(64))
    retire_deployments: bool | None = optional(
        "Whether archiving also retires the version's deployments. If false, archiving a deployed version is"
        " refused with CONFLICT. A promotion does not affect the deployments of the version that it replaces."
        " Default: false."
    )


@strawberry.type(description="The result of `transitionStage`.")
class TransitionStagePayload:
    version: links.ModelVersion = one("The version in its new stage.", "{c}.id = {payload[version_id]}")
    transition: StageTransition = one("The new entry in the version's history.", "{c}.id = {payload[transition_id]}")
    archived: links.ModelVersion | None = one(
        "The previous production version, which this promotion archived. Null if there was none.",
        "{c}.id = {payload[archived_id]}",
    )


@strawberry.input(description="A transition to request.")
class RequestTransitionInput:
    model_id: strawberry.ID = required("The model's ID.", limits.Id("model"))
    version: SemVer = required("The version's number.")
    target_stage: enums.Stage = required("The stage to move to. `allowedTransitions` lists the possible stages.")
    notes: str | None = optional(
        "The reason for the request. Kept in the history if the transition is made.", limits.NOTES
    )


@strawberry.type(description="The result of `requestTransition`.")
class RequestTransitionPayload:
    request: TransitionRequest = one("The new request, which is OPEN.", "{c}.id = {payload[request_id]}")


@strawberry.input(description="A decision on a transition request.")
class ReviewTransitionInput:
    request_id: strawberry.ID = required("The ID of an OPEN request.", limits.Id("req"))
    decision: enums.Decision = required("The decision.")
    notes: str | None = optional("The reviewer's notes. Kept with the decision.", limits.NOTES)
    expected_revision: int | None = optional(EXPECTED_REVISION, limits.Whole(2**31 - 1))
    expected_review_digest: str | None = optional(EXPECTED_DIGEST, limits.Text(64))


@strawberry.type(description="The result of `reviewTransition`.")
class ReviewTransitionPayload:
    request: TransitionRequest = one(
        "The request: APPLIED if this was the last approval that was needed, REJECTED after a rejection. It"
        " stays OPEN after the last approval only if another gate fails; the version's `promotion` shows"
        " which.",
        "{c}.id = {payload[request_id]}",
    )


@strawberry.input(description="A transition request to cancel.")
class CancelTransitionInput:
    request_id: strawberry.ID = required("The ID of an OPEN request.", limits.Id("req"))
    notes: str | None = optional("The reason for the cancellation.", limits.NOTES)


@strawberry.type(description="The result of `cancelTransition`.")
class CancelTransitionPayload:
    request: TransitionRequest = one("The request, which is CANCELLED.", "{c}.id = {payload[request_id]}")


@strawberry.input(description="A model whose production version to roll back.")
class RollbackProductionInput:
    model_id: strawberry.ID = required("The model's ID.", limits.Id("model"))
    to_version: SemVer | None = optional(
        "The number of a version that was in production before. Default: the last version that another one"
        " replaced in production."
    )
    expected_version: SemVer | None = optional(
        "The number of the version that the caller wants to leave. CONFLICT if another version, or none, is in"
        " production now, so that two callers who roll back at the same time do it once. Default: not checked."
    )
    deployments: enums.RollbackDeployments | None = optional(
        "What happens to the deployments of the version that leaves production. Default: RESTORE."
    )
    notes: str = required("The reason for the rollback. Kept in the history of each transition.", limits.NOTES)


@strawberry.type(description="The result of `rollbackProduction`.")
class RollbackProductionPayload:
    version: links.ModelVersion = one("The version that is in production again.", "{c}.id = {payload[version_id]}")
    archived: links.ModelVersion | None = one(
        "The version that was in production until now. Null if there was none.", "{c}.id = {payload[archived_id]}"
    )
    deployments: list[links.Deployment] = many(
        "The deployments that the rollback changed, oldest first.",
        "{c}.id = ANY ({payload[changed_deployments]}::text[])",
        "{c}.created_at, {c}.id",
    )
    still_serving: list[links.Deployment] = many(
        "The deployments that still serve the version that left production, because nothing served before them that"
        " could take over, or because `deployments` is LEAVE. Oldest first.",
        "{c}.id = ANY ({payload[still_serving]}::text[])",
        "{c}.created_at, {c}.id",
    )
