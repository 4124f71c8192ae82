"""The transaction of one mutation: its caller and their rights, and the recording of changes."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, TypeVar

from sqlalchemy.ext.asyncio import AsyncSession
from sqlmodel import SQLModel

from resolvers.callers import Caller
from resolvers.errors import Forbidden, NotFound
from resolvers.rules.access import Need, at_least
from resolvers.rules.details import spelled
from resolvers.settings import MutationSettings
from storage import approvals, audit, datasets, experiments, models, policies, rollouts, webhooks
from storage.approvals import LockedRequest
from storage.audit import NewEvent
from storage.datasets import VisibleDataset, VisibleDatasetVersion
from storage.experiments import LockedExperiment
from storage.ids import new_id
from storage.models import LockedModel
from storage.policies import LockedPolicy, VisiblePolicyChange
from storage.rollouts import DeploymentRow
from storage.rows import insert_rows, insert_unless_there
from storage.visibility import VisibleRow, administers, roles
from storage.webhooks import LockedWebhook, VisibleDelivery

# The chain of objects that belong to no project: principals and keys.
REGISTRY = "registry"


V = TypeVar("V", bound=VisibleRow)


@dataclass(frozen=True)
class Transaction:
    """`need` is what the mutation needs of its caller. The caller's role in a project is checked before a write to
    it."""

    session: AsyncSession
    caller: Caller
    need: Need
    settings: MutationSettings = field(default_factory=MutationSettings)
    _allowed: set[str] = field(default_factory=set)

    @property
    def reader(self) -> Caller:
        """The caller for reading the payload, with the projects written to: the process may not know yet that the
        caller became a member there."""
        visible = self.caller.visible
        if visible is None or self._allowed.issubset(visible):
            return self.caller
        return self.caller._replace(visible=sorted(self._allowed.union(visible)))

    @property
    def narrow_reader(self) -> Caller:
        """The caller for reading a response that is stored: restricted to the projects that the mutation wrote to,
        because the rights in these are checked before the response is returned again. An administrator reads all
        projects if no role is needed."""
        if self.caller.principal_id is None or (self.need.role is None and self.caller.administers):
            return self.reader
        return self.caller._replace(visible=sorted(self._allowed))

    async def require_instance(self) -> None:
        if self.need is Need.INSTANCE and not (self.caller.administers and await self.still_administers()):
            raise Forbidden(
                "This needs an administrator of the instance, with a key that is not bound to a project.",
                needed=Need.INSTANCE.value,
            )

    async def still_administers(self) -> bool:
        """Whether the caller administers the instance now. What this process knows may be some seconds old."""
        return await administers(self.session, self.caller.viewer)

    def allow(self, role: str, project_id: str) -> None:
        """Refuse unless the caller's role in a project is enough for this mutation."""
        needed = self.need.role
        if needed is not None and not at_least(role, needed):
            raise Forbidden(
                f"This needs the role {needed} in {project_id}; your role is {role}. An ADMIN of the project"
                " can grant it with setMember.",
                needed=needed.value,
                role=role,
                project=project_id,
            )
        self._allowed.add(project_id)

    async def project(self, id_: str, field: str = "input.projectId") -> str:
        await self.require_projects([id_], field)
        return id_

    async def require_projects(self, ids: Sequence[str], field: str) -> None:
        """Refuse unless the caller's role in each of these projects is enough for this mutation."""
        known = await roles(self.session, ids, self.caller.viewer)
        for id_ in ids:
            if id_ not in known:
                raise NotFound("project", id_, field)
            self.allow(known[id_], id_)

    async def lock_project(self, id_: str, field: str = "input.projectId") -> LockedPolicy:
        """The policy of a project. Other transactions cannot change its policy, members and tags until this one
        ends."""
        await self.project(id_, field)
        policy = await policies.lock_policy(self.session, id_)
        await self.project(id_, field)  # the role may have been revoked during the wait
        return policy

    async def dataset(self, id_: str, field: str = "input.datasetId") -> VisibleDataset:
        row = await datasets.dataset(self.session, id_, self.caller.viewer)
        return self._require(row, "data set", id_, field)

    async def lock_dataset(self, id_: str, field: str = "input.datasetId") -> VisibleDataset:
        """A data set, which nobody else changes until this transaction ends."""
        row = await datasets.lock_dataset(self.session, id_, self.caller.viewer)
        return self._require(await self._with_role_now(row), "data set", id_, field)

    async def dataset_version(self, id_: str, field: str = "input.datasetVersionId") -> VisibleDatasetVersion:
        row = await datasets.dataset_version(self.session, id_, self.caller.viewer)
        return self._require(row, "data set version", id_, field)

    async def lock_experiment(self, id_: str, field: str = "input.experimentId") -> LockedExperiment:
        row = await experiments.lock_experiment(self.session, id_, self.caller.viewer)
        return self._require(await self._with_role_now(row), "experiment", id_, field)

    async def lock_model(self, id_: str, field: str = "input.modelId") -> LockedModel:
        """The model. Other transactions cannot change its versions, stages and requests until this one ends."""
        return self._require((await self.lock_models([id_])).get(id_), "model", id_, field)

    async def lock_models(self, ids: Sequence[str]) -> dict[str, LockedModel]:
        """Models by id, locked in id order. Those that do not exist are left out."""
        locked = await models.lock_models(self.session, ids, self.caller.viewer)
        known = await self._with_roles_now(locked)
        for model in known.values():
            self.allow(model.role, model.project_id)
        return known

    async def request(self, id_: str, field: str = "input.requestId") -> LockedRequest:
        """A transition request, whose model is locked."""
        row = await approvals.visible_request(self.session, id_, self.caller.viewer)
        await self.lock_model(self._require(row, "transition request", id_, field).model_id)
        return await approvals.locked_request(self.session, id_)

    async def deployment(self, id_: str, field: str = "input.deploymentId") -> DeploymentRow:
        """A deployment, whose model is locked."""
        row = await rollouts.visible_deployment(self.session, id_, self.caller.viewer)
        await self.lock_model(self._require(row, "deployment", id_, field).model_id)
        return await rollouts.locked_deployment(self.session, id_)

    async def policy_change(self, id_: str, field: str = "input.changeId") -> VisiblePolicyChange:
        row = await policies.visible_change(self.session, id_, self.caller.viewer)
        return self._require(row, "policy change", id_, field)

    async def webhook(self, id_: str, field: str = "input.webhookId") -> LockedWebhook:
        """A webhook, which other transactions cannot change until this one ends."""
        row = await webhooks.lock_webhook(self.session, id_, self.caller.viewer)
        return self._require(await self._with_role_now(row), "webhook", id_, field)

    async def delivery(self, id_: str, field: str = "input.deliveryId") -> tuple[VisibleDelivery, LockedWebhook]:
        """A delivery and its webhook, which is locked."""
        row = await webhooks.delivery(self.session, id_, self.caller.viewer)
        delivery = self._require(row, "delivery", id_, field)
        return delivery, await self.webhook(delivery.webhook_id)

    async def _with_roles_now(self, rows: Mapping[str, V]) -> dict[str, V]:
        """Locked rows with the caller's current role, without those that it may no longer see. The role in a row was
        read before the wait for its lock."""
        projects = sorted({row.project_id for row in rows.values()})
        known = await roles(self.session, projects, self.caller.viewer) if projects else {}
        return {id_: replace(row, role=known[row.project_id]) for id_, row in rows.items() if row.project_id in known}

    async def _with_role_now(self, row: V | None) -> V | None:
        return (await self._with_roles_now({"": row})).get("") if row else None

    def _require(self, row: V | None, noun: str, id_: str, field: str) -> V:
        """The row, if the caller's role in its project is enough. Raises NotFound if there is none."""
        if row is None:
            raise NotFound(noun, id_, field)
        self.allow(row.role, row.project_id)
        return row

    async def keep(self, table: type[SQLModel], *rows: Mapping[str, Any]) -> None:
        """Add rows."""
        if rows:
            await insert_rows(self.session, table, rows)

    async def keep_unless_there(self, table: type[SQLModel], row: Mapping[str, Any], *key: str) -> bool:
        """Add a row unless its key, by default any unique columns, is in use. Returns whether it was added. Waits for a
        transaction that is adding it now."""
        return await insert_unless_there(self.session, table, row, key)

    def event(
        self,
        action: str,
        subject_id: str,
        project_id: str | None,
        *,
        before: Any = None,
        after: Any = None,
        notes: str | None = None,
        step: Mapping[str, Any] | None = None,
        approval: Mapping[str, Any] | None = None,
    ) -> NewEvent:
        """An entry of the audit log. `before` and `after` are the change. The database also creates the row of the
        `step` or the `approval` from it."""
        if project_id is not None and self.need.role is not None and project_id not in self._allowed:
            raise RuntimeError(f"{action} writes to {project_id}, where the caller's role was not checked.")
        event: NewEvent = {
            "id": new_id("evt"),
            "action": action,
            "actor": self.caller.actor,
            "projectId": project_id,
            "subjectId": subject_id,
            "notes": notes,
            "details": {"before": spelled(before), "after": spelled(after)},
            "requestId": self.caller.request_id,
        }
        if step is not None:
            event["step"] = step
        if approval is not None:
            event["approval"] = approval
        return event

    async def append(self, chain: str, *events: NewEvent) -> None:
        """Append events to the audit log, all with the same time: the last step of every mutation."""
        await audit.append(self.session, chain, events)

    async def record(self, action: str, subject_id: str, project_id: str | None, *, chain: str, **change: Any) -> None:
        """Append a single change to the audit log."""
        await self.append(chain, self.event(action, subject_id, project_id, **change))
