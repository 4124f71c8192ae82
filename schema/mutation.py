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
from schema.fields import mutation


@strawberry.type(
    description="Writing. Each mutation is one transaction: kept whole with its history, or refused without a trace."
)
class Mutation:
    create_project: projects.CreateProjectPayload | None = mutation(
        "Make a project. ALREADY_EXISTS if the id is taken.",
        projects.CreateProjectInput,
        write_projects.create_project,
        needs=Need.INSTANCE,
    )
    create_model: models.CreateModelPayload | None = mutation(
        "Make a model. ALREADY_EXISTS if its id, or its name in the project, is taken.",
        models.CreateModelInput,
        write_models.create_model,
        needs=Need.CONTRIBUTOR,
    )
    create_dataset: datasets.CreateDatasetPayload | None = mutation(
        "Make a data set known. ALREADY_EXISTS if its id, or its name in the project, is taken.",
        datasets.CreateDatasetInput,
        write_datasets.create_dataset,
        needs=Need.CONTRIBUTOR,
    )
    create_dataset_version: datasets.CreateDatasetVersionPayload | None = mutation(
        "Make a data set version known. ALREADY_EXISTS if its id, or its label in the data set, is taken.",
        datasets.CreateDatasetVersionInput,
        write_datasets.create_dataset_version,
        needs=Need.CONTRIBUTOR,
    )
    create_experiment: experiments.CreateExperimentPayload | None = mutation(
        "Make an experiment known. ALREADY_EXISTS if the id is taken.",
        experiments.CreateExperimentInput,
        write_experiments.create_experiment,
        needs=Need.CONTRIBUTOR,
    )
    complete_experiment: experiments.CompleteExperimentPayload | None = mutation(
        "End a running experiment and register every model that it produced, in one transaction. CONFLICT if it has"
        " ended before.",
        experiments.CompleteExperimentInput,
        write_experiments.complete_experiment,
        needs=Need.CONTRIBUTOR,
    )
    create_version: versions.CreateVersionPayload | None = mutation(
        "Register a version. ALREADY_EXISTS if the model has had this number.",
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
        "Add tags to a version, at most 50 in all.", versions.TagsInput, write_versions.add_tags, needs=Need.CONTRIBUTOR
    )
    remove_tags: versions.TagsPayload | None = mutation(
        "Remove tags from a version.", versions.TagsInput, write_versions.remove_tags, needs=Need.CONTRIBUTOR
    )
    transition_stage: transitions.TransitionStagePayload | None = mutation(
        "Bring a version to another stage. A promotion archives the version that was in production, in the same"
        " transaction. ILLEGAL_TRANSITION where the stage machine has no such step, CONFLICT where `expectedStage` is"
        " no longer so, APPROVAL_REQUIRED where too few reviewers have approved, GATE_FAILED where the policy or the"
        " facts are against it.",
        transitions.TransitionStageInput,
        write_transitions.transition_stage,
        needs=Need.CONTRIBUTOR,
    )
    request_transition: transitions.RequestTransitionPayload | None = mutation(
        "Ask the reviewers for a step. CONFLICT while another request for the version is open.",
        transitions.RequestTransitionInput,
        write_requests.request_transition,
        needs=Need.CONTRIBUTOR,
    )
    review_transition: transitions.ReviewTransitionPayload | None = mutation(
        "Decide on a request. The last approval needed makes the step, in the same transaction; a rejection closes the"
        " request. FORBIDDEN for services, for who registered the version, and for who is no reviewer; CONFLICT where"
        " the request is no longer open.",
        transitions.ReviewTransitionInput,
        write_requests.review_transition,
        needs=Need.REVIEWER,
    )
    cancel_transition: transitions.CancelTransitionPayload | None = mutation(
        "Take a request back: one's own, or any as a reviewer.",
        transitions.CancelTransitionInput,
        write_requests.cancel_transition,
        needs=Need.CONTRIBUTOR,
    )
    rollback_production: transitions.RollbackProductionPayload | None = mutation(
        "Bring a former production version back, through its legal stages, in one transaction and without a new"
        " approval. CONFLICT where there is none, GATE_FAILED where it used INVALID data and the policy blocks that.",
        transitions.RollbackProductionInput,
        write_transitions.rollback_production,
        needs=Need.REVIEWER,
    )
    update_model_card: cards.UpdateModelCardPayload | None = mutation(
        "Write sections of a version's card. CONFLICT where `expectedRevision` is no longer so.",
        cards.UpdateModelCardInput,
        write_cards.update_model_card,
        needs=Need.CONTRIBUTOR,
    )
    set_dataset_version_status: datasets.SetDatasetVersionStatusPayload | None = mutation(
        "Say whether a data set version may be relied on.",
        datasets.SetDatasetVersionStatusInput,
        write_datasets.set_dataset_version_status,
        needs=Need.CONTRIBUTOR,
    )
    create_api_key: keys.CreateApiKeyPayload | None = mutation(
        "Make a key. CONFLICT where the owner is known as another kind.",
        keys.CreateApiKeyInput,
        write_keys.create_api_key,
        needs=Need.INSTANCE,
        has_secret=True,
    )
    rotate_api_key: keys.RotateApiKeyPayload | None = mutation(
        "Replace a key, one's own or any as who administers the instance, by one with the same rights and expiry.",
        keys.RotateApiKeyInput,
        write_keys.rotate_api_key,
        needs=Need.OWNER,
        has_secret=True,
    )
    revoke_api_key: keys.RevokeApiKeyPayload | None = mutation(
        "End a key, one's own or any as who administers the instance. It stops within 5 seconds on every process.",
        keys.RevokeApiKeyInput,
        write_keys.revoke_api_key,
        needs=Need.OWNER,
    )
    set_administrator: principals.SetAdministratorPayload | None = mutation(
        "Let somebody administer the instance, or no longer. CONFLICT for the last one.",
        principals.SetAdministratorInput,
        write_members.set_administrator,
        needs=Need.INSTANCE,
    )
    set_member: principals.SetMemberPayload | None = mutation(
        "Give somebody a role in a project.", principals.SetMemberInput, write_members.set_member, needs=Need.ADMIN
    )
    remove_member: principals.RemoveMemberPayload | None = mutation(
        "Take somebody's role in a project away.",
        principals.RemoveMemberInput,
        write_members.remove_member,
        needs=Need.ADMIN,
    )
    update_project_policy: policies.UpdateProjectPolicyPayload | None = mutation(
        "Change a project's policy. Tightening takes effect at once. Loosening (fewer approvals, self-approval, gates"
        " off, longer validity) becomes a pending change, unless nobody else in the project could confirm it. A new"
        " value for the same field withdraws a pending change; the value in force does too.",
        policies.UpdateProjectPolicyInput,
        write_policies.update_project_policy,
        needs=Need.ADMIN,
    )
    confirm_policy_change: policies.ConfirmPolicyChangePayload | None = mutation(
        "Let a pending change of a policy take effect now. FORBIDDEN for services, for callers who are not a REVIEWER"
        " or ADMIN of the project, for the caller who requested it, and for changes that a service requested. CONFLICT"
        " if it is no longer PENDING.",
        policies.ConfirmPolicyChangeInput,
        write_policies.confirm_policy_change,
        needs=Need.REVIEWER,
    )
    define_tag: tags.DefineTagPayload | None = mutation(
        "Define a tag of a project's vocabulary. CONFLICT where a name or alias stands for another tag already.",
        tags.DefineTagInput,
        write_tags.define_tag,
        needs=Need.ADMIN,
    )
    apply_retention: retention.ApplyRetentionPayload | None = mutation(
        "Archive the old development versions of a project now, at most 500 at once, as the daily run does. Never"
        " those tagged `keep`, under review, or from which a living version was derived.",
        retention.ApplyRetentionInput,
        write_retention.apply_retention,
        needs=Need.ADMIN,
    )
    create_deployment: deployments.CreateDeploymentPayload | None = mutation(
        "Deploy a version: into `production` one that is in PRODUCTION, as a SHADOW also one in STAGING; elsewhere any"
        " but an ARCHIVED one. It takes over from the active deployment of its model there. GATE_FAILED where the"
        " stage or INVALID data are against it, CONFLICT while another rollout of the model is under way there.",
        deployments.CreateDeploymentInput,
        write_deployments.create_deployment,
        needs=Need.CONTRIBUTOR,
    )
    advance_deployment: deployments.DeploymentActionPayload | None = mutation(
        "Enter the next stage now, or switch a BLUE_GREEN over. CONFLICT unless it is IN_PROGRESS.",
        deployments.DeploymentActionInput,
        write_deployments.advance_deployment,
        needs=Need.CONTRIBUTOR,
    )
    pause_deployment: deployments.DeploymentActionPayload | None = mutation(
        "Keep a rollout where it is until it is resumed. CONFLICT unless it is IN_PROGRESS.",
        deployments.DeploymentActionInput,
        write_deployments.pause_deployment,
        needs=Need.CONTRIBUTOR,
    )
    resume_deployment: deployments.DeploymentActionPayload | None = mutation(
        "Go on with a paused rollout; its stage begins anew. CONFLICT unless it is PAUSED.",
        deployments.DeploymentActionInput,
        write_deployments.resume_deployment,
        needs=Need.CONTRIBUTOR,
    )
    rollback_deployment: deployments.DeploymentActionPayload | None = mutation(
        "Give all traffic back to the deployment before, for ever. CONFLICT where it has ended, or where another"
        " rollout takes over from it.",
        deployments.DeploymentActionInput,
        write_deployments.rollback_deployment,
        needs=Need.CONTRIBUTOR,
    )
    retire_deployment: deployments.DeploymentActionPayload | None = mutation(
        "Take a deployment away; what it served of a rollout goes back to the one before. The version's stage stays."
        " CONFLICT where it has ended, or where another rollout takes over from it.",
        deployments.DeploymentActionInput,
        write_deployments.retire_deployment,
        needs=Need.CONTRIBUTOR,
    )
    report_deployment_health: deployments.ReportDeploymentHealthPayload | None = mutation(
        "Say how a deployment does. The last unhealthy report that a plan allows rolls it back, or pauses it, in the"
        " same transaction. CONFLICT where it has ended.",
        deployments.ReportDeploymentHealthInput,
        write_deployments.report_deployment_health,
        needs=Need.CONTRIBUTOR,
    )
    create_webhook: webhooks.CreateWebhookPayload | None = mutation(
        "Send a project's events to a receiver, from now on. The secret is shown once. CONFLICT if the project has as"
        " many webhooks as the server allows.",
        webhooks.CreateWebhookInput,
        write_webhooks.create_webhook,
        needs=Need.ADMIN,
        has_secret=True,
    )
    update_webhook: webhooks.UpdateWebhookPayload | None = mutation(
        "Change where events are sent, or stop sending them. `active: true` also switches a webhook on again that was"
        " switched off because its receiver kept failing.",
        webhooks.UpdateWebhookInput,
        write_webhooks.update_webhook,
        needs=Need.ADMIN,
    )
    replay_delivery: webhooks.ReplayDeliveryPayload | None = mutation(
        "Send an event again, whatever became of it before. An attempt that is in flight no longer counts. CONFLICT if"
        " the webhook is not active.",
        webhooks.ReplayDeliveryInput,
        write_webhooks.replay_delivery,
        needs=Need.ADMIN,
    )
    replay_deliveries: webhooks.ReplayDeliveriesPayload | None = mutation(
        "Send deliveries of a webhook again, in the order of their events: the oldest 1,000 that match. CONFLICT if the"
        " webhook is not active.",
        webhooks.ReplayDeliveriesInput,
        write_webhooks.replay_deliveries,
        needs=Need.ADMIN,
    )
    rotate_webhook_secret: webhooks.RotateWebhookSecretPayload | None = mutation(
        "Replace a webhook's secret. Until the overlap ends, events carry two signatures: one by the new secret and one"
        " by the secret before it. The new secret is shown once.",
        webhooks.RotateWebhookSecretInput,
        write_webhooks.rotate_webhook_secret,
        needs=Need.ADMIN,
        has_secret=True,
    )
