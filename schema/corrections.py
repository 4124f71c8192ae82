"""The mutations that correct what is registered."""

import strawberry

from resolvers import aliases as write_aliases
from resolvers import artifacts as write_artifacts
from resolvers import datasets as write_datasets
from resolvers import experiments as write_experiments
from resolvers import models as write_models
from resolvers import projects as write_projects
from resolvers import webhooks as write_webhooks
from resolvers.rules.access import Need
from schema import aliases, artifacts, datasets, experiments, models, projects, webhooks
from schema.fields import mutation


@strawberry.type
class Corrections:
    update_project: projects.UpdateProjectPayload | None = mutation(
        "Correct a project's name or description. The audit log keeps the values before and after.",
        projects.UpdateProjectInput,
        write_projects.update_project,
        needs=Need.ADMIN,
    )
    update_model: models.UpdateModelPayload | None = mutation(
        "Correct a model, or archive it. The audit log keeps the values before and after. ALREADY_EXISTS if its"
        " project has another model with the new name, archived or not.",
        models.UpdateModelInput,
        write_models.update_model,
        needs=Need.CONTRIBUTOR,
    )
    update_dataset: datasets.UpdateDatasetPayload | None = mutation(
        "Correct a data set's name or description. The audit log keeps the values before and after. ALREADY_EXISTS"
        " if its project has another data set with the new name.",
        datasets.UpdateDatasetInput,
        write_datasets.update_dataset,
        needs=Need.CONTRIBUTOR,
    )
    update_experiment: experiments.UpdateExperimentPayload | None = mutation(
        "Correct an experiment's name or notes, whether or not it has ended. The audit log keeps the values before"
        " and after. Changed notes invalidate approvals of the versions that the experiment produced.",
        experiments.UpdateExperimentInput,
        write_experiments.update_experiment,
        needs=Need.CONTRIBUTOR,
    )
    move_artifact: artifacts.MoveArtifactPayload | None = mutation(
        "Record that a version's artifact is at another location. The audit log keeps both locations. CONFLICT if"
        " no digest was registered with the artifact, or if `digest` is another one. A move invalidates approvals"
        " that were given before it.",
        artifacts.MoveArtifactInput,
        write_artifacts.move_artifact,
        needs=Need.CONTRIBUTOR,
    )
    set_alias: aliases.SetAliasPayload | None = mutation(
        "Set an alias of a model to a version, or move it from another version. Readers see the old version or the"
        " new one, never none. CONFLICT if the alias does not point to `expectedVersion`, or if the model already"
        " has 100 aliases. An alias in the policy's `protectedAliases` needs a version in PRODUCTION, or one for"
        " which the caller could make a promotion to PRODUCTION now: otherwise APPROVAL_REQUIRED if too few"
        " reviewers have approved, or GATE_FAILED if another gate of the policy fails.",
        aliases.SetAliasInput,
        write_aliases.set_alias,
        needs=Need.CONTRIBUTOR,
    )
    remove_alias: aliases.RemoveAliasPayload | None = mutation(
        "Remove an alias of a model. FORBIDDEN if it is in the policy's `protectedAliases` and the caller is not a"
        " REVIEWER or ADMIN.",
        aliases.RemoveAliasInput,
        write_aliases.remove_alias,
        needs=Need.CONTRIBUTOR,
    )
    delete_webhook: webhooks.DeleteWebhookPayload | None = mutation(
        "Delete a webhook with its deliveries. This cannot be undone; the audit log keeps what it was. To stop it for"
        " a time, set `active: false` with `updateWebhook`.",
        webhooks.DeleteWebhookInput,
        write_webhooks.delete_webhook,
        needs=Need.ADMIN,
    )
