"""The routes that gateways poll: which deployment serves which share of an environment's traffic, in the projects that
the key can access."""

import hashlib
from collections.abc import Sequence
from itertools import groupby
from typing import Any

import orjson
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from resolvers.errors import BadUserInput
from resolvers.refusals import driver_errors_as_refusals
from resolvers.rules.limits import ENVIRONMENT
from server.http.admission import Admission
from server.http.endpoint import HTTPRefusal
from server.http.rates import Buckets
from storage.engine import Database
from storage.traffic import ServingDeployment, serving

# The cost of one request.
POINTS = 10


class Routes:
    """The response and its ETag change when shares do. An unchanged response is 304, without a body."""

    def __init__(self, database: Database, admission: Admission, buckets: Buckets):
        self.database, self.admission, self.buckets = database, admission, buckets

    @property
    def routes(self) -> list[Route]:
        return [Route("/routes/{environment}", self.of_environment, methods=["GET"])]

    async def of_environment(self, request: Request) -> Response:
        try:
            environment = ENVIRONMENT.clean("environment", request.path_params["environment"])
        except BadUserInput as refusal:
            raise HTTPRefusal(400, str(refusal), field="environment") from None
        caller = request.state.caller
        self.buckets.take(caller.actor, POINTS)
        async with self.admission.read(caller.actor, POINTS):
            with driver_errors_as_refusals():
                rows = await serving(self.database, environment, caller.visible)
        body = orjson.dumps({"environment": environment, "models": by_model(rows)})
        headers = {"etag": f'"{hashlib.sha256(body).hexdigest()[:32]}"', "cache-control": "private, no-cache"}
        if headers["etag"] in request.headers.get("if-none-match", ""):
            return Response(status_code=304, headers=headers)
        return Response(body, headers=headers, media_type="application/json")


def by_model(rows: Sequence[ServingDeployment]) -> list[dict[str, Any]]:
    """For each model, the deployments that serve it, with weights that add up to 100 with `unmanaged`, and those that
    get a copy of the traffic."""
    models = []
    for (project_id, model_id), of_model in groupby(rows, key=lambda row: (row.project_id, row.model_id)):
        deployed = list(of_model)
        routes = [named(row) | {"weight": row.weight} for row in deployed if not row.shadow]
        models.append({
            "projectId": project_id,
            "modelId": model_id,
            "routes": routes,
            "unmanaged": 100 - sum(route["weight"] for route in routes) if routes else 0,
            "shadows": [named(row) for row in deployed if row.shadow],
        })  # fmt: skip
    return models


def named(row: ServingDeployment) -> dict[str, Any]:
    return {"deploymentId": row.id, "name": row.name, "version": row.version}
