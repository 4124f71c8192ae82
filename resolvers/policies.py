from collections.abc import Mapping, Sequence
from typing import Any, TypedDict, Unpack

from sqlalchemy import update

from resolvers.transaction import Transaction
from storage.policies import ProjectPolicy
from storage.vocabulary import PolicyMode


class PolicyChanges(TypedDict, total=False):
    """What of a policy shall change. None, where it is a value: never for `retention_days`, not at all for
    `max_regression`."""

    project_id: str
    required_approvals: int
    allow_self_approval: bool
    require_complete_card: bool
    block_invalid_data: bool
    semver: PolicyMode
    tags: PolicyMode
    retention_days: int | None
    min_metrics: Sequence[Mapping[str, Any]]
    max_regression: float | None
    approval_valid_days: int


async def update_project_policy(tx: Transaction, **new: Unpack[PolicyChanges]) -> dict[str, str]:
    project_id = new["project_id"]
    before = await tx.lock_project(project_id)
    changes = {name: value for name, value in new.items() if name != "project_id" and value != before[name]}
    if changes:
        those = update(ProjectPolicy).where(ProjectPolicy.project_id == project_id)  # type: ignore[arg-type]
        await tx.session.execute(those.values(changes))
        change = {"before": {name: before[name] for name in changes}, "after": changes}
        await tx.record("policy.updated", project_id, project_id, chain=project_id, **change)
    return {"project_id": project_id}
