import strawberry

from resolvers import datasets as write_datasets
from resolvers import experiments as write_experiments
from resolvers import models as write_models
from resolvers import projects as write_projects
from resolvers import versions as write_versions
from schema import datasets, experiments, models, projects, versions
from schema.fields import mutation


@strawberry.type(
    description="Writing. Each mutation is one transaction: kept whole with its history, or refused without a trace."
)
class Mutation:
    create_project: projects.CreateProjectPayload | None = mutation(
        "Make a project. ALREADY_EXISTS if the id is taken.", projects.CreateProjectInput, write_projects.create_project
    )
    create_model: models.CreateModelPayload | None = mutation(
        "Make a model. ALREADY_EXISTS if its id, or its name in the project, is taken.",
        models.CreateModelInput,
        write_models.create_model,
    )
    create_dataset: datasets.CreateDatasetPayload | None = mutation(
        "Make a data set known. ALREADY_EXISTS if its id, or its name in the project, is taken.",
        datasets.CreateDatasetInput,
        write_datasets.create_dataset,
    )
    create_dataset_version: datasets.CreateDatasetVersionPayload | None = mutation(
        "Make a data set version known. ALREADY_EXISTS if its id, or its label in the data set, is taken.",
        datasets.CreateDatasetVersionInput,
        write_datasets.create_dataset_version,
    )
    create_experiment: experiments.CreateExperimentPayload | None = mutation(
        "Make an experiment known. ALREADY_EXISTS if the id is taken.",
        experiments.CreateExperimentInput,
        write_experiments.create_experiment,
    )
    complete_experiment: experiments.CompleteExperimentPayload | None = mutation(
        "End a running experiment and register every model that it produced, in one transaction. CONFLICT if it has"
        " ended before.",
        experiments.CompleteExperimentInput,
        write_experiments.complete_experiment,
    )
    create_version: versions.CreateVersionPayload | None = mutation(
        "Register a version. ALREADY_EXISTS if the model has had this number.",
        versions.CreateVersionInput,
        write_versions.create_version,
    )
    update_version: versions.UpdateVersionPayload | None = mutation(
        "Change a version's description.", versions.UpdateVersionInput, write_versions.update_version
    )
    add_tags: versions.TagsPayload | None = mutation(
        "Add tags to a version, at most 50 in all.", versions.TagsInput, write_versions.add_tags
    )
    remove_tags: versions.TagsPayload | None = mutation(
        "Remove tags from a version.", versions.TagsInput, write_versions.remove_tags
    )
    transition_stage: versions.TransitionStagePayload | None = mutation(
        "Bring a version to another stage. A promotion archives the version that was in production, in the same"
        " transaction. ILLEGAL_TRANSITION where the stage machine has no such step, CONFLICT where `expectedStage` is"
        " no longer so.",
        versions.TransitionStageInput,
        write_versions.transition_stage,
    )
