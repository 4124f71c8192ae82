"""One mutation's transaction: who acts, what they may see and do, and how a change is recorded."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, NamedTuple

from sqlalchemy import insert
from sqlalchemy.dialects.postgresql import insert as upsert
from sqlalchemy.ext.asyncio import AsyncSession
from sqlmodel import SQLModel

from resolvers.errors import Forbidden, NotFound
from resolvers.rules.access import Need, at_least
from resolvers.rules.details import spelled
from resolvers.settings import MutationSettings
from storage import audit, load, policies, rollouts
from storage.ids import new_id
from storage.vocabulary import PrincipalKind

# The chain of what belongs to no project: principals and keys.
REGISTRY = "registry"


class Caller(NamedTuple):
    """Who asks: the owner of the key, the projects that the key reaches (None: all), and this request's id."""

    actor: str
    visible: Sequence[str] | None
    request_id: str
    principal_id: str | None = None
    kind: PrincipalKind = PrincipalKind.USER
    may_attest: bool = False
    only: str | None = None

    @property
    def administers(self) -> bool:
        return self.visible is None

    @property
    def who(self) -> dict[str, Any]:
        # Of a principal the database says itself what it may: this process may not know yet that it lost a right.
        return {"me": self.principal_id, "everything": self.administers and not self.principal_id, "only": self.only}


@dataclass(frozen=True)
class Transaction:
    """`need` is what the mutation needs of its caller; each project that it writes to is looked at first."""

    session: AsyncSession
    caller: Caller
    need: Need
    settings: MutationSettings = field(default_factory=MutationSettings)
    _allowed: set[str] = field(default_factory=set)

    @property
    def reader(self) -> Caller:
        """The caller as it reads what it wrote: a process may not have heard yet that it became a member there."""
        visible = self.caller.visible
        if visible is None or self._allowed.issubset(visible):
            return self.caller
        return self.caller._replace(visible=sorted(self._allowed.union(visible)))

    @property
    def narrow_reader(self) -> Caller:
        """The caller as it reads an answer that is kept: only the projects that the mutation wrote to, as the rights in
        these are asked for before the answer is returned again. An administrator reads all where no role is needed."""
        if self.caller.principal_id is None or (self.need.role is None and self.caller.administers):
            return self.reader
        return self.caller._replace(visible=sorted(self._allowed))

    async def require_instance(self) -> None:
        if self.need is Need.INSTANCE and not (self.caller.administers and await self.still_administers()):
            raise Forbidden(
                "Only who administers the instance may do this; ask one of them, or have a key without a project.",
                needed=Need.INSTANCE.value,
            )

    async def still_administers(self) -> bool:
        """Whether the caller administers the instance now, whatever this process has known for some seconds."""
        return await load.administers(self.session, self.caller.who)

    def allow(self, found: Mapping[str, Any], project_id: str) -> None:
        """Refuse unless the caller's role in the project of what was found is enough for this mutation."""
        needed = self.need.role
        if needed is not None and not at_least(found["role"], needed):
            raise Forbidden(
                f"This needs the role {needed} in {project_id}, and yours is {found['role']}; an ADMIN of the project"
                " can give it with setMember.",
                needed=needed.value,
                role=found["role"],
                project=project_id,
            )
        self._allowed.add(project_id)

    async def project(self, id_: str, field: str = "input.projectId") -> str:
        self._found(await load.project(self.session, id_, self.caller.who), "project", id_, field, of=id_)
        return id_

    async def require_projects(self, ids: Sequence[str], field: str) -> None:
        """Refuse unless the caller's role in each of these projects is enough for this mutation."""
        found = await load.projects(self.session, ids, self.caller.who)
        for id_ in ids:
            self._found(found.get(id_), "project", id_, field, of=id_)

    async def lock_project(self, id_: str, field: str = "input.projectId") -> Mapping[str, Any]:
        """The policy of a project, whose policy, members and tags nobody else changes until this transaction ends."""
        await self.project(id_, field)
        policy = await load.lock_policy(self.session, id_)
        await self.project(id_, field)  # the role may have been taken away while this waited
        return policy

    async def dataset(self, id_: str, field: str = "input.datasetId") -> Mapping[str, Any]:
        found = await load.dataset(self.session, id_, self.caller.who)
        return self._found(found, "data set", id_, field)

    async def dataset_version(self, id_: str, field: str = "input.datasetVersionId") -> Mapping[str, Any]:
        found = await load.dataset_version(self.session, id_, self.caller.who)
        return self._found(found, "data set version", id_, field)

    async def lock_experiment(self, id_: str, field: str = "input.experimentId") -> Mapping[str, Any]:
        found = await load.lock_experiment(self.session, id_, self.caller.who)
        return self._found(await self._locked(found), "experiment", id_, field)

    async def lock_model(self, id_: str, field: str = "input.modelId") -> Mapping[str, Any]:
        """The model, whose versions, stages and requests nobody else changes until this transaction ends."""
        return self._found((await self.lock_models([id_])).get(id_), "model", id_, field)

    async def lock_models(self, ids: Sequence[str]) -> dict[str, Mapping[str, Any]]:
        """Models by id, locked in id order; without those that there are not."""
        found = await self._with_roles_now(await load.lock_models(self.session, ids, self.caller.who))
        for model in found.values():
            self.allow(model, model["project_id"])
        return found

    async def request(self, id_: str, field: str = "input.requestId") -> Mapping[str, Any]:
        """A request of a transition, whose model is locked."""
        found = await load.request(self.session, id_, self.caller.who)
        await self.lock_model(self._found(found, "transition request", id_, field)["model_id"])
        return await load.locked_request(self.session, id_)

    async def deployment(self, id_: str, field: str = "input.deploymentId") -> dict[str, Any]:
        """A deployment, whose model is locked."""
        found = await rollouts.deployment(self.session, id_, self.caller.who)
        await self.lock_model(self._found(found, "deployment", id_, field)["model_id"])
        return await rollouts.locked(self.session, id_)

    async def policy_change(self, id_: str, field: str = "input.changeId") -> Mapping[str, Any]:
        return self._found(await policies.change(self.session, id_, self.caller.who), "policy change", id_, field)

    async def webhook(self, id_: str, field: str = "input.webhookId") -> Mapping[str, Any]:
        """A webhook, which nobody else changes until this transaction ends."""
        found = await load.lock_webhook(self.session, id_, self.caller.who)
        return self._found(await self._locked(found), "webhook", id_, field)

    async def delivery(self, id_: str, field: str = "input.deliveryId") -> Mapping[str, Any]:
        """A delivery whose webhook is locked, with the webhook's `active`."""
        found = await load.delivery(self.session, id_, self.caller.who)
        webhook = await self.webhook(self._found(found, "delivery", id_, field)["webhook_id"])
        return {**webhook, **self._found(found, "delivery", id_, field)}

    async def _with_roles_now(self, rows: Mapping[str, Mapping[str, Any]]) -> dict[str, Mapping[str, Any]]:
        """Locked rows with the caller's role as it is now, without those that it may no longer see: the role in a row
        is from before its lock was waited for."""
        projects = sorted({row["project_id"] for row in rows.values()})
        now = await load.projects(self.session, projects, self.caller.who) if projects else {}
        found = [(id_, row, now.get(row["project_id"])) for id_, row in rows.items()]
        return {id_: {**row, "role": project["role"]} for id_, row, project in found if project}

    async def _locked(self, row: Mapping[str, Any] | None) -> Mapping[str, Any] | None:
        return (await self._with_roles_now({"": row})).get("") if row else None

    def _found(
        self, found: Mapping[str, Any] | None, noun: str, id_: str, field: str, of: str | None = None
    ) -> Mapping[str, Any]:
        if found is None:
            raise NotFound(noun, id_, field)
        self.allow(found, of or found["project_id"])
        return found

    async def keep(self, table: type[SQLModel], *rows: Mapping[str, Any]) -> None:
        """Add rows."""
        if rows:
            await self.session.execute(insert(table.__table__), list(rows))  # type: ignore[attr-defined]

    async def keep_unless_there(self, table: type[SQLModel], row: Mapping[str, Any], *key: str) -> bool:
        """Add a row unless its key, by default any unique columns, is taken; whether it was added. Waits for whoever is
        adding it now."""
        insert = upsert(table.__table__).values(row)  # type: ignore[attr-defined]
        made = await self.session.execute(insert.on_conflict_do_nothing(index_elements=key or None))
        return bool(made.rowcount)  # type: ignore[attr-defined]

    def event(
        self,
        action: str,
        subject_id: str,
        project_id: str | None,
        *,
        before: Any = None,
        after: Any = None,
        notes: str | None = None,
        **more: Any,
    ) -> dict[str, Any]:
        """An entry of the audit log. `before` and `after` are what changed; `more` may hold a step or an approval."""
        if project_id is not None and self.need.role is not None and project_id not in self._allowed:
            raise RuntimeError(f"{action} writes to {project_id}, where nobody looked at the caller's role.")
        return {
            "id": new_id("evt"),
            "action": action,
            "actor": self.caller.actor,
            "projectId": project_id,
            "subjectId": subject_id,
            "notes": notes,
            "details": {"before": spelled(before), "after": spelled(after)},
            "requestId": self.caller.request_id,
            **more,
        }

    async def append(self, chain: str, *events: Mapping[str, Any]) -> None:
        """Append events to the audit log, all at one moment: the last step of every mutation."""
        await audit.append(self.session, chain, events)

    async def record(self, action: str, subject_id: str, project_id: str | None, *, chain: str, **change: Any) -> None:
        """Append the one change to the audit log."""
        await self.append(chain, self.event(action, subject_id, project_id, **change))
