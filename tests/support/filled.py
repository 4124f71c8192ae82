"""A project with everything in it, written through the API by its own people; each value in it can be told from any
other."""

from collections.abc import Awaitable, Callable
from dataclasses import replace
from itertools import count
from typing import Any

import httpx
from graphql import ExecutionResult, build_schema, execute, get_named_type, parse, print_schema

from schema import schema
from tests.conftest import Cluster, Registry, run_sql
from tests.support.compared import everything

MUTATION: Any = schema._schema.mutation_type
Input = dict[str, Any]
# The schema from its text: it completes plain answers as graphql-core does, and finds a null where there must be none.
PLAIN = build_schema(print_schema(schema._schema))
# What the numbers of a project begin with.
DIGITS = count(731)
FAR = "2999-01-01T00:00:00Z"


def mutation_of(name: str, selection: str = "") -> str:
    """The document that sends a mutation's input; by default it asks for all of the payload, two objects deep."""
    field = MUTATION.fields[name]
    # A hundred versions with all that they lead to would cost too much.
    depth = 1 if name == "completeExperiment" else 2
    selected = selection or everything(get_named_type(field.type).name, depth)
    return f"mutation($input: {field.args['input'].type}) {{ {name}(input: $input) {selected} }}"


async def write(registry: Registry, mutation: str, given: Input, selection: str = "") -> Any:
    """What a mutation answers that must not be refused."""
    return (await registry.ask(mutation_of(mutation, selection), input=given))[mutation]


def assert_well_formed(query: str, response: httpx.Response, **variables: Any) -> None:
    """That an answer is whole: each field is there, and null only where it may be."""
    data = response.json()["data"]
    result = execute(PLAIN, parse(query), data, variable_values=variables)
    assert isinstance(result, ExecutionResult)
    assert not result.errors, result.errors
    assert result.data == data


class Filled:
    """One project. `root` administers the instance, `own` is an ADMIN of the project."""

    def __init__(self, database: Cluster, root: Registry, name: str):
        self.database, self.name = database, name
        self.root = self.own = root
        self.marks: list[str] = []
        self.digits = next(DIGITS)
        self._numbers = count(1)
        self.metric = self.text("metric")

    @classmethod
    async def opened(cls, database: Cluster, root: Registry, name: str) -> "Filled":
        made = cls(database, root, name)
        made.project = made.id("proj")
        await write(root, "createProject", await create_project(made) | {"id": made.project})
        # While nobody else could confirm it.
        alone = {"projectId": made.project, "allowSelfApproval": True, "allowRequesterApproval": True}
        await write(root, "updateProjectPolicy", alone)
        made.admin = made.email()
        # Before there is anybody else who could confirm it.
        both = {"allowSelfApproval": True, "allowRequesterApproval": True}
        await write(root, "updateProjectPolicy", {"projectId": made.project} | both)
        made.own = await made.person("ADMIN", email=made.admin)
        made.dataset = (await write(made.own, "createDataset", await create_dataset(made)))["dataset"]["id"]
        made.dataset_version = await made.new_dataset_version()
        made.experiment = await made.new_experiment()
        made.model, made.other = await made.new_model(), await made.new_model()
        plain = {"projectId": made.project, "modelId": made.other}
        made.version_id = (await write(made.own, "createVersion", plain))["version"]["id"]
        return made

    project: str
    admin: str
    dataset: str
    dataset_version: str
    experiment: str
    model: str
    other: str
    version_id: str

    # Values, each unlike any other

    def mark(self) -> str:
        self.marks.append(f"{self.name}{next(self._numbers):05d}")
        return self.marks[-1]

    def text(self, of: str = "text") -> str:
        return f"{of} {self.mark()}"

    def id(self, prefix: str) -> str:
        return f"{prefix}_{self.mark()}"

    def email(self) -> str:
        return f"{self.mark()}@example.com"

    def whole(self) -> int:
        number = self.digits * 1_000_000 + next(self._numbers)
        self.marks.append(str(number))
        return number

    def real(self) -> float:
        number = float(f"0.{self.digits}{next(self._numbers):05d}7")
        self.marks.append(str(number))
        return number

    def number(self) -> str:
        self.marks.append(f"{(n := next(self._numbers))}.{self.digits}{self.digits}.{n}")
        return self.marks[-1]

    # People and their keys

    async def person(
        self, role: str | None, *, email: str | None = None, kind: str = "USER", only: str | None = None
    ) -> Registry:
        """Somebody with a role, or with none, by a key that reaches all of its owner's projects, or `only` one."""
        email = email or self.email()
        key = {"name": self.text("key"), "email": email, "kind": kind, "projectId": only}
        # A member who is not known yet is taken for a person.
        member = {"projectId": getattr(self, "project", ""), "email": email, "role": role}
        if role and kind == "USER":
            await write(self.own, "setMember", member)
        made = await write(self.root, "createApiKey", key)
        if role and kind != "USER":
            await write(self.own, "setMember", member)
        return replace(self.root, key=made["secret"])

    # Things that a mutation needs

    async def new_dataset_version(self) -> str:
        given = await create_dataset_version(self)
        given["parentIds"] = [id_ for id_ in given["parentIds"] if id_]
        return str((await write(self.own, "createDatasetVersion", given))["datasetVersion"]["id"])

    async def new_experiment(self) -> str:
        return str((await write(self.own, "createExperiment", await create_experiment(self)))["experiment"]["id"])

    async def new_model(self) -> str:
        return str((await write(self.own, "createModel", await create_model(self)))["model"]["id"])

    async def new_version(self, *stages: str, model: str | None = None) -> Input:
        """A version with the least facts, brought through stages; named as inputs name it."""
        of = {"modelId": model or self.model}
        facts = {"projectId": self.project, "metrics": {self.metric: self.real()}, "tags": ["old"]}
        facts |= {"datasetVersionId": self.dataset_version}
        made = await write(self.own, "createVersion", of | facts, "{ version { version } }")
        version = of | {"version": made["version"]["version"]}
        for stage in stages:
            await write(self.own, "transitionStage", version | {"targetStage": stage}, "{ __typename }")
        return version

    async def new_request(self, target: str = "STAGING") -> str:
        asked = await self.new_version() | {"targetStage": target, "notes": self.text()}
        return str((await write(self.own, "requestTransition", asked, "{ request { id } }"))["request"]["id"])

    async def new_deployment(self, previous: bool = False) -> str:
        given = await create_deployment(self)
        if previous:
            before = given | {"strategy": "DIRECT", "registryVersion": await self.new_version(model=model_in(given))}
            await write(self.own, "createDeployment", {n: v for n, v in before.items() if n != "canaryConfig"})
        made = await write(self.own, "createDeployment", given)
        return str(made["deployment"]["id"])

    async def new_key(self) -> str:
        """A key of one who has no other, bound to the project."""
        given = await create_api_key(self) | {"mayAttest": False}
        return str((await write(self.root, "createApiKey", given))["id"])


# Each mutation's input, with all that can be given


def described(of: Filled) -> Input:
    return {"name": of.text(), "description": of.text()}


async def create_project(of: Filled) -> Input:
    return described(of) | {"id": of.id("proj"), "members": [{"email": of.email(), "role": "VIEWER"}]}


def origin(of: Filled) -> Input:
    by = {"createdAt": "2025-01-31T00:00:00Z", "createdBy": of.email(), "url": f"https://example.com/{of.mark()}"}
    return {"system": of.text(), "id": of.text()} | by


async def create_model(of: Filled) -> Input:
    owned = {"owner": of.email(), "properties": {of.text(): of.text()}, "origin": origin(of)}
    return described(of) | {"id": of.id("model"), "projectId": of.project} | owned


async def create_dataset(of: Filled) -> Input:
    return described(of) | {"id": of.id("ds"), "projectId": of.project}


async def create_dataset_version(of: Filled) -> Input:
    return {
        "id": of.id("dsv"),
        "datasetId": of.dataset,
        "label": of.text(),
        "rowCount": of.whole(),
        "uri": f"s3://{of.mark()}",
        "digest": f"sha256:{of.mark()}",
        "features": [of.text()],
        "parentIds": [getattr(of, "dataset_version", "")],
    }


async def create_experiment(of: Filled) -> Input:
    return {
        "id": of.id("exp"),
        "projectId": of.project,
        "name": of.text(),
        "algorithm": of.text(),
        "maxModels": of.whole(),
        "parameters": {of.text(): [of.text(), of.real()]},
        "datasetVersionId": of.dataset_version,
        "status": "RUNNING",
        "trainingDurationSecs": of.real(),
        "notes": of.text(),
    }


async def create_version(of: Filled) -> Input:
    return {
        "projectId": of.project,
        "modelId": of.model,
        "version": of.number(),
        "parentId": of.version_id,
        "description": of.text(),
        "experimentId": of.experiment,
        "datasetVersionId": of.dataset_version,
        "datasets": [{"role": "TEST", "datasetVersionId": of.dataset_version}],
        "metrics": {of.metric: of.real(), of.text(): of.real()},
        "parameters": {"algorithm": of.text(), of.text(): of.text()},
        "features": [of.text()],
        "target": of.text(),
        "artifact": {
            "uri": f"s3://{of.mark()}",
            "digest": f"sha256:{of.mark()}",
            "sizeBytes": of.whole(),
            "format": of.text(),
        },
        "tags": [of.text()],
        "origin": origin(of),
        "properties": {of.text(): of.text()},
        "createModel": False,
    }


async def complete_experiment(of: Filled) -> Input:
    experiment = await of.new_experiment()
    return {
        "experimentId": experiment,
        "status": "COMPLETED",
        "trainingDurationSecs": of.real(),
        "notes": of.text(),
        "versions": [await create_version(of) | {"experimentId": experiment}],
    }


async def update_version(of: Filled) -> Input:
    return await of.new_version() | {"description": of.text()}


async def update_project(of: Filled) -> Input:
    return {"projectId": of.project, "name": of.text(), "description": of.text()}


async def update_model(of: Filled) -> Input:
    owned = {"owner": of.email(), "properties": {of.text(): of.text()}, "archived": True, "reason": of.text()}
    return {"modelId": await of.new_model(), "name": of.text(), "description": of.text()} | owned


async def update_dataset(of: Filled) -> Input:
    made = await write(of.own, "createDataset", await create_dataset(of), "{ dataset { id } }")
    return {"datasetId": made["dataset"]["id"], "name": of.text(), "description": of.text()}


async def update_experiment(of: Filled) -> Input:
    return {"experimentId": await of.new_experiment(), "name": of.text(), "notes": of.text()}


async def move_artifact(of: Filled) -> Input:
    new = await create_version(of)
    made = await write(of.own, "createVersion", new, "{ version { version } }")
    version = {"modelId": of.model, "version": made["version"]["version"], "digest": new["artifact"]["digest"]}
    return version | {"uri": f"s3://{of.mark()}", "reason": of.text()}


async def set_alias(of: Filled) -> Input:
    version, alias = await of.new_version(), of.mark().lower()
    await write(of.own, "setAlias", version | {"alias": alias}, "{ __typename }")
    return await of.new_version() | {"alias": alias, "expectedVersion": version["version"], "notes": of.text()}


async def remove_alias(of: Filled) -> Input:
    version, alias = await of.new_version(), of.mark().lower()
    await write(of.own, "setAlias", version | {"alias": alias}, "{ __typename }")
    return {"modelId": version["modelId"], "alias": alias, "notes": of.text()}


async def add_tags(of: Filled) -> Input:
    return await of.new_version() | {"tags": [of.text()]}


async def remove_tags(of: Filled) -> Input:
    return await of.new_version() | {"tags": ["old"]}


async def transition_stage(of: Filled) -> Input:
    asked: Input = {"targetStage": "PRODUCTION", "notes": of.text(), "expectedStage": "STAGING"}
    asked["retireDeployments"] = True
    version = await of.new_version("STAGING")
    return version | asked | await seen(of, version)


async def seen(of: Filled, version: Input) -> Input:
    """What somebody states who has looked at a version."""
    query = "query($m: ID!, $v: SemVer!) { version(modelId: $m, version: $v) { reviewDigest } }"
    found = (await of.own.ask(query, m=version["modelId"], v=version["version"]))["version"]
    return {"expectedRevision": 0, "expectedReviewDigest": found["reviewDigest"]}


async def request_transition(of: Filled) -> Input:
    return await of.new_version() | {"targetStage": "STAGING", "notes": of.text()}


async def review_transition(of: Filled) -> Input:
    version = await of.new_version()
    asked = version | {"targetStage": "STAGING"}
    request = (await write(of.own, "requestTransition", asked, "{ request { id } }"))["request"]["id"]
    return {"requestId": request, "decision": "APPROVE", "notes": of.text(), **await seen(of, version)}


async def cancel_transition(of: Filled) -> Input:
    return {"requestId": await of.new_request(), "notes": of.text()}


async def rollback_production(of: Filled) -> Input:
    model = await of.new_model()
    first = await of.new_version("STAGING", "PRODUCTION", model=model)
    second = await of.new_version("STAGING", "PRODUCTION", model=model)
    named = {"toVersion": first["version"], "expectedVersion": second["version"], "deployments": "RESTORE"}
    return {"modelId": model, "notes": of.text()} | named


async def update_model_card(of: Filled) -> Input:
    card = {
        **{name: of.text() for name in ("description", "intendedUse", "limitations", "ethicalConsiderations")},
        "trainingDataSummary": {
            "source": of.text(),
            "dateRange": of.text(),
            "totalRows": of.whole(),
            "positiveClassRatio": of.real(),
            "featureCount": of.whole(),
            "extra": {of.text(): of.text()},
        },
        "performanceBySegment": {of.text(): {of.text(): of.real(), "samples": of.whole()}},
    }
    return await of.new_version() | {"modelCard": card, "expectedRevision": 0}


async def set_dataset_version_status(of: Filled) -> Input:
    return {"datasetVersionId": await of.new_dataset_version(), "status": "DEPRECATED", "reason": of.text()}


async def create_api_key(of: Filled) -> Input:
    key = {"name": of.text(), "email": of.email(), "kind": "SERVICE", "expiresAt": FAR}
    roles = [{"projectId": of.project, "role": "VIEWER"}]
    return key | {"projectId": of.project, "mayAttest": True, "memberships": roles}


async def rotate_api_key(of: Filled) -> Input:
    return {"id": await of.new_key(), "graceSeconds": 60}


async def revoke_api_key(of: Filled) -> Input:
    return {"id": await of.new_key()}


async def set_administrator(of: Filled) -> Input:
    email = of.email()
    await of.person(None, email=email)
    return {"email": email, "administers": True}


async def set_member(of: Filled) -> Input:
    return {"projectId": of.project, "email": of.email(), "role": "VIEWER"}


async def remove_member(of: Filled) -> Input:
    given = await set_member(of)
    await write(of.own, "setMember", given)
    return {"projectId": of.project, "email": given["email"]}


async def update_project_policy(of: Filled) -> Input:
    return {
        "projectId": of.project,
        "requiredApprovals": 1,
        "allowSelfApproval": True,
        "allowRequesterApproval": True,
        "looseningHours": 24 + next(of._numbers),
        "requireCompleteCard": False,
        "blockInvalidData": True,
        "semver": "WARN",
        "tags": "WARN",
        "retentionDays": 731 + next(of._numbers),
        # Every later version's metric is above: values grow.
        "minMetrics": [{"name": of.metric, "min": of.real(), "max": of.whole()}],
        "maxRegression": of.real(),
        "approvalValidDays": 731,
        "protectedAliases": [of.mark().lower()],
    }


async def confirm_policy_change(of: Filled) -> Input:
    asked = {"projectId": of.project, "approvalValidDays": 732 + next(of._numbers) % 2_900}
    selected = "{ project { policy { pendingChanges { id field } } } }"
    pending = (await write(of.root, "updateProjectPolicy", asked, selected))["project"]["policy"]["pendingChanges"]
    return {"changeId": next(change["id"] for change in pending if change["field"] == "approvalValidDays")}


async def define_tag(of: Filled) -> Input:
    tag = {"name": of.text(), "description": of.text(), "aliases": [of.text()], "deprecated": True}
    return {"projectId": of.project} | tag


async def apply_retention(of: Filled) -> Input:
    """There is one version to archive."""
    await of.new_version(model=(model := await of.new_model()))
    old = "clock_timestamp() - interval '9999 days'"
    await run_sql(of.database.owner_url, f"UPDATE versions SET touched_at = {old} WHERE model_id = '{model}'")
    return {"projectId": of.project, "dryRun": False}


async def create_deployment(of: Filled) -> Input:
    version = await of.new_version(model=await of.new_model())
    stages = [{"trafficPercentage": 5, "durationMinutes": of.real()}, {"trafficPercentage": 100, "durationMinutes": 0}]
    config = {"stages": stages, "autoAdvance": True, "autoRollback": False, "failureThreshold": 7}
    named = {"name": of.text(), "environment": of.mark().lower(), "strategy": "CANARY"}
    config["maxHealthAgeMinutes"] = 1 + of.real()
    return {"projectId": of.project, "registryVersion": version, "canaryConfig": config} | named


def model_in(deployment: Input) -> str:
    return str(deployment["registryVersion"]["modelId"])


async def deployment_action(of: Filled) -> Input:
    expected = {"expectedStatus": "IN_PROGRESS", "expectedStage": 0}
    return {"deploymentId": await of.new_deployment(), "reason": of.text()} | expected


async def resume_deployment(of: Filled) -> Input:
    paused = {"deploymentId": await of.new_deployment(), "reason": of.text()}
    await write(of.own, "pauseDeployment", paused)
    return paused | {"reason": of.text(), "expectedStatus": "PAUSED", "expectedStage": 0}


async def report_deployment_health(of: Filled) -> Input:
    observed = {"healthy": False, "metrics": {of.text(): of.real()}, "observedAt": "2026-01-31T00:00:00Z"}
    return {"deploymentId": await of.new_deployment()} | observed


async def create_webhook(of: Filled) -> Input:
    told = {"url": f"https://example.com/{of.mark()}", "description": of.text(), "actions": ["model.created"]}
    return {"projectId": of.project} | told


async def update_webhook(of: Filled) -> Input:
    made = await write(of.own, "createWebhook", await create_webhook(of), "{ webhook { id } }")
    await run_sql(
        of.database.owner_url,
        "UPDATE webhooks SET active = false, failing_since = now(), disabled_at = now(),"
        f" disabled_reason = '{of.text()}' WHERE id = '{made['webhook']['id']}'",
    )
    changed = await create_webhook(of)
    del changed["projectId"]
    return {"webhookId": made["webhook"]["id"], "active": False} | changed


async def new_delivery(of: Filled) -> tuple[str, str]:
    """A webhook and a delivery of it that has failed."""
    made = await write(of.own, "createWebhook", await create_webhook(of), "{ webhook { id } }")
    webhook, id_ = made["webhook"]["id"], of.id("dlv")
    await run_sql(
        of.database.owner_url,
        "INSERT INTO webhook_deliveries (id, project_id, webhook_id, event_id, status, attempts, lease, attempted_at,"
        f" response_status, error) SELECT '{id_}', project_id, '{webhook}', id, 'FAILED', 9, gen_random_uuid(), now(),"
        f" 500, '{of.text()}' FROM audit_events WHERE project_id = '{of.project}' ORDER BY at LIMIT 1",
    )
    return webhook, id_


async def replay_delivery(of: Filled) -> Input:
    _, id_ = await new_delivery(of)
    return {"deliveryId": id_}


async def replay_deliveries(of: Filled) -> Input:
    webhook, _ = await new_delivery(of)
    return {"webhookId": webhook, "since": "2026-01-31T00:00:00Z", "status": ["FAILED", "DELIVERED"]}


async def delete_webhook(of: Filled) -> Input:
    webhook, _ = await new_delivery(of)
    return {"webhookId": webhook}


async def rotate_webhook_secret(of: Filled) -> Input:
    made = await write(of.own, "createWebhook", await create_webhook(of), "{ webhook { id } }")
    return {"webhookId": made["webhook"]["id"], "overlapHours": 48.0}


INPUTS: dict[str, Callable[[Filled], Awaitable[Input]]] = {
    "addTags": add_tags,
    "advanceDeployment": deployment_action,
    "applyRetention": apply_retention,
    "cancelTransition": cancel_transition,
    "completeExperiment": complete_experiment,
    "confirmPolicyChange": confirm_policy_change,
    "createApiKey": create_api_key,
    "createDataset": create_dataset,
    "createDatasetVersion": create_dataset_version,
    "createDeployment": create_deployment,
    "createExperiment": create_experiment,
    "createModel": create_model,
    "createProject": create_project,
    "createVersion": create_version,
    "createWebhook": create_webhook,
    "defineTag": define_tag,
    "deleteWebhook": delete_webhook,
    "moveArtifact": move_artifact,
    "pauseDeployment": deployment_action,
    "removeAlias": remove_alias,
    "removeMember": remove_member,
    "removeTags": remove_tags,
    "replayDeliveries": replay_deliveries,
    "replayDelivery": replay_delivery,
    "reportDeploymentHealth": report_deployment_health,
    "requestTransition": request_transition,
    "resumeDeployment": resume_deployment,
    "retireDeployment": deployment_action,
    "reviewTransition": review_transition,
    "revokeApiKey": revoke_api_key,
    "rollbackDeployment": deployment_action,
    "rollbackProduction": rollback_production,
    "rotateApiKey": rotate_api_key,
    "rotateWebhookSecret": rotate_webhook_secret,
    "setAdministrator": set_administrator,
    "setAlias": set_alias,
    "setDatasetVersionStatus": set_dataset_version_status,
    "setMember": set_member,
    "transitionStage": transition_stage,
    "updateDataset": update_dataset,
    "updateExperiment": update_experiment,
    "updateModel": update_model,
    "updateModelCard": update_model_card,
    "updateProject": update_project,
    "updateProjectPolicy": update_project_policy,
    "updateVersion": update_version,
    "updateWebhook": update_webhook,
}
# What the inputs leave out: it excludes what they give, or names somebody.
LEFT_OUT = {"CreateVersionInput.bump", "CreateVersionInput.parentVersion", "TransitionStageInput.approvedBy"}
