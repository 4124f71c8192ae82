import strawberry

from resolvers import cards as write_cards
from resolvers import datasets as write_datasets
from resolvers import deployments as write_deployments
from resolvers import experiments as write_experiments
from resolvers import keys as write_keys
from resolvers import models as write_models
from resolvers import policies as write_policies
from resolvers import principals as write_members
from resolvers import projects as write_projects
from resolvers import retention as write_retention
from resolvers import rollbacks as write_rollbacks
from resolvers import tags as write_tags
from resolvers import transition_requests as write_requests
from resolvers import transitions as write_transitions
from resolvers import versions as write_versions
from resolvers import webhooks as write_webhooks
from resolvers.rules.access import Need
from schema import (
    cards,
    datasets,
    deployments,
    experiments,
    keys,
    models,
    policies,
    principals,
    projects,
    retention,
    tags,
    transitions,
    versions,
    webhooks,
)
from schema.corrections import Corrections
from schema.fields import mutation


@strawberry.type(
    description="Writes. Each mutation is one transaction: it is applied and recorded in the history as a whole, or"
    " refused without any effect."
)
class Mutation(Corrections):
    create_project: projects.CreateProjectPayload | None = mutation(
        "Create a project. ALREADY_EXISTS if the ID is taken.",
        projects.CreateProjectInput,
        write_projects.create_project,
        needs=Need.INSTANCE,
    )
    create_model: models.CreateModelPayload | None = mutation(
        "Create a model. ALREADY_EXISTS if its ID, or its name in the project, is taken.",
        models.CreateModelInput,
        write_models.create_model,
        needs=Need.CONTRIBUTOR,
    )
    create_dataset: datasets.CreateDatasetPayload | None = mutation(
        "Register a data set. ALREADY_EXISTS if its ID, or its name in the project, is taken.",
        datasets.CreateDatasetInput,
        write_datasets.create_dataset,
        needs=Need.CONTRIBUTOR,
    )
    create_dataset_version: datasets.CreateDatasetVersionPayload | None = mutation(
        "Register a data set version. ALREADY_EXISTS if its ID, or its label in the data set, is taken.",
        datasets.CreateDatasetVersionInput,
        write_datasets.create_dataset_version,
        needs=Need.CONTRIBUTOR,
    )
    create_experiment: experiments.CreateExperimentPayload | None = mutation(
        "Register an experiment. ALREADY_EXISTS if the ID is taken.",
        experiments.CreateExperimentInput,
        write_experiments.create_experiment,
        needs=Need.CONTRIBUTOR,
    )
    complete_experiment: experiments.CompleteExperimentPayload | None = mutation(
        "End a running experiment and register the versions that it produced, in one transaction. CONFLICT if"
        " it has already ended.",
        experiments.CompleteExperimentInput,
        write_experiments.complete_experiment,
        needs=Need.CONTRIBUTOR,
    )
    create_version: versions.CreateVersionPayload | None = mutation(
        "Register a version. ALREADY_EXISTS if the model already has, or ever had, a version with this number.",
        versions.CreateVersionInput,
        write_versions.create_version,
        needs=Need.CONTRIBUTOR,
    )
    update_version: versions.UpdateVersionPayload | None = mutation(
        "Change a version's description.",
        versions.UpdateVersionInput,
        write_versions.update_version,
        needs=Need.CONTRIBUTOR,
    )
    add_tags: versions.TagsPayload | None = mutation(
        "Add tags to a version. A version can have at most 50.",
        versions.TagsInput,
        write_versions.add_tags,
        needs=Need.CONTRIBUTOR,
    )
    remove_tags: versions.TagsPayload | None = mutation(
        "Remove tags from a version.", versions.TagsInput, write_versions.remove_tags, needs=Need.CONTRIBUTOR
    )
    transition_stage: transitions.TransitionStagePayload | None = mutation(
        "Move a version to another stage. A promotion to PRODUCTION archives the version that was there, in"
        " the same transaction. ILLEGAL_TRANSITION if the stage cannot be reached from the current one."
        " CONFLICT if the version is not in `expectedStage`. APPROVAL_REQUIRED if too few reviewers have"
        " approved. GATE_FAILED if another gate of the policy fails.",
        transitions.TransitionStageInput,
        write_transitions.transition_stage,
        needs=Need.CONTRIBUTOR,
    )
    request_transition: transitions.RequestTransitionPayload | None = mutation(
        "Request a review of a transition. CONFLICT while another request for the version is open.",
        transitions.RequestTransitionInput,
        write_requests.request_transition,
        needs=Need.CONTRIBUTOR,
    )
    review_transition: transitions.ReviewTransitionPayload | None = mutation(
        "Approve or reject a transition request. The last approval that is needed makes the transition, in"
        " the same transaction. A rejection closes the request. FORBIDDEN for services, for callers who are"
        " not reviewers, and for the person who registered the version unless the policy allows self-approval."
        " CONFLICT if the request is not open.",
        transitions.ReviewTransitionInput,
        write_requests.review_transition,
        needs=Need.REVIEWER,
    )
    cancel_transition: transitions.CancelTransitionPayload | None = mutation(
        "Cancel a transition request. Reviewers can cancel any request, other callers only their own.",
        transitions.CancelTransitionInput,
        write_requests.cancel_transition,
        needs=Need.CONTRIBUTOR,
    )
    rollback_production: transitions.RollbackProductionPayload | None = mutation(
        "Return a former production version to PRODUCTION through its legal stages, and its deployments to what"
        " served before, in one transaction. A version that another one replaced needs no new approval. One that"
        " was rolled back, or archived by hand, is never chosen automatically: it returns only with `toVersion`,"
        " from STAGING and with a new approval, otherwise APPROVAL_REQUIRED. CONFLICT if there is no version to"
        " return to. GATE_FAILED if it used INVALID data and the policy blocks that.",
        transitions.RollbackProductionInput,
        write_rollbacks.rollback_production,
        needs=Need.REVIEWER,
    )
    update_model_card: cards.UpdateModelCardPayload | None = mutation(
        "Replace sections of a version's model card. CONFLICT if the card is not at `expectedRevision`.",
        cards.UpdateModelCardInput,
        write_cards.update_model_card,
        needs=Need.CONTRIBUTOR,
    )
    set_dataset_version_status: datasets.SetDatasetVersionStatusPayload | None = mutation(
        "Change the status of a data set version.",
        datasets.SetDatasetVersionStatusInput,
        write_datasets.set_dataset_version_status,
        needs=Need.CONTRIBUTOR,
    )
    create_api_key: keys.CreateApiKeyPayload | None = mutation(
        "Create an API key. CONFLICT if the owner is already known as another kind of principal.",
        keys.CreateApiKeyInput,
        write_keys.create_api_key,
        needs=Need.INSTANCE,
        has_secret=True,
    )
    rotate_api_key: keys.RotateApiKeyPayload | None = mutation(
        "Replace an API key with a new one that has the same rights and expiry. Administrators of the"
        " instance can rotate any key, other callers only their own.",
        keys.RotateApiKeyInput,
        write_keys.rotate_api_key,
        needs=Need.OWNER,
        has_secret=True,
    )
    revoke_api_key: keys.RevokeApiKeyPayload | None = mutation(
        "Revoke an API key. It stops working within 5 seconds on every process. Administrators of the"
        " instance can revoke any key, other callers only their own.",
        keys.RevokeApiKeyInput,
        write_keys.revoke_api_key,
        needs=Need.OWNER,
    )
    set_administrator: principals.SetAdministratorPayload | None = mutation(
        "Grant or revoke the right to administer the instance. CONFLICT if the principal is the last administrator.",
        principals.SetAdministratorInput,
        write_members.set_administrator,
        needs=Need.INSTANCE,
    )
    set_member: principals.SetMemberPayload | None = mutation(
        "Add a member to a project, or change a member's role.",
        principals.SetMemberInput,
        write_members.set_member,
        needs=Need.ADMIN,
    )
    remove_member: principals.RemoveMemberPayload | None = mutation(
        "Remove a member from a project.",
        principals.RemoveMemberInput,
        write_members.remove_member,
        needs=Need.ADMIN,
    )
    update_project_policy: policies.UpdateProjectPolicyPayload | None = mutation(
        "Change a project's policy. A change that tightens the policy takes effect at once. A change that"
        " loosens it (fewer approvals, self-approval, gates off, longer validity) becomes a pending change,"
        " unless nobody else in the project could confirm it. Setting a field again, even to the value in"
        " force, withdraws its pending change.",
        policies.UpdateProjectPolicyInput,
        write_policies.update_project_policy,
        needs=Need.ADMIN,
    )
    confirm_policy_change: policies.ConfirmPolicyChangePayload | None = mutation(
        "Confirm a pending policy change, so that it takes effect now. FORBIDDEN for services, for callers"
        " who are not a REVIEWER or ADMIN of the project, for the caller who requested the change, and for"
        " changes that a service requested. CONFLICT if the change is not PENDING.",
        policies.ConfirmPolicyChangeInput,
        write_policies.confirm_policy_change,
        needs=Need.REVIEWER,
    )
    define_tag: tags.DefineTagPayload | None = mutation(
        "Define a tag in a project's vocabulary. CONFLICT if the name or an alias already belongs to another tag.",
        tags.DefineTagInput,
        write_tags.define_tag,
        needs=Need.ADMIN,
    )
    apply_retention: retention.ApplyRetentionPayload | None = mutation(
        "Archive old DEVELOPMENT versions of a project now, at most 500, as the daily run does. Versions are"
        " kept if they are tagged `keep`, under review, deployed, the target of an alias, or the parent of a"
        " version that is not archived.",
        retention.ApplyRetentionInput,
        write_retention.apply_retention,
        needs=Need.ADMIN,
    )
    create_deployment: deployments.CreateDeploymentPayload | None = mutation(
        "Deploy a version. In `production`, it must be in PRODUCTION, or in STAGING for a SHADOW. In other"
        " environments, it must not be ARCHIVED. The deployment takes over from the active deployment of its"
        " model in the environment. GATE_FAILED if the version's stage or INVALID data prevents it. CONFLICT"
        " while another rollout of the model is in progress there.",
        deployments.CreateDeploymentInput,
        write_deployments.create_deployment,
        needs=Need.CONTRIBUTOR,
    )
    advance_deployment: deployments.DeploymentActionPayload | None = mutation(
        "Advance a canary to its next stage now, or switch a BLUE_GREEN over. CONFLICT if the deployment is"
        " not IN_PROGRESS.",
        deployments.DeploymentActionInput,
        write_deployments.advance_deployment,
        needs=Need.CONTRIBUTOR,
    )
    pause_deployment: deployments.DeploymentActionPayload | None = mutation(
        "Pause a rollout. CONFLICT if the deployment is not IN_PROGRESS.",
        deployments.DeploymentActionInput,
        write_deployments.pause_deployment,
        needs=Need.CONTRIBUTOR,
    )
    resume_deployment: deployments.DeploymentActionPayload | None = mutation(
        "Resume a paused rollout. Its current stage starts again. CONFLICT if the deployment is not PAUSED.",
        deployments.DeploymentActionInput,
        write_deployments.resume_deployment,
        needs=Need.CONTRIBUTOR,
    )
    rollback_deployment: deployments.DeploymentActionPayload | None = mutation(
        "Return all traffic to the previous deployment. This cannot be undone. CONFLICT if the deployment has"
        " ended, or if another rollout is taking over from it.",
        deployments.DeploymentActionInput,
        write_deployments.rollback_deployment,
        needs=Need.CONTRIBUTOR,
    )
    retire_deployment: deployments.DeploymentActionPayload | None = mutation(
        "Retire a deployment. If its rollout is in progress, its traffic returns to the previous deployment."
        " The version's stage does not change. CONFLICT if the deployment has ended, or if another rollout is"
        " taking over from it.",
        deployments.DeploymentActionInput,
        write_deployments.retire_deployment,
        needs=Need.CONTRIBUTOR,
    )
    report_deployment_health: deployments.ReportDeploymentHealthPayload | None = mutation(
        "Report a deployment's health. An unhealthy report that reaches the plan's `failureThreshold` rolls"
        " the deployment back or pauses it, in the same transaction. CONFLICT if the deployment has ended.",
        deployments.ReportDeploymentHealthInput,
        write_deployments.report_deployment_health,
        needs=Need.CONTRIBUTOR,
    )
    create_webhook: webhooks.CreateWebhookPayload | None = mutation(
        "Send a project's events to a receiver from now on. The secret is shown only once. CONFLICT if the"
        " project already has the maximum number of webhooks.",
        webhooks.CreateWebhookInput,
        write_webhooks.create_webhook,
        needs=Need.ADMIN,
        has_secret=True,
    )
    update_webhook: webhooks.UpdateWebhookPayload | None = mutation(
        "Change or disable a webhook. `active: true` also re-enables a webhook that the registry disabled"
        " because its receiver kept failing.",
        webhooks.UpdateWebhookInput,
        write_webhooks.update_webhook,
        needs=Need.ADMIN,
    )
    replay_delivery: webhooks.ReplayDeliveryPayload | None = mutation(
        "Send an event again, whatever its delivery status. An attempt that is in flight no longer counts."
        " CONFLICT if the webhook is not active.",
        webhooks.ReplayDeliveryInput,
        write_webhooks.replay_delivery,
        needs=Need.ADMIN,
    )
    replay_deliveries: webhooks.ReplayDeliveriesPayload | None = mutation(
        "Send the oldest 1,000 matching deliveries of a webhook again, in the order of their events. CONFLICT"
        " if the webhook is not active.",
        webhooks.ReplayDeliveriesInput,
        write_webhooks.replay_deliveries,
        needs=Need.ADMIN,
    )
    rotate_webhook_secret: webhooks.RotateWebhookSecretPayload | None = mutation(
        "Replace a webhook's secret. During the overlap, events carry two signatures: one with the new secret"
        " and one with the old. The new secret is shown only once.",
        webhooks.RotateWebhookSecretInput,
        write_webhooks.rotate_webhook_secret,
        needs=Need.ADMIN,
        has_secret=True,
    )
