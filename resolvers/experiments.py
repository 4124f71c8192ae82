from collections.abc import Mapping, Sequence
from typing import Any

from resolvers.claims import claimed_id, keep_new
from resolvers.datasets import require_dataset_versions
from resolvers.errors import BadUserInput, Conflict
from resolvers.rules.corrections import before_and_after, corrected
from resolvers.transaction import Transaction
from resolvers.version_creation import NewVersion, register
from resolvers.versions import models_of
from storage.experiments import Experiment, LockedExperiment, change_experiment, complete
from storage.rows import now
from storage.vocabulary import ExperimentStatus


async def create_experiment(
    tx: Transaction,
    *,
    project_id: str,
    name: str,
    id: str | None = None,
    algorithm: str | None = None,
    max_models: int | None = None,
    parameters: Mapping[str, Any] | None = None,
    dataset_version_id: str | None = None,
    status: ExperimentStatus = ExperimentStatus.RUNNING,
    training_duration_secs: float | None = None,
    notes: str | None = None,
) -> dict[str, str]:
    await tx.project(project_id)
    experiment_id = await claimed_id(tx, Experiment, id)
    if dataset_version_id:
        await require_dataset_versions(tx, project_id, [dataset_version_id], "input.datasetVersionId")
    facts = {
        "id": experiment_id,
        "project_id": project_id,
        "name": name,
        "status": status,
        "algorithm": algorithm,
        "max_models": max_models,
        "parameters": parameters or {},
        "dataset_version_id": dataset_version_id,
        "training_duration_secs": training_duration_secs,
        "notes": notes,
    }
    ended = None if status is ExperimentStatus.RUNNING else await now(tx.session)
    await keep_new(tx, Experiment, facts | {"completed_at": ended, "created_by": tx.caller.actor})
    await tx.record("experiment.created", experiment_id, project_id, chain=project_id, after=facts)
    return {"experiment_id": experiment_id}


async def update_experiment(
    tx: Transaction, *, experiment_id: str, name: str | None = None, notes: str | None = None
) -> dict[str, str]:
    row = await tx.lock_experiment(experiment_id)
    changed = corrected(row, {"name": name, "notes": notes})
    if changed:
        await change_experiment(tx.session, experiment_id, changed)
        change = before_and_after(row, changed)
        await tx.record("experiment.updated", experiment_id, row.project_id, chain=row.project_id, **change)
    return {"experiment_id": experiment_id}


async def complete_experiment(
    tx: Transaction,
    *,
    experiment_id: str,
    status: ExperimentStatus,
    training_duration_secs: float | None = None,
    notes: str | None = None,
    versions: Sequence[NewVersion] = (),
) -> dict[str, Any]:
    experiment = await tx.lock_experiment(experiment_id)
    _refuse_unless_running(experiment, status)
    news = [_of_experiment(new, experiment_id, place) for place, new in enumerate(versions)]

    models = await models_of(tx, news, "input.versions")
    registered = [
        await register(tx, models[new["model_id"]], new, f"input.versions[{place}]") for place, new in enumerate(news)
    ]
    ending = {"status": status, "training_duration_secs": training_duration_secs, "notes": notes}
    ending = {name: value for name, value in ending.items() if value is not None}
    await complete(tx.session, experiment_id, ending)
    ids = [each.version_id for each in registered]
    project_id = experiment.project_id
    change = {"before": {name: getattr(experiment, name) for name in ending}, "after": ending | {"versions": ids}}
    await tx.record("experiment.completed", experiment_id, project_id, chain=project_id, **change)
    return {"experiment_id": experiment_id, "version_ids": ids}


def _refuse_unless_running(experiment: LockedExperiment, status: ExperimentStatus) -> None:
    if status is ExperimentStatus.RUNNING:
        raise BadUserInput("input.status", "is RUNNING; an experiment ends as COMPLETED or FAILED.")
    if experiment.status != ExperimentStatus.RUNNING:
        raise Conflict(
            f"The experiment is already {experiment.status}. Register further versions with createVersion.",
            current=experiment.status,
        )


def _of_experiment(new: NewVersion, experiment_id: str, place: int) -> NewVersion:
    if new.get("experiment_id", experiment_id) != experiment_id:
        raise BadUserInput(
            f"input.versions[{place}].experimentId", f"is another experiment; omit it or use {experiment_id}."
        )
    return {**new, "experiment_id": experiment_id}
