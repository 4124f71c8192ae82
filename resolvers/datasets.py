from collections.abc import Sequence

from resolvers.claims import claimed_id, keep_new
from resolvers.errors import NotFound
from resolvers.rules.corrections import before_and_after, corrected
from resolvers.transaction import Transaction
from storage.datasets import Dataset, DatasetParent, DatasetVersion, change_dataset, change_version, dataset_ids
from storage.policies import lock_policy
from storage.vocabulary import DatasetVersionStatus


async def create_dataset(
    tx: Transaction, *, project_id: str, name: str, id: str | None = None, description: str | None = None
) -> dict[str, str]:
    await tx.project(project_id)
    dataset_id = await claimed_id(tx, Dataset, id)
    facts = {"id": dataset_id, "project_id": project_id, "name": name, "description": description}
    await keep_new(tx, Dataset, facts | {"created_by": tx.caller.actor})
    await tx.record("dataset.created", dataset_id, project_id, chain=project_id, after=facts)
    return {"dataset_id": dataset_id}


async def update_dataset(
    tx: Transaction, *, dataset_id: str, name: str | None = None, description: str | None = None
) -> dict[str, str]:
    row = await tx.lock_dataset(dataset_id)
    changed = corrected(row, {"name": name, "description": description})
    if changed:
        await change_dataset(tx.session, dataset_id, changed)
        change = before_and_after(row, changed)
        await tx.record("dataset.updated", dataset_id, row.project_id, chain=row.project_id, **change)
    return {"dataset_id": dataset_id}


async def create_dataset_version(
    tx: Transaction,
    *,
    dataset_id: str,
    label: str,
    id: str | None = None,
    row_count: int | None = None,
    uri: str | None = None,
    digest: str | None = None,
    features: Sequence[str] = (),
    parent_ids: Sequence[str] = (),
) -> dict[str, str]:
    project_id = (await tx.dataset(dataset_id)).project_id
    version_id = await claimed_id(tx, DatasetVersion, id)
    await require_dataset_versions(tx, project_id, parent_ids, "input.parentIds")

    facts = {"label": label, "row_count": row_count, "uri": uri, "digest": digest, "features": list(features)}
    row = {"id": version_id, "project_id": project_id, "dataset_id": dataset_id, "status": "ACTIVE"} | facts
    await keep_new(tx, DatasetVersion, row | {"created_by": tx.caller.actor})
    parents = [{"project_id": project_id, "dataset_version_id": version_id, "parent_id": id_} for id_ in parent_ids]
    await tx.keep(DatasetParent, *parents)
    after = row | {"parents": list(parent_ids)}
    await tx.record("datasetVersion.created", version_id, project_id, chain=project_id, after=after)
    return {"dataset_version_id": version_id}


async def set_dataset_version_status(
    tx: Transaction, *, dataset_version_id: str, status: DatasetVersionStatus, reason: str
) -> dict[str, str]:
    project_id = (await tx.dataset_version(dataset_version_id)).project_id
    policy = await lock_policy(tx.session, project_id)
    row = await tx.dataset_version(dataset_version_id)
    before = {"status": row.status, "statusReason": row.status_reason}
    kept = None if status is DatasetVersionStatus.ACTIVE else reason
    is_same = (status, kept) == (row.status, row.status_reason)
    since = {} if is_same else {"status_at": policy.now}
    changes = {"status": status, "status_reason": kept, **since}
    await change_version(tx.session, dataset_version_id, changes)
    change = {"before": before, "after": {"status": status, "statusReason": kept}, "notes": reason}
    await tx.record("datasetVersion.statusSet", dataset_version_id, project_id, chain=project_id, **change)
    return {"dataset_version_id": dataset_version_id}


async def require_dataset_versions(tx: Transaction, project_id: str, ids: Sequence[str], field: str) -> dict[str, str]:
    """The data set of each of these data set versions. All of them must be in the project."""
    if not ids:
        return {}
    known = await dataset_ids(tx.session, project_id, ids)
    for id_ in ids:
        if id_ not in known:
            raise NotFound("data set version", id_, field, "in this project", projectId=project_id)
    return known
