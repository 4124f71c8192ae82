"""A project with a model, where versions are made ready and deployed, and where time passes at once."""

from typing import Any

from resolvers.rollouts import run_due
from storage.engine import Database
from tests.conftest import Cluster, Registry, run_sql
from tests.support.documents import CREATE_VERSION, DEPLOY, DEPLOYMENT, REPORT

SERVING = "serving { deployment { name } share }"
STEP = "mutation($input: TransitionStageInput!) { transitionStage(input: $input) { version { stage } } }"
FLAG = """mutation($input: SetDatasetVersionStatusInput!) { setDatasetVersionStatus(input: $input) {
    impact { deployments { name status } } } }"""


class Place:
    """A project with a model, where versions are made ready and deployed."""

    def __init__(self, registry: Registry, project: str, database: Cluster):
        self.registry, self.project, self.database = registry, project, database
        self.model = f"model_{project[5:]}"

    async def version(self, number: str, *stages: str, **facts: Any) -> str:
        new = {"projectId": self.project, "modelId": self.model, "version": number, "createModel": True} | facts
        await self.registry.ask(CREATE_VERSION, input=new)
        for stage in stages:
            await self.move(number, stage)
        return number

    async def production(self, number: str, **facts: Any) -> str:
        return await self.version(number, "STAGING", "PRODUCTION", **facts)

    async def move(self, number: str, stage: str, **more: Any) -> None:
        await self.registry.ask(STEP, input=self.moving(number, stage) | more)

    def moving(self, number: str, stage: str) -> dict[str, Any]:
        by = {"approvedBy": "ana@example.com"} if stage == "PRODUCTION" else {}
        return {"modelId": self.model, "version": number, "targetStage": stage} | by

    def wanted(self, number: str, strategy: str, **more: Any) -> dict[str, Any]:
        version = {"modelId": self.model, "version": number}
        named = {"projectId": self.project, "registryVersion": version, "name": f"{strategy} {number}"}
        return named | {"strategy": strategy} | more

    async def deploy(self, number: str, strategy: str = "DIRECT", **more: Any) -> dict[str, Any]:
        made = await self.registry.ask(DEPLOY, input=self.wanted(number, strategy, **more))
        return dict(made["createDeployment"]["deployment"])

    async def canary(self, number: str, **config: Any) -> dict[str, Any]:
        return await self.deploy(number, "CANARY", canaryConfig={"stages": STAGES} | config)

    async def do(self, action: str, deployment: dict[str, Any], reason: str = "By hand.") -> dict[str, Any]:
        return dict((await self.registry.ask(ACTION % action, input=doing(deployment, reason)))[action]["deployment"])

    async def refused(self, action: str, deployment: dict[str, Any]) -> dict[str, Any]:
        return await self.registry.refusal(ACTION % action, input=doing(deployment, "By hand."))

    async def report(self, deployment: dict[str, Any], healthy: bool, **more: Any) -> dict[str, Any]:
        given = {"deploymentId": deployment["id"], "healthy": healthy} | more
        return dict((await self.registry.ask(REPORT, input=given))["reportDeploymentHealth"]["deployment"])

    async def read(self, deployment: dict[str, Any]) -> dict[str, Any]:
        asked = f"query($id: ID!) {{ deployment(id: $id) {{ {DEPLOYMENT} }} }}"
        return dict((await self.registry.ask(asked, id=deployment["id"]))["deployment"])

    async def shares(self, environment: str = "production") -> dict[str | None, int]:
        asked = (
            "query($m: ID!, $e: String) { model(id: $m) { serving(environment: $e) { deployment { name } share } } }"
        )
        found = (await self.registry.ask(asked, m=self.model, e=environment))["model"]["serving"]
        return {each["deployment"] and each["deployment"]["name"]: each["share"] for each in found}

    async def pass_time(self, minutes: float) -> int:
        """Move all that happened to the past, and do what the clock makes due: how many steps."""
        await run_sql(
            self.database.superuser_url,
            "ALTER TABLE deployments DISABLE TRIGGER keep_deployment, DISABLE TRIGGER shares;"
            "ALTER TABLE health_reports DISABLE TRIGGER append_only;"
            f"UPDATE deployments SET stage_since = stage_since - interval '{minutes} minutes',"
            f" due_at = due_at - interval '{minutes} minutes' WHERE project_id = '{self.project}';"
            f"UPDATE health_reports SET at = at - interval '{minutes} minutes' WHERE project_id = '{self.project}';"
            "ALTER TABLE deployments ENABLE ALWAYS TRIGGER keep_deployment, ENABLE ALWAYS TRIGGER shares;"
            "ALTER TABLE health_reports ENABLE ALWAYS TRIGGER append_only",
        )
        return await self.tick()

    async def tick(self) -> int:
        opened = Database(self.database.app_url, size=1)
        await opened.open()
        try:
            return await run_due(opened)
        finally:
            await opened.close()


RECENT = {"maxHealthAgeMinutes": 120}
STAGES = [
    {"trafficPercentage": 5, "durationMinutes": 60},
    {"trafficPercentage": 25, "durationMinutes": 120},
    {"trafficPercentage": 50, "durationMinutes": 180},
    {"trafficPercentage": 100, "durationMinutes": 0},
]
ACTION = f"mutation($input: DeploymentActionInput!) {{ %s(input: $input) {{ deployment {{ {DEPLOYMENT} }} }} }}"


def doing(deployment: dict[str, Any], reason: str) -> dict[str, Any]:
    return {"deploymentId": deployment["id"], "reason": reason}


def kinds(deployment: dict[str, Any]) -> list[tuple[str, int]]:
    return [(event["kind"], event["trafficPercentage"]) for event in deployment["events"]]
